"""kill -9 under load: the stream driver at random and between append and commit, the batch run in its fold and in its publication."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from threading import Thread
from typing import cast

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.lane import Sent
from tests.parity.truth import Truth

from paxtrail.adapters import silver
from paxtrail.adapters.batch import differences
from paxtrail.adapters.kafka import raw_topics
from paxtrail.adapters.postgres import dsn
from paxtrail.settings import ROOT, Settings
from paxtrail.simulator.messages import Message
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.replay import producer, replay
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options
from paxtrail.stack.places import environment
from paxtrail.tables.silver import STATES

RATE = 60
PATIENCE_S = 240


@pytest.fixture
def world(clean_postgres: Settings, kafka: Settings) -> Settings:
    return clean_postgres.model_copy(update={"kafka": kafka.kafka})


class Stream:
    """The stream driver as its supervisor runs it: a process that is started again whenever it ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        env = {**os.environ, **environment(self.settings), **variables}
        self.settings.logs.mkdir(parents=True, exist_ok=True)
        with (self.settings.logs / "stream.log").open("ab") as log:
            command = [sys.executable, str(ROOT / "streaming" / "events.py")]
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL to driver, JVM and workers at once."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def ready(self) -> bool:
        """Whether this process, not an earlier one, runs its query."""
        assert self._process is not None
        marker = self.settings.home / "run" / "stream.ready"
        return marker.exists() and marker.read_text().split()[:1] == [str(self._process.pid)]

    def died(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None


@pytest.fixture
def stream(world: Settings) -> Iterator[Stream]:
    started = Stream(world)
    yield started
    started.kill()


def await_(what: Callable[[], object], name: str) -> None:
    """Returns when `what` is true; fails with its name after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {name}"
        time.sleep(0.1)


def received(settings: Settings) -> int:
    with psycopg.connect(dsn(settings, "serving", "postgres")) as connection:
        row = connection.execute("select coalesce(sum(received), 0) from ledger").fetchone()
    return int(row[0]) if row else 0


def sent_to(settings: Settings) -> dict[str, list[Sent]]:
    """Everything the topics hold, as the door saw it. Partitions one after the other: an id always stands in one of them."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "truth", "enable.auto.commit": False})
    log: dict[str, list[Sent]] = defaultdict(list)
    try:
        for topic in raw_topics():
            for partition in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
                start, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
                consumer.assign([TopicPartition(topic, partition, start)])
                for _ in range(end - start):
                    message = consumer.poll(20)
                    assert message is not None and message.error() is None
                    given = cast(list[tuple[str, bytes]], message.headers() or [])
                    headers = {name.lower(): (value or b"").decode() for name, value in given}
                    arrival = message.timestamp()[1] * 1000
                    log[topic].append(Sent(topic.removeprefix("raw."), headers, message.value() or b"", arrival))
    finally:
        consumer.close()
    return log


def simulation(seed: int) -> Simulation:
    options = Options(end_us=int(time.time() * 1e6), seed=seed, limit=8, passengers=4, history_days=3)
    return Simulation(options, Noise(duplicates=0.05, conflicts=0.01, disorder=0.2, late=0.05, broken=0.05))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(2, 8))])
def test_killed_streams_and_batches_leave_exact_counts(world: Settings, stream: Stream, seed: int) -> None:
    random = Random(seed)
    messages = list(simulation(seed).messages())
    quarter = len(messages) // 4
    already = sum(len(log) for log in sent_to(world).values())

    stream.start(PAXTRAIL_STREAM__FAILPOINT="after_append")
    with load(world, messages[:quarter]):
        await_(stream.died, "the death between append and commit")
    for number in (1, 2):
        stream.start()
        await_(stream.ready, "the stream to be ready")
        with load(world, messages[number * quarter : (number + 1) * quarter]):
            time.sleep(random.uniform(0.2, quarter / RATE))  # anywhere within a micro-batch: the place is the point of the test
            stream.kill()
    stream.start()
    truth = Truth(world, {})
    with load(world, messages[3 * quarter :]):
        # In the fold: Delta has the states, PostgreSQL does not have the run.
        with waiting(world, "lock table batch_runs in share mode") as waits:
            kill_once(start(world, "batch", "run", "--run", "killed"), waits)
        [(epoch,)] = truth.sql("select epoch from cuts where run_id = 'killed'")
        assert silver.done(STATES, world) == epoch
        assert truth.sql("select run_id from batch_runs") == []
        # In the publication: bags and flights are published, journeys and what comes after them are not.
        ranges = "insert into publications select 'journey/' || bits || '/0', 0 from generate_series(0, 16) bits"
        with waiting(world, ranges) as waits:
            kill_once(start(world, "batch", "run", "--run", "killed"), waits)
        published = {entity for (entity,) in truth.sql("select distinct entity from publication_counts")}
        assert {"bag", "flight"} <= published and not published & {"journey", "order", "profile", "outcome", "history"}
    await_(lambda: received(world) >= already + len(messages), "every message in the ledger")
    truth.log = sent_to(world)
    truth.check()  # half is published, and nothing is mixed
    assert start(world, "publish", "--run", "killed").wait(PATIENCE_S) == 0, "a killed publication goes on where it was and drifts nothing"
    truth.check()
    counts = differences(world, "killed")
    assert counts["drifted"] == 0 and counts["by"].keys() > published
    assert stream.starts == 4


@contextmanager
def load(settings: Settings, messages: list[Message]) -> Iterator[None]:
    """Messages come in at RATE a second for as long as they last; all are acknowledged at the end."""
    thread = Thread(target=replay, args=(messages, producer(settings.kafka.brokers)), kwargs={"rate": RATE})
    thread.start()
    yield
    thread.join()


@contextmanager
def waiting(settings: Settings, statement: str) -> Iterator[Callable[[], bool]]:
    """Holds what the statement locks; whether the batch layer waits for it. Who waits at the end never gets it: its statement would be
    carried out although its client is dead."""
    address = dsn(settings, "serving", "postgres")
    waits = "from pg_stat_activity where usename = 'batch' and %s = any(pg_blocking_pids(pid))"
    with psycopg.connect(address) as holder, psycopg.connect(address, autocommit=True) as looking:
        holder.execute(statement.encode())
        own = (holder.info.backend_pid,)
        yield lambda: looking.execute(f"select count(*) {waits}".encode(), own).fetchone() != (0,)
        looking.execute(f"select pg_terminate_backend(pid, 10000) {waits}".encode(), own)
        holder.rollback()


def start(settings: Settings, *arguments: str) -> subprocess.Popen[bytes]:
    """A command of the platform, in a process group with the JVM it starts."""
    with (settings.logs / "batch.log").open("ab") as log:
        command = [sys.executable, "-m", "paxtrail.cli.main", *arguments]
        env = {**os.environ, **environment(settings)}
        return subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)


def kill_once(process: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    """SIGKILL to the process and its JVM when it is `there`; fails if it ends before."""
    try:
        await_(lambda: there() or process.poll() is not None, "the place to die at")
        assert process.poll() is None, "it ended before it got there"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
