"""Batch layer against speed layer on real Spark, Delta and PostgreSQL: cuts, intake, folds, publication (invariants 2, 3, 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from pyspark.sql import SparkSession
from tests.parity.bronze import Events, Lane, Row, configure, few, served

from paxtrail.adapters import batch, configuration, publication, rebuilding
from paxtrail.adapters.cuts import cut_of, open_cut
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.ranges import Published
from paxtrail.adapters.serving_store import event_of
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_events import take_in
from paxtrail.core.folds import fold
from paxtrail.settings import Settings
from paxtrail.tables.silver import EVENTS, STATES


class World:
    """One lane, its batch layer and its serving store."""

    def __init__(self, settings: Settings, spark: SparkSession, folder: Path, configure: Callable[..., Settings]) -> None:
        self.folder, self.spark = folder, spark
        self.settings = configure(settings, folder / "conf")
        self.tables = configuration.attributes(self.settings.conf)
        self.lane = Lane(self.settings, self.tables)
        self.events = Events()
        self.serving = psycopg.connect(dsn(self.settings, "serving", "batch"), autocommit=True)
        self.written: list[Row] = []

    def close(self) -> None:
        self.lane.close()
        self.serving.close()

    def write(self, *records: list[Row]) -> int:
        rows = list(chain.from_iterable(records))
        self.written += rows
        return self.lane.write(rows)

    def job(self, run_id: str) -> Job:
        return Job(self.settings, self.spark, self.serving, cut_of(self.serving, run_id))

    def make(self, run_id: str, *, full: bool = False) -> dict[str, Any]:
        batch.cut_open(self.settings, run_id)
        return batch.make(self.job(run_id), full=full)

    def publish(self, run_id: str) -> dict[str, Any]:
        return batch.publish(self.settings, run_id)

    def run(self, run_id: str, *, full: bool = False) -> dict[str, Any]:
        return {**self.make(run_id, full=full), **self.publish(run_id)}

    def expected(self, rows: list[Row] | None = None) -> dict[tuple[str, str], Any]:
        """States folded from the history in one go, each event once."""
        events: dict[tuple[str, str], dict[str, Row]] = {}
        for row in self.written if rows is None else rows:
            for entity in row["entities"]:
                events.setdefault((entity["kind"], entity["key"]), {}).setdefault(row["event_id"], row)
        states = {at: fold(self.tables[at[0]], map(event_of, found.values())) for at, found in events.items()}
        return {at: state for at, state in states.items() if state}

    def served(self) -> dict[tuple[str, str], Any]:
        return served(self.settings, self.tables)

    def versions(self) -> dict[tuple[str, str], int]:
        rows = self.serving.execute("SELECT entity, key, version FROM versions").fetchall()
        return {(entity, key): version for entity, key, version in rows}

    def told(self) -> list[tuple[str, int, list[str], int]]:
        """What the outbox has for out.profiles since it was last asked: customer, seq, types, version; its key is the customer."""
        with psycopg.connect(dsn(self.settings, "serving", "relay")) as connection:
            rows = connection.execute(
                "WITH gone AS (DELETE FROM outbox RETURNING *) SELECT topic, key, payload FROM gone ORDER BY id"
            ).fetchall()
        told = [(orjson.loads(payload), topic, key) for topic, key, payload in rows]
        assert all((topic, key) == ("out.profiles", payload["id"]) for payload, topic, key in told)
        return [(payload["id"], payload["seq"], payload["types"], payload["version"]) for payload, _, _ in told]

    def rebuild(self) -> dict[str, Any]:
        """The serving store is lost, and a new one is filled from Delta and the vault; the publication's counts."""
        known = ("links", "edges", "relations", "timeline", "states", "versions", "seqs", "stream_commit", "outbox", "ledger", "seen")
        with psycopg.connect(dsn(self.settings, "serving", "postgres"), autocommit=True) as connection:
            connection.execute(f"TRUNCATE {', '.join(known)}, publication_counts, publications, batch_runs, cuts, epochs".encode())
            connection.execute("INSERT INTO epochs (epoch) VALUES (1)")
        return rebuilding.fill(self.settings, self.spark, self.serving, "again")

    def batch_states(self) -> dict[tuple[str, str], str]:
        rows = self.spark.read.format("delta").load(STATES.path(self.settings.lake)).select("entity", "key", "state").collect()
        return {(row["entity"], row["key"]): row["state"] for row in rows}


