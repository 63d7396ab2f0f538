"""States of entities as rows of silver.states: folded from events, merged onto a base, laid out by publication range."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from paxtrail.core.attributes import AttributeTable
from paxtrail.transforms import folds

_EVENT = ("event_id", "source", "type", "event_time", "source_sequence", "arrival_time", "payload")


def folded(events: DataFrame, tables: Mapping[str, AttributeTable], epoch: int, frozen: DataFrame | None = None) -> DataFrame:
    """silver.states of all entities that `events` feed; an entity nothing is known of has no row.

    `frozen`: states of events that are no more. Of them remains what is defined as it was.
    """
    base = None if frozen is None else of_kinds(frozen, *tables).select("entity", "key", "state")
    return _stamped(folds.fold(_feeding(events, tables), tables, base), tables, epoch)


def advanced(base: DataFrame, events: DataFrame, tables: Mapping[str, AttributeTable], epoch: int) -> DataFrame:
    """The rows of silver.states that `events` change: state of `base` merged with their fold."""
    feeding = _feeding(events, tables)
    before = of_kinds(base, *tables).select("entity", "key", "state").join(feeding.select("entity", "key"), ["entity", "key"], "left_semi")
    return _stamped(folds.fold(feeding, tables, before), tables, epoch)


def _stamped(states: DataFrame, tables: Mapping[str, AttributeTable], epoch: int) -> DataFrame:
    digests = F.create_map(*[F.lit(said) for table in tables.values() for said in (table.entity, table.digest)])
    return stamped(states, F.col("entity"), digests[F.col("entity")], epoch)


def stamped(states: DataFrame, entity: str | Column, digest: str | Column, epoch: int) -> DataFrame:
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


def _feeding(events: DataFrame, tables: Mapping[str, AttributeTable]) -> DataFrame:
    """Events by each entity that they change: `entity`, `key` and what folds read."""
    types = sorted({type_ for table in tables.values() for type_ in table.types})
    return (
        events.where(F.col("type").isin(*types))
        .select(*_EVENT, F.explode("entities").alias("entity"))
        .select(F.col("entity.kind").alias("entity"), F.col("entity.key").alias("key"), *_EVENT)
    )
