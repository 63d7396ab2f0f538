"""Events past their time: which they are, and what of them is kept, as rows of silver.frozen and of silver.expired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from paxtrail.core.attributes import AttributeTable
from paxtrail.core.retention import Limit
from paxtrail.core.sealing import MARK
from paxtrail.tables.silver import EDGES, RELATIONS
from paxtrail.transforms import links, states
from paxtrail.transforms.events import RECORD_DIGITS

EDGE, RELATION, PERSON = "edge", "relation", "person"
"""What silver.frozen keeps beside states of entities; the state is the row as JSON."""
_FINAL = 2**31 - 1


def past(limits: Sequence[Limit], epoch: int) -> Column:
    """Whether an event of silver is past its time, among those that the cut of `epoch` and those before it took in."""
    return (F.col("epoch") <= epoch) & reduce(Column.__or__, map(_within, limits), F.lit(False))


def _within(limit: Limit) -> Column:
    within = F.col("arrival_time") < limit.before
    if limit.source:
        within &= F.col("source") == limit.source
    if limit.class_:
        within &= F.to_json("payload").contains(f"{MARK}{limit.class_}:")
    return within


def records(events: DataFrame) -> DataFrame:
    """Ids of the records that hold an event of `events`."""
    return events.select(F.substring("event_id", 1, RECORD_DIGITS).alias("record")).distinct()


def expired(gone: DataFrame, known: DataFrame, epoch: int) -> DataFrame:
    """Rows of silver.expired that are not `known` yet."""
    return records(gone).join(known.select("record"), "record", "left_anti").withColumn("epoch", F.lit(epoch).cast("bigint"))


def known(events: DataFrame, gone: Column, before: DataFrame) -> DataFrame:
    """(event_id, revision) of what was ever taken in, as `transforms.events.judged` asks for it.

    A record of which an event is `gone` or was expired `before` can be revised no more: what it said is in the frozen states.
    """
    there = events.select("event_id", F.when(gone, F.lit(_FINAL)).otherwise(F.col("revision")).alias("revision"))
    return there.unionByName(before.select(F.col("record").alias("event_id"), F.lit(_FINAL).alias("revision")))


def frozen(gone: DataFrame, base: DataFrame, tables: Mapping[str, AttributeTable], epoch: int) -> DataFrame:
    """Rows of silver.frozen that the events `gone` change, `base` being its rows until now."""
    parts = [
        states.advanced(base, gone, tables, epoch),
        _kept(links.edges(gone), EDGE, EDGES.key, epoch),
        _kept(links.relations(gone), RELATION, RELATIONS.key, epoch),
        _kept(links.persons(gone), PERSON, ("token",), epoch),
    ]
    return reduce(DataFrame.unionByName, (part.select("entity", "key", "digest", "epoch", "state") for part in parts))


def thawed(base: DataFrame, kind: str) -> DataFrame:
    """The edges, relations or persons among the rows of silver.frozen, as `transforms.links` finds them in events."""
    row = {EDGE: "a_namespace string, a string, b_namespace string, b string", PERSON: "token string"}.get(
        kind, ", ".join(f"{name} string" for name in RELATIONS.key)
    )
    return base.where(F.col("entity") == kind).select(F.from_json("state", row).alias("row")).select("row.*")


def _kept(rows: DataFrame, kind: str, key: Sequence[str], epoch: int) -> DataFrame:
    named = rows.select(F.concat_ws("|", *key).alias("key"), F.to_json(F.struct("*")).alias("state"))
    return states.stamped(named, kind, "", epoch)
