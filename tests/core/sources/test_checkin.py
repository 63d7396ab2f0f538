"""Check-in: the journey is what changes; a person is named only by the message's own membership or document."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.core.samples import data, decoded, refused
from tests.core.sources.json_messages import bent, changed, decode_or_refuse, same_after_assembly, sample

from paxtrail.core.records import Entity, Identifier, Relation

ACCEPTED, BOARDED = sample("checkin/accepted.json"), sample("checkin/boarded.json")
LEG = "UA1545/2013-02-08/EWR"
JOHN = Entity("journey", Identifier("journey", f"{LEG}|K7Q2ZP|SMITH/JOHN"))
JANE = Entity("journey", Identifier("journey", f"{LEG}|K7Q2ZP|SMITH/JANE"))


def test_an_acceptance_ties_person_journey_flight_and_bags() -> None:
    (draft,) = decoded("checkin", data("checkin/accepted.json")).drafts
    member = Identifier("loyalty", "UA|AB123456")
    profile, first, second = Entity("profile", member), Entity("bag", "0016123456"), Entity("bag", "0016123457")
    assert (draft.type, draft.event_time, draft.source_sequence) == ("checkin.accepted", 1_360_311_000_000_000, 17)
    assert (draft.subject, draft.identifiers) == (member, (Identifier("document", "US|P|X1234567"),))
    assert draft.entities == (JOHN, first, second, profile)
    assert set(draft.relations) == {
        Relation(JOHN, "on", Entity("flight", LEG)),
        Relation(JOHN, "carries", first),
        Relation(JOHN, "carries", second),
        Relation(profile, "travels", JOHN),
        Relation(Entity("identifier", Identifier("ticket", "0161234567890")), "finds", JOHN),
        Relation(Entity("identifier", Identifier("pnr", "K7Q2ZP|SMITH")), "finds", profile),
    }
    assert draft.facts == {
        "locator": "K7Q2ZP",
        "surname": "SMITH",
        "given": "JOHN",
        "leg": LEG,
        "airline": "UA",
        "number": "1545",
        "origin_date": "2013-02-08",
        "departure": "EWR",
        "arrival": "IAH",
        "at": 1_360_311_000_000_000,
        "status": "accepted",
        "channel": "kiosk",
        "seat": "12A",
        "cabin": "Y",
        "boarding_number": 17,
        "ticket": "0161234567890",
        "loyalty_airline": "UA",
        "loyalty_number": "AB123456",
        "bag_count": 2,
        "document": {"type": "P", "number": "X1234567", "country": "US"},
        "bags": [{"tag": "0016123456", "weight_kg": "23"}, {"tag": "0016123457", "weight_kg": "22.7"}],
    }


def test_without_a_membership_or_document_the_message_is_the_journey_s() -> None:
    (draft,) = decoded("checkin", data("checkin/boarded.json")).drafts
    assert (draft.subject, draft.identifiers, draft.owner) == (None, (), JANE.key)
    assert draft.entities == (JANE,)
    assert draft.relations == (Relation(JANE, "on", Entity("flight", LEG)),)
    assert (draft.facts["status"], draft.facts["gate"]) == ("boarded", "C71")


def test_a_glued_title_names_the_same_journey() -> None:
    (draft,) = decoded("checkin", changed(BOARDED, "given", "JANEMRS")).drafts
    assert draft.entities == (JANE,)


@pytest.mark.parametrize(
    ("event", "more", "facts"),
    [
        ("seat_changed", {"seat": "14C"}, {"seat": "14C"}),
        ("seat_changed", {"seat": None}, {"seat": None}),
        ("bag_added", {"bags": [{"tag": "0016123458"}]}, {"bag_count": 1, "bags": [{"tag": "0016123458"}]}),
        ("upgraded", {"cabin": "J", "previousCabin": "Y"}, {"cabin": "J", "previous_cabin": "Y"}),
        ("no_show", {}, {"status": "no_show"}),
        ("offloaded", {}, {"status": "offloaded"}),
        ("cancelled", {"seat": None}, {"status": "cancelled", "seat": None}),
    ],
)
def test_each_event_changes_what_it_is_about(event: str, more: dict[str, object], facts: dict[str, object]) -> None:
    (draft,) = decoded("checkin", changed(BOARDED | more, "event", event)).drafts
    assert draft.type == f"checkin.{event}"
    assert {name: draft.facts[name] for name in facts} == facts
    assert ("status" in draft.facts) == ("status" in facts)


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        (changed(ACCEPTED, "event", "Secret"), "unknown_type", "$.event"),
        (changed(ACCEPTED, "locator"), "missing_field", "$.locator"),
        (changed(ACCEPTED, "locator", "Secret!"), "bad_field", "$.locator"),
        (changed(ACCEPTED, "surname", "123"), "bad_field", "$.surname"),
        (changed(ACCEPTED, "flight.from"), "missing_field", "$.flight.from"),
        (changed(ACCEPTED, "flight.date", "08FEB"), "bad_field", "$.flight.date"),
        (changed(ACCEPTED, "flight.number", "Secret"), "bad_field", "$.flight.number"),
        (changed(ACCEPTED, "bags.1.tag", "016123457"), "bad_field", "$.bags[1].tag"),
        (changed(ACCEPTED, "bags.0.weight.unit", "T"), "bad_field", "$.bags[0].weight"),
        (changed(ACCEPTED, "bags.0.weight.value", "-1"), "bad_field", "$.bags[0].weight"),
        (changed(ACCEPTED, "bags", [{"tag": f"{i:010}"} for i in range(100)]), "too_many", "$.bags"),
        (changed(ACCEPTED, "ticket", "Secret"), "bad_field", "$.ticket"),
        (changed(BOARDED, "event", "seat_changed"), "missing_field", "$.seat"),
        (changed(BOARDED, "event", "upgraded"), "missing_field", "$.cabin"),
        (changed(BOARDED, "event", "bag_added"), "missing_field", "$.bags"),
        (changed(BOARDED, "at", "2013-02-10T00:00:00Z"), "from_the_future", "event_time"),
    ],
)
def test_what_is_broken_is_refused_with_its_place(body: bytes, code: str, at: str) -> None:
    refusal = refused("checkin", body)
    assert (refusal.code, refusal.at) == (code, at)
    assert "Secret" not in str(refusal)


@given(bent(("checkin/accepted.json", "checkin/boarded.json")))
def test_a_bent_message_is_decoded_or_refused_and_never_repeated(body: bytes) -> None:
    if found := decode_or_refuse("checkin", body):
        same_after_assembly("checkin", found)
