"""A stack of a benchmark's own: home in a temporary folder, free ports, what its parts use of the machine."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places
from paxtrail.stack.memory import Peak, memory
from paxtrail.stack.parts import parts
from paxtrail.stack.processes import running
from paxtrail.stack.supervision import Supervisor, bring_up, take_down


@dataclass(slots=True)
class Stack:
    """A stack that is up.

    `first`: seconds until each part was healthy. `others`: processes that do the work of a part without the supervisor.
    """

    settings: Settings
    first: dict[str, float] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Variables that make a child process work with this stack."""
        return {**os.environ, **places.environment(self.settings), "PYTHONPATH": str(ROOT / "src"), "PYSPARK_PYTHON": sys.executable}

    def pids(self) -> dict[str, int]:
        """Process of each part that runs."""
        supervisor = Supervisor(self.settings)
        states = {part.name: supervisor.state(part.name).pid for part in parts(self.settings) if part.program is not None}
        return {name: pid for name, pid in states.items() if pid} | self.others

    def core_seconds(self) -> dict[str, float]:
        """Processor time that each part has used so far, its children included."""
        return {name: _core_seconds(pid) for name, pid in self.pids().items()}

    def memory(self) -> dict[str, int]:
        """Bytes of each part, shared pages counted once each (proportional set size)."""
        return {name: memory(pid) for name, pid in self.pids().items()}

    def peak(self, *, own: str = "") -> Peak:
        """The most memory that the parts have at once, and with a name for it this process with its children."""
        return Peak(lambda: self.memory() | ({own: memory(os.getpid())} if own else {}))

    @contextmanager
    def driver(self, *program: str) -> Iterator[None]:
        """Runs a stream driver in place of the stack's own, which must be down; returns once its query runs."""
        ready = self.settings.home / "run" / "stream.ready"
        ready.unlink(missing_ok=True)
        log = self.settings.logs / "driver.log"
        missing = "the stream has not started its query yet"
        with running(
            [sys.executable, *program],
            lambda: "" if ready.exists() else missing,
            log=log,
            seconds=180,
            environment=self.environment(),
        ) as process:
            self.others["stream"] = process.pid
            try:
                yield
            finally:
                del self.others["stream"]

    def up(self, *parts: str) -> dict[str, float]:
        """Seconds until each part was healthy."""
        return {part.name: round(seconds, 2) for part, seconds in bring_up(self.settings, parts)}

    def down(self, *parts: str) -> list[str]:
        return take_down(self.settings, parts)


@contextmanager
def stack(*parts: str, keep: bool = False) -> Iterator[Stack]:
    """A stack with these parts up (none named: all), taken down and deleted at the end; `keep` leaves its folder."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = Path(tempfile.mkdtemp(prefix="paxtrail-benchmark-"))
    home.chmod(0o711)  # the user PostgreSQL runs as must be able to enter
    found = Stack(places.apart(home))
    try:
        found.first = found.up(*parts)
        for name, seconds in found.first.items():
            say(f"{name} ready after {seconds:.1f} s")
        yield found
    finally:
        found.down()
        if keep:
            say(f"left in place: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)


class Elsewhere:
    """What of the machine's processor time neither the stack nor this process (with the children it waited for) used, in cores."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._began, self._before = time.monotonic(), self._now()

    def cores(self) -> float:
        """Since the start; a stack whose parts were started again meanwhile seems to have used less than it did."""
        return round(max(0.0, self._now() - self._before) / (time.monotonic() - self._began), 2)

    def _now(self) -> float:
        whole = psutil.cpu_times()
        own = os.times()
        mine = own.user + own.system + own.children_user + own.children_system + sum(self._stack.core_seconds().values())
        return float(whole.user + whole.nice + whole.system + whole.irq + whole.softirq) - mine


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Core-seconds by part between two readings; a part that was started again meanwhile counts from its start."""
    return {name: round(max(0.0, after[name] - before.get(name, 0.0)), 2) for name in after}


def say(text: str) -> None:
    """One line of progress, on stderr: stdout has the table."""
    print(text, file=sys.stderr, flush=True)


def _core_seconds(pid: int) -> float:
    total = 0.0
    try:
        first = psutil.Process(pid)
        family = [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # Children that ended and were waited for are in their parent's figure.
        total += times.user + times.system + times.children_user + times.children_system
    return total
