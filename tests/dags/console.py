"""What the tests ask of Airflow beyond what the product does."""

from __future__ import annotations

from datetime import datetime

from paxtrail.stack.processes import await_ready
from paxtrail.stack.schedules import Schedules

_ENDED = {"success", "failed"}


class Console(Schedules):
    """The one user of a copy's Airflow, logged in."""

    def backfill(self, dag: str, first: datetime, last: datetime) -> None:
        """A run for each day, one after the other; they start once the DAG is switched on."""
        dates = {"from_date": first.isoformat(), "to_date": last.isoformat()}
        self.ask("POST", "/api/v2/backfills", {"dag_id": dag, **dates, "max_active_runs": 1})

    def clear(self, dag: str, run: str) -> None:
        """What failed in the run is tried again, and what waited for it."""
        self.ask("POST", f"/api/v2/dags/{dag}/clearTaskInstances", {"dag_run_id": run, "only_failed": True, "dry_run": False})

    def ended(self, dag: str, run: str, *, seconds: float) -> str:
        """How the run ended, once it has."""

        def problem() -> str:
            state = self.runs(dag)[run]
            return "" if state in _ENDED else f"{dag} {run}: {state}, {self.tasks(dag, run)}"

        await_ready(problem, seconds=seconds, every=0.5)
        return self.runs(dag)[run]