@pytest.fixture
def world(clean_postgres: Settings, spark: SparkSession, tmp_path: Path) -> Iterator[World]:
    """With few attributes."""
    with closing(World(clean_postgres, spark, tmp_path, few)) as made:
        yield made


@pytest.fixture
def whole(clean_postgres: Settings, spark: SparkSession, tmp_path: Path) -> Iterator[World]:
    """With every fold."""
    with closing(World(clean_postgres, spark, tmp_path, configure)) as made:
        yield made


def test_the_same_run_opens_the_same_cut_whatever_was_committed_since(world: World) -> None:
    world.write(world.events.record(("flight", "f1")))
    first = open_cut(world.serving, world.settings, "a")
    world.write(world.events.record(("flight", "f1")))
    assert open_cut(world.serving, world.settings, "a") == first
    second = open_cut(world.serving, world.settings, "b", cut_time=5)
    assert (first.epoch, second.epoch, second.cut_time) == (1, 2, 5)
    assert (first.lanes["main"].seq, second.lanes["main"].after, second.lanes["main"].seq) == (1, 1, 2)


def test_a_cut_never_takes_what_is_in_delta_but_not_committed(world: World) -> None:
    world.write(world.events.record(("flight", "f1")))
    orphan = world.events.record(("flight", "f2"))
    world.lane.write(orphan, committed=False)
    world.write(world.events.record(("flight", "f3")))
    batch.cut_open(world.settings, "a")
    assert take_in(world.job("a"))["new"] == 2
    world.write(orphan)  # the new checkpoint reads the same record again, under another seq
    batch.cut_open(world.settings, "b")
    assert take_in(world.job("b"))["new"] == 1
    rows = world.spark.read.format("delta").load(EVENTS.path(world.settings.lake)).collect()
    assert sorted((row["seq"], row["epoch"]) for row in rows) == [(1, 1), (3, 1), (4, 2)]


def test_a_cut_waits_for_no_dead_stream_but_refuses_half_a_micro_batch(world: World) -> None:
    from paxtrail.errors import Unavailable

    world.lane.write(world.events.record(("flight", "f1")))
    insert = "INSERT INTO stream_commit (lane, seq, part, epoch, offsets) VALUES ('main', 2, %s, 1, '{}')"
    world.serving.execute(insert, (0,))
    with pytest.raises(Unavailable):
        open_cut(world.serving, world.settings, "a", patience=0)
    world.serving.execute(insert, (-1,))
    assert open_cut(world.serving, world.settings, "a", patience=0).lanes["main"].seq == 2


def test_speed_and_batch_agree_over_several_cuts_and_nothing_drifts(whole: World) -> None:
    history = whole.events.history(40)
    for number, run_id in enumerate(("a", "b")):
        for start in range(number * 20, number * 20 + 20, 7):
            whole.write(*history[start : min(start + 7, number * 20 + 20)])
        made = whole.make(run_id)
        assert made["states"]["mode"] == ("full" if run_id == "a" else "incremental")
        whole.write(whole.events.record(("profile", "profile-1")))  # while the batch runs
        before = whole.versions()
        counts = whole.publish(run_id)
        assert (counts["drifted"], counts["healed"], counts["redefined"]) == (0, 0, 0)
        assert counts["published"] > 0
        assert whole.versions() == before
        assert whole.served() == whole.expected()
    assert whole.serving.execute("SELECT DISTINCT epoch FROM states ORDER BY 1").fetchall() == [(0,), (3,)]


