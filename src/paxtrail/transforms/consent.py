"""Decisions of consent for every customer at once: states in, one row per customer and purpose out, by the same `decide` as in reads.

born = ...  # (token, sealed) → ISO date or None, made by the caller from the vault's keys; without it no sealed birth date is known
allowed = decisions(states, links, rules, table, "partner_sharing", at, born).where("allowed").select("customer_id")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.core import consent, folds, views
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.consent_rules import Rules
from paxtrail.core.records import Json

SCHEMA = "customer_id string, purpose string, allowed boolean, reason string, record_id string, rule string"
_ARROW = pa.schema([(name, pa.bool_() if name == "allowed" else pa.string()) for name in (c.split()[0] for c in SCHEMA.split(", "))])


def decisions(
    states: DataFrame,
    links: DataFrame,
    rules: Rules,
    table: AttributeTable,
    purpose: str,
    at: int,
    opened: Callable[[str], Json] | None = None,
) -> DataFrame:
    """(customer_id, purpose, allowed, reason, record_id, rule) for each customer of `links` that has a profile in `states`.

    `states`: rows of silver.states; `links`: token → customer_id; `at`: µs UTC. `opened` opens a sealed birth date in the executors (so it
    is picklable); where it is not given, or answers None, the age is hidden and what needs consent is denied as a child's would be.
    """
    profiles = states.where(F.col("entity") == table.entity).select(F.col("key").alias("token"), "state")
    customers = (
        profiles.join(links.select("token", "customer_id"), "token", "inner")
        .groupBy("customer_id")
        .agg(F.sort_array(F.collect_list(F.struct("token", "state"))).alias("held"))
    )

    def decided(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            for row in batch.to_pylist():
                held = {one["token"]: orjson.loads(one["state"]) for one in row["held"]}
                known = folds.view(table, folds.unite(table, list(held.values()), cut=False))
                who = consent.subject(known, views.ledgers(held, table), opened or _nobody, at)
                rows.append({"customer_id": row["customer_id"], **consent.decide(rules, who, purpose, at=at)._asdict()})
            yield pa.RecordBatch.from_pylist(rows, schema=_ARROW)

    return customers.mapInArrow(decided, SCHEMA)


def _nobody(sealed: str) -> Json:
    return None
