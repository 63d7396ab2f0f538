"""Messages of the contact centre: a call, chat or e-mail comes in, is closed, and is rated by the customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType

from paxtrail.core import normalise
from paxtrail.core.identity import email_identifier, idp_identifier, loyalty_identifier, phone_identifier, ranked
from paxtrail.core.native_json import (
    Account,
    Count,
    Day,
    Instant,
    Locator,
    Membership,
    Name,
    Native,
    Reference,
    Text,
    Word,
    controller,
    given,
    loyalty_facts,
    phone_fact,
    reader,
    region,
    require,
    said,
)
from paxtrail.core.records import Draft, Entity, Envelope, Identifier, Relation
from paxtrail.errors import Refusal

VERSION = 1


class Booking(Native, frozen=True):
    locator: Locator
    surname: Name
    given: Text = ""
    created: Day | UnsetType | None = UNSET


class Customer(Native, frozen=True):
    """What the caller was recognised by: their own membership, account, booking, address or number."""

    loyalty: Membership | None = None
    idp: Account | None = None
    booking: Booking | None = None
    email: Text | UnsetType | None = UNSET
    phone: Text | UnsetType | None = UNSET


class Message(Native, frozen=True):
    event: Word
    contact: Reference
    at: Instant
    customer: Customer = Customer()
    sequence: Count = 0
    channel: Word | UnsetType | None = UNSET
    reason: Word | UnsetType | None = UNSET
    language: Word | UnsetType | None = UNSET
    subject: Text | UnsetType | None = UNSET
    text: Text | UnsetType | None = UNSET
    status: Word | UnsetType | None = UNSET
    duration: Count | UnsetType | None = UNSET
    score: Count | UnsetType = UNSET
    scale: Count | UnsetType = UNSET
    comment: Text | UnsetType | None = UNSET


_read: Callable[[bytes], Message] = reader(Message)
_EVENTS = frozenset(("received", "closed", "surveyed"))
_CHANNELS = frozenset(("call", "chat", "email", "message", "social", "letter"))
_LONGEST_SCALE = 100


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One draft about whoever is known best; a contact of nobody known stands under a key of its own, in no profile."""
    message = _read(body)
    _complete(message)
    booking = message.customer.booking
    pnr = Identifier("pnr", f"{booking.locator}|{normalise.surname_key(booking.surname)}") if booking else None
    if pnr is not None and pnr.value.endswith("|"):
        raise Refusal("bad_field", "a surname without letters", "$.customer.booking.surname")
    known = _identifiers(message.customer, pnr)
    subject = known[0] if known else None
    person = Entity("profile", subject) if subject else None
    # A locator and a surname may be a whole family's: they find the person named beside them, and nobody by themselves.
    finds = [Relation(Entity("identifier", pnr), "finds", person)] if person and pnr and subject != pnr else []
    return [
        Draft(
            type=f"contact.{message.event}",
            event_time=int(message.at),
            facts=said(_facts(message)),
            native=body.decode(),
            owner=subject or Identifier("contact", str.__str__(message.contact)),
            subject=subject,
            identifiers=known[1:],
            entities=(person,) if person else (),
            relations=tuple(finds),
            source_sequence=message.sequence,
            controller=controller(envelope),
            region=region(envelope, UNSET),
        )
    ]


def _complete(message: Message) -> None:
    if message.event not in _EVENTS:
        raise Refusal("unknown_type", "no event of this source", "$.event")
    require(message.event != "received" or given(message.channel), "$.channel")
    if given(message.channel) and message.channel not in _CHANNELS:
        raise Refusal("bad_field", "not a channel", "$.channel")
    if message.event == "surveyed":
        require(message.score is not UNSET, "$.score")
        require(message.scale is not UNSET, "$.scale")
        if isinstance(message.scale, int) and not 1 <= message.scale <= _LONGEST_SCALE:
            raise Refusal("bad_field", f"a scale ends at 1 to {_LONGEST_SCALE}", "$.scale")
        if isinstance(message.score, int) and isinstance(message.scale, int) and message.score > message.scale:
            raise Refusal("bad_field", "a score is at most its scale", "$.score")


def _facts(message: Message) -> dict[str, Any]:
    customer = message.customer
    facts: dict[str, Any] = {
        "contact": message.contact,
        "channel": message.channel,
        "reason": message.reason,
        "language": message.language,
        "email": customer.email,
        "phone": phone_fact(customer.phone, None),
    }
    facts |= loyalty_facts(customer.loyalty)
    if customer.booking:
        facts |= {"locator": customer.booking.locator, "surname": customer.booking.surname, "given": customer.booking.given or UNSET}
    own = {"received": ("subject", "text"), "closed": ("status", "duration"), "surveyed": ("score", "scale", "comment")}
    return facts | {name: getattr(message, name) for name in own[message.event]}


def _identifiers(customer: Customer, pnr: Identifier | None) -> tuple[Identifier, ...]:
    booking = customer.booking
    passenger = None
    if booking and given(booking.created) and booking.given:
        name = normalise.name_key(booking.surname, booking.given)
        passenger = Identifier("passenger", f"{booking.locator}|{booking.created}|{name}")
    found = [
        loyalty_identifier(customer.loyalty.airline, customer.loyalty.number) if customer.loyalty else None,
        idp_identifier(customer.idp.issuer, customer.idp.subject) if customer.idp else None,
        passenger,
        email_identifier(customer.email) if isinstance(customer.email, str) else None,
        phone_identifier(customer.phone) if isinstance(customer.phone, str) else None,
    ]
    strong_or_weak = ranked(identifier for identifier in found if identifier is not None)
    return strong_or_weak or ((pnr,) if pnr else ())
