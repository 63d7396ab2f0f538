"""Freshness as the demo measures it, and the window that keeps the backlog small."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from paxtrail.demo.feed import Feed, Freshness, Watch, summed
from paxtrail.settings import Settings


class Broker:
    """A producer that acknowledges at once, one partition a topic."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}

    def produce(self, topic: str, *, value: bytes, key: bytes, headers: Any, on_delivery: Any) -> None:
        offset = self.offsets.get(topic, 0)
        self.offsets[topic] = offset + 1
        on_delivery(None, SimpleNamespace(partition=lambda: 0, offset=lambda: offset))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return 0


@pytest.fixture
def watch(postgres: Settings) -> Watch:
    return Watch(postgres)  # never started: commits are noted by hand


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def send(feed: Feed, topic: str = "raw.flights") -> None:
    feed.produce(topic, value=b"", key=b"", headers=[], on_delivery=lambda *_: None)


def test_a_record_is_as_old_as_the_first_commit_seen_that_covers_it(watch: Watch, clock: list[float]) -> None:
    feed = Feed(Broker(), watch, part="live")
    for at in (100.0, 101.0, 102.0):
        clock[0] = at
        send(feed)
    watch.note({"raw.flights": {"0": [0, 2]}}, 103.0)
    watch.note({"raw.flights": {"0": [2, 3]}}, 107.0)
    assert feed.freshness("live") == Freshness(3, 3.0, 5.0, 5.0)


def test_what_is_not_committed_has_no_age_and_parts_are_apart(watch: Watch, clock: list[float]) -> None:
    feed = Feed(Broker(), watch, part="history")
    send(feed)
    feed.part = "live"
    send(feed)
    send(feed)
    watch.note({"raw.flights": {"0": [0, 2]}}, 104.0)
    assert feed.freshness("history") == Freshness(1, 4.0, 4.0, 4.0)
    assert feed.freshness("live").records == 1


def test_partitions_do_not_answer_for_each_other(watch: Watch, clock: list[float]) -> None:
    feed = Feed(Broker(), watch, part="live")
    send(feed, "raw.flights")
    send(feed, "raw.baggage")
    watch.note({"raw.baggage": {"0": [0, 1], "1": [5, 5]}}, 101.0)
    assert feed.freshness("live") == Freshness(1, 1.0, 1.0, 1.0)
    assert watch.committed == 1


def test_no_more_than_the_window_is_under_way(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(Broker(), watch, window=2)
    under_way: list[int] = []

    def commit_one(_watch: Watch, _records: int, _seconds: float) -> bool:
        under_way.append(feed.sent - watch.committed)
        watch.note({"raw.flights": {"0": [watch.committed, watch.committed + 1]}}, 0.0)
        return True

    monkeypatch.setattr(Watch, "wait", commit_one)
    for _ in range(5):
        send(feed)
    assert feed.sent == 5
    assert under_way == [2, 2, 2]


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert summed(n / 10 for n in range(1, 101)) == Freshness(100, 5.0, 9.5, 10.0)
    assert summed([]) == Freshness(0, 0.0, 0.0, 0.0)
