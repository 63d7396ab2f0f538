"""Outcomes of journeys and the histories they make."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paxtrail.core import outcomes
from paxtrail.core.outcomes import add, history, outcome, totals, unite

LEG = "UA1545/2013-02-08/EWR"
DUE = 1_000_000_000_000
DAY = outcomes.DAY
TAG = "0016123456"


def journey(status: str = "booked", **more: Any) -> dict[str, Any]:
    return {"entity": "journey", "key": "j", "leg": LEG, "status": status, "arrival_time": DUE, **more}


def flight(status: str = "arrived", **more: Any) -> dict[str, Any]:
    landed = {"on_block": {"actual": DUE}} if status == "arrived" else {}
    return {"entity": "flight", "key": LEG, "status": status, "departure_delay": 10, "arrival_delay": 25, **landed, **more}


def gone(code: str, told: int = 5) -> dict[str, Any]:
    return journey("cancelled", reservation={"status": code, "cancelled": True, "told": {code: told}})


CALLED_OFF = flight("cancelled", status_code="DX", status_told={"DX": 9})


@pytest.mark.parametrize(
    ("of", "on", "as_of", "result", "by"),
    [
        (journey("boarded"), flight(), DUE, "flown", None),
        (journey("boarded"), flight("diverted"), DUE, "diverted", None),
        (journey("boarded"), flight("departed"), DUE, None, None),
        (journey("boarded"), flight("departed"), DUE + DAY, "flown", None),
        (journey("boarded"), None, DUE + DAY, "flown", None),
        (journey("booked", coupon_status="F"), flight(), DUE, "flown", None),
        (journey("checked_in"), flight(), DUE, None, None),
        (journey("checked_in"), flight(), DUE + DAY, "unknown", None),
        (journey("booked"), None, DUE + DAY - 1, None, None),
        (journey("booked"), None, DUE + DAY, "unknown", None),
        ({"key": "j", "status": "booked"}, None, DUE + 99 * DAY, None, None),
        (journey("checked_in"), CALLED_OFF, 0, "flight_cancelled", "carrier"),
        (gone("XX", told=8), CALLED_OFF, 0, "cancelled", "passenger"),
        (gone("XX", told=9), CALLED_OFF, 0, "flight_cancelled", "carrier"),
        (gone("UN", told=8), CALLED_OFF, 0, "flight_cancelled", "carrier"),
        (gone("XX"), None, 0, "cancelled", "passenger"),
        (gone("HX"), flight("scheduled"), 0, "cancelled", "carrier"),
        (journey("no_show"), flight("departed"), 0, "no_show", None),
        (journey("offloaded"), flight("departed"), 0, "offloaded", None),
    ],
)
def test_the_outcome_follows_from_journey_and_flight(
    of: dict[str, Any], on: dict[str, Any] | None, as_of: int, result: str | None, by: str | None
) -> None:
    found = outcome(of, on, [], as_of=as_of)
    assert (found and found["result"], found and found.get("by")) == (result, by)


def test_delays_are_suffered_only_by_who_travelled() -> None:
    flown = outcome(journey("boarded"), flight(), [], as_of=DUE)
    missed = outcome(journey("no_show"), flight(), [], as_of=DUE)
    assert flown
    assert (flown["departure_delay"], flown["arrival_delay"]) == (10, 25)
    assert missed
    assert "arrival_delay" not in missed


def bag(*stages: str, reasons: tuple[str, ...] = (), first: str = LEG, legs: tuple[str, ...] = (LEG,), tag: str = TAG) -> dict[str, Any]:
    scans = [{"at": i, "custody": stage, "leg": LEG} for i, stage in enumerate(stages)]
    return {"key": tag, "episodes": [{"first_leg": first, "legs": list(legs), "scans": scans, "reasons": list(reasons)}]}


@pytest.mark.parametrize(
    ("status", "tags", "bags", "checked", "mishandled"),
    [
        ("boarded", [TAG], [], 1, 0),
        ("boarded", [TAG], [bag("accepted", "loaded")], 1, 0),
        ("boarded", [], [bag("accepted", "loaded")], 1, 0),
        ("boarded", [TAG], [bag("accepted", reasons=("rushed",))], 1, 1),
        ("boarded", [TAG, "0016123457"], [bag("accepted"), bag("accepted", reasons=("offloaded",), tag="0016123457")], 2, 1),
        ("no_show", [TAG], [bag("accepted", reasons=("offloaded",))], 1, 0),
        ("boarded", [TAG], [bag("accepted", "sorted")], 1, 1),
        ("boarded", [TAG], [bag("accepted")], 1, 0),
        ("boarded", [TAG], [bag("accepted", reasons=("rushed",), first="UA1/2013-02-07/SFO", legs=("UA1/2013-02-07/SFO", LEG))], 0, 0),
        ("boarded", [TAG], [bag("accepted", reasons=("rushed",), first="UA1/2012-02-07/SFO", legs=("UA1/2012-02-07/SFO",))], 1, 0),
    ],
)
def test_a_bag_counts_for_the_journey_its_trip_began_with(
    status: str, tags: list[str], bags: list[dict[str, Any]], checked: int, mishandled: int
) -> None:
    found = outcome(journey(status, bags=tags), flight(), bags, as_of=DUE)
    assert found
    assert (found["bags_checked"], found["bags_mishandled"]) == (checked, mishandled)


def one(key: str, result: str = "flown", delay: int | None = None, bags: int = 0) -> dict[str, Any]:
    late = {} if delay is None else {"arrival_delay": delay}
    return {"journey": key, "leg": LEG, "result": result, **late, "bags_checked": bags, "bags_mishandled": 0}


def test_a_history_sums_up() -> None:
    found = history(
        [
            one("a", delay=25, bags=2),
            one("b", delay=-5),
            one("c", delay=200),
            one("d", "flight_cancelled"),
            one("e", "no_show"),
            one("f", "cancelled"),
        ]
    )
    assert totals(found) == {
        "flights_booked": 6,
        "flights_flown": 3,
        "flights_diverted": 0,
        "flights_cancelled": 1,
        "journeys_cancelled": 1,
        "no_shows": 1,
        "offloaded": 0,
        "unknown": 0,
        "delays": 2,
        "delay_minutes": 225,
        "longest_delay": 200,
        "bags_checked": 2,
        "bags_mishandled": 0,
    }


def test_a_journey_two_tokens_travelled_counts_once() -> None:
    assert totals(unite([history([one("a")]), history([one("a"), one("b")])]))["flights_flown"] == 2
    assert add(history([one("a")]), one("a")) == history([one("a")])


@given(st.lists(st.builds(one, st.sampled_from("abc"), st.sampled_from(outcomes.RESULTS), st.none() | st.integers(-9, 99)), max_size=4))
def test_a_history_does_not_depend_on_the_order_of_its_outcomes(found: list[dict[str, Any]]) -> None:
    expected = history(found)
    for order in itertools.permutations(found):
        grown = history([])
        for each in order:
            grown = add(grown, each)
        assert grown == expected
    assert unite([history(found[:2]), history(found[2:])]) == expected
