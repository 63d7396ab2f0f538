"""A new serving store from Delta and the vault alone: the same documents under the same ids, at larger versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
import psycopg
import pyarrow as pa
from deltalake import QueryBuilder
from pyspark.sql import SparkSession

from paxtrail.adapters import batch, claims, lake, lanes, postgres, silver
from paxtrail.adapters.cuts import Cut, LaneCut, find_cut, store_cut
from paxtrail.adapters.serving_store import number, write_timeline
from paxtrail.adapters.silver import Job
from paxtrail.adapters.spark import batch_session
from paxtrail.core.folds import Event
from paxtrail.errors import NotFound, PaxtrailError
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.tables.silver import EVENTS
from paxtrail.transforms import events

_CHUNK = 5_000


def rebuild(settings: Settings, run_id: str) -> dict[str, Any]:
    """Counts of the run that fills the store. PaxtrailError where it is not empty; killed, the same `run_id` goes on.

    Everything in bronze counts as committed. What only the old store knew is gone: the ledger, the bodies behind claims (a repetition
    within the horizon is then told as a conflict), publication counts.
    """
    with (
        batch_session(settings, f"rebuild-{run_id}") as spark,
        psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as serving,
    ):
        return fill(settings, spark, serving, run_id)


def fill(settings: Settings, spark: SparkSession, serving: psycopg.Connection[Any], run_id: str) -> dict[str, Any]:
    """Counts of the run, made with a session and a connection that are there."""
    job = Job(settings, spark, serving, find_cut(serving, run_id) or _begin(settings, serving, run_id, _newest_seqs(settings, spark)))
    counts = {"run": run_id, "epoch": job.cut.epoch, **batch.make(job, full=True), "timeline": _timeline(job)}
    return {**counts, "publication": batch.publish(settings, run_id, rebuild=True)}


def _newest_seqs(settings: Settings, spark: SparkSession) -> dict[str, int]:
    """Newest seq of each lane that silver.events has taken in."""
    if not lake.exists(EVENTS, settings):
        return {}
    silver_events = spark.read.format("delta").load(EVENTS.path(settings.lake))
    return {row["lane"]: row["seq"] for row in events.newest(silver_events).collect()}


def _begin(settings: Settings, serving: psycopg.Connection[Any], run_id: str, taken: dict[str, int]) -> Cut:
    """The cut over all of bronze, with the streams' positions and claims written beside it."""
    if serving.execute("SELECT 1 FROM stream_commit UNION ALL SELECT 1 FROM cuts LIMIT 1").fetchone():
        raise PaxtrailError("the serving store is not empty; rebuild fills a new one (paxtrail provision makes it)")
    lanes.check_named(settings, taken)
    query, found = QueryBuilder(), []
    for table in (bronze.EVENTS, bronze.REJECTS):
        for one in lanes.tables(table, settings).values():
            found.append(one.name.replace(".", "_"))
            query = query.register(found[-1], lake.opened(one, settings))
    accepted = [name for name in found if name.endswith("events")]
    if not accepted:
        raise NotFound("bronze is empty: there is nothing to rebuild from")
    both = " UNION ALL ".join(f'SELECT lane, seq, topic, partition, "offset" FROM {name}' for name in found)
    epoch = max(silver.done(EVENTS, settings), 0) + 1
    committed = _rows(query, f"SELECT lane, max(seq) FROM ({both}) GROUP BY lane")
    ends: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for topic, partition, until in _rows(query, f'SELECT topic, partition, max("offset") + 1 FROM ({both}) GROUP BY 1, 2'):
        ends[topic][str(partition)] = [0, until]
    cuts = {lane: LaneCut(seq, lake.version(bronze.EVENTS.of(lane), settings), taken.get(lane, -1)) for lane, seq in committed}
    version = lake.version(bronze.REVISIONS, settings)
    cuts[lanes.REVISIONS] = LaneCut(version, version, taken.get(lanes.REVISIONS, -1))
    clock = serving.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").fetchone()
    cut = Cut(run_id, epoch, cuts, clock[0] if clock else 0)
    with serving.transaction():
        for lane, seq in committed:
            # Their offsets are known by topic only, and a stream starts at `numbered`, whichever lane it is of.
            serving.execute("INSERT INTO seqs VALUES (%s, 'rebuild', -1, %s, '{}')", (lane, seq))
            serving.execute("INSERT INTO stream_commit (lane, seq, epoch, offsets) VALUES (%s, %s, %s, '{}')", (lane, seq, epoch))
        number(serving.cursor(), "rebuild", ends)
        _claims(serving, query, accepted, claims.horizons(settings))
        store_cut(serving, cut)
    return cut


def _claims(serving: psycopg.Connection[Any], query: QueryBuilder, tables: Sequence[str], horizons: Mapping[str, int]) -> None:
    """Claims of the records that arrived within their source's horizon; their body's digest is not known any more."""
    every = " UNION ALL ".join(f'SELECT event_id, topic, partition, "offset", arrival_time FROM {name}' for name in tables)
    [(newest,)] = _rows(query, f"SELECT max(arrival_time) FROM ({every})")
    longest = max(horizons.values())
    rows = _rows(
        query,
        f'SELECT DISTINCT substr(event_id, 1, {events.RECORD_DIGITS}), topic, partition, "offset", arrival_time FROM ({every})'
        f" WHERE arrival_time >= {(newest or 0) - longest} ORDER BY arrival_time",
    )
    counting = [row for row in rows if row[4] >= newest - horizons.get(row[1].removeprefix("raw."), longest)]
    first = {row[0]: row for row in reversed(counting)}
    with serving.cursor() as cursor, cursor.copy("COPY seen FROM STDIN") as copy:
        for record, topic, partition, offset, arrival in first.values():
            copy.write_row((bytes.fromhex(record), topic, partition, offset, b"", arrival))


def _rows(query: QueryBuilder, statement: str) -> list[tuple[Any, ...]]:
    table = pa.table(query.execute(statement))
    return list(zip(*(table.column(at).to_pylist() for at in range(table.num_columns)), strict=True))


def _timeline(job: Job) -> int:
    """Lines written; those that are there stay."""
    rows = events.lines(events.until(silver.read(job, EVENTS), job.cut.epoch)).toLocalIterator(prefetchPartitions=True)
    written = 0
    while chunk := list(islice(rows, _CHUNK)):
        found: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for row in chunk:
            event = Event(**{name: row[name] for name in Event._fields if name != "payload"}, payload=orjson.loads(row["payload"]))
            for entity in row["entities"]:
                found[entity["kind"], entity["key"]].append(event)
        with job.serving.transaction(), job.serving.cursor() as cursor:
            write_timeline(cursor, found)
        written += sum(map(len, found.values()))
    return written
