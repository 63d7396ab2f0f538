"""Druid over HTTP: what it must follow, whether it does, hours replaced by exact ones, SQL for jobs and checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

from paxtrail.adapters import kafka
from paxtrail.errors import PaxtrailError, Unavailable
from paxtrail.settings import Settings

DATASOURCE = "operations"
TOPIC = "analytics.events"
_POLL_S = 0.5


class Druid:
    """The Druid of these settings. Whatever goes wrong with it is Unavailable; the text says which process and what it said."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        where = settings.druid
        self._address = {
            "coordinator": f"http://{where.coordinator_host}:{where.coordinator_port}",
            "broker": f"http://{where.broker_host}:{where.broker_port}",
        }
        self._specs = settings.conf / "druid"

    # -- is it there -----------------------------------------------------------------------------------------------------------

    def problem(self) -> str:
        """Why it cannot be used yet; empty = there is a leader, segments can be loaded, tasks can run, SQL is answered."""
        try:
            self._call("coordinator", "GET", "/druid/coordinator/v1/isLeader", seconds=3)
            if not self._call("coordinator", "GET", "/druid/coordinator/v1/servers", seconds=3):
                return "the historical has not reported to the coordinator"
            if not self._call("coordinator", "GET", "/druid/indexer/v1/workers", seconds=3):
                return "the indexer has not reported to the coordinator"
            self.sql("SELECT 1")
        except Unavailable as error:
            return str(error)
        return ""

    def sql(self, query: str, *parameters: int | str) -> list[dict[str, Any]]:
        """Rows of a query; each `?` takes a parameter."""
        typed = [{"type": "BIGINT" if isinstance(one, int) else "VARCHAR", "value": one} for one in parameters]
        body = {"query": query, "parameters": typed, "context": {"timeout": 60_000}}
        return list(self._call("broker", "POST", "/druid/v2/sql", body))

    # -- following the topic ---------------------------------------------------------------------------------------------------

    def supervise(self) -> None:
        """Druid follows the topic as conf/druid says. The same spec again changes nothing; another one replaces it, offsets kept."""
        spec = self._spec("supervisor")
        spec["spec"]["ioConfig"]["consumerProperties"] |= kafka.java_client(self._settings)
        self._call("coordinator", "POST", "/druid/indexer/v1/supervisor?skipRestartIfUnmodified=true", spec)

    def supervisor_problem(self) -> str:
        """Why the topic is not being followed; empty = it is."""
        state = self._supervisor()["detailedState"]
        well = ("RUNNING", "CONNECTING_TO_STREAM", "CREATING_TASKS", "DISCOVERING_INITIAL_TASKS", "PENDING", "IDLE")
        return "" if state in well else f"the supervisor of {DATASOURCE} is {state}"

    def await_published(self, *, seconds: float) -> None:
        """Returns once all that stands in the topic now is published; the running task is asked to hand over before its time."""
        goal = kafka.latest(self._settings, [TOPIC])[TOPIC]
        asked: set[str] = set()

        def published() -> bool:
            status = self._supervisor()
            active = status.get("activeTasks", [])
            begun: dict[str, int] = {}
            for task in active:
                begun.update({str(p): int(offset) for p, offset in (task.get("startingOffsets") or {}).items()})
            behind = [p for p, offset in goal.items() if begun.get(p, -1 if offset else 0) < offset]
            if not behind:
                return not status.get("publishingTasks")
            if active and not (names := {task["id"] for task in active}) <= asked:
                read: dict[str, int] = {}
                for task in active:
                    read.update({str(p): int(offset) for p, offset in (task.get("currentOffsets") or {}).items()})
                if all(read.get(p, -1) >= goal[p] for p in behind):
                    asked.update(names)
                    self._call(
                        "coordinator", "POST", f"/druid/indexer/v1/supervisor/{DATASOURCE}/taskGroups/handoff", {"taskGroupIds": [0]}
                    )
            return False

        self._await(published, f"Druid has not published all of {TOPIC}", seconds)

    def _supervisor(self) -> dict[str, Any]:
        return dict(self._call("coordinator", "GET", f"/druid/indexer/v1/supervisor/{DATASOURCE}/status")["payload"])

    # -- exact hours -----------------------------------------------------------------------------------------------------------

    def replace(self, intervals: Sequence[str], files: Path, *, seconds: float) -> str:
        """Id of the task that put the facts in `files` (JSON lines) in place of all that stood in `intervals`; returns when it has."""
        spec = self._spec("reindex")
        spec["spec"]["ioConfig"]["inputSource"]["baseDir"] = str(files)
        spec["spec"]["dataSchema"]["granularitySpec"]["intervals"] = list(intervals)
        task = str(self._call("coordinator", "POST", "/druid/indexer/v1/task", spec)["task"])

        def ended() -> bool:
            status = self._call("coordinator", "GET", f"/druid/indexer/v1/task/{task}/status")["status"]
            if status["statusCode"] == "FAILED":
                raise PaxtrailError(f"the task {task} failed: {status.get('errorMsg')}; its log is in the folder of task logs")
            return bool(status["statusCode"] == "SUCCESS")

        self._await(ended, f"the task {task} has not ended", seconds)
        return task

    def await_served(self, interval: str, *, seconds: float) -> None:
        """Returns once all segments of the interval are loaded where queries find them."""
        path = f"/druid/coordinator/v1/datasources/{DATASOURCE}/loadstatus?forceMetadataRefresh=true&interval={interval.replace('/', '_')}"

        def loaded() -> bool:
            found = self._call("coordinator", "GET", path, absent={})
            return all(share == 100.0 for share in found.values())

        self._await(loaded, f"the segments of {interval} are not served", seconds)

    # -- talking ---------------------------------------------------------------------------------------------------------------

    def _spec(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = orjson.loads((self._specs / f"{name}.json").read_bytes())
        spec["spec"]["dataSchema"] = orjson.loads((self._specs / f"{DATASOURCE}.json").read_bytes())
        return spec

    def _call(
        self, process: str, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = 60, absent: Any = None
    ) -> Any:
        try:
            answer = httpx.request(method, self._address[process] + path, json=body, timeout=seconds, trust_env=False)
        except httpx.HTTPError as error:
            raise Unavailable(f"Druid's {process} does not answer ({type(error).__name__}); `paxtrail up druid` starts it") from None
        if answer.status_code in (204, 404) and absent is not None:
            return absent
        if answer.is_error:
            raise Unavailable(f"Druid's {process} refused {path.partition('?')[0]}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def _await(self, done: Callable[[], bool], otherwise: str, seconds: float) -> None:
        """Returns when `done`; a process that is away for a while is waited for, because the supervisor brings it back."""
        end = time.monotonic() + seconds
        while True:
            said = ""
            try:
                if done():
                    return
            except Unavailable as error:
                said = f" ({error})"
            if time.monotonic() > end:
                raise Unavailable(f"{otherwise} after {seconds:.0f} s{said}")
            time.sleep(_POLL_S)
