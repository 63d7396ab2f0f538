"""Events that are past their time leave silver and nothing changes: states, links, relations, ids; on real Spark, Delta and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from tests.parity.bronze import Row, few
from tests.parity.test_batch import World

from paxtrail.adapters import configuration, lake, silver, silver_retention
from paxtrail.adapters.silver_retention import expire
from paxtrail.core.folds import DAY
from paxtrail.core.retention import Limit
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import EDGES, EVENTS, EXPIRED, FROZEN, LINKS, RELATIONS

EVERYTHING = (Limit("alpha", "", 11 * DAY), Limit("beta", "", 11 * DAY))
RELATION = {"from_kind": "profile", "from_key": "t1", "kind": "travels", "to_kind": "journey", "to_key": "j1"}


def before(record: int) -> Limit:
    """Records of alpha up to this one."""
    return Limit("alpha", "", 10 * DAY + record)


@pytest.fixture
def world(clean_postgres: Settings, spark: SparkSession, tmp_path: Path) -> Iterator[World]:
    with closing(World(clean_postgres, spark, tmp_path, few)) as made:
        yield made


def rows(world: World, table: Table) -> DataFrame:
    return world.spark.read.format("delta").load(table.path(world.settings.lake))


def connections(world: World) -> dict[str, set[Any]]:
    """Edges, links and relations as the batch has them, without the epochs that found them."""
    return {table.name: {tuple(row) for row in rows(world, table).drop("epoch").collect()} for table in (EDGES, LINKS, RELATIONS)}


def drifts_nothing(counts: dict[str, Any]) -> bool:
    return (counts["drifted"], counts["healed"], counts["redefined"]) == (0, 0, 0)


def persons(world: World) -> list[list[Row]]:
    return [
        world.events.person(("loyalty", "t1"), ("passenger", "t2"), relations=[RELATION]),
        world.events.person(("email", "t3")),
        world.events.record(("bag", "b1"), payload={"name": f"sealed:name:{0:032x}:x-_"}),
    ]


def test_what_expires_between_two_runs_changes_no_state_link_or_relation(world: World) -> None:
    history = world.events.history(40)
    world.write(*history[:20], *persons(world))
    assert drifts_nothing(world.run("a"))
    made, connected = world.batch_states(), connections(world)
    here = rows(world, EVENTS).count()
    gone = expire(world.job("a"), [before(10), Limit("", "name", 11 * DAY)])
    assert 0 < gone["events"] < here
    assert rows(world, EVENTS).count() == here - gone["events"]
    versions = [DeltaTable(table.path(world.settings.lake)).version() for table in (EVENTS, FROZEN, EXPIRED)]
    assert expire(world.job("a"), EVERYTHING)["already"]
    assert [DeltaTable(table.path(world.settings.lake)).version() for table in (EVENTS, FROZEN, EXPIRED)] == versions
    world.write(*history[20:30])
    counts = world.run("b")
    assert (counts["states"]["mode"], drifts_nothing(counts)) == ("incremental", True)
    assert expire(world.job("b"), EVERYTHING)["events"] == len(world.written) - gone["events"]
    assert rows(world, EVENTS).count() == 0
    world.write(*history[30:])
    counts = world.run("c", full=True)
    assert (counts["states"]["mode"], drifts_nothing(counts)) == ("full", True)
    assert world.served() == world.expected()
    assert world.batch_states().keys() >= made.keys()
    assert connections(world) == connected


def test_a_late_duplicate_of_an_expired_event_counts_once(world: World) -> None:
    record = world.events.record(("flight", "f1"), events=2)
    world.write(record)
    world.run("a")
    assert expire(world.job("a"), EVERYTHING)["events"] == 2
    world.lane.write(world.events.again(record))
    assert world.served() != world.expected()
    counts = world.run("b", full=True)
    assert (counts["events"]["dropped"], counts["healed"], counts["drifted"]) == (2, 1, 0)
    assert world.served() == world.expected()
    assert rows(world, EVENTS).count() == 0


def revise(world: World, record: list[Row]) -> None:
    """As `paxtrail reprocess` does: revision 1 of the record."""
    table = lake.ensure(bronze.REVISIONS, world.settings)
    seq = lake.version(table, world.settings) + 1
    revised = [{**row, "revision": 1, "lane": "revisions", "seq": seq, "payload": '{"tier": "revised"}'} for row in record]
    rows_of_it = pa.Table.from_pylist(revised, schema=lake.arrow_schema(bronze.REVISIONS))
    lake.append(table, world.settings, rows_of_it, app="revisions", version=seq)


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("point", [pytest.param("before its ids are kept", marks=pytest.mark.proof), "before its events are deleted"])
def test_killed_between_freezing_and_deleting_nothing_counts_twice(world: World, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    first, history = world.events.record(("flight", "f1")), world.events.history(20)
    world.write(first, *history[:10], *persons(world))
    assert drifts_nothing(world.run("a"))
    connected, here = connections(world), rows(world, EVENTS).count()

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(silver, "write" if point == "before its ids are kept" else "delete", dies)
        with pytest.raises(Killed):
            expire(world.job("a"), [before(21)])
    assert rows(world, EVENTS).count() == here
    world.write(*history[10:])
    revise(world, first)  # too late: what it said is in the frozen states
    counts = world.run("b", full=True)
    assert (counts["events"]["dropped"], drifts_nothing(counts)) == (1, True)
    assert (world.served(), connections(world)) == (world.expected(), connected)
    finished = expire(world.job("b"), EVERYTHING)
    assert finished["finished"] > 0
    assert finished["events"] > 0
    assert rows(world, EVENTS).count() == 0
    assert rows(world, EXPIRED).count() == rows(world, EXPIRED).select("record").distinct().count() == len(history) + 4


def test_a_serving_store_is_rebuilt_after_everything_expired(world: World) -> None:
    world.write(*world.events.history(10), *persons(world))
    world.run("a")
    tables = ("links", "edges", "relations")
    statement = "SELECT (to_jsonb(t) - 'epoch')::text FROM {} t"
    there = {table: set(world.serving.execute(statement.format(table)).fetchall()) for table in tables}
    assert expire(world.job("a"), EVERYTHING)["events"] > 0
    assert world.rebuild()["publication"]["drifted"] == 0
    assert world.served() == world.expected()
    assert {table: set(world.serving.execute(statement.format(table)).fetchall()) for table in tables} == there


def test_of_expired_events_remains_what_is_defined_as_it_was(world: World) -> None:
    world.write(world.events.record(("flight", "f1")), world.events.record(("flight", "f1")))
    world.run("a")
    assert expire(world.job("a"), [before(2)])["events"] == 1
    least = {"from": ["alpha.said"], "value": "$.miles", "fold": "min"}
    world.settings = few(world.settings, world.folder / "conf2", changed={"miles": least})
    world.tables = configuration.attributes(world.settings.conf)
    assert world.run("b")["states"]["mode"] == "full"
    state, expected = world.served()["flight", "f1"], world.expected()["flight", "f1"]
    slot = world.tables["flight"].attributes["x_miles"].slot
    assert (state.pop(slot), expected.pop(slot)) == ({"v": 2}, {"v": 1})
    assert state == expected


def test_retention_of_silver_waits_for_the_batch_run_to_be_done(world: World) -> None:
    from paxtrail.adapters import batch
    from paxtrail.adapters.silver_events import take_in
    from paxtrail.errors import EpochRefused

    world.write(world.events.record(("flight", "f1")))
    batch.cut_open(world.settings, "a")
    take_in(world.job("a"))
    with pytest.raises(EpochRefused, match="finish the batch run a first"):
        silver_retention.expire(world.job("a"), EVERYTHING)
    assert rows(world, EVENTS).count() == 1
