"""Which events a cut takes in: each record once, at its highest revision and first position; what is left out is told, never lost."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

RECORD_DIGITS = 32
"""Hex digits of an event id that name the record; the rest is the ordinal."""

_SILVER = (
    "event_id",
    "revision",
    "lane",
    "seq",
    "epoch",
    "source",
    "type",
    "controller",
    "region",
    "event_time",
    "source_sequence",
    "arrival_time",
    "subject",
    "entities",
    "identifiers",
    "relations",
    "payload",
)


def covered(rows: DataFrame, intervals: Iterable[tuple[str, int, int, Iterable[int], Iterable[int]]]) -> DataFrame:
    """Bronze rows that cuts cover; an interval is (lane, after, until, holes, late): after < seq <= until, without holes, with late."""
    wanted: list[Column] = []
    for lane, after, until, holes, late in intervals:
        inside = (F.col("seq") > after) & (F.col("seq") <= until)
        if holes := list(holes):
            inside &= ~F.col("seq").isin(holes)
        if late := list(late):
            inside |= F.col("seq").isin(late)
        wanted.append((F.col("lane") == lane) & inside)
    return rows.where(reduce(Column.__or__, wanted, F.lit(False)))


def judged(rows: DataFrame, known: DataFrame) -> DataFrame:
    """`rows` with a `fate`: new, replaces (a higher revision of a known record) or dropped (duplicate, or an overtaken revision).

    A record is the unit: of all its positions the first by (arrival_time, topic, partition, offset) wins, at its highest revision, with
    all its events. `known` are the events already taken in (event_id, revision).
    """
    record = F.substring("event_id", 1, RECORD_DIGITS)
    records = known.groupBy(record.alias("record")).agg(F.max("revision").alias("known_revision"))
    place = F.struct((-F.col("revision")).alias("rank"), "arrival_time", "topic", "partition", "offset", "lane", "seq")
    with_place = rows.withColumn("record", record).withColumn("place", place)
    # Not a window: its partitions would carry the payloads through a sort.
    first = with_place.groupBy("record").agg(F.min("place").alias("first"))
    fate = (
        F.when(F.col("place") != F.col("first"), "dropped")
        .when(F.col("known_revision").isNull(), "new")
        .when(F.col("revision") > F.col("known_revision"), "replaces")
        .otherwise("dropped")
    )
    joined = with_place.join(first, "record", "inner").join(records, "record", "left")
    return joined.withColumn("fate", fate).drop("record", "place", "first", "known_revision")


def fates(judgement: DataFrame) -> DataFrame:
    """(fate, rows, revised): how many rows had each fate, and how many of them were decoded again."""
    return judgement.groupBy("fate").agg(F.count("*").alias("rows"), F.count_if(F.col("revision") > 0).alias("revised"))


def taken(judgement: DataFrame, epoch: int) -> DataFrame:
    """Rows of silver.events for the events that are new or replace one, plus their `fate`."""
    return (
        judgement.where(F.col("fate") != "dropped")
        .withColumn("epoch", F.lit(epoch).cast("bigint"))
        .withColumn("payload", F.parse_json("payload"))
        .select(*_SILVER, "fate")
    )


def replaced(judgement: DataFrame, silver: DataFrame) -> DataFrame:
    """The events (event_id, entities) of silver whose record a higher revision replaces."""
    records = judgement.where(F.col("fate") == "replaces").select(F.substring("event_id", 1, RECORD_DIGITS).alias("record")).distinct()
    old = silver.select("event_id", "entities", F.substring("event_id", 1, RECORD_DIGITS).alias("record"))
    return old.join(records, "record", "left_semi").select("event_id", "entities")


def corrected(judgement: DataFrame, old: DataFrame, epoch: int) -> DataFrame:
    """silver.corrections of a cut: what the stream folded and the batch did not, or the other way round, touches these entities."""
    odd = judgement.where((F.col("fate") == "dropped") | (F.col("revision") > 0)).select("entities")
    return (
        odd.unionByName(old.select("entities"))
        .select(F.explode("entities").alias("entity"))
        .select(F.col("entity.kind").alias("entity"), F.col("entity.key").alias("key"), F.lit(epoch).cast("bigint").alias("epoch"))
        .distinct()
    )


def until(silver: DataFrame, epoch: int) -> DataFrame:
    """Events of silver that the cut of `epoch` and those before it took in."""
    return silver.where(F.col("epoch") <= epoch)


def since(silver: DataFrame, epoch: int) -> DataFrame:
    """Events of silver that cuts after `epoch` took in."""
    return silver.where(F.col("epoch") > epoch)


def revised(silver: DataFrame) -> DataFrame:
    """Events that were decoded again."""
    return silver.where(F.col("revision") > 0)


def current(rows: DataFrame, source: str, type_: str | None, since: int | None, until: int | None) -> DataFrame:
    """Events of `source` as they count now, by event id: whole records that arrived in [since, until) and hold an event of `type_`."""
    wanted = F.col("source") == source
    if since is not None:
        wanted &= F.col("arrival_time") >= since
    if until is not None:
        wanted &= F.col("arrival_time") < until
    nothing = rows.select("event_id", "revision").limit(0)
    found = judged(rows.where(wanted), nothing).where(F.col("fate") == "new").drop("fate")
    if type_ is not None:
        record = F.substring("event_id", 1, RECORD_DIGITS).alias("record")
        named = found.where(F.col("type") == type_).select(record).distinct()
        found = found.withColumn("record", record).join(named, "record", "left_semi").drop("record")
    return found.orderBy("event_id")


def newest(silver: DataFrame) -> DataFrame:
    """(lane, seq): the newest micro-batch of each lane that was taken in."""
    return silver.groupBy("lane").agg(F.max("seq").alias("seq"))


def lines(silver: DataFrame) -> DataFrame:
    """What a timeline needs of each event; the payload as JSON text."""
    columns = ("event_id", "source", "type", "event_time", "source_sequence", "arrival_time", "entities")
    return silver.select(*columns, F.to_json("payload").alias("payload"))
