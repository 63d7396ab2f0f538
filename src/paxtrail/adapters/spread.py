"""Large micro-batches: the same functions in the executors, one transaction per part of the keys, each with its own commit row.

Part 0 opens the batch (it takes the epoch, and no cut can be made until the end), parts 1 … n are hash partitions of the keys, and
part -1 ends it. A replay finds which parts are there and does the others under the same epoch.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa

from paxtrail.adapters import configuration, lake
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.serving_store import SESSION, LedgerLine, apply, current_epoch, is_committed, mark, write_ledger
from paxtrail.core.attributes import AttributeTable
from paxtrail.settings import Settings
from paxtrail.tables import bronze

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_PER_PART = 20_000
_UNUSED = ("lane", "seq", "native")
_COLUMNS = [c for c in bronze.EVENTS.columns if c.name not in _UNUSED]
_SCHEMA = pa.schema([("part", pa.int32()), *((c.name, lake.arrow_type(c.type)) for c in _COLUMNS)])
ROUTED = "part int, " + ", ".join(f"`{c.name}` {c.type}" for c in _COLUMNS)
_WORKER: dict[tuple[Path, Path], tuple[psycopg.Connection[Any], Mapping[str, AttributeTable]]] = {}


def begin(connection: psycopg.Connection[Any], lane: str, seq: int, records: int) -> tuple[int, int] | None:
    """Epoch and number of parts of this micro-batch, as it was begun; None if it is committed."""
    with connection.transaction(), connection.cursor() as cursor:
        if is_committed(cursor, lane, seq):
            return None
        begun = "select epoch, (offsets ->> 'parts')::int from stream_commit where lane = %s and seq = %s and part = 0"
        row = cursor.execute(begun, (lane, seq)).fetchone()
        if row is None:
            row = current_epoch(cursor), max(2, -(-records // ROWS_PER_PART))
            mark(cursor, lane, seq, row[0], {"parts": row[1]}, part=0)
    return int(row[0]), int(row[1])


def is_begun(connection: psycopg.Connection[Any], lane: str, seq: int) -> bool:
    """Whether this micro-batch was begun in parts."""
    with connection.transaction(), connection.cursor() as cursor:
        return is_committed(cursor, lane, seq, 0)


def write_parts(events: DataFrame, settings: Settings, lane: str, *, seq: int, epoch: int, parts: int) -> None:
    """Every part of the batch that is not committed yet, each in one transaction of an executor."""
    routed = events.mapInArrow(_route(parts), ROUTED).repartition(parts, "part")
    routed.mapInArrow(_writer(settings, lane, seq, epoch), "part int").collect()


def end(
    connection: psycopg.Connection[Any],
    lane: str,
    seq: int,
    *,
    epoch: int,
    offsets: Mapping[str, Any],
    ledger: Sequence[LedgerLine],
    oldest: int | None = None,
) -> None:
    """The last transaction: the ledger and the commit row."""
    with connection.transaction(), connection.cursor() as cursor:
        write_ledger(cursor, ledger)
        mark(cursor, lane, seq, epoch, offsets, ledger=ledger, oldest=oldest)


def part_of(kind: str, key: str, parts: int) -> int:
    """1 … parts; the same for a key wherever it is computed."""
    return 1 + zlib.crc32(f"{kind}\0{key}".encode()) % parts


def _route(parts: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Each event to the parts of its entities, with only what that part does: nothing is done twice."""

    def route(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [routed for row in batch.select([c.name for c in _COLUMNS]).to_pylist() for routed in routes(row, parts)]
            yield pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)

    return route


def routes(row: Mapping[str, Any], parts: int) -> Iterator[dict[str, Any]]:
    """The row once per part it concerns: links and relations go with the subject's profile, without one with the first entity.

    Together, because a publication may remove the link of a token that no relation names, between two parts.
    """
    by_part: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    for entity in row["entities"]:
        by_part[part_of(entity["kind"], entity["key"], parts)].append(entity)
    home = part_of("profile", row["subject"], parts) if row["subject"] else 0
    related = home if home in by_part else next(iter(by_part), 0)
    for part, entities in by_part.items():
        own = {"part": part, "entities": entities}
        if part != related:
            own["relations"] = []
        if part != home:
            own |= {"subject": None, "identifiers": []}
        yield {**row, **own}


def _writer(settings: Settings, lane: str, seq: int, epoch: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for batch in batches:
            for row in batch.to_pylist():
                rows[row["part"]].append(row)
        for part in sorted(rows):
            _write_part(settings, lane, seq, epoch, part, rows[part])
        yield pa.RecordBatch.from_pydict({"part": sorted(rows)}, schema=pa.schema([("part", pa.int32())]))

    return write


def _write_part(settings: Settings, lane: str, seq: int, epoch: int, part: int, rows: list[dict[str, Any]]) -> None:
    copy = settings.home, settings.conf
    if copy not in _WORKER or _WORKER[copy][0].closed:
        connection = psycopg.connect(dsn(settings, "serving", "stream"), options=SESSION)
        _WORKER[copy] = connection, configuration.attributes(settings.conf)
    connection, tables = _WORKER[copy]
    with connection.transaction(), connection.cursor() as cursor:
        current_epoch(cursor)  # not to write under it, but to keep out a publication that removes while we add
        if not is_committed(cursor, lane, seq, part):
            apply(cursor, epoch, rows, tables, seq)
            mark(cursor, lane, seq, epoch, {}, part=part)
