"""Documents made of states: flights, bags and their episodes, journeys, orders, customers; and what a reader gets of them."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pytest

from paxtrail.adapters import configuration
from paxtrail.core import views
from paxtrail.core.folds import DAY, Event, fold
from paxtrail.settings import ROOT

TABLES = configuration.attributes(ROOT / "conf")
MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOON = 15_744 * DAY + 12 * HOUR  # 2013-02-08
LEG = "UA1545/2013-02-08/EWR"
LATER = "UA1602/2013-02-08/EWR"
TAG = "0016123456"
_numbers = count()


def said(type_: str, at: int, **facts: Any) -> Event:
    source = {"flight": "flights", "bag": "baggage", "reservation": "reservations", "search": "booking"}.get(
        type_.split(".")[0], type_.split(".")[0]
    )
    number = next(_numbers)
    return Event(f"{number:036x}", source, type_, at, number, at, facts)


def document(entity: str, key: str, *events: Event) -> dict[str, Any]:
    """The document after these events, which must not depend on their order."""
    found = views.document(entity, key, fold(TABLES[entity], events), TABLES[entity])
    shuffled = random.Random(len(events)).sample(events, len(events))
    assert views.document(entity, key, fold(TABLES[entity], shuffled), TABLES[entity]) == found
    return found


def flight(*updates: dict[str, Any]) -> dict[str, Any]:
    return document("flight", LEG, *(said("flight.leg_updated", NOON + i * MINUTE, **update) for i, update in enumerate(updates)))


SCHEDULE = {"off_block_scheduled": NOON, "on_block_scheduled": NOON + 3 * HOUR, "status": "OP"}


@pytest.mark.parametrize(
    ("updates", "status", "departure", "arrival"),
    [
        ([SCHEDULE], "scheduled", None, None),
        ([SCHEDULE, {"off_block_estimated": NOON + 50 * MINUTE}], "scheduled", 50, None),
        ([SCHEDULE, {"boarding_start_actual": NOON - 30 * MINUTE}], "boarding", None, None),
        ([SCHEDULE, {"off_block_estimated": NOON + 50 * MINUTE}, {"off_block_actual": NOON + 61 * MINUTE}], "departed", 61, None),
        ([SCHEDULE, {"off_block_actual": NOON - 90_000_000}, {"on_block_actual": NOON + 3 * HOUR + 119_999_999}], "arrived", -2, 1),
        ([SCHEDULE, {"status": "DX"}], "cancelled", None, None),
        ([SCHEDULE, {"status": "DX"}, {"status": "OP"}], "scheduled", None, None),
        ([SCHEDULE, {"off_block_actual": NOON}, {"status": "DX", "off_block_actual": None}], "cancelled", None, None),
        ([SCHEDULE, {"take_off_actual": NOON}, {"status": "DX"}], "departed", None, None),
        ([SCHEDULE, {"off_block_actual": NOON, "diverted_to": "DFW"}, {"on_block_actual": NOON + 4 * HOUR}], "diverted", 0, None),
        ([SCHEDULE, {"off_block_actual": NOON + HOUR}, {"off_block_actual": None}], "scheduled", None, None),
        ([SCHEDULE, {"off_block_scheduled": NOON + HOUR}, {"off_block_actual": NOON + 2 * HOUR}], "departed", 60, None),
    ],
)
def test_a_flights_status_and_delays_follow_from_its_messages(
    updates: list[dict[str, Any]], status: str, departure: int | None, arrival: int | None
) -> None:
    found = flight(*updates)
    assert (found["status"], found.get("departure_delay"), found.get("arrival_delay")) == (status, departure, arrival)


def test_a_flight_shows_what_was_told_and_nothing_else() -> None:
    update = {"airline": "UA", "departure_gate": "C71", "delays": [{"code": "93", "minutes": 20}], "off_block_scheduled": NOON}
    found = flight(update)
    assert found == {
        "entity": "flight",
        "key": LEG,
        "airline": "UA",
        "status": "scheduled",
        "off_block": {"scheduled": NOON},
        "delays": [{"code": "93", "minutes": 20}],
        "departure_gate": "C71",
        "updated": NOON,
    }


def test_a_retimed_flight_keeps_the_first_schedule() -> None:
    assert flight(SCHEDULE, {"off_block_scheduled": NOON + HOUR})["first_scheduled"] == NOON


def bag(*scans: tuple[Any, ...]) -> dict[str, Any]:
    """A bag after scans of (minute, type, custody, leg or inbound leg, more facts)."""
    events = []
    for minute, type_, custody, leg, *more in scans:
        where = {"inbound_leg": leg} if custody in ("arrived", "delivered") else {"leg": leg}
        facts = {"custody": custody, "action": "NEW", **where, **(more[0] if more else {})}
        events.append(said(f"bag.{type_}", NOON + minute * MINUTE, **{name: value for name, value in facts.items() if value is not None}))
    return document("bag", TAG, *events)


ACCEPTED = (0, "sourced", "accepted", LEG, {"station": "EWR"})
SORTED = (10, "processed", "sorted", LEG)
LOADED = (30, "processed", "loaded", LEG, {"station": "EWR"})
ARRIVED = (200, "processed", "arrived", LEG, {"station": "IAH"})
DELIVERED = (220, "processed", "delivered", LEG, {"station": "IAH"})
BOARD = [ACCEPTED, SORTED, LOADED]


@pytest.mark.parametrize(
    ("scans", "custody", "reasons"),
    [
        ([*BOARD, ARRIVED, DELIVERED], "delivered", None),
        ([ACCEPTED, SORTED, (20, "sourced", None, LEG, {"action": "CHG", "seat": "1A"})], "sorted", None),
        ([SORTED, (15, "sourced", "accepted", LEG)], "sorted", None),
        ([ACCEPTED, (40, "not_seen", "not_seen", LEG)], "not_seen", ["not_seen"]),
        ([ACCEPTED, (20, "not_seen", "not_seen", LEG), LOADED], "loaded", None),
        ([ACCEPTED, (20, "not_seen", "not_seen", LEG), ARRIVED], "arrived", None),
        ([*BOARD, (40, "unloaded", "offloaded", LEG)], "offloaded", ["offloaded"]),
        ([*BOARD, (40, "unloaded", "offloaded", LEG, {"passenger_status": "N"})], "offloaded", None),
        ([*BOARD, (40, "unloaded", "offloaded", LEG, {"authority_to_load": "N"})], "offloaded", None),
        ([*BOARD, (40, "unloaded", "offloaded", LEG), (50, "processed", "loaded", LEG)], "loaded", None),
        (
            [*BOARD, (40, "unloaded", "offloaded", LEG), (99, "sourced", "rushed", LATER), (120, "processed", "loaded", LATER)],
            "loaded",
            ["rushed", "offloaded"],
        ),
        ([ACCEPTED, SORTED, (120, "processed", "loaded", LATER)], "loaded", ["left_behind"]),
        ([ACCEPTED, (20, "sourced", None, LATER, {"action": "CHG"}), (120, "processed", "loaded", LATER)], "loaded", None),
        ([*BOARD, ARRIVED, (500, "processed", "on_hand", None)], "on_hand", ["on_hand"]),
        ([ACCEPTED, (60, "sourced", "cancelled", LEG, {"action": "DEL"})], "cancelled", None),
        ([ACCEPTED, (60, "sourced", "cancelled", LEG, {"action": "DEL"}), (70, "sourced", "accepted", LEG)], "accepted", None),
    ],
)
def test_custody_and_mishandling_follow_from_the_scans_by_scan_time(scans: list[Any], custody: str, reasons: list[str] | None) -> None:
    found = bag(*scans)
    assert len(found["episodes"]) == 1
    assert (found["custody"], found["episodes"][0].get("reasons")) == (custody, reasons)
    assert found["mishandled"] is bool(reasons)


def test_a_connection_is_one_episode() -> None:
    onward = "UA0099/2013-02-08/IAH"
    found = bag(*BOARD, ARRIVED, (230, "sourced", "transfer", onward), (250, "processed", "loaded", onward))
    assert [episode["legs"] for episode in found["episodes"]] == [[LEG, onward]]
    assert (found["leg"], found["custody"], found["mishandled"]) == (onward, "loaded", False)


def test_a_silence_of_more_than_five_days_begins_a_new_episode() -> None:
    days = 5 * 24 * 60
    assert len(bag(DELIVERED, (220 + days, "processed", "sorted", LEG))["episodes"]) == 1
    assert len(bag(DELIVERED, (221 + days, "processed", "sorted", LEG))["episodes"]) == 2


def test_a_tag_accepted_for_another_first_leg_begins_a_new_episode() -> None:
    found = bag(*BOARD, (40, "unloaded", "offloaded", LEG), (60, "sourced", "accepted", LATER))
    assert [(e["first_leg"], e["custody"], e["mishandled"]) for e in found["episodes"]] == [
        (LATER, "accepted", False),
        (LEG, "offloaded", True),
    ]
    assert (found["custody"], found["mishandled"]) == ("accepted", False)


def test_check_in_of_a_connection_begins_no_new_episode() -> None:
    legs = (LEG, "EWR"), ("UA0099/2013-02-08/IAH", "IAH")
    events = [said("checkin.accepted", NOON, leg=leg, departure=departure, bags=[{"tag": TAG}]) for leg, departure in legs]
    found = document("bag", TAG, *events)
    assert [(e["first_leg"], e["custody"], e["station"]) for e in found["episodes"]] == [(LEG, "accepted", "IAH")]


def segment(status: str, at: int = NOON, **facts: Any) -> Event:
    cancelled = status in ("UN", "UC", "NO", "HX", "XX")
    return said("reservation.segment_changed", at, leg=LEG, status=status, cancelled=cancelled, **facts)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([segment("HK")], "booked"),
        ([segment("HL")], "waitlisted"),
        ([segment("HK"), segment("XX", NOON + 1)], "cancelled"),
        ([segment("UN"), segment("TK")], "booked"),
        ([segment("HK"), said("checkin.accepted", NOON + 1, status="accepted")], "checked_in"),
        (
            [segment("HK"), said("checkin.accepted", NOON, status="accepted"), said("checkin.cancelled", NOON + 1, status="cancelled")],
            "booked",
        ),
        ([said("checkin.boarded", NOON + 2, status="boarded"), said("checkin.accepted", NOON + 1, status="accepted")], "boarded"),
        ([said("checkin.accepted", NOON, status="accepted"), said("checkin.no_show", NOON + 1, status="no_show")], "no_show"),
        ([said("checkin.boarded", NOON, status="boarded"), said("checkin.offloaded", NOON + 1, status="offloaded")], "offloaded"),
    ],
)
def test_a_journeys_status_follows_from_reservation_and_check_in(events: list[Event], status: str) -> None:
    assert document("journey", "j", *events)["status"] == status


def test_a_journey_shows_seat_bags_requests_and_the_change_of_schedule() -> None:
    ssr = [{"code": "PETC", "status": "HK"}, {"code": "BIKE", "status": None}]
    found = document(
        "journey",
        "j",
        segment("HK", departure_time=NOON, arrival_time=NOON + HOUR, ssrs=ssr),
        segment("TK", NOON + 1, departure_time=NOON + HOUR, arrival_time=NOON + 2 * HOUR),
        said("checkin.accepted", NOON + 2, status="accepted", seat="12A", bags=[{"tag": TAG}]),
        said("checkin.seat_changed", NOON + 3, seat="14C"),
        said("bag.sourced", NOON + 4, tag="0016123457"),
    )
    assert found["schedule_changed"] is True
    assert (found["first_departure_time"], found["departure_time"]) == (NOON, NOON + HOUR)
    assert found["seat"] == "14C"
    assert found["bags"] == [TAG, "0016123457"]
    assert {one["code"]: one["cancelled"] for one in found["ssrs"]} == {"PETC": False, "BIKE": True}
    assert found["milestones"] == {"accepted": NOON + 2}


def test_an_order_shows_its_party_once_though_two_keys_sealed_a_name() -> None:
    party = ["sealed:name:aa:1", "sealed:name:bb:1", "sealed:name:cc:2"]
    found = document(
        "order",
        "o",
        said("reservation.order_changed", NOON, status="active", passenger_count=2, price={"amount": "123.45", "currency": "USD"}),
        *(said("reservation.passenger_changed", NOON + i, surname=name, passenger_type="ADT") for i, name in enumerate(party)),
    )
    shown = views.present(found, TABLES["order"], unseal=Opening(), as_of=NOON)
    assert shown["passengers"] == [{"passenger_type": "ADT", "surname": "2"}, {"passenger_type": "ADT", "surname": "1"}]
    assert shown["price"] == {"amount": "123.45", "currency": "USD"}


# -- customers --------------------------------------------------------------------------------------------------------------

TABLE = TABLES["profile"]


def customer(**events: list[Event]) -> dict[str, Any]:
    states = {token: fold(TABLE, found) for token, found in events.items()}
    return views.customer_document("t1", states, TABLE, journeys=["j2", "j1", "j2"], orders=["o"])


def shown(document: dict[str, Any], *, as_of: int = NOON, internal: bool = True, hidden: str = "") -> dict[str, Any]:
    found: dict[str, Any] = views.present(document, TABLE, unseal=Opening(hidden), as_of=as_of, internal=internal)
    return found


class Opening:
    """Opens sealed texts that are their own value; nothing of what has `hidden` in it."""

    def __init__(self, hidden: str = "", icon: str = "") -> None:
        self._hidden, self._icon = hidden, icon

    def __call__(self, sealed: str) -> Any:
        if self._icon and self._icon in sealed:
            return {"icon": True}
        return None if self._hidden and self._hidden in sealed else self.same(sealed)

    def same(self, sealed: str) -> Any:
        return sealed.split(":", 3)[3]


def test_a_customer_unites_its_tokens_by_rank_and_time() -> None:
    found = customer(
        t1=[said("loyalty.account_updated", NOON, surname="sealed:name:t1:Smith", tier="GOLD", balance=10)],
        t2=[said("reservation.passenger_changed", NOON + 9, surname="sealed:name:t2:SMITH", language="en")],
    )
    assert found["journeys"] == ["j1", "j2"]
    attributes = shown(found)["attributes"]
    assert attributes["name"] == {"surname": "Smith"}
    assert (attributes["tier"], attributes["miles"], attributes["language"]) == ("GOLD", 10, "en")


def test_a_scanned_document_outranks_account_and_booking_for_the_name() -> None:
    scanned = said("checkin.accepted", NOON, surname="sealed:name:t1:SMYTHE", document={"number": "sealed:document:t1:X1"})
    unscanned = said("checkin.accepted", NOON + 9, surname="sealed:name:t1:SMTH")
    account = said("loyalty.account_updated", NOON + 5, surname="sealed:name:t1:Smith")
    attributes = shown(customer(t1=[scanned, unscanned, account]))["attributes"]
    assert attributes["name"] == {"surname": "SMYTHE"}
    assert attributes["display_name"] == {"surname": "Smith"}


def test_equal_values_are_shown_once_and_the_cut_comes_after_it() -> None:
    keep = TABLE.attributes["emails"].keep
    same = {f"t{n}": [said("reservation.passenger_changed", NOON + n, email=f"sealed:email:t{n}:a@b.c")] for n in range(keep + 3)}
    same["t0"].append(said("reservation.passenger_changed", NOON - 1, email="sealed:email:t0:old@b.c"))
    assert shown(customer(**same))["attributes"]["emails"] == ["a@b.c", "old@b.c"]
    many = {f"t{n}": [said("reservation.passenger_changed", NOON + n, email=f"sealed:email:t{n}:{n}@b.c")] for n in range(keep + 3)}
    assert shown(customer(**many))["attributes"]["emails"] == [f"{n}@b.c" for n in range(keep + 2, 2, -1)]


def test_the_same_document_answers_other_windows_at_other_times() -> None:
    found = customer(t1=[said("search.performed", NOON - days * DAY) for days in (0, 0, 6, 7, 29, 30, 364, 365)])
    windows = [shown(found, as_of=NOON + later * DAY)["attributes"]["searches"] for later in (0, 1)]
    assert [(w["last_7_days"], w["last_30_days"], w["last_365_days"]) for w in windows] == [(3, 5, 7), (2, 4, 6)]
    assert shown(found, as_of=NOON - DAY)["attributes"]["searches"]["last_7_days"] == 2


def test_cancelled_requests_are_not_shown() -> None:
    def ssr(status: str | None, at: int) -> Event:
        return said("reservation.segment_changed", at, ssrs=[{"code": "PETC", "request": f"PETC {LEG}", "status": status}])

    assert shown(customer(t1=[ssr("HK", NOON)]))["attributes"]["ssrs"] == {f"PETC {LEG}": {"code": "PETC", "status": "HK"}}
    assert shown(customer(t1=[ssr("HK", NOON), ssr(None, NOON + 1)]))["attributes"]["ssrs"] == {}


def care(token: str, code: str, status: str | None, at: int) -> Event:
    request = {name: f"sealed:health:{token}:{value}" for name, value in {"code": code, "request": f"{code} {LEG}"}.items()}
    return said("reservation.segment_changed", at, care_requests=[request | {"kind": "sealed:care:t:k", "leg": LEG, "status": status}])


def test_requests_under_sealed_keys_are_united_by_what_the_keys_say_and_the_newest_word_stands() -> None:
    asked = [care("t1", "WCHR", "HK", NOON), care("t1", "VGML", "HK", NOON + 1)]
    want = [{"code": code, "kind": "k", "leg": LEG, "status": "HK"} for code in ("VGML", "WCHR")]
    assert shown(customer(t1=asked))["attributes"]["care_requests"] == want
    same, other = [care(token, "WCHR", None, NOON + 2) for token in ("t1", "t2")]
    for told in ({"t1": [*asked, same]}, {"t1": asked, "t2": [other]}):
        assert shown(customer(**told))["attributes"]["care_requests"] == want[:1]
    earlier = care("t2", "WCHR", None, NOON - 1)
    assert shown(customer(t1=asked, t2=[earlier]))["attributes"]["care_requests"] == want
    icons = views.present(customer(t1=asked, t2=[other]), TABLE, unseal=Opening(icon=":health:"), as_of=NOON)
    assert icons["attributes"]["care_requests"] == [{**want[0], "code": {"icon": True}}]


def test_who_may_not_see_health_learns_of_no_request_not_even_its_status() -> None:
    assert "care_requests" not in shown(customer(t1=[care("t1", "WCHR", "HK", NOON)]), hidden=":health:")["attributes"]
    journey = document("journey", "j", care("t1", "WCHR", "HK", NOON), care("t2", "WCHR", None, NOON + 1))
    assert "care_requests" not in views.present(journey, unseal=Opening(":health:"), as_of=NOON)
    (request,) = views.present(journey, unseal=Opening(), as_of=NOON, internal=False)["care_requests"]
    assert request == {"code": "WCHR", "kind": "k", "cancelled": True}


def test_what_a_caller_may_not_see_is_absent() -> None:
    account = said(
        "loyalty.account_updated",
        NOON,
        tier="GOLD",
        status="active",
        email="sealed:email:t1:a@b.c",
        surname="sealed:name:t1:S",
        birth_date=None,
    )
    found = customer(t1=[account])
    no_mail = shown(found, hidden=":email:")["attributes"]
    assert "emails" not in no_mail
    assert no_mail["account_status"] == "active"
    own = shown(found, internal=False)["attributes"]
    assert "account_status" not in own
    assert (own["tier"], own["name"], own["emails"]) == ("GOLD", {"surname": "S"}, ["a@b.c"])


def test_recent_things_are_shown_flat_and_newest_first() -> None:
    found = customer(t1=[said("search.performed", NOON, route="EWR-LAX"), said("search.performed", NOON + 1, route="EWR-IAH")])
    assert shown(found)["attributes"]["recent_searches"] == [{"at": NOON + 1, "route": "EWR-IAH"}, {"at": NOON, "route": "EWR-LAX"}]
    assert shown(found, internal=False)["attributes"].get("recent_searches") is None
