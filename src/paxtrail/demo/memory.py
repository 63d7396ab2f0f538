"""How much main memory the demo takes at its peak: everything that it started, sampled while it works."""

from __future__ import annotations

import os
import threading

from paxtrail.stack.supervision import Supervisor, memory

EVERY_S = 2.0


class Peak:
    """The largest sum seen, of all processes below this one and below the stack's supervisor, shared pages counted once each (PSS)."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def megabytes(self) -> int:
        return round(self.bytes / 1e6)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.bytes = max(self.bytes, memory(os.getpid()) + memory(self._supervisor.pid))
