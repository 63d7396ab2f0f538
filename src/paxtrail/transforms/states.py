"""States of entities as rows of silver.states: folded from events, merged onto a base, laid out by publication range."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.core.attributes import AttributeTable
from paxtrail.transforms import folds

_EVENT = ("event_id", "source", "type", "event_time", "source_sequence", "arrival_time", "payload")


def folded(events: DataFrame, tables: Mapping[str, AttributeTable], epoch: int, frozen: DataFrame | None = None) -> DataFrame:
    """silver.states of all entities that `events` feed; an entity nothing is known of has no row.

    `frozen`: states of events that are no more. Of them remains what is defined as it was.
    """
    made = []
    for table in tables.values():
        found = folds.fold(_of(events, table), table)
        if frozen is not None:
            base = of_kinds(frozen, table.entity).select("key", "state")
            found = folds.merge(base.unionByName(found.select("key", "state")), table)
        made.append(stamped(found, table.entity, table.digest, epoch))
    return _all(made)


def advanced(base: DataFrame, events: DataFrame, tables: Mapping[str, AttributeTable], epoch: int) -> DataFrame:
    """The rows of silver.states that `events` change: state of `base` merged with their fold."""
    changed = []
    for table in tables.values():
        part = folds.fold(_of(events, table), table)
        before = base.where(F.col("entity") == table.entity).join(part.select("key"), "key", "left_semi").select("key", "state")
        changed.append(stamped(folds.merge(before.unionByName(part.select("key", "state")), table), table.entity, table.digest, epoch))
    return _all(changed)


def stamped(states: DataFrame, entity: str, digest: str, epoch: int) -> DataFrame:
    """Rows of silver.states from (key, state)."""
    return states.select(
        F.lit(entity).alias("entity"),
        "key",
        # The same 16 bits that publication asks PostgreSQL for.
        F.conv(F.substring(F.md5("key"), 1, 4), 16, 10).cast("int").alias("bucket"),
        F.lit(digest).alias("digest"),
        F.lit(epoch).cast("bigint").alias("epoch"),
        "state",
    )


def laid_out(states: DataFrame) -> DataFrame:
    """The rows in files by entity and bucket, so that publication reads a slice of them without the rest."""
    return states.repartitionByRange("entity", "bucket").sortWithinPartitions("entity", "bucket")


def changed(fresh: DataFrame, known: DataFrame) -> DataFrame:
    """Rows of `fresh` that `known` lacks or has with another state."""
    return fresh.join(known.select("entity", "key", "state"), ["entity", "key", "state"], "left_anti")


def gone(fresh: DataFrame, known: DataFrame, epoch: int) -> DataFrame:
    """Rows that say that what `known` has is no more: an empty state, since a row that is simply missing would never be published."""
    missing = known.where(F.col("state") != "{}").join(fresh.select("entity", "key"), ["entity", "key"], "left_anti")
    return missing.withColumn("state", F.lit("{}")).withColumn("epoch", F.lit(epoch).cast("bigint"))


def of_kinds(states: DataFrame, *kinds: str) -> DataFrame:
    """Rows of these entities."""
    return states.where(F.col("entity").isin(*kinds))


def _of(events: DataFrame, table: AttributeTable) -> DataFrame:
    """Events by the key of each entity of the table's kind that they change."""
    return (
        events.where(F.col("type").isin(*table.types))
        .select(*_EVENT, F.explode("entities").alias("entity"))
        .where(F.col("entity.kind") == table.entity)
        .select(F.col("entity.key").alias("key"), *_EVENT)
    )


def _all(parts: list[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, parts)
