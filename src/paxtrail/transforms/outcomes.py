"""What became of journeys, and persons' histories, as states of the entities `outcome` (by journey) and `history` (by token).

Rows are brought together by Spark and judged by the Python functions that reads use (core/outcomes.py), so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.core import outcomes
from paxtrail.core.attributes import AttributeTable
from paxtrail.transforms.documents import rendered
from paxtrail.transforms.states import of_kinds, stamped

_Batches = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
_KEYED = pa.schema([("key", pa.string()), ("state", pa.string())])


def concluded(states: DataFrame, relations: DataFrame, tables: Mapping[str, AttributeTable], *, as_of: int, epoch: int) -> DataFrame:
    """Outcome of every journey that is closed at `as_of` (µs UTC): {"profiles": [tokens], …outcome}, as rows of silver.states."""
    documents = rendered(of_kinds(states, "flight", "bag", "journey"), tables).drop("epoch")
    parts = (
        relations.where((F.col("from_kind") == "journey") & F.col("kind").isin("on", "carries"))
        .join(documents, (F.col("to_kind") == F.col("entity")) & (F.col("to_key") == F.col("key")), "inner")
        .groupBy(F.col("from_key").alias("journey"))
        .agg(F.collect_list(F.struct("entity", "key", "document")).alias("parts"))
    )
    travellers = (
        relations.where((F.col("from_kind") == "profile") & (F.col("kind") == "travels") & (F.col("to_kind") == "journey"))
        .groupBy(F.col("to_key").alias("journey"))
        .agg(F.sort_array(F.collect_set("from_key")).alias("profiles"))
    )
    journeys = of_kinds(documents, "journey").select(F.col("key").alias("journey"), "document")
    found = (
        journeys.join(parts, "journey", "left").join(travellers, "journey", "left").mapInArrow(_outcomes(as_of), "key string, state string")
    )
    return stamped(found, "outcome", "", epoch)


def histories(concluded: DataFrame, epoch: int) -> DataFrame:
    """History of every person who travelled a concluded journey, as rows of silver.states."""
    found = (
        concluded.select("state", F.explode(F.from_json(F.get_json_object("state", "$.profiles"), "array<string>")).alias("token"))
        .groupBy("token")
        .agg(F.collect_list("state").alias("states"))
        .mapInArrow(_histories, "key string, state string")
    )
    return stamped(found, "history", "", epoch)


def _outcomes(as_of: int) -> _Batches:
    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            judged = ((row, _outcome(row, as_of)) for row in batch.to_pylist())
            rows = [
                {"key": row["journey"], "state": _text({"profiles": row["profiles"] or [], **outcome})}
                for row, outcome in judged
                if outcome is not None
            ]
            yield pa.RecordBatch.from_pylist(rows, schema=_KEYED)

    return make


def _outcome(row: Mapping[str, Any], as_of: int) -> dict[str, Any] | None:
    journey = orjson.loads(row["document"])
    parts = sorted((part["entity"], part["key"], part["document"]) for part in row["parts"] or ())
    flights = {key: orjson.loads(document) for kind, key, document in parts if kind == "flight"}
    bags = [orjson.loads(document) for kind, _, document in parts if kind == "bag"]
    return outcomes.outcome(journey, outcomes.flight_of(journey, flights), bags, as_of=as_of)


def _histories(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        rows = [
            {"key": row["token"], "state": _text(outcomes.history(_without_profiles(orjson.loads(state)) for state in row["states"]))}
            for row in batch.to_pylist()
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=_KEYED)


def _without_profiles(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name != "profiles"}


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
