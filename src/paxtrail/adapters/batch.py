"""A whole batch run: cut, events, links, states, outcomes, gate, publication, in one process; each step finds what it did before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import dict_row

from paxtrail.adapters import configuration, lake, postgres, quality, silver
from paxtrail.adapters.cuts import open_cut
from paxtrail.adapters.publication import Counts, Publication, run_of
from paxtrail.adapters.relationships import publish_relationships
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_events import take_in
from paxtrail.adapters.silver_links import connect
from paxtrail.adapters.silver_outcomes import conclude
from paxtrail.adapters.silver_states import fold_states
from paxtrail.errors import NotFound
from paxtrail.settings import Settings


def run_batch(settings: Settings, run_id: str, *, full: bool = False) -> dict[str, Any]:
    """Counts by step. Two never run at once (TableLocked); killed, the same `run_id` goes on where it was."""
    with lake.batch_locked(settings):
        cut_open(settings, run_id)
        with silver.opened(settings, run_id, f"batch-{run_id}") as job:
            made = make(job, full=full) | {"gate": quality.ask(job)}
        return {"run": run_id, "epoch": job.cut.epoch, **made, "publication": publish(settings, run_id)}


def cut_open(settings: Settings, run_id: str, *, cut_time: int | None = None) -> dict[str, Any]:
    """The cut of the run, opened if it was not; TableLocked while another program of the batch layer works."""
    with lake.batch_locked(settings), psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as connection:
        return asdict(open_cut(connection, settings, run_id, cut_time=cut_time))


def make(job: Job, *, full: bool = False) -> dict[str, Any]:
    """Everything of a run but its gate and its publication."""
    return {name: step() for name, step in steps(job, full=full).items()}


def steps(job: Job, *, full: bool) -> dict[str, Callable[[], Any]]:
    """The steps of `make`, in their order."""
    return {
        "events": lambda: take_in(job),
        "links": lambda: connect(job, full=full),
        "states": lambda: fold_states(job, full=full),
        "outcomes": lambda: conclude(job),
    }


def publish(settings: Settings, run_id: str, *, rebuild: bool = False) -> dict[str, Any]:
    """Counts by entity and in sum; `drifted` must be 0. TableLocked while another program of the batch layer works."""
    with lake.batch_locked(settings):
        with psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as connection:
            run = run_of(connection, run_id)
        counts = publish_relationships(settings, run)
        counts |= Publication(settings, run, configuration.attributes(settings.conf), rebuild).publish()
    total = Counts()
    for one in counts.values():
        total.add(one)
    return {"run": run_id, "epoch": run.epoch, **asdict(total), "by": {name: asdict(one) for name, one in counts.items()}}


def differences(settings: Settings, run_id: str) -> dict[str, Any]:
    """What the publication of a run counted, by entity and in sum, as kept: however often it was killed and started again.

    NotFound where the run has published nothing.
    """
    with psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True, row_factory=dict_row) as connection:
        rows = connection.execute(
            "SELECT entity, sum(p.published)::bigint AS published, sum(healed)::bigint AS healed, sum(redefined)::bigint AS redefined,"
            " sum(drifted)::bigint AS drifted FROM cuts JOIN publication_counts p USING (epoch) WHERE run_id = %s GROUP BY entity",
            (run_id,),
        ).fetchall()
    if not rows:
        raise NotFound(f"run {run_id} has published nothing: paxtrail publish --run {run_id}")
    by = {row.pop("entity"): row for row in rows}
    return {"run": run_id, **{name: sum(row[name] for row in rows) for name in rows[0]}, "by": by}
