"""silver.states up to a cut: in full, or a base with what the cut adds; and the row of the run that says which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb
from pyspark import StorageLevel

from paxtrail.adapters import configuration, lake, silver
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_events import revised_since
from paxtrail.adapters.silver_retention import history
from paxtrail.tables.silver import EVENTS, STATES
from paxtrail.transforms import events, states


def fold_states(job: Job, *, full: bool = False) -> dict[str, Any]:
    """What was made: mode, base, rows written. In full where asked, without a base, with another attribute table, after a revision."""
    tables = configuration.attributes(job.settings.conf)
    digests = {entity: table.digest for entity, table in sorted(tables.items())}
    with lake.locked(STATES.name, job.settings):
        base = silver.described(job, STATES, "digests")
        if silver.has_cut(STATES, job):
            assert base is not None
            _record(job, base)
            return {"mode": base["mode"], "base": base["base"], "already": True}
        told = history(job)
        known = silver.read(job, STATES)
        full = full or base is None or base["digests"] != digests or revised_since(job, base["epoch"])
        about = {"mode": "full" if full else "incremental", "base": None if full or base is None else base["run"], "digests": digests}
        if full or base is None:
            # Kept: laying out looks at all of them first, and would fold them once more.
            kinds = ", ".join(f"'{entity}'" for entity in digests)
            with silver.divided(job, silver.size(EVENTS, job.settings)):
                rows = states.folded(told.events, tables, job.cut.epoch, told.frozen).persist(StorageLevel.DISK_ONLY)
                try:
                    silver.write(job, STATES, states.laid_out(rows), mode="overwrite", where=f"entity IN ({kinds})", about=about)
                finally:
                    rows.unpersist()
        else:
            added = events.since(told.events, base["epoch"])
            silver.merge(job, STATES, states.advanced(known, added, tables, job.cut.epoch), about=about)
        _record(job, {"run": job.cut.run_id, **about})
        return {"mode": about["mode"], "base": about["base"], "already": False}


def _record(job: Job, about: Mapping[str, Any]) -> None:
    """The run's row; what exists is kept but for the version, which outcomes move on."""
    job.serving.execute(
        "INSERT INTO batch_runs AS b (run_id, mode, base_run, states_version, digests) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (run_id) DO UPDATE SET states_version = greatest(b.states_version, excluded.states_version)",
        (job.cut.run_id, about["mode"], about["base"], lake.version(STATES, job.settings), Jsonb(about["digests"])),
    )


def record_version(job: Job) -> None:
    """The run's states are the newest version of silver.states."""
    job.serving.execute(
        "UPDATE batch_runs SET states_version = %s, finished_at = now() WHERE run_id = %s",
        (lake.version(STATES, job.settings), job.cut.run_id),
    )
