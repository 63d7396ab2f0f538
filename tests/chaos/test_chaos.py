"""Chaos: load, batch runs and readers, while parts are killed at random, stand still, or find their disk full, read-only or torn.

Afterwards everything is what one fold of what was sent gives. `make chaos` takes most of an hour; a short one with a fixed seed runs in CI.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.chaos.faults import KILLED, OTHERS, Clock, Faults
from tests.chaos.watching import Batches, Reader
from tests.kill.test_kills import sent_to
from tests.parity.truth import Truth

from paxtrail.adapters.batch import differences
from paxtrail.adapters.kafka import raw_topics
from paxtrail.benchmark.stacks import Stack, stack
from paxtrail.settings import Settings
from paxtrail.simulator.messages import Message
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.replay import Producer, producer, replay
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options
from paxtrail.stack.parts import parts
from paxtrail.stack.processes import await_ready

RATE = 40
"""Records a second: the machine also starts everything again all the time."""
PATIENCE_S = 420.0
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]


@dataclass(slots=True)
class Wrong:
    """A producer whose clock can be wrong: the time of arrival is the producer's (Kafka's CreateTime)."""

    real: Any
    clock: Clock

    def produce(self, topic: str, **record: Any) -> None:
        offset = {"timestamp": int(time.time() * 1000) + self.clock.offset_ms} if self.clock.offset_ms else {}
        self.real.produce(topic, **record, **offset)

    def poll(self, timeout: float) -> int:
        return int(self.real.poll(timeout))

    def flush(self, timeout: float) -> int:
        return int(self.real.flush(timeout))


class Load(threading.Thread):
    """Records at a steady pace until it is told to stop, each acknowledged at last."""

    def __init__(self, settings: Settings, seed: int, clock: Clock, count: int) -> None:
        super().__init__(name="load", daemon=True)
        self._ended = threading.Event()
        self._producer: Producer = Wrong(producer(settings.kafka.brokers), clock)
        options = Options(end_us=int(time.time() * 1e6), seed=seed, limit=count // 60 + 1, passengers=6, history_days=3)
        self._messages = Simulation(options, Noise(duplicates=0.05, conflicts=0.01, disorder=0.2, late=0.05, broken=0.05)).messages()
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            replay(self._until_stopped(), self._producer, rate=RATE)
        except BaseException as error:  # told to whoever waits for the load
            self.failed = error

    def stop(self) -> None:
        self._ended.set()
        self.join()
        if self.failed is not None:
            raise self.failed

    def _until_stopped(self) -> Iterator[Message]:
        for message in self._messages:
            if self._ended.is_set():
                return
            yield message


class Told(Truth):
    """What is served, where a relay empties the outbox into its topic."""

    def check_outbox(self, customers: set[str]) -> None:
        told: dict[str, int] = {}
        for text in _values(self.settings, "out.profiles"):
            event = orjson.loads(text)
            data = event.get("data", event)
            told[data["id"]] = max(told.get(data["id"], 0), int(data["version"]))
        versions = dict(self.sql("select key, version from versions where entity = 'customer'"))
        assert told == versions
        assert customers <= told.keys()


def _values(settings: Settings, topic: str) -> Iterator[bytes]:
    consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "told", "enable.auto.commit": False})
    try:
        for partition in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
            start, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
            consumer.assign([TopicPartition(topic, partition, start)])
            while consumer.position([TopicPartition(topic, partition)])[0].offset < end:
                message = consumer.poll(20)
                assert message is not None and message.error() is None
                yield message.value() or b""
    finally:
        consumer.close()


def test_whatever_happens_everything_is_what_one_fold_of_what_was_sent_gives(request: pytest.FixtureRequest) -> None:
    minutes: float = request.config.getoption("--chaos-minutes")
    seed: int = request.config.getoption("--chaos-seed")
    print(f"chaos: seed {seed}, {minutes} minutes")
    random = Random(seed)
    with stack() as place:
        settings, clock = place.settings, Clock()
        load, reader, batches = Load(settings, seed, clock, int(minutes * 60 * RATE)), Reader(settings, Random(seed)), Batches(settings)
        faults = Faults(place, random, clock, batches.current)
        for thread in (load, reader, batches):
            thread.start()
        try:
            _unleash(faults, random, until=time.monotonic() + minutes * 60)
        finally:
            faults.heal()
        load.stop()
        _await_all(place)
        batches.stop()
        reader.stop()
        print(f"chaos: {dict(Counter(faults.done))}; batch runs {len(batches.runs)}; reads {dict(reader.answers)}")
        truth = Told(settings, sent_to(settings))
        truth.check()
        assert reader.wrong == []
        assert reader.answers["200"] > 100 * minutes
        assert batches.drifted == 0 and all(differences(settings, run)["drifted"] == 0 for run in batches.runs)
        assert batches.runs and (minutes < 30 or faults.kills >= 60)


def _unleash(faults: Faults, random: Random, until: float) -> None:
    """One after the other, each kind as soon as possible again after all others; kills may hit what has not come back yet."""
    bag: list[str] = []
    while time.monotonic() < until:
        if not bag:
            bag = [*KILLED * 3, *OTHERS]
            random.shuffle(bag)
        name = bag.pop()
        if faults.befall(name):
            print(f"chaos: {name}", flush=True)
            time.sleep(random.uniform(2, 25))
        else:
            time.sleep(0.5)


def _await_all(place: Stack) -> None:
    """Every part is healthy, and every record is in the ledger."""
    settings, truth = place.settings, Truth(place.settings, {})
    for part in parts(settings):
        if part.program is not None and part.name in place.first:
            await_ready(lambda part=part: part.problem(settings, place.pids().get(part.name, 0)), seconds=180)  # type: ignore[misc]  # bound at once
    sent = sum(len(log) for log in sent_to(settings).values())
    assert raw_topics()

    def missing() -> str:
        ((received,),) = truth.sql("select coalesce(sum(received), 0) from ledger")
        ((waiting,),) = truth.sql("select count(*) from outbox")
        return "" if received == sent and not waiting else f"{received} of {sent} records are in the ledger, {waiting} rows in the outbox"

    await_ready(missing, seconds=PATIENCE_S, every=1)
