"""Outcomes of journeys and histories of persons up to a cut, beside the states they are made of."""

from __future__ import annotations

from pyspark import StorageLevel

from paxtrail.adapters import configuration, lake, silver
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_states import record_version
from paxtrail.errors import EpochRefused
from paxtrail.tables.silver import RELATIONS, STATES
from paxtrail.transforms import outcomes, states

_APP = f"{STATES.name}.outcomes"


def conclude(job: Job) -> dict[str, int]:
    """How many outcomes and histories there are, and changed. All journeys are judged at the moment of the cut: time alone closes some."""
    tables = configuration.attributes(job.settings.conf)
    counts: dict[str, int] = {}
    with lake.locked(STATES.name, job.settings):
        if silver.done(STATES, job.settings) != job.cut.epoch:
            raise EpochRefused(f"silver.states is not at epoch {job.cut.epoch}; fold the states of run {job.cut.run_id} first")
        if not silver.has_cut(STATES, job, _APP):
            known = silver.read(job, STATES)
            relations = silver.read(job, RELATIONS)
            derived = states.of_kinds(known, "outcome", "history")
            closed = outcomes.concluded(known, relations, tables, as_of=job.cut.cut_time, epoch=job.cut.epoch)
            closed = closed.persist(StorageLevel.MEMORY_AND_DISK)
            fresh = closed.unionByName(outcomes.histories(closed, job.cut.epoch)).persist(StorageLevel.MEMORY_AND_DISK)
            changes = states.changed(fresh, derived).unionByName(states.gone(fresh, derived, job.cut.epoch))
            changes = changes.persist(StorageLevel.MEMORY_AND_DISK)
            try:
                counts = {row["entity"]: row["count"] for row in fresh.groupBy("entity").count().collect()}
                counts["changed"] = changes.count()
                if counts["changed"]:
                    silver.merge(job, STATES, changes, app=_APP, about=counts)
            finally:
                for frame in (changes, fresh, closed):
                    frame.unpersist()
        record_version(job)
    return counts
