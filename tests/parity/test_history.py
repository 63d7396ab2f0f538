"""Batch, stream and serving agree on one history, in any order and pieces, whatever dies in between (invariants 1 to 5, 8, 10)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from tests.parity.stories import Crash, Story, history

from paxtrail.adapters import serving_store, speed_layer, spread
from paxtrail.settings import Settings

ALL_HERE, ALL_SPREAD = 1_000_000, 0


def settings_with(settings: Settings, spread_above: int) -> Settings:
    return settings.model_copy(update={"stream": settings.stream.model_copy(update={"spread_above_rows": spread_above})})


@pytest.fixture
def story(clean_postgres: Settings, spark: SparkSession) -> Iterator[Story]:
    told = Story(settings_with(clean_postgres, ALL_HERE), spark, seed=1)
    yield told
    told.close()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(2, 8))])
def test_any_order_and_pieces_give_the_state_of_one_fold(story: Story, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    told = history(seed)
    third = len(told) // 3
    story.tell(told[:third])
    story.crash(told[third : third + 20], "before_append", monkeypatch)
    story.crash(told[third + 20 : third + 40], "after_append", monkeypatch)
    story.crash(told[third + 40 : third + 60], "after_commit", monkeypatch)
    assert story.run_batch(full=True)["drifted"] == 0
    story.tell(told[third + 60 : 2 * third])
    story.truth.check()
    story.crash(told[2 * third : 2 * third + 20], "after_append", monkeypatch, lose_checkpoint=True)
    story.run_batch(full=False, publish=False)  # its publication comes late, after the stream went on
    story.tell(told[2 * third + 20 :])
    story.truth.check()
    assert story.publish("run-1")["drifted"] == 0
    assert story.publish("run-0")["drifted"] == 0, "an older run published again must do nothing"
    story.truth.check()
    assert story.run_batch(full=False)["drifted"] == 0
    assert story.publish("run-2")["published"] == 0, "published twice does nothing"
    story.truth.check()


def test_parts_in_the_executors_give_the_same(clean_postgres: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(settings_with(clean_postgres, ALL_SPREAD), spark, seed=3)
    try:
        told = history(3, flights=1)
        half = len(told) // 2
        story.lane.batch(told[:half])
        assert story.run_batch(full=True)["drifted"] == 0
        with monkeypatch.context() as patch:
            patch.setattr(spread, "end", _dies)
            ranges = story.lane.send(told[half:])
            with pytest.raises(Crash):
                story.lane.run(ranges)
        story.lane.settings = settings_with(clean_postgres, ALL_HERE)  # the threshold changed while it was down
        story.lane.restart()
        story.truth.check()
        assert story.run_batch(full=False)["drifted"] == 0
        story.truth.check()
    finally:
        story.close()


def test_duplicates_older_than_the_horizon_heal_at_the_next_cut(story: Story) -> None:
    told = history(4, flights=1)
    story.tell(told)
    story.run_batch(full=True)
    story.forget_claims()
    story.tell(told[: len(told) // 2])
    counts = story.run_batch(full=False)
    assert counts["healed"] > 0 and counts["drifted"] == 0
    expected = {row["event_id"] for row in story.truth.rows()}
    assert set(story.truth.bronze_ids()) == expected
    full = story.run_batch(full=True)
    assert full["drifted"] == full["healed"] == 0


def test_served_before_it_is_in_bronze_would_be_noticed(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of `PostgreSQL commits last`: it does not wait for Delta."""
    real = serving_store.commit
    told = history(5, flights=1)
    story.tell(told[:50])
    with monkeypatch.context() as patch:
        patch.setattr(speed_layer.SpeedLayer, "_append", _dies)
        patch.setattr("paxtrail.adapters.speed_layer.commit", lambda c, batch, tables, _appended: real(c, batch, tables, lambda: None))
        story.lane.run(story.lane.send(told[50:100]))
    with pytest.raises(AssertionError):
        story.truth.check()


def test_claims_without_their_position_would_be_noticed(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of the claim's position check: a replay finds its own records to be duplicates and loses them."""
    told = history(6, flights=1)
    story.tell(told[:50])
    story.crash(told[50:80], "before_append", monkeypatch)
    story.truth.check()
    with monkeypatch.context() as patch:
        ranges = story.lane.send(told[80:110])
        patch.setattr(speed_layer.SpeedLayer, "_append", _dies)
        with pytest.raises(Crash):
            story.lane.run(ranges)
    # What the mutant would do to the replay: every claim that is there counts as another's.
    with story.serving_as_owner() as connection:
        connection.execute('update seen set "offset" = "offset" + 1000000')
    story.lane.restart()
    with pytest.raises(AssertionError):
        story.truth.check()


def _dies(*_: object, **__: object) -> None:
    raise Crash
