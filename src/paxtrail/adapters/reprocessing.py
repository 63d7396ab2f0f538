"""Decoding again what is in bronze: natives opened through the vault, today's decoder, revision n+1 into bronze.revisions.

A lane's stream alone writes its bronze.events. This has a table of its own, read by silver.events too: effective at the next cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any

import psycopg
import pyarrow as pa
from pyspark.sql import SparkSession

from paxtrail.adapters import configuration, keyring, lake, lanes, postgres
from paxtrail.adapters.bronze import rows as bronze_rows
from paxtrail.adapters.cuts import committed
from paxtrail.adapters.door import Position, named, seal_drafts
from paxtrail.adapters.scoring import Champion
from paxtrail.adapters.spark import batch_session
from paxtrail.adapters.vault import Vault
from paxtrail.core.decoding import Decoded, decode
from paxtrail.core.records import Record
from paxtrail.core.schemas import Schemas
from paxtrail.core.sealing import open_, parts
from paxtrail.core.sentiment import scored
from paxtrail.core.sources import decoder
from paxtrail.errors import NotFound, Refusal
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.transforms import events

Row = dict[str, Any]
_CHUNK = 2_000
_SAME = frozenset({"lane", "seq", "revision", "decoder_version", "schema_version", "traceparent"})
"""Columns that may differ without a revision being needed."""


class Reprocessing:
    """One run of `paxtrail reprocess`. Counts by what became of a record: revised, unchanged, refused, unreadable (a key was deleted)."""

    def __init__(self, settings: Settings, spark: SparkSession, serving: psycopg.Connection[Any], vault: Vault, schemas: Schemas) -> None:
        self._settings, self._spark, self._serving, self._vault, self._schemas = settings, spark, serving, vault, schemas
        self._champion = Champion(settings.models.folder)
        self.counts = {"records": 0, "revised": 0, "unchanged": 0, "refused": 0, "unreadable": 0, "events": 0}

    def run(self, source: str, *, type_: str | None = None, since: int | None = None, until: int | None = None) -> dict[str, int]:
        """Decodes the records of `source` that arrived in [since, until) (µs UTC) and hold an event of `type_` again.

        A second run finds nothing left to revise.
        """
        with lake.locked(bronze.REVISIONS.name, self._settings):
            lake.ensure(bronze.REVISIONS, self._settings)
            seq = lake.version(bronze.REVISIONS, self._settings) + 1
            rows = self._rows(source, type_, since, until)
            revised = self._revised(rows, seq)
            first = next(revised, None)
            if first is not None:
                schema = lake.arrow_schema(bronze.REVISIONS)
                batches = pa.RecordBatchReader.from_batches(schema, _chain(first, revised))
                # One commit, whose version is the lane's seq: that is how a cut knows whether it has it.
                lake.append(bronze.REVISIONS, self._settings, batches, app=bronze.REVISIONS.name, version=seq)
        return self.counts

    def _rows(self, source: str, type_: str | None, since: int | None, until: int | None) -> Iterator[Row]:
        """The rows of each record as they count now, in order of event id."""
        if not lanes.tables(bronze.EVENTS, self._settings):
            raise NotFound("bronze is empty: there is nothing to decode again")
        # Nothing that is not committed: its record would be revised before a cut can take it in.
        wanted = bronze_rows(self._spark, self._settings, [*committed(self._serving), (lanes.REVISIONS, -1, 2**62, (), ())])
        current = events.current(wanted, source, type_, since, until)
        for row in current.toLocalIterator(prefetchPartitions=True):
            yield row.asDict(recursive=True)

    def _revised(self, rows: Iterator[Row], seq: int) -> Iterator[pa.RecordBatch]:
        records = (list(found) for _, found in groupby(rows, key=lambda row: row["event_id"][: events.RECORD_DIGITS]))
        while chunk := list(islice(records, _CHUNK)):
            fresh = [row | {"lane": lanes.REVISIONS, "seq": seq} for row in self._decoded_again(chunk)]
            if fresh:
                self.counts["events"] += len(fresh)
                yield pa.RecordBatch.from_pylist(fresh, schema=lake.arrow_schema(bronze.REVISIONS))

    def _decoded_again(self, records: Sequence[list[Row]]) -> Iterator[Row]:
        self.counts["records"] += len(records)
        keys = self._vault.keys({parts(row["native"]).owner for rows in records for row in rows if row["native"]})
        decoded: list[tuple[list[Row], Record, Decoded]] = []
        for rows in records:
            record = _record(rows, keys)
            if record is None:
                self.counts["unreadable"] += 1
                continue
            try:
                again = scored(decode(record, self._schemas), self._champion)
            except Refusal:
                # What was accepted once stays as it was; the operator sees the count.
                self.counts["refused"] += 1
                continue
            decoded.append((rows, record, replace(again, record_id=bytes.fromhex(rows[0]["event_id"][: events.RECORD_DIGITS]))))
        tokens = self._vault.tokens(named(again for _, _, again in decoded))
        owners = self._vault.keys({tokens[draft.subject or draft.owner] for _, _, again in decoded for draft in again.drafts})
        for rows, record, again in decoded:
            position = Position(rows[0]["topic"], rows[0]["partition"], rows[0]["offset"])
            revision = max(row["revision"] for row in rows) + 1
            fresh = list(seal_drafts(again, record, position, self._schemas, tokens, owners, revision=revision))
            if _comparable(fresh) == _comparable(rows):
                self.counts["unchanged"] += 1
            else:
                self.counts["revised"] += 1
                yield from fresh


def reprocess(
    settings: Settings, source: str, *, type_: str | None = None, since: int | None = None, until: int | None = None
) -> dict[str, int]:
    """Counts of a `Reprocessing` with a session and connections of its own; it may mint tokens, so the vault knows it as the stream."""
    with (
        batch_session(settings, "reprocess") as spark,
        closing(Vault(postgres.dsn(settings, "vault", "stream"), keyring.load(settings))) as vault,
        psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as serving,
    ):
        work = Reprocessing(settings, spark, serving, vault, configuration.schemas(settings.conf))
        return work.run(source, type_=type_, since=since, until=until)


def _record(rows: Sequence[Row], keys: dict[str, bytes | None]) -> Record | None:
    """The record these rows came of, as far as decoders can tell; None if a part of it cannot be read any more."""
    natives: list[str] = []
    for row in rows:
        key = keys.get(parts(row["native"]).owner) if row["native"] else None
        if key is None:
            return None
        natives.append(str(open_(key, row["native"])))
    first = rows[0]
    headers = {
        # Bronze keeps the record's id, not what it was made of; the caller puts it back.
        "ce_id": first["event_id"][: events.RECORD_DIGITS],
        "ce_source": "paxtrail/reprocess",
        "ce_type": f"paxtrail.{first['source']}.received",
        "ce_specversion": "1.0",
        # Decoders take the envelope's time only for messages without one, and then it became the event's.
        "ce_time": datetime.fromtimestamp(first["event_time"] / 1e6, UTC).isoformat(timespec="microseconds"),
        "ce_controller": first["controller"],
        "ce_region": first["region"],
        "ce_traceparent": first["traceparent"] or "",
    }
    body = decoder(first["source"]).assemble(natives)
    return Record(first["source"], {name: value for name, value in headers.items() if value}, body, first["arrival_time"])


def _comparable(rows: Iterable[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in _SAME} for row in rows]


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
