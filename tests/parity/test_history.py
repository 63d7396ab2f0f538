"""Batch, stream and serving agree on one history, in any order and pieces, whatever dies in between (invariants 1 to 5, 8, 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession
from tests.parity.stories import END, Crash, Story, history

from paxtrail.adapters import serving_store, speed_layer, spread
from paxtrail.settings import Settings

ALL_HERE, ALL_SPREAD = 1_000_000, 0


def settings_with(settings: Settings, spread_above: int) -> Settings:
    return settings.model_copy(update={"stream": settings.stream.model_copy(update={"spread_above_rows": spread_above})})


@pytest.fixture
def seed() -> int:
    """Seed of the history and of how it is told, where the test has none of its own."""
    return 1


@pytest.fixture
def story(clean_postgres: Settings, spark: SparkSession, seed: int) -> Iterator[Story]:
    told = Story(settings_with(clean_postgres, ALL_HERE), spark, seed=seed)
    yield told
    told.close()


SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(2, 8))]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_and_pieces_give_the_state_of_one_fold(story: Story, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    told = history(seed)
    first = story.random.randrange(len(told) // 5, len(told) // 2)
    second = story.random.randrange(first + 30, len(told) - 10)
    story.tell(told[:first])
    story.crash(told[first : first + 10], "before_append", monkeypatch)
    story.crash(told[first + 10 : first + 20], "after_append", monkeypatch)
    story.crash(told[first + 20 : first + 30], "after_commit", monkeypatch)
    assert story.run_batch(full=True)["drifted"] == 0
    story.tell(told[first + 30 : second])
    story.truth.check()
    story.crash(told[second : second + 10], "after_append", monkeypatch, lose_checkpoint=True)
    story.run_batch(full=False, publish=False)  # its publication comes late, after the stream went on
    story.tell(told[second + 10 :])
    story.truth.check()
    assert story.publish("run-1")["drifted"] == 0
    assert story.publish("run-0")["drifted"] == 0, "an older run published again must do nothing"
    story.truth.check()
    assert story.run_batch(full=False, cut_time=END)["drifted"] == 0
    assert story.publish("run-2")["published"] == 0, "published twice does nothing"
    story.truth.check()
    incremental = story.silver()
    again = story.run_batch(full=True, cut_time=END)
    assert (again["drifted"], again["healed"]) == (0, 0)
    assert story.silver() == incremental


@pytest.mark.parametrize("seed", [3, *SEEDS[1:]])
def test_parts_in_the_executors_give_the_same(
    clean_postgres: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    story = Story(settings_with(clean_postgres, ALL_SPREAD), spark, seed=seed)
    try:
        told = history(seed, flights=1)
        cut = story.random.randrange(len(told) // 4, len(told) // 2)
        story.tell(told[:cut])
        assert story.run_batch(full=True)["drifted"] == 0
        with monkeypatch.context() as patch:
            patch.setattr(spread, "ROWS_PER_PART", 4)
            patch.setattr(spread, "_writer", _of_even_parts(spread._writer))
            patch.setattr(spread, "end", _dies)
            with pytest.raises(Crash):
                story.lane.batch(told[cut : cut + 15])
        assert parts(story) == {0, 2, 4}
        story.lane.restart()  # it would make two parts of them by now, and goes on with the four it began
        assert parts(story) == {-1, 0, 1, 2, 3, 4}
        story.truth.check()
        last = story.random.randrange(cut + 15, len(told) - 5)
        story.tell(told[cut + 15 : last])
        with monkeypatch.context() as patch:
            patch.setattr(spread, "end", _dies)
            with pytest.raises(Crash):
                story.lane.batch(told[last:])
        story.lane.settings = settings_with(clean_postgres, ALL_HERE)  # the threshold changed while it was down
        story.lane.restart()
        story.truth.check()
        assert story.run_batch(full=False)["drifted"] == 0
        story.truth.check()
    finally:
        story.close()


def _of_even_parts(writer: Callable[..., Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]]) -> Callable[..., Any]:
    """As if the executors that had the odd parts had died."""

    def made(*args: Any) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
        write = writer(*args)

        def some(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return write(batch.filter(pc.equal(pc.bit_wise_and(batch["part"], 1), 0)) for batch in batches)

        return some

    return made


def parts(story: Story) -> set[int]:
    """Parts of the newest micro-batch that are committed."""
    return {part for (part,) in story.truth.sql("select part from stream_commit where seq = (select max(seq) from seqs)")}


@pytest.mark.parametrize("threshold", [ALL_HERE, ALL_SPREAD])
def test_a_micro_batch_whose_records_do_not_add_up_does_not_commit(clean_postgres: Settings, spark: SparkSession, threshold: int) -> None:
    story = Story(settings_with(clean_postgres, threshold), spark, seed=8)
    try:
        ranges = story.lane.send(history(8, flights=1)[:20])
        with pytest.raises(AssertionError, match="20 records in its offset ranges"):
            story.lane.layer.process(story.lane.frame(ranges).where("offset > 0"), 1, ranges)
        assert [story.truth.sql(f"select count(*) from {table}") for table in ("stream_commit", "ledger", "states")] == [[(0,)]] * 3
        assert story.truth.bronze_ids() == []
        story.lane.run(ranges)
        story.truth.check()
    finally:
        story.close()


@pytest.mark.proof
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


def test_what_a_torn_disk_took_from_delta_is_appended_again_once(story: Story) -> None:
    told = history(7, flights=1)
    story.tell(told[: len(told) // 2])
    lane = story.lane
    lane.batch(told[len(told) // 2 :])
    committed = story.truth.sql("select lane, seq, epoch, offsets::text from stream_commit order by seq")
    before = set(story.truth.bronze_ids())
    log = Path(lane.layer.events.path(story.settings.lake).removeprefix("file://")) / "_delta_log"
    torn = max(log.glob("*.json"))
    # Cut between two lines it is still JSON: what was added is there, what says that it was is not.
    torn.write_bytes(b"\n".join(torn.read_bytes().splitlines()[:-1]) + b"\n")
    lane.restart()
    assert torn.with_suffix(".torn").exists() and len(story.truth.bronze_ids()) == len(before)
    assert set(story.truth.bronze_ids()) == before
    story.truth.check()
    assert story.truth.sql("select lane, seq, epoch, offsets::text from stream_commit order by seq") == committed
    assert lane.layer.recover(lane.frame) == 0
    assert story.run_batch(full=True)["drifted"] == 0


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
