"""Booking engine: whoever is known best is the subject; devices and sessions only find."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.core.samples import data, decoded, refused
from tests.core.sources.json_messages import bent, changed, decode_or_refuse, same_after_assembly, sample

from paxtrail.core.identity import edges_of
from paxtrail.core.records import Identifier

SEARCH, STEP = sample("booking/search.json"), sample("booking/step.json")
DEVICE, SESSION = Identifier("device", "d-55aa"), Identifier("session", "s-81f3")


def test_a_search_says_what_was_looked_for() -> None:
    (draft,) = decoded("booking", data("booking/search.json")).drafts
    assert (draft.type, draft.subject, draft.identifiers) == ("search.performed", Identifier("loyalty", "UA|AB123456"), (DEVICE, SESSION))
    assert draft.event_time == 1_358_589_600_000_000
    assert draft.facts == {
        "session": "s-81f3",
        "device": "d-55aa",
        "at": 1_358_589_600_000_000,
        "channel": "web",
        "origin": "EWR",
        "destination": "LAX",
        "route": "EWR-LAX",
        "departs": "2013-03-01",
        "returns": None,
        "adults": 2,
        "children": 1,
        "infants": 0,
        "cabin": "Y",
        "results": 12,
    }


def test_a_step_says_how_far_the_booking_went() -> None:
    (draft,) = decoded("booking", data("booking/step.json")).drafts
    assert (draft.type, draft.subject) == ("booking.step_reached", Identifier("idp", "https://id.example.com|u-1"))
    assert draft.facts == {
        "session": "s-81f3",
        "device": "d-55aa",
        "at": 1_358_589_900_000_000,
        "channel": "web",
        "step": "completed",
        "origin": "EWR",
        "destination": "LAX",
        "route": "EWR-LAX",
        "departs": "2013-03-01",
        "locator": "K7Q2ZP",
        "price": {"amount": "123.45", "currency": "USD"},
    }


BOTH = {"loyalty": {"airline": "UA", "number": "AB123456"}, "idp": {"issuer": "https://id.example.com/", "subject": "u-1"}}


@pytest.mark.parametrize(
    ("customer", "device", "namespaces"),
    [
        (BOTH, "d-55aa", ["loyalty", "idp", "device", "session"]),
        ({"idp": BOTH["idp"]}, "d-55aa", ["idp", "device", "session"]),
        (None, "d-55aa", ["device", "session"]),
        ({}, "0000", ["session"]),
        ({"idp": {"issuer": "https://id.example.com/", "subject": "anonymous"}}, None, ["session"]),
    ],
)
def test_the_strongest_identifier_is_the_subject(customer: object, device: object, namespaces: list[str]) -> None:
    message = SEARCH | {"customer": customer, "device": device}
    (draft,) = decoded("booking", changed(message, "cabin", "Y")).drafts
    assert draft.subject is not None
    assert [i.namespace for i in (draft.subject, *draft.identifiers)] == namespaces


def test_two_members_on_one_device_are_never_linked() -> None:
    other = changed(SEARCH, "customer", {"loyalty": {"airline": "UA", "number": "CD999999"}})
    for body in (data("booking/search.json"), other):
        (draft,) = decoded("booking", body).drafts
        assert draft.subject is not None
        assert edges_of(draft.subject, draft.identifiers) == []


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        (changed(SEARCH | {"device": None, "session": "", "customer": None}, "cabin", "Y"), "nobody", "$"),
        (changed(SEARCH, "event", "Secret"), "unknown_type", "$.event"),
        (changed(SEARCH, "origin"), "missing_field", "$.origin"),
        (changed(SEARCH, "origin", "Secret"), "bad_field", "$.origin"),
        (changed(SEARCH, "departs", "tomorrow"), "bad_field", "$.departs"),
        (changed(SEARCH, "passengers.adults", "Secret"), "bad_field", "$.passengers.adults"),
        (changed(SEARCH, "at", "2013-01-19T10:00:00"), "bad_field", "$.at"),
        (changed(STEP, "step", "Secret"), "bad_field", "$.step"),
        (changed(STEP, "price.amount", 123.45), "bad_field", "$.price.amount"),
        (changed(STEP, "price.amount", "1,234"), "bad_field", "$.price.amount"),
        (changed(STEP, "locator", "Secret Locator"), "bad_field", "$.locator"),
    ],
)
def test_what_is_broken_is_refused_with_its_place(body: bytes, code: str, at: str) -> None:
    refusal = refused("booking", body)
    assert (refusal.code, refusal.at) == (code, at)
    assert "Secret" not in str(refusal)


@given(bent(("booking/search.json", "booking/step.json")))
def test_a_bent_message_is_decoded_or_refused_and_never_repeated(body: bytes) -> None:
    if found := decode_or_refuse("booking", body):
        same_after_assembly("booking", found)
