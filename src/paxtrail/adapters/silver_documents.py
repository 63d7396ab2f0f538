"""silver.documents up to a cut: what SQL reads of flights and bags."""

from __future__ import annotations

from paxtrail.adapters import configuration, lake, silver
from paxtrail.adapters.silver import Job
from paxtrail.tables.silver import DOCUMENTS, STATES
from paxtrail.transforms import documents, events, states

KINDS = ("flight", "bag")


def render(job: Job, *, full: bool = False) -> dict[str, int]:
    """How many documents there are. Those of states that changed since the last cut are made anew; with `full`, all."""
    with lake.locked(DOCUMENTS.name, job.settings):
        already, base = silver.has_cut(DOCUMENTS, job), silver.done(DOCUMENTS, job.settings)
        if full or not already:
            known = states.of_kinds(silver.read(job, STATES), *KINDS)
            fresh = known if full else events.since(known, base)
            rows = documents.parsed(documents.rendered(fresh, configuration.attributes(job.settings.conf)))
            if full or base < 0:
                silver.write(job, DOCUMENTS, rows, mode="overwrite", again=already)
            else:
                gone = silver.read(job, DOCUMENTS).join(known.select(*DOCUMENTS.key), list(DOCUMENTS.key), "left_anti")
                silver.merge(job, DOCUMENTS, rows, gone)
        return {"documents": silver.size(DOCUMENTS, job.settings)}
