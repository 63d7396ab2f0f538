"""What connects entities: edges between strong identifiers of one person, tokens of persons, relations; as sets."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from paxtrail.core.identity import STRONG


def edges(events: DataFrame) -> DataFrame:
    """Pairs (a_namespace, a, b_namespace, b), a < b, of strong identifiers that one event gives to one person (core.identity.edges_of)."""
    strong = F.filter("identifiers", lambda i: i["namespace"].isin(*STRONG))

    def with_later(a: Column) -> Column:
        return F.transform(F.filter(strong, lambda b: a["token"] < b["token"]), lambda b: F.struct(a.alias("a"), b.alias("b")))

    pairs = F.flatten(F.transform(strong, with_later))
    return (
        events.where(F.col("subject").isNotNull() & (F.size("identifiers") > 1))
        .select(F.explode(pairs).alias("pair"))
        .select(
            F.col("pair.a.namespace").alias("a_namespace"),
            F.col("pair.a.token").alias("a"),
            F.col("pair.b.namespace").alias("b_namespace"),
            F.col("pair.b.token").alias("b"),
        )
        .distinct()
    )


def persons(events: DataFrame) -> DataFrame:
    """Tokens that are the subject of an event."""
    return events.where(F.col("subject").isNotNull()).select(F.col("subject").alias("token")).distinct()


def relations(events: DataFrame) -> DataFrame:
    """Every relation that an event states, once."""
    return events.select(F.explode("relations").alias("r")).select("r.*").distinct()


def added(found: DataFrame, known: DataFrame, key: Sequence[str], epoch: int) -> DataFrame:
    """Rows of `found` that `known` lacks, stamped with the epoch that found them."""
    return found.join(known.select(*key), list(key), "left_anti").withColumn("epoch", F.lit(epoch).cast("bigint"))


def stamped(found: DataFrame, known: DataFrame, key: Sequence[str], epoch: int) -> DataFrame:
    """All of `found`, with the epoch that `known` has for it, else this one."""
    before = known.select(*key, F.col("epoch").alias("before"))
    return found.join(before, list(key), "left").withColumn("epoch", F.coalesce("before", F.lit(epoch).cast("bigint"))).drop("before")


def customers(tokens: DataFrame, linked: DataFrame) -> DataFrame:
    """token → customer_id of all tokens; those that nothing links are their own customer."""
    return (
        tokens.select("token")
        .unionByName(linked.select("token"))
        .distinct()
        .join(linked, "token", "left")
        .select("token", F.coalesce("customer_id", "token").alias("customer_id"))
    )
