"""Booking engine: whoever is known best is the subject; devices and sessions only find."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.core.samples import data, decoded, refused
from tests.core.sources.json_messages import bent, changed, decode_or_refuse, same_after_assembly, sample

from paxtrail.core.identity import edges_of
from paxtrail.core.records import Entity, Identifier

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


def test_a_signal_of_the_browser_is_an_objection_of_the_account_else_of_the_device() -> None:
    accounts = changed(SEARCH | {"gpc": True}, "customer", BOTH)
    searched, signalled = decoded("booking", accounts).drafts
    member, login = Identifier("loyalty", "UA|AB123456"), Identifier("idp", "https://id.example.com|u-1")
    assert (searched.type, searched.entities) == ("search.performed", (Entity("profile", member),))
    assert (signalled.type, signalled.entities) == ("booking.consent_changed", (Entity("profile", member), Entity("profile", login)))
    assert signalled.facts == {
        "session": "s-81f3", "device": "d-55aa", "act": "all/any/signalled/subject", "purpose": "all", "status": "signalled",
        "consent_channel": "any", "by": "subject", "method": "gpc", "via": "web", "evidence": "header",
    }  # fmt: skip
    _, of_device = decoded("booking", changed(SEARCH | {"gpc": True}, "customer", None)).drafts
    assert of_device.entities == (Entity("profile", DEVICE),)
    assert len(decoded("booking", changed(SEARCH | {"gpc": False}, "cabin", "Y")).drafts) == 1


def test_what_is_said_on_the_site_hangs_on_every_account_named() -> None:
    (draft,) = decoded("booking", data("booking/consents.json")).drafts
    assert [entity.key.namespace for entity in draft.entities if isinstance(entity.key, Identifier)] == ["loyalty", "idp"]
    assert (draft.type, draft.facts["act"]) == ("booking.consent_changed", "personalisation/any/objected/subject")


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
        (changed(SEARCH, "gpc", "Secret"), "bad_field", "$.gpc"),
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


@given(bent(("booking/search.json", "booking/step.json", "booking/consents.json")))
def test_a_bent_message_is_decoded_or_refused_and_never_repeated(body: bytes) -> None:
    if found := decode_or_refuse("booking", body):
        same_after_assembly("booking", found)