def test_full_and_incremental_runs_make_the_same_states(whole: World) -> None:
    history = whole.events.history(40)
    whole.write(*history[:20])
    whole.make("a")
    whole.write(*history[20:])
    assert whole.make("b")["states"]["mode"] == "incremental"
    incremental = whole.batch_states()
    assert whole.make("c", full=True)["states"]["mode"] == "full"
    assert whole.batch_states() == incremental
    assert len(incremental) > 20


def test_an_old_duplicate_is_counted_twice_until_the_next_cut_heals_it(world: World) -> None:
    record = world.events.person(("loyalty", "t1"), ("passenger", "t2"), events=2)
    other = world.events.person(("loyalty", "t3"), type_="beta.told")
    world.write(record, other)
    first = world.versions()
    assert sorted(world.told()) == [
        ("t1", 1, ["alpha.said"], first["customer", "t1"]),
        ("t3", 1, ["beta.told"], first["customer", "t3"]),
    ], "each customer that changed is told of once, whatever number of events and identifiers"
    assert world.run("a")["drifted"] == 0
    assert world.told() == [], "a publication that changes nothing tells nobody"
    world.lane.write(world.events.again(record))
    assert world.served() != world.expected()
    before = world.versions()
    assert world.told() == [("t1", 2, ["alpha.said"], before["customer", "t1"])]
    counts = world.run("b")
    assert (counts["events"]["dropped"], counts["healed"], counts["drifted"]) == (2, 1, 0)
    assert world.served() == world.expected()
    after = world.versions()
    assert after["customer", "t1"] > before["customer", "t1"] > first["customer", "t1"]
    assert world.told() == [("t1", 0, [], after["customer", "t1"])], "what a publication healed has no micro-batch and no event"


def test_of_two_positions_of_a_record_in_one_cut_the_first_stays(world: World) -> None:
    record = world.events.record(("flight", "f1"))
    world.lane.write(world.events.again(record))
    world.write(record)
    counts = world.run("a")
    assert (counts["events"]["new"], counts["events"]["dropped"], counts["healed"], counts["drifted"]) == (1, 1, 1, 0)
    assert world.served() == world.expected()


def test_a_value_that_only_the_speed_layer_knows_drifts(world: World) -> None:
    world.write(world.events.record(("flight", "f1")), world.events.record(("flight", "f2")))
    with psycopg.connect(dsn(world.settings, "serving", "postgres"), autocommit=True) as connection:
        connection.execute("UPDATE states SET state = replace(state, 'T1', 'T9') WHERE key = 'f1'")
    counts = world.run("a")
    assert (counts["drifted"], counts["healed"], counts["redefined"]) == (1, 0, 0)
    assert world.served() == world.expected()


def test_another_attribute_table_makes_the_run_full_and_its_changes_redefinitions(world: World) -> None:
    world.write(world.events.record(("flight", "f1")))
    world.run("a")
    world.write(world.events.record(("flight", "f2")))
    most = {"from": ["alpha.said"], "value": "$.miles", "fold": "max"}
    world.settings = few(world.settings, world.folder / "conf2", changed={"miles": most})
    world.tables = configuration.attributes(world.settings.conf)
    counts = world.run("b")
    assert counts["states"]["mode"] == "full"
    assert (counts["redefined"], counts["healed"], counts["drifted"]) == (2, 0, 0)
    assert world.served() == world.expected()


def test_published_twice_does_nothing_and_an_older_run_never_replaces_a_newer_one(world: World) -> None:
    world.write(world.events.record(("flight", "f1")))
    world.make("a")
    world.write(world.events.record(("flight", "f1")))
    world.make("b")
    assert world.publish("b")["drifted"] == 0
    states = world.serving.execute("SELECT * FROM states ORDER BY 1, 2, 3").fetchall()
    versions = world.versions()
    again, older = world.publish("b"), world.publish("a")
    assert (again["published"], again["refused"] > 0) == (0, True)
    assert (older["published"], older["refused"] > 0) == (0, True)
    assert world.serving.execute("SELECT * FROM states ORDER BY 1, 2, 3").fetchall() == states
    assert world.versions() == versions
    assert world.served() == world.expected()


