"""Facts for analysts: what each type of event says, and that nobody can be found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from paxtrail.transforms import analytics

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOON = 1_795_348_800_000_000
MINUTE = 60_000_000
KEYS = [(NOON - 10**15, NOON + 10**15, b"k" * 32)]
LEG = {"airline": "UA", "number": "1545", "origin_date": "2026-11-22", "departure": "EWR", "arrival": "LAX"}
Fact = dict[str, Any]


def facts(
    spark: SparkSession, type_: str, payload: dict[str, Any], *, subject: str | None = None, at: int = NOON, keys: analytics.Keys = KEYS
) -> list[Fact]:
    """Facts of one event, without what is absent."""
    rows = spark.createDataFrame(
        [(type_, at, subject, orjson.dumps(payload).decode())], "type string, event_time bigint, subject string, payload string"
    )
    found = analytics.facts(analytics.bronze(rows), keys)
    assert tuple(found.columns) == analytics.COLUMNS
    return [{name: value for name, value in row.asDict().items() if value is not None} for row in found.collect()]


def test_a_departure_counts_in_its_hour_with_its_delay(spark: SparkSession) -> None:
    told = {**LEG, "off_block_scheduled": NOON, "off_block_actual": NOON + 61 * MINUTE, "take_off_actual": None}
    (fact,) = facts(spark, "flight.leg_updated", told, at=NOON + 61 * MINUTE)
    assert fact == {
        "time": (NOON + 60 * MINUTE) // 1000, "kind": "departed", "airline": "UA", "airport": "EWR", "route": "EWR-LAX",
        "band": "60_to_179", "delay_minutes": 61, "thing": "UA1545/2026-11-22/EWR",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("minutes", "band"), [(-7, "on_time"), (14, "on_time"), (15, "15_to_59"), (59, "15_to_59"), (60, "60_to_179"), (180, "180_or_more")]
)
def test_bands_of_delay_begin_at_15_60_and_180_minutes(spark: SparkSession, minutes: int, band: str) -> None:
    told = {**LEG, "on_block_scheduled": NOON, "on_block_actual": NOON + minutes * MINUTE}
    (fact,) = facts(spark, "flight.leg_updated", told)
    assert (fact["kind"], fact["airport"], fact["band"], fact["delay_minutes"]) == ("arrived", "LAX", band, minutes)


def test_one_message_may_say_several_things_and_a_schedule_says_none(spark: SparkSession) -> None:
    both = {**LEG, "off_block_actual": NOON, "on_block_actual": NOON, "diverted_to": "ONT"}
    assert [fact["kind"] for fact in facts(spark, "flight.leg_updated", both)] == ["departed", "arrived", "diverted"]
    assert facts(spark, "flight.leg_updated", {**LEG, "off_block_scheduled": NOON, "off_block_actual": None}) == []
    assert [fact["kind"] for fact in facts(spark, "flight.leg_updated", {**LEG, "status": "DX"})] == ["cancelled"]


def test_an_estimate_counts_as_a_delay_from_15_minutes_until_the_flight_has_left(spark: SparkSession) -> None:
    late = {**LEG, "off_block_scheduled": NOON, "off_block_estimated": NOON + 15 * MINUTE}
    assert [fact["kind"] for fact in facts(spark, "flight.leg_updated", late)] == ["delayed"]
    assert facts(spark, "flight.leg_updated", late | {"off_block_estimated": NOON + 14 * MINUTE}) == []
    assert [fact["kind"] for fact in facts(spark, "flight.leg_updated", late | {"off_block_actual": NOON})] == ["departed"]


def test_a_segment_counts_as_displaced_when_the_carrier_changed_it(spark: SparkSession) -> None:
    segment = {**LEG, "leg": "UA1545/2026-11-22/EWR", "class": "Y"}
    (fact,) = facts(spark, "reservation.segment_changed", segment | {"status": "UN"}, subject="t" * 32)
    assert {"kind", "person", "cabin", "thing"} < set(fact) and fact["kind"] == "displaced"
    assert facts(spark, "reservation.segment_changed", segment | {"status": "HK"}, subject="t" * 32) == []
    assert facts(spark, "reservation.segment_changed", segment | {"status": "XX"}, subject="t" * 32) == []


def test_a_bag_counts_where_it_was_scanned_and_its_tag_is_hidden(spark: SparkSession) -> None:
    scan = {"tag": "0016123456", "custody": "loaded", "station": "EWR", "airline": "UA", "surname": "sealed:name:x"}
    (fact,) = facts(spark, "bag.processed", scan)
    assert {**fact, "thing": ""} == {
        "time": NOON // 1000, "kind": "bag", "airline": "UA", "airport": "EWR", "custody": "loaded", "thing": "",
    }  # fmt: skip
    assert "6123456" not in str(fact)
    assert facts(spark, "bag.processed", {**scan, "custody": None}) == []


def test_nothing_in_a_fact_leads_to_a_person_without_the_key(spark: SparkSession) -> None:
    token = "0190f5e2d1c07abc8def0123456789ab"
    search = {"origin": "EWR", "route": "EWR-LAX", "channel": "web", "cabin": "Y", "session": "sealed:contact:x", "device": "sealed:y"}
    (fact,) = facts(spark, "search.performed", search, subject=token)
    assert set(fact) == {"time", "kind", "airport", "route", "cabin", "channel", "person"}
    assert token not in str(fact) and "sealed" not in str(fact)
    (again,) = facts(spark, "search.performed", search, subject=token, at=NOON + MINUTE)
    (other,) = facts(spark, "search.performed", search, subject=token[::-1])
    (rekeyed,) = facts(spark, "search.performed", search, subject=token, keys=[(0, 2 * NOON, b"n" * 32)])
    assert fact["person"] == again["person"] and len({fact["person"], other["person"], rekeyed["person"]}) == 3


def test_without_a_key_of_its_time_a_fact_counts_nobody(spark: SparkSession) -> None:
    (fact,) = facts(spark, "search.performed", {"route": "EWR-LAX"}, subject="t" * 32, keys=[(NOON + 1, 2 * NOON, b"n" * 32)])
    assert "person" not in fact


def test_events_without_a_question_make_no_fact(spark: SparkSession) -> None:
    assert facts(spark, "loyalty.account_updated", {"tier": "GOLD"}, subject="t" * 32) == []
