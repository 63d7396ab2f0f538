"""Druid against silver: as facts come it may count too much, after a re-index it counts exactly what silver has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.druid_servers import HOUR, Servers, an_hour
from tests.parity.facts import World, now

from paxtrail.adapters import reindexing
from paxtrail.errors import BadRequest, Unavailable
from paxtrail.settings import Settings
from paxtrail.tables.silver import EVENTS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def world(clean_postgres: Settings, spark: SparkSession, druid: Servers) -> Iterator[World]:
    made = World(clean_postgres, spark, druid)
    yield made
    made.close()


def hour_of(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)


def test_a_re_index_makes_closed_hours_what_silver_has_and_again_the_same(world: World) -> None:
    at = an_hour(3)
    searches = [world.search(at + n, n % 25, airport="EWR" if n % 3 else "JFK") for n in range(60)]
    flights = [world.departure(at + HOUR + n, 100 + n % 8, late=n) for n in range(20)]
    world.write(*searches, *flights)
    world.write(*(world.events.again(record) for record in searches[:10]))  # older than the claims' horizon: the door let them in again
    world.stream()
    world.await_counted(90, at, 2)
    assert sum(one[0] for one in world.counted(at, 2).values()) == 90
    job = world.cut("a")
    found = reindexing.reindex(job, hour_of(at), hour_of(at + 2 * HOUR), now=now())
    assert (found["facts"], found["served"]) == (80, 80)
    assert world.counted(at, 2) == world.expected(job, at, 2)
    assert {key[1:]: one for key, one in world.counted(at, 2).items()} == {
        ("searched", "EWR"): (40, 0, 25, 0),
        ("searched", "JFK"): (20, 0, 20, 0),
        ("departed", "EWR"): (20, 190, 0, 8),
    }
    again = reindexing.reindex(job, hour_of(at), hour_of(at + 2 * HOUR), now=now())
    assert again | {"task": ""} == found | {"task": ""}
    assert world.counted(at, 2) == world.expected(job, at, 2)


def test_an_hour_of_which_silver_has_nothing_becomes_empty_and_its_neighbours_stay(world: World) -> None:
    at = an_hour(5)
    world.write(*(world.search(at + hour * HOUR, 1) for hour in range(3)))
    world.stream()
    world.await_counted(3, at, 3)
    job = world.cut("a")
    job.spark.sql(f"DELETE FROM delta.`{EVENTS.path(world.settings.lake)}` WHERE event_time = {at + HOUR}")
    found = reindexing.reindex(job, hour_of(at + HOUR), hour_of(at + 2 * HOUR), now=now())
    assert (found["facts"], found["served"]) == (0, 0)
    assert sorted(key[0] for key in world.counted(at, 3)) == [at // 1000, (at + 2 * HOUR) // 1000]


def test_what_comes_after_the_re_index_is_counted_beside_it(world: World) -> None:
    at = an_hour(7)
    world.write(world.search(at, 1), world.search(at, 2))
    world.stream()
    job = world.cut("a")
    reindexing.reindex(job, hour_of(at), hour_of(at + HOUR), now=now())
    world.write(world.search(at + 1, 3))
    world.stream()
    world.await_counted(3, at)
    assert world.counted(at) == {(at // 1000, "searched", "EWR"): (3, 0, 3, 0)}


def test_hours_that_were_open_at_the_cut_or_whose_key_is_gone_are_refused(world: World) -> None:
    world.write(world.search(an_hour(1), 1))
    job = world.cut("a")
    this = hour_of(an_hour(0))
    for since, until, says in (
        (this, this.replace(year=this.year + 1), "open at the cut"),
        (this, this, "--from must lie before --to"),
        (this.replace(year=2013), this, "the key of their quarter is gone"),
    ):
        with pytest.raises(BadRequest, match=says):
            reindexing.reindex(job, since, until, now=now())


def test_a_re_index_waits_for_the_stream_to_pass_the_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = an_hour(9)
    world.write(world.search(at, 1))
    world.stream()
    world.write(world.search(at, 2))
    job = world.cut("a")
    monkeypatch.setattr(reindexing, "_PATIENCE_S", 0.0)
    with pytest.raises(Unavailable, match="paxtrail up analytics"):
        reindexing.reindex(job, hour_of(at), hour_of(at + HOUR), now=now())


def test_text_that_names_no_hour_is_refused() -> None:
    assert reindexing.hour("2026-11-22T10") == datetime(2026, 11, 22, 10, tzinfo=UTC)
    with pytest.raises(BadRequest, match="expected one like"):
        reindexing.hour("2026-11-22")
