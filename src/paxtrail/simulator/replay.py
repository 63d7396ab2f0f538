"""Messages sent to the topics `raw.<source>` at the wished pace, with a producer that neither loses nor doubles."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from paxtrail.errors import Unavailable
from paxtrail.simulator.messages import SECOND, Message

PROGRESS_EVERY = 500
PATIENCE_S = 60.0


Report = Callable[[Any, Any], None]


class Producer(Protocol):
    """The part of confluent_kafka.Producer that is used."""

    def produce(self, topic: str, *, value: bytes, key: bytes, headers: list[tuple[str, bytes]], on_delivery: Report) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...


@dataclass(slots=True)
class Progress:
    """How far a replay is: messages handed over, acknowledged, failed; the replay's own clock; seconds since the start."""

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    at_us: int = 0
    seconds: float = 0.0
    behind_s: float = 0.0
    """How much later than wished the last message went."""


def producer(brokers: str) -> Producer:
    """An idempotent producer: every message once and in order per key, acknowledged by all replicas."""
    from confluent_kafka import Producer as KafkaProducer

    made = KafkaProducer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 100_000,
            "message.timeout.ms": 120_000,
            # Told while the replay polls, not from librdkafka's threads: once it is over, a broker that stops is no news.
            "logger": logging.getLogger("paxtrail.producer"),
        }
    )
    return cast(Producer, made)


def replay(
    messages: Iterable[Message],
    producer: Producer,
    *,
    speed_up: float | None = None,
    rate: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] | None = None,
) -> Progress:
    """How it went, after everything was acknowledged; Unavailable if something was not.

    `speed_up` n plays n seconds of the messages' clock in one; `rate` sends that many a second; neither sends as fast as it goes.
    """
    progress = Progress()
    pause = wait or (lambda seconds: _serve(producer, seconds, clock))
    started = clock()
    first: int | None = None

    def acknowledged(error: object, _message: object) -> None:
        if error is None:
            progress.acknowledged += 1
        else:
            progress.failed += 1

    for message in messages:
        first = message.at_us if first is None else first
        due = progress.sent / rate if rate else 0.0
        if speed_up:
            due = (message.at_us - first) / SECOND / speed_up
        ahead = due - (clock() - started)
        if ahead > 0.002:
            pause(ahead)
        progress.behind_s = max(0.0, -ahead) if due else 0.0
        _hand_over(producer, message, acknowledged)
        progress.sent += 1
        progress.at_us = message.at_us
        if progress.sent % PROGRESS_EVERY == 0:
            producer.poll(0)
            progress.seconds = clock() - started
            if on_progress:
                on_progress(progress)
    left = producer.flush(PATIENCE_S)
    progress.seconds = clock() - started
    if on_progress:
        on_progress(progress)
    if left or progress.failed:
        raise Unavailable(f"the broker did not acknowledge {left + progress.failed} of {progress.sent} messages")
    return progress


def _hand_over(producer: Producer, message: Message, acknowledged: Report) -> None:
    headers = [(name, value.encode()) for name, value in message.headers.items()]
    topic = f"raw.{message.source}"
    while True:
        try:
            producer.produce(topic, value=message.body, key=message.key.encode(), headers=headers, on_delivery=acknowledged)
        except BufferError:  # the local queue is full: let the broker catch up
            producer.poll(0.1)
        else:
            return


def _serve(producer: Producer, seconds: float, clock: Callable[[], float]) -> None:
    """Wait while delivery reports come in."""
    until = clock() + seconds
    while (left := until - clock()) > 0:
        if producer.poll(min(left, 0.2)) == 0 and left < 0.001:
            return
