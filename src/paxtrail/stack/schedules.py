"""Airflow's own API as its one user: schedules switched on and off, runs started and awaited."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

import httpx

from paxtrail.errors import PaxtrailError, Unavailable
from paxtrail.settings import Settings
from paxtrail.stack import airflow

_POLL_S = 2.0


class Schedules:
    """The schedules of a copy whose Airflow is up."""

    def __init__(self, settings: Settings) -> None:
        self._logs = settings.logs / "airflow"
        self._client = httpx.Client(base_url=airflow.url(settings), timeout=60, trust_env=False)
        ((user, password),) = json.loads(airflow.passwords(settings).read_text()).items()
        token = self._ask("POST", "/auth/token", {"username": user, "password": password})["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._client.close()

    def await_known(self, names: Collection[str], *, seconds: float) -> None:
        """Returns once these schedules are parsed and stored; Unavailable when time is up."""
        end = time.monotonic() + seconds
        while missing := {*names} - {one["dag_id"] for one in self._ask("GET", "/api/v2/dags?exclude_stale=true")["dags"]}:
            if time.monotonic() > end:
                raise Unavailable(
                    f"Airflow has not read {', '.join(sorted(missing))} after {seconds:.0f} s: see {self._logs.parent}/processor.log"
                )
            time.sleep(_POLL_S)

    def switch(self, name: str, *, on: bool) -> None:
        """The schedule is on, or off; nightly ones start the run of the last day when they are switched on for the first time."""
        self._ask("PATCH", f"/api/v2/dags/{name}", {"is_paused": not on})

    def start(self, name: str, run: str) -> None:
        """A run of this id is started beside the schedule, once that is on."""
        self._ask("POST", f"/api/v2/dags/{name}/dagRuns", {"dag_run_id": run, "logical_date": None})

    def runs(self, name: str) -> dict[str, str]:
        """State of every run by its id, oldest first."""
        listed = self._ask("GET", f"/api/v2/dags/{name}/dagRuns?order_by=id&limit=100")["dag_runs"]
        return {one["dag_run_id"]: one["state"] for one in listed}

    def tasks(self, name: str, run: str) -> dict[str, str]:
        """State of every task of a run."""
        listed = self._ask("GET", f"/api/v2/dags/{name}/dagRuns/{quote(run)}/taskInstances")["task_instances"]
        return {one["task_id"]: str(one["state"]) for one in listed}

    def succeeded(self, name: str, run: str) -> bool:
        """Whether the run has ended well; PaxtrailError with the place of the log if it has ended otherwise."""
        state = self.runs(name).get(run)
        if state == "failed":
            failed = sorted(task for task, state in self.tasks(name, run).items() if state == "failed")
            place = self._logs / f"dag_id={name}" / f"run_id={run}"
            raise PaxtrailError(f"run {run} of {name} failed at {', '.join(failed) or 'its time limit'}; logs in {place}")
        return state == "success"

    def await_started(self, name: str, count: int, *, seconds: float) -> str:
        """Id of the newest run, once there are `count`; Unavailable when time is up."""
        end = time.monotonic() + seconds
        while len(found := self.runs(name)) < count:
            if time.monotonic() > end:
                raise Unavailable(f"{name} has {len(found)} of {count} runs after {seconds:.0f} s; see {self._logs.parent}/scheduler.log")
            time.sleep(_POLL_S)
        return list(found)[-1]

    def await_success(self, name: str, run: str, *, seconds: float) -> None:
        """Returns once the run has ended well; raises as `succeeded` does, and Unavailable when time is up."""
        end = time.monotonic() + seconds
        while not self.succeeded(name, run):
            if time.monotonic() > end:
                raise Unavailable(f"run {run} of {name} has not ended after {seconds:.0f} s: {self.tasks(name, run)}; logs in {self._logs}")
            time.sleep(_POLL_S)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"Airflow does not answer: {type(error).__name__}") from None
        if answer.is_error:
            raise Unavailable(f"Airflow refused {method} {path.partition('?')[0]}: {answer.status_code} {answer.text[:300]}")
        return answer.json()
