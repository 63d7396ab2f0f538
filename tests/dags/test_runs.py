"""Schedules as they run: Airflow under the supervisor, its scheduler, the real programs, a lake that the real door filled."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyspark.sql import SparkSession
from tests.conftest import settings_for
from tests.dags.console import Console
from tests.parity.stories import Story, history

from paxtrail.settings import Settings
from paxtrail.stack.processes import await_ready
from paxtrail.stack.supervision import bring_up, take_down
from paxtrail.tables.silver import EVENTS

# The first of them waits for Airflow to start and for three runs of the whole chain.
pytestmark = [pytest.mark.tools, pytest.mark.timeout(3600)]

PATIENCE_S = 3000.0
DAYS = 3


@dataclass(slots=True)
class Schedules:
    """A copy with Airflow, the story told to it, and what its first runs came to."""

    settings: Settings
    story: Story
    console: Console
    days: list[str]
    runs: dict[str, str] = field(default_factory=dict)
    killed: str = ""


def _last_day(now: datetime) -> datetime:
    """Beginning of the newest interval, from 2 to 2, that is over."""
    today = datetime.combine(now.date(), time(2), UTC)
    return today - timedelta(days=1 if now >= today else 2)


def _of(settings: Settings, program: str) -> list[psutil.Process]:
    """Processes of this copy that run the program in a JVM of Spark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            submitted = "java" in process.name() and any(word.endswith(program) for word in process.cmdline())
            if submitted and process.environ().get("PAXTRAIL_HOME") == str(settings.home):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def schedules(spark: SparkSession) -> Iterator[Schedules]:
    """After a backfill of three days, in the first of which spark-submit was killed while it ran."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paxtrail-airflow-")))
        folder.chmod(0o711)
        settings = settings_for(folder / "home")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY", "1")
        stack.callback(take_down, settings, ())
        for _ in bring_up(settings, ("postgres", "airflow")):
            pass
        story = Story(settings, spark, seed=11)
        stack.callback(story.close)
        story.tell(history(11, flights=1))
        last = _last_day(datetime.now(UTC))
        days = [last - timedelta(days=back) for back in reversed(range(DAYS))]
        console = Console(settings)
        console.await_dag("states")
        made = Schedules(settings, story, console, [f"{day:%Y-%m-%d}" for day in days])
        console.backfill("states", days[0], days[-1])
        console.switch_on("states")
        # Its session is up and it has begun to write: there is something to undo.
        begun = Path(EVENTS.path(settings.lake))
        await_ready(lambda: "" if begun.exists() else "no program has begun to take events in", seconds=PATIENCE_S)
        for process in _of(settings, "events.py"):
            os.kill(process.pid, signal.SIGKILL)
            made.killed = "events"
        made.runs = console.await_runs("states", DAYS, seconds=PATIENCE_S)
        yield made


def _published(story: Story) -> list[tuple[Any, ...]]:
    return story.truth.sql(
        "select run_id, gate, sum(drifted)::int from cuts join batch_runs using (run_id) join publication_counts using (epoch)"
        " group by epoch, run_id, gate order by epoch"
    )


def test_three_days_by_backfill_are_three_daily_runs(schedules: Schedules) -> None:
    assert list(schedules.runs.values()) == ["success"] * DAYS
    assert _published(schedules.story) == [(day, "green", 0) for day in schedules.days]
    schedules.story.truth.check()


def test_a_killed_task_is_tried_again_and_nothing_counts_twice(schedules: Schedules) -> None:
    assert schedules.killed == "events"
    first, *_ = schedules.runs
    tasks = schedules.console.tasks("states", first)
    assert {name: state for name, (state, _) in tasks.items()} == dict.fromkeys(tasks, "success")
    assert {name: tries for name, (_, tries) in tasks.items() if tries > 1} == {"events": 2}
    assert schedules.story.truth.sql("select count(*) from cuts") == [(DAYS,)]


def test_a_red_gate_publishes_nothing_and_what_was_served_is_served_on(schedules: Schedules) -> None:
    story, console = schedules.story, schedules.console
    table = EVENTS.path(schedules.settings.lake)
    before, published = story.truth.served(), _published(story)
    story.lane.spark.sql(f"UPDATE delta.`{table}` SET event_time = arrival_time + interval 1 hour")
    run = console.trigger("states")
    assert console.await_runs("states", DAYS + 1, seconds=PATIENCE_S)[run] == "failed"
    tasks = {name: state for name, (state, _) in console.tasks("states", run).items()}
    assert [name for name, state in tasks.items() if state == "failed"] == ["gate"]
    assert {tasks[name] for name in ("publish", "drift", "announce")} == {"upstream_failed"}
    assert story.truth.sql(f"select gate from batch_runs where run_id = '{run}'") == [("red",)]
    assert _published(story) == published
    assert story.truth.served() == before


def test_stopping_leaves_no_process_behind(schedules: Schedules) -> None:
    children = {child for process in psutil.process_iter() if _marked(process, schedules.settings) for child in process.children()}
    assert len(children) > 3
    take_down(schedules.settings, ("airflow",))
    assert [process for process in children if process.is_running() and "airflow" in " ".join(process.cmdline())] == []


def _marked(process: psutil.Process, settings: Settings) -> bool:
    with suppress(psutil.Error):
        return bool(process.environ().get("AIRFLOW_HOME") == str(settings.home / "airflow"))
    return False
