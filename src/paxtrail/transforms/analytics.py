"""Facts for analysts, flat and without any token: what one event says to the questions of punctuality, disruptions, bags and searches."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

HOUR = 3_600_000_000
"""µs."""
LATE = (15, 60, 180)
"""Minutes at which a later band of delay begins; under 15 is on time, as the industry counts it."""
BY_CARRIER = ("UN", "UC", "HX", "NO", "TK")
"""Statuses of a segment that the carrier cancelled, refused or moved."""
COLUMNS = ("time", "kind", "airline", "airport", "route", "band", "custody", "cabin", "channel", "delay_minutes", "thing", "person")

READ = ("type", "event_time", "subject", "payload")
"""Columns of an event that its facts are made of."""

Keys = Sequence[tuple[int, int, bytes]]
"""(from, until, key): the key that hides who is who, for events of [from, until) in µs UTC."""


def bronze(rows: DataFrame) -> DataFrame:
    """Rows of bronze.events with the payload as silver has it."""
    return rows.withColumn("payload", F.parse_json("payload"))


def hours(silver: DataFrame, since: int, until: int) -> DataFrame:
    """Events of [since, until) in µs UTC."""
    return silver.where((F.col("event_time") >= since) & (F.col("event_time") < until))


def facts(events: DataFrame, keys: Keys) -> DataFrame:
    """Facts of COLUMNS, none, one or several of each event; `time` is the hour in ms UTC, absent dimensions are null.

    `thing` names what is counted beside persons: a leg in the clear (it is public), a bag by its keyed hash. `person` is the keyed hash
    of the subject's token. Where no key covers the time of the event, bags and persons are not counted.
    """
    columns = [F.col(f"fact.{name}").alias(name) for name in COLUMNS if name not in ("time", "thing", "person")]
    hour = (F.floor(F.col("event_time") / HOUR) * (HOUR // 1000)).cast("bigint").alias("time")
    thing = F.coalesce("fact.leg", _hidden(F.col("fact.tag"), keys)).alias("thing")
    person = F.when(F.col("fact.personal"), _hidden(F.col("subject"), keys)).alias("person")
    found = events.select("event_time", "subject", F.explode(_facts()).alias("fact"))
    return found.select(hour, *columns, thing, person).select(*COLUMNS)


def messages(found: DataFrame) -> DataFrame:
    """Facts as `value` of a Kafka record: JSON without what is absent."""
    return found.select(F.to_json(F.struct(*COLUMNS)).alias("value"))


def _facts() -> Column:
    flight = F.array_compact(F.array(*(F.when(holds, fact) for holds, fact in _of_flight())))
    return (
        F.when(F.col("type") == "flight.leg_updated", flight)
        .when((F.col("type") == "search.performed"), F.array(_searched()))
        .when((F.col("type") == "reservation.segment_changed") & _text("status").isin(*BY_CARRIER), F.array(_displaced()))
        .when(F.col("type").startswith("bag.") & _text("custody").isNotNull(), F.array(_bag()))
    )


def _of_flight() -> list[tuple[Column, Column]]:
    leaves, arrives = _text("departure"), _text("arrival")
    gone, late = _late("off_block_actual", "off_block_scheduled")
    come, late_in = _late("on_block_actual", "on_block_scheduled")
    told, expected = _late("off_block_estimated", "off_block_scheduled")
    return [
        (gone, _flight("departed", leaves, late)),
        (come, _flight("arrived", arrives, late_in)),
        (told & ~gone & (expected >= LATE[0]), _flight("delayed", leaves, expected)),
        (_text("status") == "DX", _flight("cancelled", leaves)),
        (_text("diverted_to").isNotNull(), _flight("diverted", arrives)),
    ]


def _flight(kind: str, airport: Column, delay: Column | None = None) -> Column:
    minutes = F.lit(None).cast("bigint") if delay is None else delay
    band = F.when(minutes < LATE[0], "on_time").when(minutes < LATE[1], "15_to_59").when(minutes < LATE[2], "60_to_179")
    band = band.when(minutes.isNotNull(), "180_or_more")
    return _fact(
        kind, airport=airport, airline=_text("airline"), route=_route("departure", "arrival"), leg=_leg(), delay=minutes, band=band
    )


def _bag() -> Column:
    return _fact("bag", airport=_text("station"), airline=_text("airline"), custody=_text("custody"), tag=_text("tag"))


def _searched() -> Column:
    return _fact("searched", airport=_text("origin"), route=_text("route"), cabin=_text("cabin"), channel=_text("channel"), personal=True)


def _displaced() -> Column:
    return _fact(
        "displaced", airport=_text("departure"), airline=_text("airline"), route=_route("departure", "arrival"), cabin=_text("class"),
        leg=_text("leg"), personal=True,
    )  # fmt: skip


def _fact(kind: str, *, personal: bool = False, delay: Column | None = None, **texts: Column) -> Column:
    names = ("airline", "airport", "route", "band", "custody", "cabin", "channel", "leg", "tag")
    absent = F.lit(None).cast("string")
    return F.struct(
        F.lit(kind).alias("kind"),
        F.lit(personal).alias("personal"),
        (F.lit(None) if delay is None else delay).cast("bigint").alias("delay_minutes"),
        *(texts.get(name, absent).alias(name) for name in names),
    )


def _leg() -> Column:
    number = F.concat(_text("airline"), _text("number"), F.coalesce(_text("suffix"), F.lit("")))
    return F.concat_ws("/", number, _text("origin_date"), _text("departure"))


def _late(actual: str, scheduled: str) -> tuple[Column, Column]:
    """Whether the first time is told, and the minutes that it lies after the second (negative: before), if both are."""
    then, due = (F.try_variant_get("payload", f"$.{name}", "bigint") for name in (actual, scheduled))
    return then.isNotNull(), F.floor((then - due) / 60_000_000).cast("bigint")


def _route(origin: str, destination: str) -> Column:
    return F.concat(_text(origin), F.lit("-"), _text(destination))


def _text(name: str) -> Column:
    return F.try_variant_get("payload", f"$.{name}", "string")


def _hidden(value: Column, keys: Keys) -> Column:
    """HMAC in spirit: the digest under the key is digested under the key once more. 128 bits, as hex; null where no key covers the time."""
    found = F.lit(None).cast("string")
    for since, until, key in keys:
        inner = F.unhex(F.sha2(F.concat(F.lit(key), F.encode(value, "utf-8")), 256))
        digest = F.substring(F.sha2(F.concat(F.lit(key), inner), 256), 1, 32)
        found = F.when((F.col("event_time") >= since) & (F.col("event_time") < until), digest).otherwise(found)
    return F.when(value.isNotNull(), found)
