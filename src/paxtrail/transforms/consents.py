"""Customers as their tokens' states side by side, and which of them a purpose may not be served for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.core import consent, folds, views
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.consent_rules import Rules
from paxtrail.transforms.states import of_kinds


def held(states: DataFrame, links: DataFrame) -> DataFrame:
    """(customer_id, held: key and state of each token's profile) of `states` (silver.states) and `links` (token → customer_id)."""
    return (
        of_kinds(states, "profile")
        .join(links.select(F.col("token").alias("key"), "customer_id"), "key", "inner")
        .groupBy("customer_id")
        .agg(F.sort_array(F.collect_list(F.struct("key", "state"))).alias("held"))
    )


def withheld(customers: DataFrame, rules: Rules, table: AttributeTable, purpose: str, at: int) -> DataFrame:
    """(customer_id) of those among `customers` (`held`) whose data may not serve `purpose` at `at` (µs UTC).

    Decided of what a state tells in the clear. A birth date is sealed and not asked for: a child counts as whoever never told an age.
    """
    return customers.mapInArrow(_refused(rules, table, purpose, at), "customer_id string")


def _refused(rules: Rules, table: AttributeTable, purpose: str, at: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    schema = pa.schema([("customer_id", pa.string())])

    def refused(row: dict[str, Any]) -> bool:
        states = {one["key"]: orjson.loads(one["state"]) for one in row["held"]}
        known = folds.view(table, folds.unite(table, list(states.values()), cut=False))
        known.pop("birth_date", None)
        subject = consent.subject(known, views.ledgers(states, table), lambda sealed: None, at)
        return not consent.decide(rules, subject, purpose, at=at).allowed

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [{"customer_id": row["customer_id"]} for row in batch.to_pylist() if refused(row)]
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    return make
