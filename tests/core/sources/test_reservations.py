"""Reservations: who is whose, what is cancelled, what each part may say, and that nothing is lost."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from tests.core.samples import data, decoded, refused, schemas
from tests.core.sources.json_messages import LATER, bent, changed, decode_or_refuse, same_after_assembly, sample

from paxtrail.core.decoding import Decoded
from paxtrail.core.identity import edges_of
from paxtrail.core.records import Draft, Entity, Identifier, Relation
from paxtrail.core.sources.reservations_parts import assemble

FAMILY, CANCELLED = sample("reservations/family.json"), sample("reservations/cancelled.json")
ORDER = Entity("order", Identifier("order", "K7Q2ZP|2013-01-20"))
MEMBER = Identifier("loyalty", "UA|AB123456")
EWR, IAH = "UA1545/2013-02-08/EWR", "UA99/2013-02-08/IAH"


def family(path: str = "version", value: Any = 3) -> Decoded:
    return decoded("reservations", changed(FAMILY, path, value))


def of(found: Decoded, type_: str, surname_given: str = "") -> list[Draft]:
    return [d for d in found.drafts if d.type == f"reservation.{type_}" and (not surname_given or d.facts["given"] == surname_given)]


def identifiers(draft: Draft) -> set[Identifier]:
    return {draft.subject, *draft.identifiers} if draft.subject else set()


def test_a_reservation_is_one_event_for_the_order_and_one_per_passenger_and_segment() -> None:
    found = decoded("reservations", data("reservations/family.json"))
    assert [d.type.split(".")[1] for d in found.drafts] == ["order_changed", *["passenger_changed", *["segment_changed"] * 3] * 3]
    assert {(d.event_time, d.source_sequence) for d in found.drafts} == {(1_360_227_600_000_000, 3)}


def test_the_order_holds_what_belongs_to_no_single_passenger() -> None:
    (order,) = of(family(), "order_changed")
    assert (order.subject, order.owner, order.entities) == (None, ORDER.key, (ORDER,))
    facts = dict(order.facts)
    assert [s["leg"] for s in facts.pop("segments")] == [EWR, IAH, IAH]
    assert facts == {
        "locator": "K7Q2ZP",
        "owner": "UA",
        "created": 1_358_690_591_000_000,
        "version": 3,
        "status": "active",
        "cancelled": False,
        "channel": "agency",
        "country": "US",
        "agency_iata": "05123456",
        "agency_name": "Acme Travel",
        "passenger_count": 3,
        "segment_count": 2,
        "origin": "EWR",
        "destination": "LAX",
        "price": {"amount": "1234.50", "currency": "USD"},
        "remarks": ["CALL BEFORE CHANGES"],
        "contacts": [
            {"kind": "phone", "of": "booker", "value": "(212) 555-0100"},
            {"kind": "phone", "of": "agency", "value": "+12125550199"},
        ],
        "ssrs": [{"code": "OTHS", "status": "HK", "text": "VIP PARTY"}],
        "care_requests": [],
    }


def test_a_passenger_is_named_by_the_strongest_identifier_of_their_own() -> None:
    john, jane, son = of(family(), "passenger_changed")
    passenger = Identifier("passenger", "K7Q2ZP|2013-01-20|SMITH/JOHN")
    assert john.subject == MEMBER
    assert john.identifiers == (Identifier("document", "US|P|X1234567"), passenger, Identifier("email", "john.smith@example.com"))
    assert jane.subject == Identifier("passenger", "K7Q2ZP|2013-01-20|SMITH/JANE")
    assert son.subject == Identifier("passenger", "K7Q2ZP|2013-01-20|SMITH/JOHN#3")
    profile = Entity("profile", MEMBER)
    assert john.entities == (profile, ORDER)
    assert set(john.relations) == {
        Relation(profile, "party_to", ORDER),
        Relation(Entity("identifier", Identifier("pnr", "K7Q2ZP|SMITH")), "finds", profile),
    }
    assert john.facts == {
        "locator": "K7Q2ZP",
        "passenger_type": "ADT",
        "surname": "SMITH",
        "given": "JOHNMR",
        "title": "MR",
        "birth_date": "1970-01-02",
        "gender": "M",
        "language": "en",
        "residence": "US",
        "loyalty_airline": "UA",
        "loyalty_number": "AB123456",
        "order_status": "active",
        "channel": "agency",
        "email": "John.Smith@Example.com",
        "document": {"type": "P", "number": "X1234567", "country": "US", "expires": "2020-01-01"},
    }
    assert (john.region, son.region) == ("US", "")


def test_a_segment_of_a_passenger_is_their_journey() -> None:
    journey = Entity("journey", Identifier("journey", f"{EWR}|K7Q2ZP|SMITH/JOHN"))
    profile = Entity("profile", MEMBER)
    (draft,) = [d for d in of(family(), "segment_changed", "JOHNMR") if d.facts["leg"] == EWR]
    assert draft.subject == MEMBER
    assert draft.entities == (journey, ORDER, profile)
    assert set(draft.relations) == {
        Relation(profile, "travels", journey),
        Relation(journey, "on", Entity("flight", EWR)),
        Relation(ORDER, "contains", journey),
        Relation(Entity("identifier", Identifier("ticket", "0161234567890")), "finds", journey),
    }
    assert draft.facts == {
        "locator": "K7Q2ZP",
        "surname": "SMITH",
        "given": "JOHNMR",
        "passenger_type": "ADT",
        "leg": EWR,
        "airline": "UA",
        "number": "1545",
        "origin_date": "2013-02-08",
        "departure": "EWR",
        "arrival": "IAH",
        "departure_time": 1_360_318_500_000_000,
        "arrival_time": 1_360_333_140_000_000,
        "class": "Y",
        "status": "HK",
        "cancelled": False,
        "ticket": "0161234567890",
        "coupon_status": "O",
        "meal": "VGML",
        "ssrs": [],
        "care_requests": [
            {"code": "VGML", "kind": "meal", "request": f"VGML {EWR}", "leg": EWR, "status": "HK", "text": "NO EGGS"},
        ],
    }


def test_after_a_schedule_change_on_the_same_leg_the_new_segment_comes_last() -> None:
    for given_name in ("JOHNMR", "JANE", "JOHN"):
        same_leg = [d for d in of(family(), "segment_changed", given_name) if d.facts["leg"] == IAH]
        assert [(d.facts["status"], d.facts["cancelled"]) for d in same_leg] == [("UN", True), ("TK", False)]


@pytest.mark.parametrize("status", ["HX", "XX", "UN", "UC", "NO"])
def test_a_cancelled_segment_is_cancelled_with_its_requests(status: str) -> None:
    draft = next(d for d in of(family("segments.0.status", status), "segment_changed", "JOHNMR") if d.facts["leg"] == EWR)
    assert (draft.facts["status"], draft.facts["cancelled"], draft.facts["meal"]) == (status, True, None)
    assert [ssr["status"] for ssr in draft.facts["care_requests"]] == [None]


@pytest.mark.parametrize("status", ["HK", "HL", "TK", "SA", "KK"])
def test_a_waitlisted_or_changed_segment_is_not_cancelled(status: str) -> None:
    draft = next(d for d in of(family("segments.0.status", status), "segment_changed", "JOHNMR") if d.facts["leg"] == EWR)
    assert (draft.facts["status"], draft.facts["cancelled"]) == (status, False)


def test_cancelling_the_reservation_cancels_every_segment() -> None:
    found = decoded("reservations", data("reservations/cancelled.json"))
    (order,) = of(found, "order_changed")
    assert (order.facts["status"], order.facts["cancelled"], order.facts["segment_count"]) == ("cancelled", True, 0)
    assert order.owner == Identifier("order", "ZX81QQ|2013-01-21")  # the UTC day, whatever the offset it was written with
    assert [(d.facts["status"], d.facts["cancelled"]) for d in of(found, "segment_changed")] == [("XX", True), ("HX", True)]
    assert [ssr["status"] for d in of(found, "segment_changed") for ssr in d.facts["care_requests"]] == [None]


def test_a_cancelled_request_is_a_tombstone_until_it_is_made_again() -> None:
    draft = next(d for d in of(family(), "segment_changed", "JOHNMR") if d.facts["status"] == "TK")
    assert (draft.facts["care_requests"], draft.facts["meal"]) == (
        [{"code": "KSML", "kind": "meal", "request": f"KSML {IAH}", "leg": IAH, "status": None}],
        None,
    )
    again = family("ssrs", [{"code": "KSML", "passenger": 1, "segment": 3, "status": s} for s in ("HK", "XX")])
    draft = next(d for d in of(again, "segment_changed", "JOHNMR") if d.facts["status"] == "TK")
    assert ([ssr["status"] for ssr in draft.facts["care_requests"]], draft.facts["meal"]) == (["HK"], "KSML")


def test_a_request_without_a_segment_holds_for_all() -> None:
    drafts = of(family(), "segment_changed", "JANE")
    chairs = [ssr for d in drafts for ssr in d.facts["care_requests"]]
    assert [(ssr["code"], ssr["kind"], ssr["status"], ssr["text"]) for ssr in chairs] == [
        ("WCHR", "mobility", None, "KNEE SURGERY"),
        ("WCHR", "mobility", "HK", "KNEE SURGERY"),
        ("WCHR", "mobility", "HK", "KNEE SURGERY"),
    ]
    assert [d.facts.get("seat_reserved") for d in drafts] == [None, "12A", None]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("BLND", "medical"), ("MEDA", "medical"), ("WCHC", "mobility"), ("CHML", "meal"), ("DEPU", "custody"), ("PETC", None)],
)
def test_what_tells_of_health_belief_or_custody_is_kept_apart_and_sealed_code_and_all(code: str, kind: str | None) -> None:
    one, shared = {"code": code, "passenger": 1, "segment": 1, "status": "HK"}, {"code": code, "status": "HK"}
    drafts = [*of(family("ssrs", [one, shared]), "segment_changed", "JOHNMR"), *of(family("ssrs", [one, shared]), "order_changed")]
    found = [(part, ssr) for d in drafts for part in ("ssrs", "care_requests") for ssr in d.facts[part]]
    assert [(part, ssr.get("kind")) for part, ssr in found] == [("care_requests" if kind else "ssrs", kind)] * 2
    for type_ in ("reservation.segment_changed", "reservation.order_changed"):
        items = schemas().event(type_).fields["care_requests"].items
        assert {name: field.class_ for name, field in items.items() if field.personal}.items() >= {"code": "health", "kind": "care"}.items()
        assert type_ == "reservation.order_changed" or items["request"].class_ == "health"


def test_a_ticket_without_coupons_is_for_all_segments() -> None:
    assert {d.facts["ticket"] for d in of(family(), "segment_changed", "JANE")} == {"0161234567891"}
    assert [d.facts.get("ticket") for d in of(family(), "segment_changed", "JOHNMR")] == [None, "0161234567890", "0161234567890"]


# -- whose is it --------------------------------------------------------------------------------------------------------


def five(**shared: Any) -> Decoded:
    """Five passengers of one booker; `shared` is written on each of them."""
    people = [{"ref": i, "surname": "PARK", "given": name} | shared for i, name in enumerate(("AMI", "BEN", "CLO", "DAN", "EVA"), 1)]
    contacts: list[dict[str, Any]] = [
        {"kind": "email", "value": "boss@example.com", "of": "booker"},
        {"kind": "phone", "value": "+12125550100", "of": "booker"},
    ]
    contacts += [
        {"kind": kind, "value": v, "of": "passenger", "passenger": i} for i in range(1, 6) for kind, v in [("email", "pa@example.com")]
    ]
    return decoded("reservations", json.dumps(FAMILY | {"passengers": people, "contacts": contacts, "ssrs": [], "tickets": []}))


@pytest.mark.parametrize(
    "shared", [{}, {"loyalty": {"airline": "UA", "number": "AB123456"}}, {"document": {"number": "X1234567", "country": "US"}}]
)
def test_one_booker_for_five_passengers_never_shares_an_identifier_between_them(shared: dict[str, Any]) -> None:
    drafts = of(five(**shared), "passenger_changed")
    assert len({d.subject for d in drafts}) == 5
    for one, other in itertools.combinations(drafts, 2):
        assert not identifiers(one) & identifiers(other)
    assert all(edges_of(d.subject, d.identifiers) == [] for d in drafts)


def test_an_agency_s_phone_is_nobody_s_even_as_a_passenger_s_contact() -> None:
    found = decoded("reservations", data("reservations/family.json"))
    assert all(i.namespace != "phone" for d in found.drafts for i in identifiers(d))
    assert "phone" not in of(found, "passenger_changed", "JANE")[0].facts
    own = changed(FAMILY, "contacts.3.value", "212-555-0177")
    jane = of(decoded("reservations", own), "passenger_changed", "JANE")[0]
    assert (Identifier("phone", "+12125550177") in jane.identifiers, jane.facts["phone"]) == (True, "+12125550177")


def test_a_booker_s_contact_is_nobody_s_unless_it_is_given_as_a_passenger_s_own() -> None:
    value = {"kind": "phone", "value": "(212) 555-0100"}
    booker_only = family("contacts", [value | {"of": "booker"}])
    assert all(i.namespace != "phone" for d in booker_only.drafts for i in identifiers(d))
    both = family("contacts", [value | {"of": "booker"}, value | {"of": "passenger", "passenger": 1}])
    assert {d.facts["given"] for d in both.drafts if Identifier("phone", "+12125550100") in identifiers(d)} == {"JOHNMR"}


def test_further_own_contacts_are_kept_and_find_too() -> None:
    contacts = [{"kind": "email", "value": v, "of": "passenger", "passenger": 1} for v in ("a@example.com", "b@example.com")]
    john = of(family("contacts", contacts), "passenger_changed", "JOHNMR")[0]
    assert (john.facts["email"], john.facts["other_emails"]) == ("a@example.com", ["b@example.com"])
    assert {i.value for i in john.identifiers if i.namespace == "email"} == {"a@example.com", "b@example.com"}


def test_father_and_son_of_one_name_have_journeys_of_their_own() -> None:
    keys = [d.entities[0].key for d in of(family(), "segment_changed") if d.facts["leg"] == EWR]
    assert [k.value for k in keys if isinstance(k, Identifier)] == [
        f"{EWR}|K7Q2ZP|SMITH/JOHN",
        f"{EWR}|K7Q2ZP|SMITH/JANE",
        f"{EWR}|K7Q2ZP|SMITH/JOHN#3",
    ]


# -- nothing is lost, nothing is where it does not belong ---------------------------------------------------------------


def test_the_parts_give_back_the_whole_record() -> None:
    body = data("reservations/family.json")
    natives = [d.native for d in decoded("reservations", body).drafts]
    for order in (natives, natives[::-1]):
        assert json.loads(assemble(order), parse_float=str, parse_int=str) == json.loads(body, parse_float=str, parse_int=str)
    same_after_assembly("reservations", decoded("reservations", body))


def test_each_part_holds_its_own_only() -> None:
    found = decoded("reservations", data("reservations/family.json"))
    john, jane, son = (d.native for d in of(found, "passenger_changed"))
    (order,) = (d.native for d in of(found, "order_changed"))
    for text, holder in (
        ("X1234567", john),
        ("NO EGGS", john),
        ("John.Smith@Example.com", john),
        ("0161234567890", john),
        ("7770001", john),
        ("KNEE SURGERY", jane),
        ("016-1234567891", jane),
        ("2005-05-05", son),
        ("+12125550199", order),
        ("CALL BEFORE", order),
        ("VIP PARTY", order),
    ):
        assert [part is holder for part in (john, jane, son, order)] == [text in part for part in (john, jane, son, order)], (
            "part of another"
        )


def test_without_a_passenger_s_part_the_rest_is_still_a_reservation() -> None:
    found = decoded("reservations", data("reservations/family.json"))
    left = [d.native for d in found.drafts if d.subject != MEMBER]
    again = decoded("reservations", assemble(left))
    assert len(of(again, "passenger_changed")) == 2


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        (changed(FAMILY, "locator"), "missing_field", "$.locator"),
        (changed(FAMILY, "locator", "Secret!"), "bad_field", "$.locator"),
        (changed(FAMILY, "created"), "missing_field", "$.created"),
        (changed(FAMILY, "updated", "07FEB13"), "bad_field", "$.updated"),
        (changed(FAMILY, "updated", "2099-02-07T09:00:00Z"), "from_the_future", "event_time"),
        (changed(FAMILY, "created", "1812-02-07T09:00:00Z"), "time_range", "reservation.order_changed.created"),
        (changed(FAMILY, "status", "Secret"), "bad_field", "$.status"),
        (changed(FAMILY, "version", "Secret"), "bad_field", "$.version"),
        (changed(FAMILY, "passengers", []), "missing_field", "$.passengers"),
        (changed(FAMILY, "passengers.1.ref", 1), "bad_reference", "$.passengers"),
        (changed(FAMILY, "segments.1.ref", 1), "bad_reference", "$.segments"),
        (changed(FAMILY, "passengers.0.surname"), "missing_field", "$.passengers[0].surname"),
        (changed(FAMILY, "passengers.0.surname", "-"), "bad_field", "$.passengers[0].surname"),
        (changed(FAMILY, "passengers.0.birthDate", "Secret"), "bad_field", "$.passengers[0].birthDate"),
        (changed(FAMILY, "passengers.0.document.number", ""), "bad_field", "$.passengers[0].document.number"),
        (changed(FAMILY, "segments.0.from", "Secret"), "bad_field", "$.segments[0].from"),
        (changed(FAMILY, "segments.0.departs", "2013-02-08T05:15:00"), "bad_field", "$.segments[0].departs"),
        (changed(FAMILY, "segments.0.status", "Secret Status"), "bad_field", "$.segments[0].status"),
        (changed(FAMILY, "contacts.0.passenger", 9), "bad_reference", "$.contacts[0].passenger"),
        (changed(FAMILY, "ssrs.0.segment", 9), "bad_reference", "$.ssrs[0].segment"),
        (changed(FAMILY, "tickets.0.coupons.1.segment", 9), "bad_reference", "$.tickets[0].coupons[1].segment"),
        (changed(FAMILY, "tickets.0.number", "Secret"), "bad_field", "$.tickets[0].number"),
        (changed(FAMILY, "price.amount", 123.45), "bad_field", "$.price.amount"),
        (changed(FAMILY, "pointOfSale.agency.name", "sealed:x"), "reserved_marker", "reservation.order_changed.agency_name"),
        (changed(FAMILY, "passengers", [{"ref": i, "surname": "TOUR"} for i in range(1, 502)]), "too_many", "$"),
        (
            changed(
                FAMILY | {"passengers": [{"ref": i, "surname": "TOUR"} for i in range(1, 501)]},
                "segments",
                [FAMILY["segments"][0] | {"ref": i} for i in range(1, 6)],
            ),
            "too_many",
            "$",
        ),
        (changed(FAMILY, "segments", [FAMILY["segments"][0] | {"ref": i} for i in range(1, 52)]), "too_many", "$"),
    ],
)
def test_what_is_broken_is_refused_with_its_place(body: bytes, code: str, at: str) -> None:
    refusal = refused("reservations", body)
    assert (refusal.code, refusal.at) == (code, at)
    assert "Secret" not in str(refusal)


@given(bent(("reservations/family.json", "reservations/cancelled.json")))
def test_a_bent_record_is_decoded_or_refused_and_never_repeated(body: bytes) -> None:
    if found := decode_or_refuse("reservations", body):
        same_after_assembly("reservations", found)
        for one, other in itertools.combinations(of(found, "passenger_changed"), 2):
            assert not identifiers(one) & identifiers(other)


def test_a_big_group_fits() -> None:
    people = [{"ref": i, "surname": "TOUR", "given": chr(65 + i // 26) + chr(65 + i % 26)} for i in range(1, 501)]
    body = json.dumps(FAMILY | {"passengers": people, "contacts": [], "ssrs": [], "tickets": []})
    assert len(decoded("reservations", body, arrival=LATER).drafts) == 1 + 500 * 4
