"""Batch runs beside the running stream: `paxtrail batch run` as a process of its own, and what its publication counted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import psycopg

from paxtrail.adapters.postgres import dsn
from paxtrail.errors import PaxtrailError
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places

_DRIFTED = 3
_COUNTED = """
select epoch, coalesce(sum(published), 0)::bigint, coalesce(sum(healed), 0)::bigint, coalesce(sum(redefined), 0)::bigint,
  coalesce(sum(drifted), 0)::bigint
from publication_counts group by epoch order by epoch
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publication did, by the store's own counts."""

    epoch: int
    published: int
    healed: int
    redefined: int
    drifted: int


class Batch(Protocol):
    """A run of the batch layer beside the stream, whoever started it."""

    run_id: str

    @property
    def running(self) -> bool: ...
    def result(self) -> dict[str, Any]: ...
    def seconds(self) -> float: ...
    def stop(self) -> None: ...


class BatchRun:
    """One run: cut, events, links, states, outcomes, publication."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        self.run_id = run_id
        self._began = time.time()
        self._log = settings.logs / f"batch-{run_id}.log"
        self._out = settings.logs / f"batch-{run_id}.json"
        # It yields to the stream: the batch has time, the stream has readers waiting.
        nice = ["nice", "-n", "5"] if shutil.which("nice") else []
        command = [*nice, sys.executable, "-m", "paxtrail.cli.main", "batch", "run", "--run", run_id]
        environment = {**os.environ, **places.environment(settings), "PYTHONPATH": str(ROOT / "src")}
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd="/", env=environment, start_new_session=True
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """Its counts, once it has ended; PaxtrailError with the end of its log if it failed. Drift is no failure here: it is counted."""
        code = self._process.wait()
        if code not in (0, _DRIFTED):
            said = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
            raise PaxtrailError(f"the batch run {self.run_id} ended with {code}; {self._log} ends with:\n{said}")
        found: dict[str, Any] = orjson.loads(self._out.read_bytes().splitlines()[-1])
        return found

    def seconds(self) -> float:
        """How long it ran: until it wrote its counts."""
        return self._out.stat().st_mtime - self._began

    def stop(self) -> None:
        """It has ended, and with it its session of Spark."""
        if self.running:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def publications(settings: Settings) -> list[Publication]:
    """Every publication so far, oldest first."""
    with psycopg.connect(dsn(settings, "serving", "api"), autocommit=True) as connection:
        return [Publication(*row) for row in connection.execute(_COUNTED).fetchall()]
