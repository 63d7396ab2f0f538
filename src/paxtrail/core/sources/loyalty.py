"""Messages of the loyalty system: the account as it now stands, postings of miles, and what members say of consent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType, field

from paxtrail.core.identity import email_identifier, loyalty_identifier, phone_identifier, ranked
from paxtrail.core.native_json import (
    Airline,
    Airport,
    Count,
    Country,
    Day,
    Instant,
    Membership,
    Name,
    Native,
    Number,
    Subdivision,
    Text,
    Whole,
    Word,
    controller,
    given,
    leg_facts,
    loyalty_facts,
    phone_fact,
    reader,
    region,
    said,
)
from paxtrail.core.records import Draft, Entity, Envelope, Identifier
from paxtrail.core.sources import consents
from paxtrail.errors import Refusal

VERSION = 2


class Member(Native, frozen=True):
    surname: Name | UnsetType = UNSET
    given: Text | UnsetType | None = UNSET
    title: Text | UnsetType | None = UNSET
    birth_date: Day | UnsetType | None = UNSET
    gender: Text | UnsetType | None = UNSET
    email: Text | UnsetType | None = UNSET
    email_verified: bool | UnsetType | None = UNSET
    phone: Text | UnsetType | None = UNSET
    phone_verified: bool | UnsetType | None = UNSET
    residence: Country | UnsetType | None = UNSET
    subdivision: Subdivision | UnsetType | None = UNSET
    nationality: Country | UnsetType | None = UNSET


class Preferences(Native, frozen=True):
    seat: Word | UnsetType | None = UNSET
    meal: Text | UnsetType | None = UNSET
    language: Word | UnsetType | None = UNSET


class Flight(Native, frozen=True):
    airline: Airline
    number: Number
    date: Day
    departure: Airport = field(name="from")


class AccountUpdated(Native, frozen=True, tag_field="event", tag="account_updated"):
    account: Membership
    at: Instant
    sequence: Count = 0
    status: Word | UnsetType | None = UNSET
    tier: Word | UnsetType | None = UNSET
    tier_expires: Day | UnsetType | None = UNSET
    enrolled: Day | UnsetType | None = UNSET
    member: Member = Member()
    preferences: Preferences = Preferences()
    balance: Whole | UnsetType | None = UNSET


class MilesPosted(Native, frozen=True, tag_field="event", tag="miles_posted"):
    account: Membership
    at: Instant
    posting: Word
    miles: Whole
    kind: Word
    sequence: Count = 0
    balance: Whole | UnsetType | None = UNSET
    flight: Flight | UnsetType | None = UNSET


class ConsentChanged(Native, frozen=True, tag_field="event", tag="consent_changed"):
    account: Membership
    at: Instant
    consents: tuple[consents.Act, ...]
    sequence: Count = 0


_read: Callable[[bytes], AccountUpdated | MilesPosted | ConsentChanged] = reader(AccountUpdated | MilesPosted | ConsentChanged)
_KINDS = frozenset(("flight", "partner", "redemption", "expiry", "adjustment"))


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One draft about the membership, for consent one per act; its own e-mail and phone only find it, they never link it."""
    message = _read(body)
    subject = loyalty_identifier(message.account.airline, message.account.number)
    if subject is None:
        raise Refusal("bad_field", "not a membership number", "$.account.number")
    names = loyalty_facts(message.account)
    contacts: tuple[Identifier, ...] = ()
    residence: Any = UNSET
    match message:
        case AccountUpdated():
            residence = message.member.residence
            contacts = _contacts(message.member)
            told = [(int(message.at), {"balance": message.balance, **_account(message)})]
        case MilesPosted():
            told = [(int(message.at), {"balance": message.balance, **_posting(message)})]
        case ConsentChanged():
            told = consents.acts(message.consents, message.at)
    return [
        Draft(
            type=f"loyalty.{message.__struct_config__.tag}",
            event_time=at,
            facts=said(names | facts),
            native=body.decode(),
            owner=subject,
            subject=subject,
            identifiers=contacts,
            entities=(Entity("profile", subject),),
            source_sequence=message.sequence,
            controller=controller(envelope),
            region=region(envelope, residence),
        )
        for at, facts in told
    ]


def _account(message: AccountUpdated) -> dict[str, Any]:
    member, preferences = message.member, message.preferences
    return {
        "status": message.status,
        "tier": message.tier,
        "tier_expires": message.tier_expires,
        "enrolled": message.enrolled,
        "surname": member.surname,
        "given": member.given,
        "title": member.title,
        "birth_date": member.birth_date,
        "gender": member.gender,
        "email": member.email,
        "email_verified": member.email_verified,
        "phone": phone_fact(member.phone, _country(member)),
        "phone_verified": member.phone_verified,
        "residence": member.residence,
        "subdivision": member.subdivision,
        "nationality": member.nationality,
        "language": preferences.language,
        "seat_preference": preferences.seat,
        "meal_preference": preferences.meal,
    }


def _posting(message: MilesPosted) -> dict[str, Any]:
    if message.kind not in _KINDS:
        raise Refusal("bad_field", "not a kind of posting", "$.kind")
    facts: dict[str, Any] = {"posting": message.posting, "miles": message.miles, "kind": message.kind}
    if isinstance(message.flight, Flight):
        facts |= leg_facts(message.flight.airline, message.flight.number, message.flight.date, message.flight.departure)
    return facts


def _contacts(member: Member) -> tuple[Identifier, ...]:
    found = [
        email_identifier(member.email) if isinstance(member.email, str) else None,
        phone_identifier(member.phone, _country(member)) if isinstance(member.phone, str) else None,
    ]
    return ranked(identifier for identifier in found if identifier is not None)


def _country(member: Member) -> str | None:
    return str(member.residence) if given(member.residence) else None
