"""Several lanes give what one gives: interleaved, at the same time, with sources that move between them (invariants 1 to 5, 8, 10)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession
from tests.parity.bronze import Events
from tests.parity.bronze import Row as Bronze
from tests.parity.stories import Story, history

from paxtrail.adapters import configuration, kafka, keyring, lanes, speed_layer
from paxtrail.adapters.cuts import cut_of, open_cut
from paxtrail.adapters.lanes import tables
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.rebuilding import fill
from paxtrail.adapters.reprocessing import Reprocessing
from paxtrail.adapters.serving_store import SESSION, Batch, commit, current_epoch, mint_seq
from paxtrail.adapters.vault import Vault
from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings
from paxtrail.tables import bronze

OPERATIONS = ("flights", "baggage", "checkin")
CUSTOMER = tuple(source for source in SOURCES if source not in OPERATIONS)


@pytest.fixture
def two_lanes(clean_postgres: Settings) -> Settings:
    return clean_postgres.model_copy(update={"lanes": {"operations": OPERATIONS, "customer": CUSTOMER}})


@pytest.fixture
def story(two_lanes: Settings, spark: SparkSession) -> Iterator[Story]:
    told = Story(two_lanes, spark, seed=21)
    yield told
    told.close()


@pytest.mark.proof
def test_two_lanes_with_crashes_and_cuts_give_the_state_of_one_fold(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    told = history(21, flights=1)
    third = len(told) // 3
    story.tell(told[:third])
    story.crash(told[third : third + 20], "before_append", monkeypatch)
    story.crash(told[third + 20 : third + 40], "after_append", monkeypatch)
    assert story.run_batch(full=True)["drifted"] == 0
    story.truth.check()
    story.crash(told[third + 40 : third + 60], "after_commit", monkeypatch, lose_checkpoint=True)
    story.tell(told[third + 60 :])
    assert story.run_batch(full=False)["drifted"] == 0
    story.truth.check()
    assert set(tables(bronze.EVENTS, story.settings)) == {"operations", "customer"}


def test_lanes_at_the_same_time_beside_a_batch_run_give_the_state_of_one_fold(story: Story) -> None:
    told = history(22, flights=1)
    half = len(told) // 2
    with story.telling(told[:half]):
        assert story.run_batch(full=True)["drifted"] == 0
    with story.telling(told[half:]):
        pass
    story.truth.check()
    assert story.run_batch(full=False)["drifted"] == 0
    story.truth.check()


def test_a_source_moves_to_another_lane_and_back_and_nothing_is_lost_or_doubled(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    told = history(23, flights=1)
    quarter = len(told) // 4
    story.tell(told[:quarter])
    story.run_batch(full=True)
    # The old lane dies with a micro-batch of the source that moves; the new one must not read that again.
    unfinished = [record for record in told[quarter : 2 * quarter] if record.source in OPERATIONS]
    story.dies(story.lanes["operations"], unfinished, "before_append", monkeypatch)
    story.restart(operations=("flights",), customer=(*CUSTOMER, "baggage", "checkin"))
    story.tell([record for record in told[quarter : 2 * quarter] if record.source not in OPERATIONS])
    story.truth.check()
    story.tell(told[2 * quarter : 3 * quarter])
    story.restart(operations=OPERATIONS, customer=CUSTOMER)
    story.tell(told[3 * quarter :])
    assert story.run_batch(full=False)["drifted"] == 0
    story.truth.check()


def test_a_retired_lane_is_finished_by_another_and_is_read_on(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    told = history(24, flights=1)
    half = len(told) // 2
    story.tell(told[:half])
    lane = story.lanes["operations"]
    story.dies(lane, [record for record in told[half:] if record.source in OPERATIONS], "after_append", monkeypatch)
    story.restart(operations=(), all=(*OPERATIONS, *CUSTOMER), customer=())
    with monkeypatch.context() as patch:
        patch.setattr(kafka, "records", lambda _spark, _settings, ranges: lane.frame(ranges))
        assert speed_layer.finish_retired(story.settings, story.spark, story.lanes["all"].layer.connection) == 1
    story.tell([record for record in told[half:] if record.source not in OPERATIONS])
    assert story.run_batch(full=False)["drifted"] == 0
    assert set(cut_of(story.serving, "run-0").lanes) == {"operations", "customer", "all", lanes.REVISIONS}
    story.truth.check()
    with closing(Vault(dsn(story.settings, "vault", "stream"), keyring.load(story.settings))) as vault:
        work = Reprocessing(story.settings, story.spark, story.serving, vault, configuration.schemas(story.settings.conf))
        counts = work.run("baggage")
    assert counts["records"] == counts["unchanged"] > 0


def test_an_empty_store_is_filled_from_every_lane(story: Story) -> None:
    told = history(25, flights=1)
    story.tell(told)
    story.run_batch(full=True)
    before, ends = story.truth.served(), set(story.truth.sql("select topic, partition, until from numbered"))
    with story.serving_as_owner() as owner:
        owner.execute("truncate states, links, relations, edges, timeline, versions, seen, seqs, numbered, stream_commit, cuts, batch_runs")
        owner.execute("truncate publications, publication_counts, outbox, epochs")
        owner.execute("insert into epochs (epoch) values (1)")
    assert fill(story.settings, story.spark, story.serving, "again")["publication"]["drifted"] == 0
    assert story.truth.served() == before
    # A duplicate at the end of a topic leaves nothing in bronze: it is read again, and is one again.
    assert {at[:2] for at in story.truth.sql("select topic, partition from numbered")} <= {at[:2] for at in ends}


def test_a_lane_with_data_that_is_not_named_stops_cuts_and_streams(story: Story) -> None:
    story.tell(history(26, flights=1)[:30])
    forgetful = story.settings.model_copy(update={"lanes": {"main": (*OPERATIONS, *CUSTOMER)}})
    with pytest.raises(ConfigurationError, match=r"customer, operations has data and is not in \[lanes\]: add `customer = \[\]`"):
        open_cut(story.serving, forgetful, "a")
    with pytest.raises(ConfigurationError, match="has data"):
        speed_layer.finish_retired(forgetful, story.spark, story.serving)


def test_two_streams_that_read_the_same_topic_do_not_both_get_a_number(two_lanes: Settings) -> None:
    with psycopg.connect(dsn(two_lanes, "serving", "stream")) as connection:
        assert mint_seq(connection, "operations", "one", 0, {"raw.flights": {"0": [0, 10], "1": [0, 4]}}) == 1
        with pytest.raises(ConfigurationError, match=r"another stream has numbered records of raw\.flights that lane customer read"):
            mint_seq(connection, "customer", "two", 0, {"raw.flights": {"0": [10, 12], "1": [3, 5]}})
        assert mint_seq(connection, "operations", "one", 0, {"raw.flights": {"0": [0, 10], "1": [0, 4]}}) == 1, "a replay"
        assert mint_seq(connection, "customer", "two", 0, {"raw.flights": {"0": [10, 12], "1": [4, 5]}}) == 1


# -- locks of the serving store -----------------------------------------------------------------------------------------------


def _waits(settings: Settings, count: int) -> None:
    """Returns once so many sessions wait for a lock."""
    deadline = time.monotonic() + 30
    with psycopg.connect(dsn(settings, "serving", "postgres"), autocommit=True) as connection:
        query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        while connection.execute(query).fetchone() != (count,):
            assert time.monotonic() < deadline, f"{count} sessions never waited"
            time.sleep(0.02)


def _beside(action: Callable[[], Any], found: list[Any]) -> threading.Thread:
    def run() -> None:
        try:
            found.append(action())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_lanes_that_link_the_same_new_tokens_wait_and_never_deadlock(two_lanes: Settings) -> None:
    rows = Events()
    s, t, u = ("loyalty", "s"), ("loyalty", "t"), ("loyalty", "u")

    def told(lane: str, batch: list[Bronze]) -> Callable[[], bool]:
        def run() -> bool:
            with psycopg.connect(dsn(two_lanes, "serving", "stream"), options=SESSION) as connection:
                return commit(connection, Batch(lane, 1, {}, batch, ()), configuration.attributes(two_lanes.conf), lambda: None)

        return run

    found: list[Any] = []
    with psycopg.connect(dsn(two_lanes, "serving", "stream")) as decider:
        decider.execute("select pg_advisory_xact_lock(hashtext('links'))")
        first = _beside(told("operations", rows.person(s, t)), found)
        _waits(two_lanes, 1)
        second = _beside(told("customer", rows.person(t, u)), found)
        _waits(two_lanes, 2)
    first.join()
    second.join()
    assert found == [True, True]
    with closing(psycopg.connect(dsn(two_lanes, "serving", "postgres"))) as owner:
        assert owner.execute("select token, customer_id from links order by 1").fetchall() == [("s", "s"), ("t", "s"), ("u", "s")]
        assert owner.execute("select key from versions where entity = 'customer'").fetchall() == [("s",)]


def test_a_cut_gets_in_between_lanes_that_always_have_a_micro_batch(two_lanes: Settings) -> None:
    found: list[Any] = []
    with (
        psycopg.connect(dsn(two_lanes, "serving", "batch"), autocommit=True) as batch,
        psycopg.connect(dsn(two_lanes, "serving", "stream")) as other,
        psycopg.connect(dsn(two_lanes, "serving", "stream")) as one,
    ):
        assert current_epoch(one.cursor()) == 1
        cut = _beside(lambda: open_cut(batch, two_lanes, "a").epoch, found)
        _waits(two_lanes, 1)
        later = _beside(lambda: current_epoch(other.cursor()), found)
        _waits(two_lanes, 2)
        one.commit()
        cut.join()
        later.join()
    assert sorted(found) == [1, 2]  # the micro-batch that came while the cut waited is of the next epoch
