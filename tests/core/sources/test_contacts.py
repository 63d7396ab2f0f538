"""Contact centre: whoever is known best is the subject, a family's locator finds but never names, and nobody may call too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from tests.core.samples import data, decoded, refused
from tests.core.sources.json_messages import bent, changed, decode_or_refuse, same_after_assembly, sample

from paxtrail.core.records import Draft, Identifier

RECEIVED, SURVEYED = sample("contacts/received.json"), sample("contacts/surveyed.json")
LOYALTY, PASSENGER = Identifier("loyalty", "UA|AB123456"), Identifier("passenger", "K7Q2ZP|2013-01-20|SMITH/JOHN")
EMAIL, PHONE, PNR = Identifier("email", "john@example.com"), Identifier("phone", "+12125550100"), Identifier("pnr", "K7Q2ZP|SMITH")


def only(body: bytes) -> Draft:
    [draft] = decoded("contacts", body).drafts
    return draft


def test_a_contact_says_who_wrote_what_about_what() -> None:
    draft = only(data("contacts/received.json"))
    assert (draft.type, draft.event_time, draft.source_sequence) == ("contact.received", 1_360_348_800_000_000, 1)
    assert (draft.subject, draft.identifiers) == (LOYALTY, (PASSENGER, EMAIL, PHONE))
    assert draft.facts == {
        "contact": "C-20130208-0042",
        "channel": "email",
        "reason": "cancellation",
        "language": "en",
        "email": "john@example.com",
        "phone": "+12125550100",
        "loyalty_airline": "UA",
        "loyalty_number": "AB123456",
        "locator": "K7Q2ZP",
        "surname": "Smith",
        "given": "John",
        "subject": "Flight cancelled",
        "text": "My flight UA1545 was cancelled and nobody told me. Terrible service, I am very angry.",
    }


def test_its_end_and_its_survey_are_events_of_their_own() -> None:
    closed, surveyed = only(data("contacts/closed.json")), only(data("contacts/surveyed.json"))
    assert (closed.type, closed.facts["status"], closed.facts["duration"]) == ("contact.closed", "resolved", 720)
    assert (surveyed.type, surveyed.facts["score"], surveyed.facts["scale"]) == ("contact.surveyed", 2, 5)
    assert surveyed.facts["comment"] == "Never again"
    assert "text" not in closed.facts and "text" not in surveyed.facts


BOOKING = RECEIVED["customer"]["booking"]


@pytest.mark.parametrize(
    ("customer", "subject", "others"),
    [
        ({"booking": BOOKING}, PASSENGER, ()),
        ({"booking": BOOKING, "phone": "+12125550100"}, PASSENGER, (PHONE,)),
        ({"booking": {"locator": "K7Q2ZP", "surname": "Smith"}, "email": "john@example.com"}, EMAIL, ()),
        ({"booking": {"locator": "K7Q2ZP", "surname": "Smith", "given": "John"}}, PNR, ()),
        ({"email": "info@example.com", "phone": "0000"}, None, ()),
        ({}, None, ()),
    ],
)
def test_the_strongest_identifier_is_the_subject(customer: dict[str, Any], subject: Identifier | None, others: tuple[Any, ...]) -> None:
    draft = only(changed(RECEIVED, "customer", customer))
    assert (draft.subject, draft.identifiers) == (subject, others)
    assert [entity.key for entity in draft.entities] == ([subject] if subject else [])


def test_a_locator_and_surname_find_the_person_named_beside_them() -> None:
    [relation] = only(data("contacts/received.json")).relations
    assert (relation.origin.key, relation.kind, relation.target.key) == (PNR, "finds", LOYALTY)
    assert only(changed(RECEIVED, "customer", {"booking": {"locator": "K7Q2ZP", "surname": "Smith"}})).relations == ()


def test_what_nobody_known_wrote_is_kept_under_a_key_of_its_own() -> None:
    draft = only(changed(RECEIVED, "customer"))
    assert (draft.owner, draft.entities) == (Identifier("contact", "C-20130208-0042"), ())


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        (changed(RECEIVED, "event", "Secret"), "unknown_type", "$.event"),
        (changed(RECEIVED, "contact"), "missing_field", "$.contact"),
        (changed(RECEIVED, "contact", "Secret name"), "bad_field", "$.contact"),
        (changed(RECEIVED, "channel"), "missing_field", "$.channel"),
        (changed(RECEIVED, "channel", "Secret"), "bad_field", "$.channel"),
        (changed(RECEIVED, "text", "Secret" * 2_000), "bad_field", "$.text"),
        (changed(RECEIVED, "customer.booking.locator", "Secret Locator"), "bad_field", "$.customer.booking.locator"),
        (changed(RECEIVED, "customer.booking.surname", "///"), "bad_field", "$.customer.booking.surname"),
        (changed(SURVEYED, "score"), "missing_field", "$.score"),
        (changed(SURVEYED, "scale"), "missing_field", "$.scale"),
        (changed(SURVEYED, "scale", 0), "bad_field", "$.scale"),
        (changed(SURVEYED, "score", 6), "bad_field", "$.score"),
        (changed(SURVEYED, "score", -1), "bad_field", "$.score"),
    ],
)
def test_what_is_broken_is_refused_with_its_place(body: bytes, code: str, at: str) -> None:
    refusal = refused("contacts", body)
    assert (refusal.code, refusal.at) == (code, at)
    assert "Secret" not in str(refusal)


@given(bent(("contacts/received.json", "contacts/closed.json", "contacts/surveyed.json")))
def test_a_bent_message_is_decoded_or_refused_and_never_repeated(body: bytes) -> None:
    if found := decode_or_refuse("contacts", body):
        same_after_assembly("contacts", found)
