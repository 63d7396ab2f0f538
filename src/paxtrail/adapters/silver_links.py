"""silver.edges, silver.links and silver.relations up to a cut."""

from __future__ import annotations

from paxtrail.adapters import lake, silver
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_events import revised_since
from paxtrail.adapters.silver_retention import History, history
from paxtrail.core import identity
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import EDGES, LINKS, RELATIONS
from paxtrail.transforms import events, links
from paxtrail.transforms.retention import EDGE, PERSON, RELATION


def connect(job: Job, *, full: bool = False) -> dict[str, int]:
    """Sizes of the three tables at this cut. Links are computed on the driver from all edges.

    Twenty million edges need some 8 GB there; beyond that the connected parts belong into Spark (star contraction), behind this function.
    """
    with lake.locked(EDGES.name, job.settings), lake.locked(LINKS.name, job.settings), lake.locked(RELATIONS.name, job.settings):
        told = history(job)
        _grow(job, EDGES, told, full)
        _grow(job, RELATIONS, told, full)
        if not silver.has_cut(LINKS, job):
            known = silver.read(job, LINKS)
            edges = silver.read(job, EDGES).select("a_namespace", "a", "b_namespace", "b").toArrow()
            found = identity.customers(zip(*(edges.column(name).to_pylist() for name in edges.column_names), strict=True))
            linked = job.spark.createDataFrame(list(found.items()), "token string, customer_id string")
            # Tokens of persons are few beside events: taken from all of them, an incremental run and a full one cannot differ.
            everyone = links.customers(told.everything(links.persons, PERSON), linked)
            silver.write(job, LINKS, links.stamped(everyone, known, ("token", "customer_id"), job.cut.epoch), mode="overwrite")
        return {table.name.split(".")[1]: silver.size(table, job.settings) for table in (EDGES, LINKS, RELATIONS)}


def _grow(job: Job, table: Table, told: History, full: bool) -> None:
    """Adds what the events since the table's last cut say; with `full`, writes it anew from all events."""
    if silver.has_cut(table, job):
        return
    find, kind = (links.edges, EDGE) if table is EDGES else (links.relations, RELATION)
    known, base = silver.read(job, table), silver.done(table, job.settings)
    if full or base < 0 or revised_since(job, base):
        silver.write(job, table, links.stamped(told.everything(find, kind), known, table.key, job.cut.epoch), mode="overwrite")
    else:
        silver.write(job, table, links.added(find(events.since(told.events, base)), known, table.key, job.cut.epoch), mode="append")
