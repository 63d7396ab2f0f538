"""Travellers of an export as a frequency table: how many have which values, and of how many of them the purpose may be served.

What a key opens stays in the worker that opened it: rows leave it without any id, and are counted at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.core import consent, exports, folds, views
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.consent_rules import Rules
from paxtrail.core.exports import Contract
from paxtrail.core.records import Json
from paxtrail.core.sealing import is_sealed
from paxtrail.transforms.consents import held
from paxtrail.transforms.documents import rendered
from paxtrail.transforms.states import of_kinds

Opened = Callable[[Collection[str]], Mapping[str, Json]]
"""Opens the sealed values of one Arrow batch; None for what nobody can open. Picklable."""


def frequencies(
    states: DataFrame, links: DataFrame, of: Contract, rules: Rules, tables: Mapping[str, AttributeTable], at: int, opened: Opened
) -> DataFrame:
    """(the contract's released columns, travellers, consenting) of the contract's segment, decided and described at `at` (µs UTC).

    `states`: rows of silver.states; `links`: token → customer_id. A traveller without a tier is no member, and not in the segment;
    `consenting` are those whose own consent holds, not those whom a region's default lets be shared.
    """
    flown = _flown(states, links, tables).where(F.size("journeys") >= of.segment.flights_flown)
    who = flown.join(held(states, links), "customer_id", "inner")
    names = list(of.released)
    found = who.select("held", F.col("journeys.arrival").alias("arrivals")).mapInArrow(
        _described(of, rules, tables["profile"], at, opened), ", ".join(f"{name} string" for name in names) + ", consented int"
    )
    return found.groupBy(*names).agg(F.count(F.lit(1)).alias("travellers"), F.sum("consented").alias("consenting"))


def _flown(states: DataFrame, links: DataFrame, tables: Mapping[str, AttributeTable]) -> DataFrame:
    """(customer_id, journeys flown with the airport each went to); a journey that two tokens of a customer travelled counts once."""
    outcomes = of_kinds(states, "outcome").where(F.get_json_object("state", "$.result") == "flown")
    travelled = outcomes.select(
        F.col("key").alias("journey"), F.explode(F.from_json(F.get_json_object("state", "$.profiles"), "array<string>")).alias("token")
    )
    documents = rendered(of_kinds(states, "journey"), tables)
    arrivals = documents.select(F.col("key").alias("journey"), F.get_json_object("document", "$.arrival").alias("arrival"))
    return (
        travelled.join(arrivals, "journey", "left")
        .join(links.select("token", "customer_id"), "token", "inner")
        .groupBy("customer_id")
        .agg(F.collect_set(F.struct("journey", "arrival")).alias("journeys"))
    )


def _described(
    of: Contract, rules: Rules, table: AttributeTable, at: int, opened: Opened
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    names = of.released
    schema = pa.schema([*((name, pa.string()) for name in names), ("consented", pa.int32())])

    def rows(batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        told = [{one["key"]: orjson.loads(one["state"]) for one in row["held"]} for row in batch]
        known = [folds.view(table, folds.unite(table, list(states.values()), cut=False)) for states in told]
        sealed = {str(value) for one in known for name in exports.SEALABLE if is_sealed(value := one.get(name))}
        values = opened(sealed) if sealed else {}
        for row, states, one in zip(batch, told, known, strict=True):
            if one.get("tier") is None:
                continue
            subject = consent.subject(one, views.ledgers(states, table), values.get, at)
            # Allowed is not enough: a region's default may let data be shared of who never said a word (domain rules §2.1).
            consented = consent.decide(rules, subject, of.purpose, at=at).consented
            shown = exports.described(one, row["arrivals"], values.get, at)
            yield {**{name: shown[name] for name in names}, "consented": int(consented)}

    def described(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pylist(list(rows(batch.to_pylist())), schema=schema)

    return described
