"""Loyalty messages: the membership is the subject, its contacts only find it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from tests.core.samples import data, decoded, refused
from tests.core.sources.json_messages import JSON, LATER, bent, changed, decode_or_refuse, same_after_assembly, sample

from paxtrail.core.records import Entity, Identifier

ACCOUNT, MILES = sample("loyalty/account.json"), sample("loyalty/miles.json")
CONSENTS = sample("loyalty/consents.json")
MEMBER = Identifier("loyalty", "UA|AB123456")


def test_an_account_update_says_all_it_was_told() -> None:
    (draft,) = decoded("loyalty", data("loyalty/account.json")).drafts
    assert (draft.type, draft.subject, draft.owner, draft.region) == ("loyalty.account_updated", MEMBER, MEMBER, "US")
    assert (draft.event_time, draft.source_sequence) == (1_359_676_800_000_000, 5)
    assert draft.identifiers == (Identifier("email", "john.smith@example.com"), Identifier("phone", "+12125550100"))
    assert draft.entities == (Entity("profile", MEMBER),)
    assert draft.facts == {
        "loyalty_airline": "UA", "loyalty_number": "AB123456", "status": "active", "tier": "GOLD", "tier_expires": "2013-12-31",
        "enrolled": "2010-05-01", "surname": "Smith", "given": "John", "title": "Mr", "birth_date": "1970-01-02", "gender": "M",
        "email": "John.Smith@example.com", "email_verified": True, "phone": "+12125550100", "phone_verified": True, "residence": "US",
        "nationality": "US", "seat_preference": "aisle", "meal_preference": "VGML", "language": "en", "balance": 12345,
    }  # fmt: skip


def test_a_posting_of_miles_names_its_flight() -> None:
    (draft,) = decoded("loyalty", data("loyalty/miles.json"), arrival=LATER).drafts
    assert (draft.type, draft.subject, draft.identifiers) == ("loyalty.miles_posted", MEMBER, ())
    assert draft.facts == {
        "loyalty_airline": "UA", "loyalty_number": "AB123456", "posting": "P-77", "kind": "flight", "miles": 500, "balance": 12845,
        "leg": "UA1545/2013-02-08/EWR", "airline": "UA", "number": "1545", "origin_date": "2013-02-08", "departure": "EWR",
    }  # fmt: skip


def test_each_act_of_consent_is_an_event_at_the_time_it_was_done() -> None:
    given_, withdrawn = decoded("loyalty", data("loyalty/consents.json")).drafts
    assert {draft.type for draft in (given_, withdrawn)} == {"loyalty.consent_changed"}
    assert (given_.event_time, withdrawn.event_time) == (1_359_712_800_000_000, 1_359_622_800_000_000)
    assert given_.entities == withdrawn.entities == (Entity("profile", MEMBER),)
    assert given_.facts == {
        "loyalty_airline": "UA", "loyalty_number": "AB123456", "act": "marketing/email/given/subject", "purpose": "marketing",
        "status": "given", "consent_channel": "email", "by": "subject", "mechanism": "opt_in", "method": "save", "via": "web",
        "notice": "privacy", "notice_version": "2013-01", "notice_hash": "9f2c", "language": "en", "expires_at": 1_422_784_800_000_000,
        "evidence": "form", "evidence_reference": "F-1001",
    }  # fmt: skip
    assert withdrawn.facts["act"] == "partner_sharing/any/withdrawn/subject" and "expires_at" not in withdrawn.facts


def test_a_part_of_a_country_is_told_where_law_differs_by_it() -> None:
    (draft,) = decoded("loyalty", changed(ACCOUNT, "member.subdivision", "us-ca")).drafts
    assert draft.facts["subdivision"] == "US-CA"


def test_what_is_not_said_is_absent_and_what_is_emptied_is_null() -> None:
    body = changed(changed_dict(ACCOUNT, "preferences"), "member", {"email": None, "phone": "", "given": "John"})
    (draft,) = decoded("loyalty", body).drafts
    assert draft.facts["email"] is None
    assert draft.facts["phone"] is None
    assert "surname" not in draft.facts
    assert "language" not in draft.facts
    assert draft.identifiers == ()


def changed_dict(message: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != member}


def test_a_role_s_mailbox_is_kept_but_finds_nobody() -> None:
    (draft,) = decoded("loyalty", changed(ACCOUNT, "member.email", "info@acme.com")).drafts
    assert draft.facts["email"] == "info@acme.com"
    assert draft.identifiers == (Identifier("phone", "+12125550100"),)


def test_memberships_are_one_however_they_are_written() -> None:
    (draft,) = decoded("loyalty", changed(ACCOUNT, "account", {"airline": "ua", "number": "ab 123-456"})).drafts
    assert draft.subject == MEMBER


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        (b"{", "bad_json", ""),
        (b"[]", "bad_field", "$"),
        (b'{"event":"\xff"}', "bad_encoding", ""),
        (data("loyalty/miles.json").replace(b'"posting"', b'"unknown":"\xff","posting"'), "bad_encoding", ""),
        (b'{"event":"account_updated","x":' + b"[" * 200_000, "json_depth", ""),
        (changed(ACCOUNT, "event", "Secret"), "unknown_type", "$.event"),
        (changed(ACCOUNT, "event"), "missing_field", "$.event"),
        (changed(ACCOUNT, "account"), "missing_field", "$.account"),
        (changed(ACCOUNT, "account.number"), "missing_field", "$.account.number"),
        (changed(ACCOUNT, "account.number", "000000"), "bad_field", "$.account.number"),
        (changed(ACCOUNT, "account.number", 123456), "bad_field", "$.account.number"),
        (changed(ACCOUNT, "account.airline", "Secret"), "bad_field", "$.account.airline"),
        (changed(ACCOUNT, "at", "2013-02-01"), "bad_field", "$.at"),
        (changed(ACCOUNT, "at", "2099-02-01T00:00:00Z"), "from_the_future", "event_time"),
        (changed(ACCOUNT, "sequence", -1), "bad_field", "$.sequence"),
        (changed(ACCOUNT, "balance", 1.5), "bad_field", "$.balance"),
        (changed(ACCOUNT, "tier", "GO\x00LD"), "bad_field", "$.tier"),
        (changed(ACCOUNT, "tier", "sealed:name:a:b"), "reserved_marker", "loyalty.account_updated.tier"),
        (changed(ACCOUNT, "tierExpires", "2013-02-30"), "bad_field", "$.tierExpires"),
        (changed(ACCOUNT, "member.birthDate", "02/01/1970"), "bad_field", "$.member.birthDate"),
        (changed(ACCOUNT, "member.surname", ""), "bad_field", "$.member.surname"),
        (changed(ACCOUNT, "member.surname", "a\x00b"), "nul_character", "loyalty.account_updated.surname"),
        (changed(MILES, "posting"), "missing_field", "$.posting"),
        (changed(ACCOUNT, "member.subdivision", "Secret"), "bad_field", "$.member.subdivision"),
        (changed(CONSENTS, "consents", []), "bad_field", "$.consents"),
        (changed(CONSENTS, "consents.0.purpose", "Secret"), "bad_field", "$.consents[0].purpose"),
        (changed(CONSENTS, "consents.1.status", "Secret"), "bad_field", "$.consents[1].status"),
        (changed(CONSENTS, "consents.1.channel", "Secret"), "bad_field", "$.consents[1].channel"),
        (changed(CONSENTS, "consents.1.by", "Secret"), "bad_field", "$.consents[1].by"),
        (changed(CONSENTS, "consents.0.purpose", "all"), "bundled_consent", "$.consents[0].purpose"),
        (changed(CONSENTS, "consents.0.mechanism", "notice_only"), "no_consent", "$.consents[0].mechanism"),
        (changed(CONSENTS, "consents.0.via", "phone"), "no_recording", "$.consents[0].evidence"),
        (changed(CONSENTS, "consents.0.expiresAt", "never"), "bad_field", "$.consents[0].expiresAt"),
        (changed(MILES, "kind", "gift"), "bad_field", "$.kind"),
        (changed(MILES, "flight.number", "UA1545"), "bad_field", "$.flight.number"),
    ],
)  # fmt: skip
def test_what_is_broken_is_refused_with_its_place(body: bytes, code: str, at: str) -> None:
    refusal = refused("loyalty", body)
    assert (refusal.code, refusal.at) == (code, at)
    assert "Secret" not in str(refusal)


@given(bent(("loyalty/account.json", "loyalty/miles.json", "loyalty/consents.json")))
def test_a_bent_message_is_decoded_or_refused_and_never_repeated(body: bytes) -> None:
    if found := decode_or_refuse("loyalty", body):
        same_after_assembly("loyalty", found)


@given(JSON)
def test_any_json_is_decoded_or_refused(value: Any) -> None:
    decode_or_refuse("loyalty", json.dumps(value).encode())
