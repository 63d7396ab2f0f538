"""silver.events taken in from bronze up to a cut."""

from __future__ import annotations

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from paxtrail.adapters import lake, silver
from paxtrail.adapters.bronze import rows
from paxtrail.adapters.cuts import cuts_between
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_retention import known_records
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.tables.silver import CORRECTIONS, EVENTS
from paxtrail.transforms import events


def take_in(job: Job) -> dict[str, int]:
    """Counts of what the cut added; zeros where silver.events has it already (also where a later cut took it in)."""
    counts = {"rows": 0, "new": 0, "replaces": 0, "dropped": 0, "revised": 0}
    with lake.locked(EVENTS.name, job.settings), lake.locked(CORRECTIONS.name, job.settings):
        taken_until = max(silver.done(EVENTS, job.settings), 0)
        if taken_until >= job.cut.epoch:
            return counts
        known = silver.read(job, EVENTS)
        judgement = events.judged(_covered(job, taken_until), known_records(job, known)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            for row in events.fates(judgement).collect():
                counts[row["fate"]] = row["rows"]
                counts["revised"] += row["revised"]
            counts["rows"] = counts["new"] + counts["replaces"] + counts["dropped"]
            about = counts | {"after_epoch": taken_until}
            taken = events.taken(judgement, job.cut.epoch)
            old = events.replaced(judgement, known)
            silver.ensure(job.spark, CORRECTIONS, job.settings)
            if counts["dropped"] or has_revisions(job.settings):
                # Before the events: a run killed between the two writes finds its own transaction and adds nothing twice.
                silver.write(job, CORRECTIONS, events.corrected(judgement, old, job.cut.epoch), mode="append")
            if counts["replaces"]:
                gone = old.join(taken.select("event_id"), "event_id", "left_anti")
                silver.merge(job, EVENTS, taken, gone, about=about)
            else:
                silver.write(job, EVENTS, taken, mode="append", about=about)
        finally:
            judgement.unpersist()
    return counts


def has_revisions(settings: Settings) -> bool:
    """Whether anything was ever decoded again."""
    return lake.exists(bronze.REVISIONS, settings)


def revised_since(job: Job, epoch: int) -> bool:
    """Whether a cut after `epoch` took in anything decoded again: what was made of silver.events before it no longer holds."""
    if not has_revisions(job.settings):
        return False
    everything = events.until(silver.read(job, EVENTS), job.cut.epoch)
    return not events.revised(events.since(everything, epoch)).isEmpty()


def _covered(job: Job, after_epoch: int) -> DataFrame:
    """Rows of bronze (every lane's and the revisions) that the cuts since `after_epoch` cover."""
    intervals = [
        (lane, cut.after, cut.seq, cut.holes, cut.late)
        for one in cuts_between(job.serving, after_epoch, job.cut.epoch)
        for lane, cut in one.lanes.items()
    ]
    return rows(job.spark, job.settings, intervals).drop("native", "traceparent")
