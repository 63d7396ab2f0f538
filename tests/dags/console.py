"""Airflow's own API as the tests use it: what runs, what it said, what to run."""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime
from typing import Any
from urllib.parse import quote

from paxtrail.settings import Settings
from paxtrail.stack import airflow
from paxtrail.stack.processes import await_ready

_ENDED = {"success", "failed"}


class Console:
    """The one user of a copy's Airflow, logged in."""

    def __init__(self, settings: Settings) -> None:
        self.url = airflow.url(settings)
        (user,) = json.loads(airflow.passwords(settings).read_text()).items()
        self._headers = {"Content-Type": "application/json"}
        token = self.ask("POST", "/auth/token", {"username": user[0], "password": user[1]})["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer, decoded."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def await_dag(self, dag: str) -> None:
        """Returns once the DAG has been parsed and stored."""
        await_ready(lambda: "" if dag in self.dags() else f"{dag} is not there", seconds=180)

    def dags(self) -> set[str]:
        return {one["dag_id"] for one in self.ask("GET", "/api/v2/dags?exclude_stale=true")["dags"]}

    def backfill(self, dag: str, first: datetime, last: datetime) -> None:
        """A run for each day, one after the other; they start once the DAG is switched on."""
        dates = {"from_date": first.isoformat(), "to_date": last.isoformat()}
        self.ask("POST", "/api/v2/backfills", {"dag_id": dag, **dates, "max_active_runs": 1})

    def switch_on(self, dag: str) -> None:
        self.ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str) -> str:
        """Id of the run."""
        return str(self.ask("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"])

    def runs(self, dag: str) -> dict[str, str]:
        """State of every run, oldest first."""
        listed = self.ask("GET", f"/api/v2/dags/{dag}/dagRuns?order_by=id")["dag_runs"]
        return {one["dag_run_id"]: one["state"] for one in listed}

    def ended(self, dag: str, run: str, *, seconds: float) -> str:
        """How the run ended, once it has."""

        def problem() -> str:
            state = self.runs(dag)[run]
            return "" if state in _ENDED else f"{dag} {run}: {state}, {self.tasks(dag, run)}"

        await_ready(problem, seconds=seconds)
        return self.runs(dag)[run]

    def clear(self, dag: str, run: str) -> None:
        """What failed in the run is tried again, and what waited for it."""
        self.ask("POST", f"/api/v2/dags/{dag}/clearTaskInstances", {"dag_run_id": run, "only_failed": True, "dry_run": False})

    def tasks(self, dag: str, run: str) -> dict[str, tuple[str, int]]:
        """How each task of the run ended, and after how many tries."""
        listed = self.ask("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances")["task_instances"]
        return {one["task_id"]: (one["state"], one["try_number"]) for one in listed}
