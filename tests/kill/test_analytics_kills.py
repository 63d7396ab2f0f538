"""kill -9 of the stream of facts and of Druid's indexer under load: nothing is lost, and a re-index makes the hours exact."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.druid_servers import HOUR, Servers, an_hour
from tests.parity.facts import World, hour_of, now

from paxtrail.adapters import reindexing
from paxtrail.adapters.druid import DATASOURCE, Druid
from paxtrail.errors import PaxtrailError
from paxtrail.settings import ROOT, Settings
from paxtrail.stack.places import environment
from paxtrail.stack.processes import await_ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Stream:
    """The stream of facts as its supervisor runs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A new process, with its queries running."""
        self._settings.logs.mkdir(parents=True, exist_ok=True)
        with (self._settings.logs / "analytics.log").open("ab") as log:
            program = [sys.executable, str(ROOT / "streaming" / "analytics.py")]
            env = {**os.environ, **environment(self._settings), "PAXTRAIL_SPARK__DRIVER_MEMORY": "768m"}
            self._process = subprocess.Popen(program, env=env, stdout=log, stderr=log, start_new_session=True)
        ready = self._settings.home / "run" / "analytics.ready"
        pid = str(self._process.pid)
        await_ready(lambda: "" if ready.exists() and ready.read_text().split() == [pid] else "no query yet", seconds=240)

    def kill(self) -> None:
        """SIGKILL to driver, JVM and workers at once."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()


class Load:
    """Searches of forty persons in two hours, micro-batch after micro-batch, until it is told to stop."""

    def __init__(self, world: World, at: int) -> None:
        self._world, self._at = world, at
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self.facts = 0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng = random.Random(4)
        while not self._stop.wait(0.25):
            records = [self._world.search(self._at + rng.randrange(2 * HOUR), rng.randrange(40)) for _ in range(25)]
            self._world.write(*records)
            self.facts += len(records)


@pytest.fixture
def world(clean_postgres: Settings, spark: SparkSession, druid: Servers) -> Iterator[World]:
    made = World(clean_postgres, spark, druid)
    yield made
    made.close()


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.proof)])
def test_killed_streams_and_indexers_lose_nothing_and_a_re_index_is_exact(world: World, druid: Servers, kills: int) -> None:
    at = an_hour(11 + kills)
    stream = Stream(world.settings)
    try:
        with Load(world, at) as load:
            stream.start()
            world.await_counted(1, at, 2)
            for number in range(kills):
                time.sleep(random.Random(number).random())  # anywhere in a micro-batch: it is waited for nothing
                stream.kill()
                druid.kill("indexer")
                stream.start()
            druid.await_ready()
        world.await_counted(load.facts, at, 2)
        job = world.cut("a")
        found = reindexing.reindex(job, hour_of(at), hour_of(at + 2 * HOUR), now=now())
        assert (found["facts"], found["served"]) == (load.facts, load.facts)
        assert world.counted(at, 2) == world.expected(job, at, 2)
    finally:
        stream.kill()


def test_an_indexer_killed_while_it_replaces_hours_harms_none_and_a_second_run_makes_them_exact(
    world: World, druid: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = an_hour(25)
    searches = [world.search(at + n, n % 25) for n in range(60)]
    world.write(*searches, world.events.again(searches[0]))
    world.stream()
    world.await_counted(61, at)
    job = world.cut("a")
    killed: list[str] = []
    replace = Druid.replace

    def dying(self: Druid, *arguments: Any, **named: Any) -> str:
        thread = Thread(target=kill)
        thread.start()
        try:
            return replace(self, *arguments, **named)
        finally:
            thread.join()

    def kill() -> None:
        def running() -> str:
            tasks = httpx.get(f"{address}/druid/indexer/v1/runningTasks?datasource={DATASOURCE}", trust_env=False).json()
            killed.extend(task["id"] for task in tasks if task["type"].startswith("index_parallel"))
            return "" if killed else "no task replaces anything yet"

        await_ready(running, seconds=120)
        druid.kill("indexer")

    address = f"http://{world.settings.druid.coordinator_host}:{world.settings.druid.coordinator_port}"
    with monkeypatch.context() as patch:
        patch.setattr(Druid, "replace", dying)
        with suppress(PaxtrailError):  # a task that died with its process has failed: the schedule tries again
            reindexing.reindex(job, hour_of(at), hour_of(at + HOUR), now=now())
    assert killed
    druid.await_ready()
    assert sum(one[0] for one in world.counted(at).values()) in (60, 61)  # all that stood there, or all that replaces it
    found = reindexing.reindex(job, hour_of(at), hour_of(at + HOUR), now=now())
    assert (found["facts"], found["served"]) == (60, 60)
    assert world.counted(at) == world.expected(job, at)
