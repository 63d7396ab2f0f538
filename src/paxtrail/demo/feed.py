"""The replay as seen from outside: what was handed to the broker when, and when a reader of the serving store saw it committed."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg

from paxtrail.adapters.postgres import dsn
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings
from paxtrail.simulator.replay import Producer, Report

EVERY_S = 0.05
"""How often commits are looked for: freshness is measured to the next look, so it is never flattered."""
STALLED_S = 120.0
METHOD = (
    "each record, from handing it to the Kafka producer until another session sees the commit of its micro-batch"
    f" in PostgreSQL (looked for every {EVERY_S * 1000:.0f} ms)"
)
_COMMITS = "select lane, seq, offsets from stream_commit where part = -1 and (lane, seq) > (%s, %s) order by lane, seq"


class Seen(NamedTuple):
    """Offsets of a partition up to `until` were seen committed at `at` (seconds of the monotonic clock)."""

    until: int
    at: float


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from produced to visible, over `records` of them."""

    records: int
    p50_s: float
    p95_s: float
    longest_s: float


class Watch:
    """Follows the stream's commits from a session of its own, in a thread."""

    def __init__(self, settings: Settings, every_s: float = EVERY_S) -> None:
        self._address = dsn(settings, "serving", "api")
        self._every_s = every_s
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.committed = 0
        self.seen: defaultdict[tuple[str, int], list[Seen]] = defaultdict(list)
        self.broken: str = ""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with psycopg.connect(self._address, autocommit=True) as connection:
                last: tuple[str, int] = ("", 0)
                while not self._stop.wait(self._every_s):
                    for lane, seq, offsets in connection.execute(_COMMITS, last).fetchall():
                        self.note(offsets, time.monotonic())
                        last = lane, seq
        except psycopg.Error as error:
            with self._changed:
                self.broken = type(error).__name__
                self._changed.notify_all()

    def note(self, offsets: dict[str, dict[str, list[int]]], at: float) -> None:
        """These offset ranges [from, until) were seen committed at `at`."""
        with self._changed:
            for topic, partitions in offsets.items():
                for partition, (since, until) in partitions.items():
                    if until > since:
                        self.seen[topic, int(partition)].append(Seen(until, at))
                        self.committed += until - since
            self._changed.notify_all()

    def wait(self, records: int, seconds: float) -> bool:
        """Whether so many records were seen committed within this time."""
        with self._changed:
            found = self._changed.wait_for(lambda: bool(self.broken) or self.committed >= records, seconds)
        if self.broken:
            raise Unavailable(f"the serving store does not answer: {self.broken}")
        return found

    def settle(self, records: int, on_wait: Callable[[int], None] = lambda _: None) -> None:
        """Returns once so many records were seen committed; Unavailable if the stream does not move for two minutes."""
        before, since = self.committed, time.monotonic()
        while not self.wait(records, 1.0):
            on_wait(self.committed)
            if self.committed > before:
                before, since = self.committed, time.monotonic()
            elif time.monotonic() - since > STALLED_S:
                raise Unavailable(f"the stream committed {before} of {records} records and then nothing for {STALLED_S:.0f} s")


@dataclass(slots=True)
class Feed:
    """A producer that notes when each record was handed over, and lets no more than `window` be under way (None: no limit)."""

    producer: Producer
    watch: Watch
    window: int | None = None
    part: str = ""
    """What the records sent now are counted as (history, live)."""
    sent: int = 0
    _produced: defaultdict[tuple[str, int], list[tuple[int, float, str]]] = field(default_factory=lambda: defaultdict(list))

    def produce(self, topic: str, *, value: bytes, key: bytes, headers: list[tuple[str, bytes]], on_delivery: Report) -> None:
        """As the producer does; waits while the window is full."""
        while self.window is not None and self.sent - self.watch.committed >= self.window:
            self.producer.poll(0)
            self.watch.wait(self.sent - self.window + 1, 0.2)
        at, part = time.monotonic(), self.part

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                self._produced[topic, message.partition()].append((message.offset(), at, part))
            on_delivery(error, message)

        self.producer.produce(topic, value=value, key=key, headers=headers, on_delivery=delivered)
        self.sent += 1

    def poll(self, timeout: float) -> int:
        return self.producer.poll(timeout)

    def flush(self, timeout: float) -> int:
        return self.producer.flush(timeout)

    def freshness(self, *parts: str) -> Freshness:
        """How long the records of these parts took to be visible; those not yet committed do not count."""
        ages: list[float] = []
        for place, produced in self._produced.items():
            seen = sorted(self.watch.seen.get(place, ()))
            bounds = [one.until for one in seen]
            for offset, at, of in produced:
                if of in parts and (index := bisect_right(bounds, offset)) < len(seen):
                    ages.append(seen[index].at - at)
        return summed(ages)


def summed(ages: Iterable[float]) -> Freshness:
    """Percentiles (nearest rank) of these ages in seconds; all zero if there are none."""
    ordered = sorted(ages)
    if not ordered:
        return Freshness(0, 0.0, 0.0, 0.0)

    def rank(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 3)

    return Freshness(len(ordered), rank(0.50), rank(0.95), round(ordered[-1], 3))
