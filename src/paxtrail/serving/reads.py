"""The record of reads: who read whom, for which purpose, when; an answer waits until its record is durable (group commit)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import orjson

from paxtrail.errors import Unavailable
from paxtrail.serving.metrics import Metrics

MAX_WAITING = 5000
"""More reads than this waiting for their record are refused at once: the vault is slower than the callers."""
_MAX_GROUP = 500
_DRAIN_S = 2.0
_INSERT = (
    "insert into reads (at, subject, client, role, purpose, route, customers, trace)"
    " select a, b, c, d, e, f, string_to_array(g, ','), h from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[],"
    " $6::text[], $7::text[], $8::text[]) as t(a, b, c, d, e, f, g, h)"
)


class Read(NamedTuple):
    """One read; `customers`: tokens of whom it was about."""

    at: dt.datetime
    subject: str
    client: str
    role: str
    purpose: str
    route: str
    customers: tuple[str, ...]
    trace: str

    def row(self) -> tuple[Any, ...]:
        return (*self[:6], ",".join(self.customers), self.trace)


class Waiting(NamedTuple):
    read: Read
    done: asyncio.Future[None]
    may_spool: bool


class ReadLog:
    """One writer that commits whatever waits, together. `journal`: where reads without personal values go while the vault is away."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], journal: Path, metrics: Metrics) -> None:
        self._pool = pool
        self._journal = journal
        self._metrics = metrics
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="record of reads")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for waiting in self._waiting:
            _fail(waiting)

    def record(self, read: Read, *, may_spool: bool = False) -> asyncio.Future[None]:
        """Done once the read is durable, fails as Unavailable if it cannot be made so. `may_spool`: no personal value is shown."""
        if len(self._waiting) >= MAX_WAITING or self._task is None or self._task.done():
            raise Unavailable("reads cannot be recorded")
        waiting = Waiting(read, asyncio.get_running_loop().create_future(), may_spool)
        self._waiting.append(waiting)
        self._wake.set()
        return waiting.done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        drained = loop.time() - _DRAIN_S
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if not self._journal.exists() else _DRAIN_S)
            self._wake.clear()
            if self._journal.exists() and loop.time() - drained >= _DRAIN_S:
                drained = loop.time()
                await self.drain()
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_GROUP))]
                await self._commit(group)

    async def _commit(self, group: list[Waiting]) -> None:
        try:
            await self._insert([waiting.read.row() for waiting in group])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            self._spool([waiting for waiting in group if waiting.may_spool])
            for waiting in group:
                if not waiting.may_spool:
                    _fail(waiting)
            return
        except BaseException:
            for waiting in group:
                _fail(waiting)
            raise
        self._metrics.reads.inc(len(group))
        self._metrics.read_commits.inc()
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_result(None)

    async def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await self._pool.execute(_INSERT, *columns, timeout=5)

    def _spool(self, group: list[Waiting]) -> None:
        if not group:
            return
        try:
            self._journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                for waiting in group:
                    file.write(orjson.dumps(waiting.read.row(), option=orjson.OPT_APPEND_NEWLINE))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            for waiting in group:
                _fail(waiting)
            return
        self._metrics.reads_spooled.inc(len(group))
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_result(None)

    async def drain(self) -> None:
        """Moves the journal into the vault; a crash between the two leaves a read recorded twice, never lost."""
        if not self._journal.exists():
            return
        rows = [orjson.loads(line) for line in self._journal.read_bytes().splitlines() if line.endswith(b"]")]
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            if rows:
                await self._insert([(dt.datetime.fromisoformat(row[0]), *row[1:]) for row in rows])
            self._journal.unlink()
            self._metrics.reads.inc(len(rows))


def _fail(waiting: Waiting) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(Unavailable("reads cannot be recorded"))
        # The caller may have gone: then nobody asks for this exception, and that is not worth a warning.
        waiting.done.exception()
