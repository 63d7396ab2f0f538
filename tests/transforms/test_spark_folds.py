"""Spark's folds and merges give the states Python gives, on generated histories."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from pyspark.sql import functions as F
from tests.conftest import INTERPRETED
from tests.fold_histories import DEFINITIONS, histories, table

from paxtrail.core import folds as core
from paxtrail.core.folds import Event
from paxtrail.transforms import folds

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TABLE = table()
TABLES = {TABLE.entity: TABLE}
COLUMNS = (
    "key string, event_id string, source string, type string, event_time bigint, source_sequence bigint, arrival_time bigint,"
    " payload string"
)


def generated(count: int) -> dict[str, list[Event]]:
    """Histories of `count` entities, the same on each run."""
    found: list[list[Event]] = []

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(histories(12))
    def draw(history: list[Event]) -> None:
        found.append(history)

    draw()
    return {f"k{index}": history for index, history in enumerate(found)}


def frame(spark: SparkSession, keyed: dict[str, list[Event]]) -> DataFrame:
    rows = [(key, *event[:6], orjson.dumps(event.payload).decode()) for key, events in keyed.items() for event in events]
    return spark.createDataFrame(rows, COLUMNS).withColumn("payload", F.parse_json("payload")).withColumn("entity", F.lit(TABLE.entity))


def of_states(spark: SparkSession, rows: list[tuple[str, str]]) -> DataFrame:
    return spark.createDataFrame(rows, "key string, state string").withColumn("entity", F.lit(TABLE.entity))


def states(found: DataFrame) -> dict[str, Any]:
    return {row["key"]: orjson.loads(row["state"]) for row in found.collect()}


@pytest.fixture(autouse=True, params=["compiled", "interpreted"])
def mode(request: pytest.FixtureRequest, spark: SparkSession) -> Iterator[None]:
    """Both ways in which Spark evaluates a column; compiled is its default."""
    for key in INTERPRETED if request.param == "compiled" else ():
        spark.conf.unset(key)
    yield
    for key, value in INTERPRETED.items():
        spark.conf.set(key, value)


@pytest.fixture(scope="module")
def keyed() -> dict[str, list[Event]]:
    found = generated(80)
    assert sum(len(history) for history in found.values()) > 100
    return found


def test_spark_folds_as_python_does(spark: SparkSession, keyed: dict[str, list[Event]]) -> None:
    got = states(folds.fold(frame(spark, keyed), TABLES))
    expected = {key: state for key, events in keyed.items() if (state := core.fold(TABLE, events))}
    slots = {slot for state in expected.values() for slot in state}
    assert slots == {attribute.slot for attribute in TABLE.attributes.values()}, "the histories leave an attribute out"
    for key in expected.keys() | got.keys():
        assert got.get(key) == expected.get(key)


def test_spark_merges_as_python_does(spark: SparkSession, keyed: dict[str, list[Event]]) -> None:
    rng = random.Random(7)
    parts: list[tuple[str, str]] = []
    for key, events in keyed.items():
        split = [rng.randrange(3) for _ in events]
        for part in range(3):
            state = core.fold(TABLE, [event for event, where in zip(events, split, strict=True) if where == part])
            parts.append((key, orjson.dumps(state).decode()))
    got = states(folds.fold(frame(spark, {}), TABLES, of_states(spark, parts)))
    for key, events in keyed.items():
        assert got.get(key, {}) == core.fold(TABLE, events)


def test_spark_drops_what_is_redefined_when_it_merges(spark: SparkSession) -> None:
    redefined = table({**DEFINITIONS, "tiers": {**DEFINITIONS["tiers"], "keep": 9}})
    old = core.fold(TABLE, [Event("e1", "alpha", "alpha.said", 1, 0, 0, {"tier": "A", "miles": 3})])
    new = core.fold(redefined, [Event("e2", "alpha", "alpha.said", 2, 0, 0, {"tier": "B", "miles": 4})])
    rows = [("k", orjson.dumps(state).decode()) for state in (old, new)]
    got = states(folds.fold(frame(spark, {}), {"profile": redefined}, of_states(spark, rows)))
    assert got == {"k": core.merge(redefined, old, new)}


def test_an_entity_nothing_is_said_about_has_no_row(spark: SparkSession) -> None:
    nothing = table({"tier": DEFINITIONS["tier"]})
    assert states(folds.fold(frame(spark, {"k": [Event("e1", "alpha", "alpha.said", 1, 0, 0, {})]}), {"profile": nothing})) == {}


def test_spark_folds_onto_a_base_as_python_does(spark: SparkSession, keyed: dict[str, list[Event]]) -> None:
    rng = random.Random(11)
    base: list[tuple[str, str]] = []
    later: dict[str, list[Event]] = {}
    for key, events in keyed.items():
        known = [event for event in events if rng.random() < 0.5]
        later[key] = [event for event in events if event not in known]
        base.append((key, orjson.dumps(core.fold(TABLE, known)).decode()))
    got = states(folds.fold(frame(spark, later), TABLES, of_states(spark, base)))
    for key, events in keyed.items():
        assert got.get(key, {}) == core.fold(TABLE, events)
