"""Events leave silver when they are past their time: first their fold is frozen, in one commit with what says which events it holds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import orjson
from delta.tables import DeltaTable
from pyarrow import dataset as arrow
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.adapters import configuration, lake, silver
from paxtrail.adapters.silver import Job
from paxtrail.core.retention import Limit
from paxtrail.errors import EpochRefused
from paxtrail.tables.silver import EDGES, EVENTS, EXPIRED, FROZEN, LINKS, RELATIONS, STATES
from paxtrail.transforms import events, retention

_MADE_OF_EVENTS = (STATES, EDGES, LINKS, RELATIONS)
_EXPIRY = "expiry"
_DELETED = f"{EVENTS.name}.expired"
_HOURS = 24
"""What a version of silver that is no more needs for this long goes with the next vacuum."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Which events silver.frozen took last: those within the limits that the cut of `epoch` and those before it took in.

    The row that says so is in the commit that froze them. Until they are deleted, who reads events leaves them out: so a run that was
    killed between freezing and deleting counts nothing twice.
    """

    epoch: int
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All that was told up to a cut: the events that are not frozen, and rows of silver.frozen for those that are."""

    events: DataFrame
    frozen: DataFrame | None

    def everything(self, find: Any, kind: str) -> DataFrame:
        """Edges, relations or persons that `find` finds in events, with the frozen ones of that kind."""
        found: DataFrame = find(self.events)
        return found if self.frozen is None else found.unionByName(retention.thawed(self.frozen, kind)).distinct()


def history(job: Job) -> History:
    """The history up to the job's cut."""
    told = events.until(silver.read(job, EVENTS), job.cut.epoch)
    base = silver.read(job, FROZEN) if _expiry(job) else None
    begun = _unfinished(job)
    return History(told if begun is None else told.where(~retention.past(begun.limits, begun.epoch)), base)


def known_records(job: Job, there: DataFrame) -> DataFrame:
    """(event_id, revision) of everything ever taken in; `there` are the rows of silver.events."""
    if _expiry(job) is None:
        return there.select("event_id", "revision")
    begun = _unfinished(job)
    gone = F.lit(False) if begun is None else retention.past(begun.limits, begun.epoch)
    return retention.known(there, gone, silver.read(job, EXPIRED))


def expire(job: Job, limits: Sequence[Limit]) -> dict[str, Any]:
    """Counts of events and records that left silver. Once for a cut: a second time it only finishes what a killed run began.

    EpochRefused where states and links are not made up to the job's cut.
    """
    tables = configuration.attributes(job.settings.conf)
    with ExitStack() as held:
        for table in (EVENTS, *_MADE_OF_EVENTS, FROZEN, EXPIRED):
            held.enter_context(lake.locked(table.name, job.settings))
        behind = [table.name for table in _MADE_OF_EVENTS if silver.done(table, job.settings) != job.cut.epoch]
        if behind:
            raise EpochRefused(f"{behind[0]} is not at epoch {job.cut.epoch}; finish the batch run {job.cut.run_id} first")
        begun = _unfinished(job)
        finished = 0 if begun is None else _remove(job, begun)
        counts: dict[str, Any] = {"epoch": job.cut.epoch, "finished": finished, "events": 0}
        if silver.has_cut(FROZEN, job):
            return {**counts, "already": True}
        base = silver.read(job, FROZEN)
        gone = silver.read(job, EVENTS).where(retention.past(limits, job.cut.epoch)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts["events"] = gone.count()
            if counts["events"]:
                fresh = Expiry(job.cut.epoch, tuple(limits))
                silver.merge(job, FROZEN, retention.frozen(gone, base, tables, job.cut.epoch).unionByName(_row(job, fresh)), about=counts)
                _remove(job, fresh)
        finally:
            gone.unpersist()
        return counts


def vacuum(job: Job) -> None:
    """Files of silver.events that no version of the last day needs go for good."""
    job.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    try:
        DeltaTable.forPath(job.spark, silver.ensure(job.spark, EVENTS, job.settings)).vacuum(_HOURS)
    finally:
        job.spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")


def _remove(job: Job, expiry: Expiry) -> int:
    """Events deleted; their records' ids are kept first. Each step does nothing where it was done before."""
    # Under the epoch of the expiry: the transaction of a later one must not pass for this one's.
    then = replace(job, cut=replace(job.cut, epoch=expiry.epoch))
    past = retention.past(expiry.limits, expiry.epoch)
    gone = silver.read(job, EVENTS).where(past)
    silver.write(then, EXPIRED, retention.expired(gone, silver.read(job, EXPIRED), expiry.epoch), mode="append")
    number = gone.count()
    silver.delete(then, EVENTS, past, app=_DELETED)
    return number


def _expiry(job: Job) -> Expiry | None:
    """What was frozen last; None if nothing ever was."""
    if not lake.exists(FROZEN, job.settings):
        return None
    rows = (
        lake.opened(FROZEN, job.settings)
        .to_pyarrow_dataset()
        .to_table(columns=["state"], filter=arrow.field("entity") == _EXPIRY)
        .column("state")
    )
    if not len(rows):
        return None
    said = orjson.loads(rows[0].as_py())
    return Expiry(said["epoch"], tuple(Limit(*limit) for limit in said["limits"]))


def _unfinished(job: Job) -> Expiry | None:
    """What was frozen last, if its events are not deleted yet."""
    last = _expiry(job)
    return None if last is None or silver.done(EVENTS, job.settings, _DELETED) >= last.epoch else last


def _row(job: Job, expiry: Expiry) -> DataFrame:
    state = orjson.dumps({"epoch": expiry.epoch, "limits": [list(limit) for limit in expiry.limits]}).decode()
    return job.spark.createDataFrame([(_EXPIRY, "", "", expiry.epoch, state)], FROZEN.ddl)
