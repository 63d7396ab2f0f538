"""Runs of Airflow as the demo counts them."""

from __future__ import annotations

from typing import Any

import pytest

from paxtrail.stack.schedules import Schedules


class Answering(Schedules):
    """Answers as Airflow does: one run, these tasks."""

    def __init__(self, run: str, **tasks: str) -> None:
        self.run, self.states = run, tasks

    def ask(self, method: str, path: str, body: object = None) -> Any:
        if path.endswith("/taskInstances"):
            return {"task_instances": [{"task_id": name, "state": state, "try_number": 1} for name, state in self.states.items()]}
        return {"dag_runs": [{"dag_run_id": "demo", "state": self.run}]}


@pytest.mark.parametrize(
    ("run", "tasks", "done"),
    [
        ("success", {"train": "success", "promote": "success"}, True),
        ("success", {"train": "skipped", "promote": "skipped"}, False),
        ("success", {"train": "success", "promote": "skipped"}, False),
        ("running", {"train": "success", "promote": "running"}, False),
    ],
)
def test_a_run_whose_tasks_were_skipped_has_done_nothing(run: str, tasks: dict[str, str], done: bool) -> None:
    assert Answering(run, **tasks).done("models", "demo") is done
