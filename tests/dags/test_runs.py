"""Schedules as they run: Airflow under the supervisor, its scheduler, the real programs, a lake that the real door filled."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from pyspark.sql import SparkSession
from tests.conftest import settings_for
from tests.dags.console import Console
from tests.ml.made import file, labelled
from tests.parity.stories import Story, history

from paxtrail.adapters import kafka, landing
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.registry import Registry
from paxtrail.settings import Settings
from paxtrail.stack.processes import await_ready
from paxtrail.stack.supervision import bring_up, take_down
from paxtrail.tables.silver import EVENTS

# The first of them waits for Airflow to start and for three runs of the whole chain.
pytestmark = [pytest.mark.tools, pytest.mark.timeout(3600)]

PATIENCE_S = 3000.0
DAYS = 3
FILE = b'{"search": 1}\n{"search": 2}\n'


@dataclass(slots=True)
class Schedules:
    """A copy with Airflow and the story told to it; `served` is what it served before the gate of the last day."""

    settings: Settings
    story: Story
    console: Console
    days: list[str]
    runs: list[str]
    served: Any

    def published(self) -> list[tuple[Any, ...]]:
        return self.story.truth.sql(
            "select run_id, gate, sum(drifted)::int from cuts join batch_runs using (run_id) join publication_counts using (epoch)"
            " group by epoch, run_id, gate order by epoch"
        )

    def committed(self, events: int) -> None:
        """The ledger of the newest micro-batch says that many events more than came out of bronze."""
        with self.story.serving_as_owner() as connection:
            connection.execute("update stream_commit set events = events + %s where seq = (select max(seq) from stream_commit)", (events,))


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
    """After a backfill of three days: in the first, spark-submit was killed while it ran; in the last, the gate was red."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paxtrail-airflow-")))
        folder.chmod(0o711)
        settings = settings_for(folder / "home")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY", "1")
        stack.callback(take_down, settings, ())
        for _ in bring_up(settings, ("postgres", "kafka", "topics", "airflow")):
            pass
        story = Story(settings, spark, seed=11)
        stack.callback(story.close)
        told = history(11, flights=1)
        story.tell(told[: len(told) // 2])
        last = _last_day(datetime.now(UTC))
        days = [last - timedelta(days=back) for back in reversed(range(DAYS))]
        console = Console(settings)
        stack.callback(console.close)
        console.await_known(["states"], seconds=180)
        console.backfill("states", days[0], days[-1])
        console.switch("states", on=True)
        made = Schedules(settings, story, console, [f"{day:%Y-%m-%d}" for day in days], [], None)
        # Its session is up and it has begun to write: there is something to undo.
        begun = Path(EVENTS.path(settings.lake))
        await_ready(lambda: "" if begun.exists() else "no program has begun to take events in", seconds=PATIENCE_S)
        for process in _of(settings, "events.py"):
            os.kill(process.pid, signal.SIGKILL)
        await_ready(lambda: "" if len(story.truth.sql("select from cuts")) > 1 else "the second day has not begun", seconds=PATIENCE_S)
        story.tell(told[len(told) // 2 :])
        made.committed(+1)
        made.served = story.truth.served()
        await_ready(lambda: "" if len(console.runs("states")) >= DAYS else "a day is missing", seconds=PATIENCE_S)
        made.runs = list(console.runs("states"))
        for run in made.runs:
            console.ended("states", run, seconds=PATIENCE_S)
        yield made


def test_a_killed_task_is_tried_again_and_the_day_is_published_once(schedules: Schedules) -> None:
    tasks = schedules.console.tasks("states", schedules.runs[0])
    assert {name: state for name, (state, _) in tasks.items()} == dict.fromkeys(tasks, "success")
    assert {name: tries for name, (_, tries) in tasks.items() if tries > 1} == {"events": 2}
    assert schedules.published()[0] == (schedules.days[0], "green", 0)


def test_a_red_gate_publishes_nothing_and_what_was_served_is_served_on(schedules: Schedules) -> None:
    tasks = {name: state for name, (state, _) in schedules.console.tasks("states", schedules.runs[-1]).items()}
    assert [name for name, state in tasks.items() if state == "failed"] == ["gate"]
    assert {tasks[name] for name in ("publish", "drift", "announce")} == {"upstream_failed"}
    assert schedules.story.truth.sql(f"select gate from batch_runs where run_id = '{schedules.days[-1]}'") == [("red",)]
    assert [run for run, _, _ in schedules.published()] == schedules.days[:-1]
    assert schedules.story.truth.served() == schedules.served


def test_three_days_by_backfill_are_three_daily_runs_once_the_red_one_is_repaired_and_marts_follow(schedules: Schedules) -> None:
    console = schedules.console
    schedules.committed(-1)
    console.switch("marts", on=True)
    console.clear("states", schedules.runs[-1])
    assert [console.ended("states", run, seconds=PATIENCE_S) for run in schedules.runs] == ["success"] * DAYS
    assert schedules.published() == [(day, "green", 0) for day in schedules.days]
    schedules.story.truth.check()
    await_ready(lambda: "" if console.runs("marts") else "marts were not started", seconds=PATIENCE_S)
    [run] = console.runs("marts")
    assert console.ended("marts", run, seconds=PATIENCE_S) == "success"
    with psycopg.connect(dsn(schedules.settings, "marts", "analyst")) as connection:
        assert connection.execute("SELECT DISTINCT run_id FROM published_marts").fetchall() == [(schedules.days[-1],)]


def test_a_file_that_lands_twice_is_sent_once(schedules: Schedules) -> None:
    folder = landing.folder(schedules.settings) / "booking"
    folder.mkdir(parents=True)
    schedules.console.switch("files", on=True)
    for name in ("monday.jsonl", "again.jsonl"):
        (folder / name).write_bytes(FILE)
        schedules.console.start("files", name)
        assert schedules.console.ended("files", name, seconds=PATIENCE_S) == "success"
        assert list(folder.iterdir()) == []
    assert sum(kafka.latest(schedules.settings, ["raw.booking"])["raw.booking"].values()) == 2


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_labelled_texts_become_the_champion(schedules: Schedules) -> None:
    folder = schedules.settings.home / "training"
    folder.mkdir()
    file(folder, labelled(200)).rename(folder / "sentiment.csv")
    schedules.console.switch("models", on=True)
    schedules.console.start("models", "asked")
    assert schedules.console.ended("models", "asked", seconds=PATIENCE_S) == "success"
    assert Registry(schedules.settings).champion().kind == "svm"


def test_retention_runs_and_runs_again(schedules: Schedules) -> None:
    before = schedules.story.truth.served()
    schedules.console.switch("retention", on=True)
    schedules.console.start("retention", "asked")
    assert schedules.console.ended("retention", "asked", seconds=PATIENCE_S) == "success"
    assert schedules.story.truth.served() == before


def test_stopping_leaves_no_process_behind(schedules: Schedules) -> None:
    children = {child for process in psutil.process_iter() if _marked(process, schedules.settings) for child in process.children()}
    assert len(children) > 3
    take_down(schedules.settings, ("airflow",))
    assert [process for process in children if process.is_running() and "airflow" in " ".join(process.cmdline())] == []


def _marked(process: psutil.Process, settings: Settings) -> bool:
    with suppress(psutil.Error):
        return bool(process.environ().get("AIRFLOW_HOME") == str(settings.home / "airflow"))
    return False
