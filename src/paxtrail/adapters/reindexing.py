"""Closed hours of Druid made exact: the facts of silver.events, up to its newest cut, in place of what came by the stream."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from deltalake import QueryBuilder

from paxtrail.adapters import analytics as stream
from paxtrail.adapters import keyring, lake, postgres, silver
from paxtrail.adapters.cuts import Cut, cuts_between
from paxtrail.adapters.druid import DATASOURCE, Druid
from paxtrail.adapters.silver import Job
from paxtrail.errors import BadRequest, NotFound, Unavailable
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.tables.silver import EVENTS
from paxtrail.transforms import analytics, events

_PATIENCE_S = 600.0
_SERVED_S = 60.0


def run(settings: Settings, since: str, until: str) -> dict[str, Any]:
    """What `reindex` says of the hours that the texts name, in a session of its own."""
    hours = hour(since), hour(until)
    with opened(settings) as job:
        return reindex(job, *hours, now=time.time_ns() // 1000)


@contextmanager
def opened(settings: Settings) -> Iterator[Job]:
    """The job of a re-index: its own session, and the newest cut that silver.events has taken in."""
    with lake.batch_locked(settings):
        epoch = silver.done(EVENTS, settings)
        with psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as connection:
            cuts = cuts_between(connection, epoch - 1, epoch)
        if not cuts:
            raise NotFound("silver.events has no events of a cut yet: paxtrail batch run")
        with silver.opened(settings, cuts[0].run_id, "reindex") as job:
            yield job


def reindex(job: Job, since: datetime, until: datetime, *, now: int) -> dict[str, Any]:
    """Counts of the hours [since, until), which Druid now has exactly as silver.events has them; run twice, the same.

    BadRequest where an hour was not over at the cut, or the key of its quarter is gone at `now` (µs). Unavailable while the stream of
    facts or Druid lags behind the cut: what comes after the replacement would be counted beside it.
    """
    settings = job.settings
    keys = keyring.person_keys(settings, now)
    begin, end = _bounds(since, until, job.cut, keys)
    _await_stream(settings, job.cut)
    druid = Druid(settings)
    druid.await_published(seconds=_PATIENCE_S)
    interval = f"{since:%Y-%m-%dT%HZ}/{until:%Y-%m-%dT%HZ}"
    folder = settings.home / "druid" / "exchange"
    try:
        count = _write(job, begin, end, keys, folder)
        task = druid.replace([interval], folder, seconds=_PATIENCE_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    druid.await_served(interval, seconds=_PATIENCE_S)
    return {"epoch": job.cut.epoch, "interval": interval, "facts": count, "served": _served(druid, begin, end, count), "task": task}


def hour(text: str) -> datetime:
    """The hour that `text` names (2026-11-22T10, UTC); BadRequest if it names none."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        raise BadRequest("invalid", f"not an hour: {text!r}; expected one like 2026-11-22T10, in UTC") from None


def _bounds(since: datetime, until: datetime, cut: Cut, keys: analytics.Keys) -> tuple[int, int]:
    begin, end = (int(at.timestamp()) * 1_000_000 for at in (since, until))
    closed = datetime.fromtimestamp(cut.cut_time / 1e6, UTC).replace(minute=0, second=0, microsecond=0)
    if not since < until <= closed:
        raise BadRequest(
            "invalid", f"--from must lie before --to, and --to not after {closed:%Y-%m-%dT%H}: later hours were open at the cut"
        )
    if begin < keys[0][0]:
        oldest = datetime.fromtimestamp(keys[0][0] / 1e6, UTC)
        raise BadRequest("invalid", f"persons before {oldest:%Y-%m-%dT%H} cannot be counted again: the key of their quarter is gone")
    return begin, end


def _await_stream(settings: Settings, cut: Cut) -> None:
    """Returns once the stream of facts has sent, for good, all that the cut covers."""
    deadline = time.monotonic() + _PATIENCE_S
    for lane in stream.lanes(settings):
        goal = _last(settings, lane, cut.lanes[lane].seq) if lane in cut.lanes else -1
        while (reached := stream.reached(settings, lane)) < goal:
            if time.monotonic() > deadline:
                raise Unavailable(f"the stream of facts has sent lane {lane} up to {reached}, the cut has {goal}: paxtrail up analytics")
            time.sleep(0.2)


def _last(settings: Settings, lane: str, until: int) -> int:
    """Newest seq of the lane's rows in bronze that is not after `until`: a micro-batch need not have rows."""
    query = QueryBuilder().register("t", lake.opened(bronze.EVENTS.of(lane), settings))
    (newest,) = pa.table(query.execute(f"select max(seq) as seq from t where seq <= {int(until)}"))["seq"].to_pylist()
    return -1 if newest is None else int(newest)


def _write(job: Job, begin: int, end: int, keys: analytics.Keys, folder: Path) -> int:
    """Number of facts, written to `folder` as JSON lines."""
    shutil.rmtree(folder, ignore_errors=True)
    silver_events = events.until(silver.read(job, EVENTS), job.cut.epoch)
    found = analytics.messages(analytics.facts(analytics.hours(silver_events, begin, end), keys))
    found.write.text(str(folder))
    return sum(part.read_bytes().count(b"\n") for part in folder.glob("part-*"))


def _served(druid: Druid, begin: int, end: int, count: int) -> int:
    """Facts that queries find in the hours: the broker learns of new segments some time after they are loaded."""
    query = f'SELECT SUM("facts") AS facts FROM {DATASOURCE} WHERE __time >= MILLIS_TO_TIMESTAMP(?) AND __time < MILLIS_TO_TIMESTAMP(?)'
    deadline = time.monotonic() + _SERVED_S
    while True:
        (row,) = druid.sql(query, begin // 1000, end // 1000)
        found = int(row["facts"] or 0)
        if found == count or time.monotonic() > deadline:
            return found
        time.sleep(0.5)
