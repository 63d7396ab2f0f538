"""silver.documents and silver.withheld up to a cut: what SQL reads of flights and bags, and which customers it must not know."""

from __future__ import annotations

from paxtrail.adapters import configuration, lake, silver
from paxtrail.adapters.silver import Job
from paxtrail.tables.silver import DOCUMENTS, LINKS, STATES, WITHHELD
from paxtrail.transforms import consents, documents, events, states

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


def withhold(job: Job) -> dict[str, int]:
    """How many customers' data may not serve the purpose `analysis`. All are decided, each time: a consent runs out by the clock."""
    conf = job.settings.conf
    with lake.locked(WITHHELD.name, job.settings):
        customers = consents.held(silver.read(job, STATES), silver.read(job, LINKS))
        rules, table = configuration.consent(conf), configuration.attributes(conf)["profile"]
        refused = consents.withheld(customers, rules, table, "analysis", job.cut.cut_time).selectExpr("*", f"{job.cut.epoch}L AS epoch")
        silver.write(job, WITHHELD, refused, mode="overwrite", again=True)
        return {"withheld": silver.size(WITHHELD, job.settings)}