@pytest.mark.parametrize("checked", [True, False], ids=["as it is", "mutant without the epoch check"])
def test_a_run_that_was_planned_before_a_newer_one_is_refused_by_every_range(
    world: World, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    world.write(world.events.record(("flight", "f1")))
    world.make("a")
    world.write(world.events.record(("flight", "f1")))
    world.make("b")
    world.publish("b")
    monkeypatch.setattr(Published, "load", classmethod(lambda cls, *_: cls({})))
    if not checked:
        monkeypatch.setattr(publication, "_claim", lambda *_: None)
    counts = world.publish("a")
    assert (counts["published"] == 0) is checked
    assert (world.served() == world.expected()) is checked


def test_a_publication_killed_between_two_ranges_resumes_with_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paxtrail.adapters.ranges._KEYS", 2)
    world.write(*world.events.history(40))
    world.make("a")
    real = publication.publish_range
    done: list[Any] = []

    def dying(*args: Any, **kwargs: Any) -> publication.Counts:
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(publication, "publish_range", dying)
    with pytest.raises(KeyboardInterrupt):
        world.publish("a")
    monkeypatch.setattr(publication, "publish_range", real)
    assert world.served() == world.expected()
    counts = world.publish("a")
    assert counts["drifted"] == 0
    assert counts["refused"] >= 7
    assert world.served() == world.expected()
    total = world.serving.execute("SELECT count(*) FROM publication_counts WHERE entity = 'bag'").fetchone()
    assert total is not None
    assert total[0] > 2


def test_missing_edges_links_and_relations_are_healed(world: World) -> None:
    relation = {"from_kind": "profile", "from_key": "t1", "kind": "travels", "to_kind": "journey", "to_key": "j1"}
    world.write(world.events.person(("loyalty", "t1"), ("passenger", "t2"), relations=[relation]), world.events.person(("email", "t3")))
    with psycopg.connect(dsn(world.settings, "serving", "postgres"), autocommit=True) as connection:
        for table in ("edges", "links", "relations"):
            connection.execute(f"DELETE FROM {table}")
    counts = world.run("a")
    assert counts["drifted"] == 0
    assert {name: counts["by"][name]["healed"] for name in ("edges", "links", "relations")} == {"edges": 1, "links": 1, "relations": 1}
    assert world.serving.execute("SELECT token, customer_id FROM links ORDER BY 1").fetchall() == [("t1", "t1"), ("t2", "t1"), ("t3", "t3")]
    assert world.run("b")["by"]["links"]["healed"] == 0


def test_an_empty_serving_store_is_rebuilt_from_delta_to_the_same_states_and_ids(whole: World) -> None:
    history = whole.events.history(30)
    relation = {"from_kind": "profile", "from_key": "t1", "kind": "travels", "to_kind": "journey", "to_key": "j1"}
    whole.write(*history[:15], whole.events.person(("loyalty", "t1"), ("passenger", "t2"), relations=[relation]))
    whole.run("a")
    whole.write(*history[15:])  # committed, but in no cut
    tables = ("links", "edges", "relations", "timeline")

    def rows() -> dict[str, set[tuple[str]]]:
        """Without the epoch that last stated them: the rebuilt store has one cut for all."""
        return {table: set(whole.serving.execute(f"SELECT (to_jsonb(t) - 'epoch')::text FROM {table} t").fetchall()) for table in tables}

    before, versions = rows(), whole.versions()
    counts = whole.rebuild()
    assert counts["publication"]["drifted"] == 0
    assert counts["events"]["dropped"] == 0
    assert whole.served() == whole.expected()
    assert rows() == before
    again = whole.versions()
    assert again.keys() >= versions.keys()
    assert all(again[at] > versions[at] for at in versions)
    whole.write(whole.events.record(("flight", "f1")))  # the stream goes on with the next number
    assert whole.run("b")["drifted"] == 0
    assert whole.served() == whole.expected()
