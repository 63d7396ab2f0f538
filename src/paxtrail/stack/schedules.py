"""Airflow's own API as its one user: schedules switched on and off, runs started and awaited."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from paxtrail.errors import PaxtrailError, Unavailable
from paxtrail.settings import Settings
from paxtrail.stack import airflow
from paxtrail.stack.processes import await_ready

_POLL_S = 2.0


class Task(NamedTuple):
    """How a task ended, or where it is, and after how many tries."""

    state: str
    tries: int


class Schedules:
    """The schedules of a copy whose Airflow is up."""

    def __init__(self, settings: Settings) -> None:
        self._logs = settings.logs / "airflow"
        self._client = httpx.Client(base_url=airflow.url(settings), timeout=60, trust_env=False)
        ((user, password),) = json.loads(airflow.passwords(settings).read_text()).items()
        token = self.ask("POST", "/auth/token", {"username": user, "password": password})["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._client.close()

    def await_known(self, names: Collection[str], *, seconds: float) -> None:
        """Returns once these schedules are parsed and stored; Unavailable when time is up."""

        def problem() -> str:
            missing = {*names} - {one["dag_id"] for one in self.ask("GET", "/api/v2/dags?exclude_stale=true")["dags"]}
            return f"Airflow has not read {', '.join(sorted(missing))} yet: see {self._logs.parent}/processor.log" if missing else ""

        await_ready(problem, seconds=seconds, every=_POLL_S)

    def switch(self, name: str, *, on: bool) -> None:
        """The schedule is on, or off; nightly ones start the run of the last day when they are switched on for the first time."""
        self.ask("PATCH", f"/api/v2/dags/{name}", {"is_paused": not on})

    def start(self, name: str, run: str) -> None:
        """A run of this id is started beside the schedule, once that is on."""
        self.ask("POST", f"/api/v2/dags/{name}/dagRuns", {"dag_run_id": run, "logical_date": None})

    def runs(self, name: str) -> dict[str, str]:
        """State of every run by its id, oldest first."""
        listed = self.ask("GET", f"/api/v2/dags/{name}/dagRuns?order_by=id&limit=100")["dag_runs"]
        return {one["dag_run_id"]: one["state"] for one in listed}

    def tasks(self, name: str, run: str) -> dict[str, Task]:
        """Every task of a run by its name."""
        listed = self.ask("GET", f"/api/v2/dags/{name}/dagRuns/{quote(run)}/taskInstances")["task_instances"]
        return {one["task_id"]: Task(str(one["state"]), one["try_number"]) for one in listed}

    def succeeded(self, name: str, run: str) -> bool:
        """Whether the run has ended well; PaxtrailError with the place of the log if it has ended otherwise."""
        state = self.runs(name).get(run)
        if state == "failed":
            failed = sorted(task_id for task_id, task in self.tasks(name, run).items() if task.state == "failed")
            place = self._logs / f"dag_id={name}" / f"run_id={run}"
            raise PaxtrailError(f"run {run} of {name} failed at {', '.join(failed) or 'its time limit'}; logs in {place}")
        return state == "success"

    def done(self, name: str, run: str) -> bool:
        """Whether the run has ended well and all of its tasks ran: one that skipped tasks, for want of input, ends well too."""
        return self.succeeded(name, run) and all(task.state == "success" for task in self.tasks(name, run).values())

    def await_started(self, name: str, count: int, *, seconds: float) -> str:
        """Id of the newest run, once there are `count`; Unavailable when time is up."""
        runs: list[str] = []

        def problem() -> str:
            runs[:] = self.runs(name)
            return "" if len(runs) >= count else f"{name} has {len(runs)} of {count} runs; see {self._logs.parent}/scheduler.log"

        await_ready(problem, seconds=seconds, every=_POLL_S)
        return runs[-1]

    def await_success(self, name: str, run: str, *, seconds: float) -> None:
        """Returns once the run has ended well; raises as `succeeded` does, and Unavailable when time is up."""

        def problem() -> str:
            return "" if self.succeeded(name, run) else f"run {run} of {name} has not ended: {self.tasks(name, run)}; logs in {self._logs}"

        await_ready(problem, seconds=seconds, every=_POLL_S)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Airflow's answer, decoded; Unavailable if there is none or it is an error."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"Airflow does not answer: {type(error).__name__}") from None
        if answer.is_error:
            raise Unavailable(f"Airflow refused {method} {path.partition('?')[0]}: {answer.status_code} {answer.text[:300]}")
        return answer.json()
