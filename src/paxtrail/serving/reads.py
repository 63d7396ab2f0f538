"""The record of reads: who read whom, for which purpose, when; an answer waits until its record is durable (group commit).

Each writer's records are a chain (core/chains.py), and its head is told to a file before anybody is answered (adapters/witnesses.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import fcntl
import logging
import os
import secrets
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import orjson

from paxtrail.adapters import keyring, witnesses
from paxtrail.adapters.witnesses import Witness
from paxtrail.core import chains
from paxtrail.core.chains import NOTHING, Head
from paxtrail.errors import Unavailable
from paxtrail.serving.metrics import Metrics
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.serving")

MAX_WAITING = 5000
"""More reads than this waiting for their record are refused at once: the vault is slower than the callers."""
_MAX_GROUP = 500
_DRAIN_S = 2.0
_INSERT = (
    "insert into reads (at, subject, client, role, purpose, route, customers, trace, chain, seq, mac)"
    " select a, b, c, d, e, f, string_to_array(g, ','), h, $9, i, j from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[],"
    " $5::text[], $6::text[], $7::text[], $8::text[], $10::bigint[], $11::bytea[]) as t(a, b, c, d, e, f, g, h, i, j)"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICRO = dt.timedelta(microseconds=1)
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, orjson.JSONEncodeError)
"""The last one: a text that is no Unicode, which PostgreSQL would not take either."""


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

    def linked(self) -> chains.Record:
        """As a link covers it."""
        return chains.Record((self.at - _EPOCH) // _MICRO, *self[1:])

    @classmethod
    def of(cls, row: Sequence[Any]) -> Read:
        """The read that was written as this row of the journal."""
        at, subject, client, role, purpose, route, customers, trace = row
        whom = tuple(customers.split(",")) if customers else ()
        return cls(dt.datetime.fromisoformat(at), subject, client, role, purpose, route, whom, trace)


class Waiting(NamedTuple):
    read: Read
    done: asyncio.Future[None]
    may_spool: bool


class _Chain:
    """The links that one writer adds, one group after the other."""

    def __init__(self, key: bytes, place: Path) -> None:
        self.name = secrets.token_hex(16)
        self._key = key
        self._witness = Witness(place, self.name)
        self._head = NOTHING

    def links(self, reads: Sequence[Read]) -> list[Head]:
        """Number and code of each read's link, if they are what comes next."""
        found = [self._head]
        for read in reads:
            seq, mac = found[-1]
            found.append(Head(seq + 1, chains.code(self._key, self.name, seq + 1, mac, read.linked())))
        return found[1:]

    def arrived(self, head: Head) -> None:
        """The links up to this one are in the vault."""
        self._head = head
        self._witness.tell(head)

    def close(self) -> None:
        self._witness.close()


class ReadLog:
    """One writer that commits whatever waits, together. `journal`: where reads without personal values go while the vault is away.

    `key`: of the chains; `witness`: folder for their heads.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], journal: Path, metrics: Metrics, *, key: bytes, witness: Path) -> None:
        self._pool = pool
        self._journal = journal
        self._metrics = metrics
        self._key = key
        self._place = witness
        self._chain: _Chain | None = None
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
        self._abandon()

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
                await asyncio.wait_for(self._wake.wait(), _DRAIN_S if self._journals() else None)
            self._wake.clear()
            if self._journals() and loop.time() - drained >= _DRAIN_S:
                drained = loop.time()
                await self.drain()
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_GROUP))]
                await self._commit(group)

    async def _commit(self, group: list[Waiting]) -> None:
        try:
            await self._insert([waiting.read for waiting in group])
        except _FAILURES:
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

    async def _insert(self, reads: Sequence[Read]) -> None:
        async with self._pool.acquire() as connection:  # while the vault is away it fails here, and the chain goes on afterwards
            chain = self._chain or _Chain(self._key, self._place)
            # A group of which nobody knows whether it arrived ends its chain: the next one begins another, and no number is given twice.
            self._chain = None
            try:
                links = chain.links(reads)
                columns = [list(column) for column in zip(*(read.row() for read in reads), strict=True)]
                numbers, codes = zip(*links, strict=True)
                limit = 5 + len(reads) / 1000
                await connection.execute(_INSERT, *columns, chain.name, list(numbers), list(codes), timeout=limit)
            except BaseException:
                chain.close()
                raise
        try:
            chain.arrived(links[-1])
        except OSError as error:
            chain.close()
            log.warning("the head of a chain of reads cannot be written (%s): look after the disk of reads.witness", type(error).__name__)
        else:
            self._chain = chain

    def _abandon(self) -> None:
        if self._chain is not None:
            self._chain.close()
            self._chain = None

    def _spool(self, group: list[Waiting]) -> None:
        if not group:
            return
        try:
            # The empty line ends one that a crash tore, so that it takes no other with it.
            self._append(b"\n" + b"".join(orjson.dumps(waiting.read.row(), option=orjson.OPT_APPEND_NEWLINE) for waiting in group))
        except (OSError, orjson.JSONEncodeError):
            for waiting in group:
                _fail(waiting)
            return
        self._metrics.reads_spooled.inc(len(group))
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _append(self, lines: bytes) -> None:
        """Lines durable in the journal, which the workers of a home share."""
        self._journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            with os.fdopen(os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _is(self._journal, file.fileno()):
                    continue  # another worker took it away to drain it
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
                return

    def _journals(self) -> list[Path]:
        return sorted(self._journal.parent.glob(f"{self._journal.stem}*{self._journal.suffix}"))

    async def drain(self) -> None:
        """Moves journals into the vault, as links of this writer's chain; a crash between leaves a read recorded twice, never lost."""
        with contextlib.suppress(*_FAILURES):
            for taken in self._journals():
                if taken != self._journal:  # one that could not be drained before, or whose worker died
                    await self._drained(taken)
            taken = self._journal.with_stem(f"{self._journal.stem}.{secrets.token_hex(8)}")
            self._journal.rename(taken)
            await self._drained(taken)

    async def _drained(self, taken: Path) -> None:
        with taken.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while another worker has it
            if not _is(taken, file.fileno()):
                return
            reads = [Read.of(row) for row in map(_parsed, file.read().splitlines()) if row]
            if reads:
                await self._insert(reads)
            taken.unlink()
            self._metrics.reads.inc(len(reads))


def opened(settings: Settings, vault: asyncpg.Pool[asyncpg.Record], metrics: Metrics) -> ReadLog:
    """The record of reads of these settings, to be started; writes by the pool `vault`."""
    key, witness = keyring.load(settings).reads_key(), witnesses.folder(settings)
    return ReadLog(vault, settings.home / "spool" / "reads.jsonl", metrics, key=key, witness=witness)


def _parsed(line: bytes) -> list[Any]:
    """The row of a line of a journal; empty for an empty line, and for one that a crash tore, whose read nobody was answered."""
    try:
        return list(orjson.loads(line))
    except orjson.JSONDecodeError:
        return []


def _is(path: Path, descriptor: int) -> bool:
    """The path still leads to the file that is open."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _fail(waiting: Waiting) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(Unavailable("reads cannot be recorded"))
        # The caller may have gone: then nobody asks for this exception, and that is not worth a warning.
        waiting.done.exception()
