"""Replays: pace by the messages' clock or by a rate, every message handed over once, failures reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer as KafkaProducer

from paxtrail.errors import Unavailable
from paxtrail.simulator import load
from paxtrail.simulator.messages import SECOND, Message
from paxtrail.simulator.replay import Progress, producer, replay

START = 1_795_348_800_000_000


class Broker:
    """A producer that keeps what it is given, refuses while its queue is full, and loses what it is told to lose."""

    def __init__(self, *, queue: int = 1000, lose: int = 0) -> None:
        self.sent: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]] = []
        self.waiting: list[Callable[[Any, Any], None]] = []
        self.queue, self.lose = queue, lose

    def produce(
        self, topic: str, *, value: bytes, key: bytes, headers: list[tuple[str, bytes]], on_delivery: Callable[[Any, Any], None]
    ) -> None:
        if len(self.waiting) >= self.queue:
            raise BufferError
        self.sent.append((topic, value, key, headers))
        self.waiting.append(on_delivery)

    def poll(self, timeout: float) -> int:
        served = len(self.waiting)
        for report in self.waiting:
            self.lose -= 1
            report("lost" if self.lose >= 0 else None, None)
        self.waiting.clear()
        return served

    def flush(self, timeout: float) -> int:
        self.poll(timeout)
        return 0


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def messages() -> list[Message]:
    return list(load.messages(100, 20, 500, 1, start_us=START))


def test_a_speed_up_plays_the_messages_clock_faster(messages: list[Message]) -> None:
    clock = Clock()
    progress = replay(messages, Broker(queue=10_000), speed_up=10, clock=clock, wait=clock.wait)
    assert clock.now - 100.0 == pytest.approx((messages[-1].at_us - START) / SECOND / 10, abs=0.003)
    assert (progress.sent, progress.acknowledged, progress.failed) == (2000, 2000, 0)


def test_a_rate_sends_that_many_a_second_whatever_the_messages_clock(messages: list[Message]) -> None:
    clock = Clock()
    replay(messages, Broker(queue=10_000), rate=400, clock=clock, wait=clock.wait)
    assert clock.now - 100.0 == pytest.approx(1999 / 400, abs=0.003)


def test_without_a_pace_nothing_waits(messages: list[Message]) -> None:
    clock = Clock()
    replay(messages, Broker(), clock=clock, wait=clock.wait)
    assert clock.waits == []


def test_a_full_queue_delays_and_loses_nothing(messages: list[Message]) -> None:
    broker = Broker(queue=7)
    progress = replay(messages, broker)
    assert [value for _, value, _, _ in broker.sent] == [message.body for message in messages]
    assert progress.acknowledged == 2000


def test_messages_go_to_their_topic_with_key_and_headers(messages: list[Message]) -> None:
    broker = Broker()
    replay(messages[:1], broker)
    topic, value, key, headers = broker.sent[0]
    first = messages[0]
    assert (topic, value, key) == (f"raw.{first.source}", first.body, first.key.encode())
    assert dict(headers) == {name: text.encode() for name, text in first.headers.items()}


def test_what_the_broker_loses_is_told(messages: list[Message]) -> None:
    with pytest.raises(Unavailable, match="3 of 2000"):
        replay(messages, Broker(lose=3))


def test_progress_is_told_on_the_way_and_at_the_end(messages: list[Message]) -> None:
    told: list[int] = []

    def note(progress: Progress) -> None:
        told.append(progress.sent)

    replay(messages, Broker(), on_progress=note)
    assert told == [500, 1000, 1500, 2000, 2000]


def test_the_real_producer_speaks_to_a_broker(messages: list[Message]) -> None:
    mock = KafkaProducer({"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1})
    address = next(iter(mock.list_topics(timeout=30).brokers.values()))
    progress = replay(messages[:200], producer(f"{address.host}:{address.port}"))
    assert progress.acknowledged == 200
