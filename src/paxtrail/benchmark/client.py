"""An HTTP client that times: GET requests over kept connections, at a rate (open loop) or as fast as they are answered (closed loop).

Run as a program, in a process of its own: one line of JSON on stdin says what to ask (see Wish), one line on stdout what came back (see
Answers). It ends when its time is up or stdin is closed. At a rate, a request's time counts from when it was due, so that waiting for a
slow server is part of it (no coordinated omission). It is raw sockets on uvloop: about 25 µs of processor time a request.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import orjson

from paxtrail.benchmark.results import Percentiles, percentiles
from paxtrail.errors import Unavailable

_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask: `paths` in turn. `rate` 0 = closed loop. Headers hold a token: they travel over stdin, never in a command line."""

    host: str
    port: int
    paths: Sequence[str]
    headers: Mapping[str, str]
    seconds: float
    rate: float = 0
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back: (moment since 1970, milliseconds) of each answer, number by status, the client's own processor time."""

    times: list[tuple[float, float]]
    statuses: dict[str, int]
    seconds: float
    core_seconds: float
    unanswered: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        return self.unanswered + sum(count for status, count in self.statuses.items() if status != "200")

    def between(self, since: float = 0.0, until: float = float("inf")) -> Percentiles:
        """Milliseconds of the requests answered in this time."""
        return percentiles(ms for at, ms in self.times if since <= at < until)


class Asking:
    """A client process that was started."""

    def __init__(self, wish: Wish) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paxtrail.benchmark.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(wish) + b"\n")
        self._process.stdin.flush()

    def answers(self, *, at_once: bool = False) -> Answers:
        """What came back, when its time is up; `at_once`: now."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if at_once:
            self._process.stdin.close()
        line = self._process.stdout.readline()
        self._process.wait()
        self._process.stdout.close()
        self._process.stdin.close()
        if not line:
            raise Unavailable("the client ended early; see its message above")
        found = orjson.loads(line)
        if not found["times"]:
            raise Unavailable("not one request was answered")
        return Answers(**{**found, "times": [(at, ms) for at, ms in found["times"]]})


def ask(wish: Wish) -> Answers:
    """What comes back."""
    return Asking(wish).answers()


class _Connection(asyncio.Protocol):
    """One kept connection with at most one request under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._due = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self._due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = received[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(received) < end + 4 + length:
            return
        self._received = b""
        self._run.answered(self, self._due, head[9:12].decode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(self)


class _Run:
    """One run of the client."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        lines = "".join(f"{name}: {value}\r\n" for name, value in wish.headers.items())
        self._requests = [f"GET {path} HTTP/1.1\r\nHost: {wish.host}\r\n{lines}\r\n".encode() for path in wish.paths]
        self._idle: list[_Connection] = []
        self._due: deque[float] = deque()
        self._next = 0
        self._open = True
        self._finished = asyncio.Event()
        self._times: list[tuple[float, float]] = []
        self._statuses: Counter[str] = Counter()
        self._under_way = 0
        self._offset = time.time() - time.perf_counter()

    async def run(self) -> Answers:
        loop = asyncio.get_running_loop()
        wish = self._wish
        for _ in range(wish.connections):
            _, protocol = await loop.create_connection(lambda: _Connection(self), wish.host, wish.port)
            self._idle.append(protocol)
        stdin = asyncio.Event()

        def told() -> None:
            if not os.read(sys.stdin.fileno(), 1):
                stdin.set()

        loop.add_reader(sys.stdin.fileno(), told)
        began, cpu = time.perf_counter(), time.process_time()
        pace = asyncio.create_task(self._pace(began))
        try:
            await asyncio.wait_for(stdin.wait(), wish.seconds)
        except TimeoutError:
            pass
        self._open = False
        seconds = time.perf_counter() - began
        pace.cancel()
        if self._under_way or self._due:
            try:
                await asyncio.wait_for(self._finished.wait(), _PATIENCE_S)
            except TimeoutError:
                pass
        left = self._under_way + len(self._due)
        return Answers(self._times, dict(self._statuses), round(seconds, 3), round(time.process_time() - cpu, 3), left)

    async def _pace(self, began: float) -> None:
        if not self._wish.rate:
            while self._idle:
                self._send(time.perf_counter())
            return
        number = 0
        while self._open:
            due = began + number / self._wish.rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            number += 1
            if self._idle:
                self._send(due)
            else:
                self._due.append(due)

    def _send(self, due: float) -> None:
        connection = self._idle.pop()
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._under_way += 1
        connection.send(request, due)

    def answered(self, connection: _Connection, due: float, status: str) -> None:
        now = time.perf_counter()
        self._times.append((now + self._offset, round((now - due) * 1000, 3)))
        self._statuses[status] += 1
        self._under_way -= 1
        self._idle.append(connection)
        if self._due:
            self._send(self._due.popleft())
        elif self._open and not self._wish.rate:
            self._send(now)
        elif not self._open and not self._under_way:
            self._finished.set()

    def lost(self, connection: _Connection) -> None:
        """The server closed it: what was under way on it stays unanswered and is counted so."""
        if connection in self._idle:
            self._idle.remove(connection)


def main() -> None:
    import uvloop

    wish = Wish(**orjson.loads(sys.stdin.buffer.readline()))

    async def run() -> Answers:
        return await _Run(wish).run()

    print(orjson.dumps(asdict(uvloop.run(run()))).decode(), flush=True)


if __name__ == "__main__":
    main()
