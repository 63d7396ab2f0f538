"""Druid under test: five real processes, each of which a test may kill and start again."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

from paxtrail.adapters.druid import Druid
from paxtrail.settings import Settings
from paxtrail.stack import druid
from paxtrail.stack.processes import await_ready, running

ROLES = ("zookeeper", "coordinator", "historical", "broker", "indexer")
HOUR = 3_600_000_000
"""µs."""


class Servers:
    """The processes of these settings, until `held` closes; ready, and following the topic."""

    def __init__(self, settings: Settings, held: ExitStack) -> None:
        self.settings = settings
        self._held = held
        self._processes = {role: self._start(role) for role in ROLES}
        self.await_ready()
        Druid(settings).supervise()

    def kill(self, role: str) -> None:
        """SIGKILL; what its supervisor would do follows at once."""
        self._processes[role].kill()
        self._processes[role].wait()
        self._processes[role] = self._start(role)

    def await_ready(self) -> None:
        await_ready(lambda: druid.problem(self.settings), seconds=180)

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        druid.prepare(role)(self.settings)
        log = self.settings.logs / f"druid-{role}.log"
        return self._held.enter_context(running(druid.command(role)(self.settings), lambda: "", log=log))


def an_hour(days_ago: int) -> int:
    """µs UTC of an hour of the test's own: tests share the datasource, so each takes another number of days."""
    return time.time_ns() // 1000 // HOUR * HOUR - days_ago * 24 * HOUR
