"""The speed layer: one micro-batch from Kafka through the door into Delta and the serving store, once whatever is killed when."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import tenacity

from paxtrail.adapters import bronze_retention, configuration, kafka, keyring, lake, logs, spread, tracing
from paxtrail.adapters.claims import Claims, forget, horizons
from paxtrail.adapters.door import Admitted, Door, Position
from paxtrail.adapters.lanes import check_named, part_name, running
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.scoring import Champion
from paxtrail.adapters.serving_store import SESSION, Batch, LedgerLine, commit, mint_seq
from paxtrail.adapters.vault import Vault
from paxtrail.core.records import Record
from paxtrail.errors import KeyringBehind, TableLocked
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.tables.contracts import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("paxtrail.stream")
T = TypeVar("T")
HOUR = 3_600_000_000
_OWN = ("lane", "seq")
_EVENTS = [c for c in bronze.EVENTS.columns if c.name not in _OWN]
_REJECTS = [c for c in bronze.REJECTS.columns if c.name not in (*_OWN, *bronze.EVENTS.names)]
_OUT = pa.schema([("outcome", pa.string()), *((c.name, lake.arrow_type(c.type)) for c in (*_EVENTS, *_REJECTS))])
OUT = "outcome string, " + ", ".join(f"`{c.name}` {c.type}" for c in (*_EVENTS, *_REJECTS))

_WORKER: dict[tuple[Path, Path], Door] = {}


def _door(settings: Settings) -> Door:
    """The door of this process, opened at its first batch; its caches belong to one copy of the stores and one configuration."""
    copy = settings.home, settings.conf
    if copy not in _WORKER:
        _WORKER.clear()
        vault = Vault(dsn(settings, "vault", "stream"), keyring.load(settings))
        claims = Claims(dsn(settings, "serving", "stream"))
        _WORKER[copy] = Door(vault, claims, configuration.schemas(settings.conf), Champion(settings.models.folder))
    return _WORKER[copy]


def through_the_door(settings: Settings) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function of `mapInArrow`: Kafka rows in; accepted events, rejects and duplicates out, each record at least once."""

    def admit(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                received = list(_received(batch))
                try:
                    admitted = list(_door(settings).admit(received))
                except psycopg.Error:
                    _WORKER.clear()  # a new connection for the retry; the task fails and the micro-batch is tried again
                    raise
                yield _batch(admitted)

    return admit


def _received(batch: pa.RecordBatch) -> Iterator[tuple[Position, Record]]:
    columns = (batch.column(n).to_pylist() for n in ("topic", "partition", "offset", "headers", "value"))
    arrivals = batch.column("timestamp").cast(pa.int64()).to_pylist()
    for topic, partition, offset, headers, value, arrival in zip(*columns, arrivals, strict=True):
        # Bytes that are no UTF-8 stand as halves of surrogate pairs: an attribute with them is refused, its record kept whole.
        named = {h["key"].lower(): (h["value"] or b"").decode("utf-8", "surrogateescape") for h in headers or ()}
        yield Position(topic, partition, offset), Record(topic.removeprefix("raw."), named, value or b"", arrival)


def _batch(admitted: Sequence[Admitted]) -> pa.RecordBatch:
    rows: list[dict[str, Any]] = []
    for a in admitted:
        own = {"outcome": a.outcome, "source": a.source, "arrival_time": a.arrival, **a.position._asdict()}
        rows.extend({**event, **own} for event in a.events)
        if not a.events:
            rows.append({**(a.reject or {}), **own})
    return pa.RecordBatch.from_pylist(rows, schema=_OUT)


class SpeedLayer:
    """Processes micro-batches of one lane. Holds the writer's lock of the lane's tables through its caller."""

    def __init__(self, settings: Settings, spark: SparkSession, lane: str) -> None:
        self.settings = settings
        self.spark = spark
        self.lane = lane
        self.tables = configuration.attributes(settings.conf)
        self._horizons = horizons(settings)
        self.events, self.rejects = (_whole(table.of(lane), settings) for table in (bronze.EVENTS, bronze.REJECTS))
        self._pool = ThreadPoolExecutor(1)
        self._connection: psycopg.Connection[Any] | None = None
        self._done = {table.name: lake.last_transaction(table, settings, self._app) for table in (self.events, self.rejects)}
        self._since_maintenance = 0
        self._retained: list[bronze_retention.Order] = []

    @property
    def _app(self) -> str:
        return lake.transaction_of(self.lane)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection to the serving store, renewed when it broke."""
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = psycopg.connect(dsn(self.settings, "serving", "stream"), options=SESSION)
        return self._connection

    def close(self) -> None:
        """Ends the connection and the thread that appends."""
        self._pool.shutdown()
        if self._connection is not None:
            self._connection.close()

    def micro_batch(self, frame: DataFrame, batch_id: int, checkpoint: Path, checkpoint_id: str) -> None:
        """`foreachBatch`: takes effect once, however often it is called for the same batch."""
        ranges = kafka.batch_ranges(checkpoint, batch_id)
        seq = mint_seq(self.connection, self.lane, checkpoint_id, batch_id, ranges)
        self.process(frame, seq, ranges)
        self._since_maintenance += 1
        if self._since_maintenance >= self.settings.stream.maintenance_commits:
            self._since_maintenance = 0
            self.maintain()

    def process(self, frame: DataFrame, seq: int, ranges: kafka.Ranges) -> None:
        """The records of `frame` under number `seq`: door, Delta, serving store; PostgreSQL commits last."""
        records = kafka.size(ranges)
        with logs.bound(lane=self.lane, seq=seq), tracing.span("micro-batch", "consumer", lane=self.lane, seq=seq, records=records):
            # What was begun in parts is finished in parts, whatever the threshold says now.
            if records > self.settings.stream.spread_above_rows or spread.is_begun(self.connection, self.lane, seq):
                self._process_spread(frame, seq, ranges)
            else:
                self._process_here(frame, seq, ranges)

    def _process_here(self, frame: DataFrame, seq: int, ranges: kafka.Ranges) -> None:
        # Two tasks however many topics and partitions there are: a task costs more than its records. Each partition is whole in one of
        # them, in order: of two copies of a record in one micro-batch, the lower offset claims the id.
        out = frame.coalesce(2).mapInArrow(through_the_door(self.settings), OUT).toArrow()
        ledger = self._checked(_ledger(out), seq, ranges)
        events = self._numbered(out.filter(pc.equal(out["outcome"], "accepted")), self.events, seq)
        rejects = self._numbered(out.filter(pc.is_valid(out["reject_id"])), self.rejects, seq)
        if seq <= self._done[self.events.name]:
            events = lake.rows_of(self.events, self.settings, seq)  # what Delta has is the truth of this micro-batch
        if tracing.on():
            tracing.link(pc.unique(events["traceparent"].drop_null()).slice(0, tracing.MAX_LINKS).to_pylist())
        appended = self._pool.submit(self._append, events, rejects, seq)
        self._commit(Batch(self.lane, seq, ranges, events.to_pylist(), ledger, pc.min(out["arrival_time"]).as_py()), appended)

    def _process_spread(self, frame: DataFrame, seq: int, ranges: kafka.Ranges) -> None:
        out = frame.mapInArrow(through_the_door(self.settings), OUT).persist()
        try:
            lines = out.select(*_LEDGER_COLUMNS).mapInArrow(_ledger_lines, LEDGER).collect()
            ledger = self._checked(_added(LedgerLine(**line.asDict()) for line in lines), seq, ranges)
            numbered = out.selectExpr(f"'{self.lane}' as lane", f"cast({seq} as bigint) as seq", "*")
            # Rejects first, as in _append. The transaction's name is the one delta-rs uses: each engine sees the other's.
            self._spark_append(numbered.where("reject_id is not null"), self.rejects, seq)
            self._spark_append(numbered.where("outcome = 'accepted'"), self.events, seq)
            _fail_here(self.settings, "after_append")
            begun = spread.begin(self.connection, self.lane, seq, kafka.size(ranges))
            if begun is not None:
                epoch, parts = begun
                events = self.spark.read.format("delta").load(self.events.path(self.settings.lake)).where(f"seq = {seq}")
                spread.write_parts(events, self.settings, self.lane, seq=seq, epoch=epoch, parts=parts)
                [(oldest,)] = out.selectExpr("min(arrival_time)").collect()
                spread.end(self.connection, self.lane, seq, epoch=epoch, offsets=ranges, ledger=ledger, oldest=oldest)
        finally:
            out.unpersist()

    def _spark_append(self, rows: DataFrame, table: Table, seq: int) -> None:
        if seq > self._done[table.name]:
            named = rows.selectExpr(*(f"`{name}`" for name in table.names))
            writer = named.write.format("delta").mode("append").option("txnAppId", self._app).option("txnVersion", seq)
            writer.save(table.path(self.settings.lake))
            self._done[table.name] = seq

    @staticmethod
    def _checked(ledger: list[LedgerLine], seq: int, ranges: kafka.Ranges) -> list[LedgerLine]:
        if (got := sum(line.received for line in ledger)) != (expected := kafka.size(ranges)):
            raise AssertionError(f"micro-batch {seq}: {expected} records in its offset ranges, {got} came through the door")
        return ledger

    def _commit(self, batch: Batch, appended: Future[None]) -> None:
        def wait() -> None:
            appended.result()
            _fail_here(self.settings, "after_append")

        try:
            commit(self.connection, batch, self.tables, wait)
        finally:
            appended.exception()  # never leave an append running behind a failed commit

    def _append(self, events: pa.Table, rejects: pa.Table, seq: int) -> None:
        # Rejects first: the transaction of bronze.events says that the micro-batch is in Delta whole. An empty one appends nothing.
        for table, rows in ((self.rejects, rejects), (self.events, events)):
            if rows.num_rows and seq > self._done[table.name]:
                lake.append(table, self.settings, rows, app=self._app, version=seq)
                self._done[table.name] = seq

    def _numbered(self, rows: pa.Table, table: Table, seq: int) -> pa.Table:
        schema = lake.arrow_schema(table)
        own = {"lane": pa.array([self.lane] * rows.num_rows, pa.string()), "seq": pa.array([seq] * rows.num_rows, pa.int64())}
        return pa.table([own.get(f.name, rows[f.name] if f.name not in own else None) for f in schema], schema=schema)

    def recover(self, read: Callable[[kafka.Ranges], DataFrame] | None = None, *, accept_loss: bool = False) -> int:
        """Finishes what a dead stream began: numbered micro-batches that Delta or PostgreSQL lacks, read again by their offsets.

        NotFound where Kafka has dropped some of their records, unless `accept_loss`: then those that are left are taken.
        """
        with self.connection.transaction():
            unfinished = self.connection.execute(
                "select s.seq, s.offsets, coalesce(c.events, 1) from seqs s"
                " left join stream_commit c on c.lane = s.lane and c.seq = s.seq and c.part = -1"
                " where s.lane = %s and (c.seq is null or s.seq > %s) order by s.seq",
                (self.lane, self._done[self.events.name]),
            ).fetchall()
        for seq, ranges, events in unfinished:
            # One that was committed without any event is here only because its transaction cannot be in bronze.events: nothing is missing.
            left = ranges if read else kafka.left_of(self.settings, ranges, accept_loss=accept_loss or not events)
            if left != ranges:
                with self.connection.transaction():  # or the next start would miss the same records again
                    noted = (orjson.dumps(left).decode(), self.lane, seq)
                    self.connection.execute("update seqs set offsets = %s where (lane, seq) = (%s, %s)", noted)
            self.process(read(left) if read else kafka.records(self.spark, self.settings, left), seq, left)
        return len(unfinished)

    def maintain(self) -> None:
        """Between two micro-batches: drops what is past its time, claims beyond their horizon too; compacts and checkpoints bronze."""
        orders = bronze_retention.told(self.connection)
        fresh = orders != self._retained
        tables = {bronze.EVENTS.name: self.events, bronze.REJECTS.name: self.rejects}
        if fresh:
            log.info("retention: %s", bronze_retention.carry_out(self.connection, self.settings, self.lane, orders, tables))
        for table in tables.values():
            lake.maintain(table, self.settings)
            if fresh:
                bronze_retention.vacuum(table, self.settings)
        self._retained = orders
        forget(self.connection, self._horizons)


def _whole(table: Table, settings: Settings) -> Table:
    if lake.mend(table, settings):
        log.warning("the newest commit of %s was torn; what it held is read again", table.name)
    return lake.ensure(table, settings)


_LEDGER_COLUMNS = ("topic", "partition", "offset", "source", "arrival_time", "outcome")
LEDGER = "source string, hour bigint, received bigint, accepted bigint, duplicates bigint, refused bigint, events bigint"
_LEDGER_SCHEMA = pa.schema([(n, pa.string() if n == "source" else pa.int64()) for n in (f.name for f in fields(LedgerLine))])


def _ledger_lines(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Ledger lines of one task; a record's rows are all in one Arrow batch."""
    for batch in batches:
        lines = [asdict(line) for line in _ledger(pa.Table.from_batches([batch]))]
        yield pa.RecordBatch.from_pylist(lines, schema=_LEDGER_SCHEMA)


def _added(lines: Iterable[LedgerLine]) -> list[LedgerLine]:
    """One line per source and hour."""
    sums: dict[tuple[str, int], Counter[str]] = {}
    for line in lines:
        counts = {n: v for n, v in asdict(line).items() if n not in ("source", "hour")}
        sums.setdefault((line.source, line.hour), Counter()).update(counts)
    return [
        LedgerLine(source, hour, c["received"], c["accepted"], c["duplicates"], c["refused"], c["events"])
        for (source, hour), c in sorted(sums.items())
    ]


def _ledger(out: pa.Table) -> list[LedgerLine]:
    """Records by source, hour of arrival and outcome; a record may have several rows."""
    records = {
        (topic, partition, offset): (source, arrival // HOUR * 3600, outcome)
        for topic, partition, offset, source, arrival, outcome in zip(
            *(out[n].to_pylist() for n in ("topic", "partition", "offset", "source", "arrival_time", "outcome")), strict=True
        )
    }
    counts = Counter(records.values())
    accepted = out.filter(pc.equal(out["outcome"], "accepted"))
    hours = [arrival // HOUR * 3600 for arrival in accepted["arrival_time"].to_pylist()]
    events = Counter(zip(accepted["source"].to_pylist(), hours, strict=True))
    lines = []
    for source, hour in sorted({(source, hour) for source, hour, _ in counts}):
        by = {outcome: counts[source, hour, outcome] for outcome in ("accepted", "duplicate", "refused")}
        lines.append(LedgerLine(source, hour, sum(by.values()), by["accepted"], by["duplicate"], by["refused"], events[source, hour]))
    return lines


def _fail_here(settings: Settings, point: str) -> None:
    """Dies at a named point, as a kill test asks for it."""
    if settings.stream.failpoint == point and (marker := settings.home / "run" / f"failed.{point}") and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


_PASSING = re.compile(
    r"psycopg\.(OperationalError|errors\.(AdminShutdown|CrashShutdown|CannotConnectNow|DeadlockDetected))|paxtrail\.errors\.KeyringBehind"
)


def _is_passing(error: BaseException) -> bool:
    """Whether trying again may help: the store was away, or another lane in the way; in a worker, it is text in Spark's error."""
    return isinstance(error, (psycopg.OperationalError, KeyringBehind)) or _PASSING.search(str(error)) is not None


def patiently(action: Callable[[], T]) -> T:
    """The result of `action`, tried again for as long as PostgreSQL is away; the stream holds its offset meanwhile."""
    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_passing),
        wait=tenacity.wait_exponential(multiplier=0.2, max=5),
        before_sleep=lambda state: log.warning("store or keyring are not ready (attempt %d); trying again", state.attempt_number),
    )
    return trying(action)


def started(settings: Settings, lane: str, now: datetime) -> None:
    """Tells the stack that the stream of the lane is ready: its pid and since when."""
    ready = settings.home / "run" / f"{part_name(settings, lane)}.ready"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.write_text(f"{os.getpid()} {now.isoformat()}\n")


def finish_retired(settings: Settings, spark: SparkSession, connection: psycopg.Connection[Any], *, accept_loss: bool = False) -> int:
    """Finishes the micro-batches that lanes without a stream left behind; their number. Another stream may be doing it already."""
    with connection.transaction():
        found = [lane for (lane,) in connection.execute("select distinct lane from seqs").fetchall()]
        check_named(settings, found)
        unfinished = connection.execute(
            "select distinct lane from seqs s where lane <> all(%s) and not exists"
            " (select from stream_commit c where (c.lane, c.seq, c.part) = (s.lane, s.seq, -1))",
            (list(running(settings)),),
        ).fetchall()
    finished = 0
    for (lane,) in unfinished:
        with suppress(TableLocked), lake.locked(f"bronze.{lane}", settings), closing(SpeedLayer(settings, spark, lane)) as layer:
            finished += layer.recover(accept_loss=accept_loss)
    return finished
