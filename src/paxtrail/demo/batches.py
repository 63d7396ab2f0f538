"""Batch runs beside the running stream: `paxtrail batch run` as a process of its own, and what its publication counted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
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


class Program:
    """A program of this project as a process of its own, on a copy of the stack: its log, and what it printed as its last line."""

    def __init__(self, settings: Settings, name: str, command: Sequence[str], *, good: Collection[int] = (0,)) -> None:
        self._name, self._good = name, good
        self._began = time.time()
        self._log = settings.logs / f"{name}.log"
        self._out = settings.logs / f"{name}.json"
        environment = {**os.environ, **places.environment(settings), "PYTHONPATH": str(ROOT / "src")}
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd="/", env=environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """What it printed, once it has ended; PaxtrailError with the end of its log if it ended with another code than the good ones."""
        code = self._process.wait()
        if code not in self._good:
            said = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
            raise PaxtrailError(f"{self._name} ended with {code}; {self._log} ends with:\n{said}")
        found: dict[str, Any] = orjson.loads(self._out.read_bytes().splitlines()[-1])
        return found

    def seconds(self) -> float:
        """How long it ran: until it printed."""
        return self._out.stat().st_mtime - self._began

    def stop(self) -> None:
        """It has ended, and with it what it started."""
        if self.running:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


class BatchRun(Program):
    """One run: cut, events, links, states, outcomes, publication. Drift is no failure here: it is counted."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        self.run_id = run_id
        # It yields to the stream: the batch has time, the stream has readers waiting.
        nice = ["nice", "-n", "5"] if shutil.which("nice") else []
        command = [*nice, sys.executable, "-m", "paxtrail.cli.main", "batch", "run", "--run", run_id]
        super().__init__(settings, f"batch-{run_id}", command, good=(0, _DRIFTED))


def publications(settings: Settings) -> list[Publication]:
    """Every publication so far, oldest first."""
    with psycopg.connect(dsn(settings, "serving", "api"), autocommit=True) as connection:
        return [Publication(*row) for row in connection.execute(_COUNTED).fetchall()]
