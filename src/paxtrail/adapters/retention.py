"""A retention run: keys, reads, timeline, texts to train on, bronze and silver lose what is past its time at the moment a caller names."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg

from paxtrail.adapters import bronze_retention, configuration, lake, postgres, read_chains, silver, silver_retention
from paxtrail.adapters.bronze_retention import Order
from paxtrail.adapters.cuts import Cut, cut_of
from paxtrail.adapters.lanes import REVISIONS
from paxtrail.core.retention import DAY, Limit, Retention
from paxtrail.errors import TableLocked
from paxtrail.settings import Settings
from paxtrail.tables import bronze

_LINES = 5_000
"""Lines of the timeline deleted in one transaction."""


def run_retention(settings: Settings, as_of: int) -> dict[str, Any]:
    """Counts of what went, silver included. A second run at the same moment finds nothing; a killed one is run again."""
    return {**retain(settings, as_of), "silver": expire_silver(settings, as_of)}


def expire_silver(settings: Settings, as_of: int) -> dict[str, Any]:
    """Counts of the events that left silver, with a session of its own; TableLocked while another program of the batch layer works."""
    limits = configuration.retention(settings.conf).event_limits(as_of)
    with psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as serving:
        cut = newest_cut(serving)
    if cut is None:
        return {"events": 0}
    with silver.opened(settings, cut.run_id, "retention") as job:
        counts = silver_retention.expire(job, limits)
        silver_retention.vacuum(job)
    return counts


def retain(settings: Settings, as_of: int) -> dict[str, Any]:
    """Counts of what went, but for silver, which needs Spark."""
    kept = configuration.retention(settings.conf)
    with psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as serving:
        counts: dict[str, Any] = {"keys": _keys(settings, kept, as_of), "timeline": _timeline(settings, serving, kept, as_of)}
        counts["training"] = _training(settings, as_of - kept.training_days * DAY)
        counts["reads"] = read_chains.expire(settings, as_of - kept.reads_days * DAY)
        cut = newest_cut(serving)
        bronze_retention.tell(serving, _orders(kept, as_of, cut))
        counts["bronze"] = {lane: _lane(settings, serving, lane) for lane in _lanes(serving)}
        counts["revisions"] = _revisions(settings, kept, as_of, cut)
    return counts


def newest_cut(serving: psycopg.Connection[Any]) -> Cut | None:
    """The cut up to which silver has events and their states; None before the first batch run."""
    row = serving.execute("SELECT r.run_id FROM batch_runs r JOIN cuts c USING (run_id) ORDER BY c.epoch DESC LIMIT 1").fetchone()
    return None if row is None else cut_of(serving, row[0])


def _keys(settings: Settings, kept: Retention, as_of: int) -> int:
    """Quarantine keys deleted; the row of the day stays, so that nobody mints the key again."""
    with psycopg.connect(postgres.dsn(settings, "vault", "stream"), autocommit=True) as vault:
        return vault.execute(
            "UPDATE quarantine_key SET wrapped = NULL WHERE day < %s AND wrapped IS NOT NULL", (kept.first_key_day(as_of),)
        ).rowcount


def _timeline(settings: Settings, serving: psycopg.Connection[Any], kept: Retention, as_of: int) -> int:
    """Lines deleted, a few thousand in a transaction, so that no micro-batch waits long."""
    deleted = 0
    with (
        psycopg.connect(postgres.dsn(settings, "serving", "batch")) as reader,
        closing(reader.cursor(name="old_lines")) as old,
    ):
        old.execute("SELECT entity, key, event_time, event_id FROM timeline WHERE event_time < %s", (as_of - kept.timeline_days * DAY,))
        while rows := old.fetchmany(_LINES):
            deleted += serving.execute(
                "DELETE FROM timeline t USING unnest(%s::text[], %s::text[], %s::bigint[], %s::text[]) o(entity, key, event_time, event_id)"
                " WHERE (t.entity, t.key, t.event_time, t.event_id) = (o.entity, o.key, o.event_time, o.event_id)",
                [list(column) for column in zip(*rows, strict=True)],
            ).rowcount
    return deleted


def _training(settings: Settings, before: int) -> int:
    """Files with texts to train on that were last written before that moment (µs UTC), deleted."""
    old = [file for file in (settings.home / "training").rglob("*") if file.is_file() and file.stat().st_mtime_ns < before * 1000]
    for file in old:
        file.unlink()
    return len(old)


def _orders(kept: Retention, as_of: int, cut: Cut | None) -> list[Order]:
    """What streams are told: refused records by age alone, events as far as they are folded in silver."""
    orders = [Order(bronze.REJECTS.name, Limit("", "", as_of - kept.row_days * DAY), 0)]
    if cut is not None:
        orders += [Order(bronze.EVENTS.name, limit, cut.epoch) for limit in kept.bronze_limits(as_of)]
    return orders


def _lanes(serving: psycopg.Connection[Any]) -> list[str]:
    return [lane for (lane,) in serving.execute("SELECT DISTINCT lane FROM seqs ORDER BY 1").fetchall()]


def _lane(settings: Settings, serving: psycopg.Connection[Any], lane: str) -> dict[str, int] | str:
    """Rows that went where the stream is down; a stream that runs does it itself at its next maintenance."""
    try:
        with lake.locked(f"bronze.{lane}", settings):
            own = {contract.name: contract.of(lane) for contract in (bronze.EVENTS, bronze.REJECTS)}
            tables = {name: table for name, table in own.items() if lake.exists(table, settings)}
            gone = bronze_retention.carry_out(serving, settings, lane, bronze_retention.told(serving), tables)
            for table in tables.values():
                bronze_retention.vacuum(table, settings)
            return gone
    except TableLocked:
        return "left to the stream"


def _revisions(settings: Settings, kept: Retention, as_of: int, cut: Cut | None) -> int:
    if cut is None or REVISIONS not in cut.lanes or not lake.exists(bronze.REVISIONS, settings):
        return 0
    with lake.locked(bronze.REVISIONS.name, settings):
        gone = bronze_retention.delete(bronze.REVISIONS, settings, kept.bronze_limits(as_of), f"seq <= {cut.lanes[REVISIONS].seq}")
        bronze_retention.vacuum(bronze.REVISIONS, settings)
    return gone
