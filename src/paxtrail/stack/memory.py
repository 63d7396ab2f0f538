"""Main memory of processes: the proportional set size, in which shared pages count once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType

import psutil

_EVERY_S = 2.0


def memory(pid: int) -> int:
    """Bytes of main memory of a process and all its children, shared pages counted once each."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return sum(_proportional(process) for process in [first, *first.children(recursive=True)])
    return 0


def _proportional(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


class Peak:
    """The most that `look` (bytes by name) has shown, by name and of all at once, looked at every two seconds."""

    def __init__(self, look: Callable[[], Mapping[str, int]]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.parts: dict[str, int] = {}
        self.together = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            now = self._look()
            for name, size in now.items():
                self.parts[name] = max(size, self.parts.get(name, 0))
            self.together = max(self.together, sum(now.values()))
            if self._stop.wait(_EVERY_S):
                return
