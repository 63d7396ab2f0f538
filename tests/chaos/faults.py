"""What can befall a stack that is up: kill -9 of any part, processes that stand still, disks that are full, read-only or torn."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from paxtrail.adapters import lanes
from paxtrail.benchmark.stacks import Stack
from paxtrail.tables import bronze

STOPPED_S = 30.0
FULL_S = 10.0
_SMALL = 4096
"""Bytes of the largest file that a process may write while the disk is full: less than any file of Delta."""
KILLED = ("kafka", "postgres", "stream", "worker", "batch", "publication", "relay", "api")
OTHERS = ("stopped", "full", "read_only", "torn", "clock")


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def signalled(processes: list[psutil.Process], number: signal.Signals) -> bool:
    """Whether there was any of them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    return bool(processes)


@dataclass(slots=True)
class Clock:
    """By how much the clock of those who send is wrong, in ms."""

    offset_ms: int = 0


@dataclass(slots=True)
class Faults:
    """What is done, and what was. `batch`: the batch run of now, if any, and whether it is publishing."""

    stack: Stack
    random: Random
    clock: Clock
    batch: Callable[[], tuple[int, bool] | None]
    done: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(name in KILLED for name in self.done)

    def befall(self, name: str) -> bool:
        """Whether there was anything that it could befall."""
        happened = getattr(self, f"_{name}")() if name in (*OTHERS, "worker", "batch", "publication") else self._killed(name)
        if happened:
            self.done.append(name)
        return happened

    def heal(self) -> None:
        """Nothing is in the way of anybody any more."""
        self.clock.offset_ms = 0
        for log in self._logs():
            _immutable(log, on=False)

    def _killed(self, part: str) -> bool:
        pid = self.stack.pids().get(part)
        return pid is not None and signalled(family(pid), signal.SIGKILL)

    def _worker(self) -> bool:
        """The Python workers of the stream, which do its decoding."""
        pid = self.stack.pids().get("stream")
        found = [one for one in family(pid or 0)[1:] if "pyspark.daemon" in " ".join(_command(one))]
        return signalled(found, signal.SIGKILL)

    def _batch(self) -> bool:
        found = self.batch()
        return found is not None and not found[1] and signalled(family(found[0]), signal.SIGKILL)

    def _publication(self) -> bool:
        found = self.batch()
        return found is not None and found[1] and signalled(family(found[0]), signal.SIGKILL)

    def _stopped(self) -> bool:
        """A part stands still for half a minute, and goes on as if nothing had been."""
        part = self.random.choice(("kafka", "postgres", "stream", "api", "relay"))
        processes = family(self.stack.pids().get(part, 0))
        signalled(processes, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        return signalled(processes, signal.SIGCONT)

    def _full(self) -> bool:
        """No room for the stream's files: what it writes breaks off in the middle."""
        processes = family(self.stack.pids().get("stream", 0))
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.rlimit(psutil.RLIMIT_FSIZE, (_SMALL, resource.RLIM_INFINITY))
        time.sleep(FULL_S)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return bool(processes)

    def _read_only(self) -> bool:
        """Nothing can be committed to bronze."""
        logs = self._logs()
        for log in logs:
            _immutable(log, on=True)
        time.sleep(FULL_S)
        for log in logs:
            _immutable(log, on=False)
        return bool(logs)

    def _torn(self) -> bool:
        """The machine lost power before the newest commit of bronze was on disk whole: half of it is there."""
        logs = self._logs()
        if not logs or not self._killed("stream"):
            return False
        for log in logs:
            if commits := sorted(log.glob("[0-9]*.json")):
                text = commits[-1].read_bytes()
                commits[-1].write_bytes(text[: self.random.randrange(len(text))])
        return True

    def _clock(self) -> bool:
        """The clock of the sources jumps, ahead or back."""
        self.clock.offset_ms = 0 if self.clock.offset_ms else self.random.choice((-1, 1)) * self.random.randint(1, 90) * 60_000
        return True

    def _logs(self) -> list[Path]:
        settings = self.stack.settings
        paths = [table.path(settings.lake) for table in lanes.tables(bronze.EVENTS, settings).values()]
        return [log for path in paths if (log := Path(path.removeprefix("file://")) / "_delta_log").is_dir()]


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _immutable(folder: Path, *, on: bool) -> None:
    """Nobody may write into the folder; root heeds the file system's attribute only."""
    if os.geteuid() == 0 and shutil.which("chattr"):
        subprocess.run(["chattr", "+i" if on else "-i", str(folder)], check=False, capture_output=True)
    else:
        folder.chmod(0o555 if on else 0o755)
