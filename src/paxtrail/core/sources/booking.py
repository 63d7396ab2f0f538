"""Messages of the booking engine: searches, and the steps of a booking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType

from paxtrail.core.identity import idp_identifier, loyalty_identifier, opaque_identifier, ranked
from paxtrail.core.native_json import (
    Airport,
    Count,
    Day,
    Instant,
    Locator,
    Membership,
    Name,
    Native,
    Price,
    Text,
    Word,
    controller,
    price_facts,
    reader,
    region,
    said,
)
from paxtrail.core.records import Draft, Entity, Envelope, Identifier
from paxtrail.errors import Refusal

VERSION = 1


class Account(Native, frozen=True):
    issuer: Name
    subject: Name


class Customer(Native, frozen=True):
    loyalty: Membership | None = None
    idp: Account | None = None


class Party(Native, frozen=True):
    adults: Count | UnsetType = UNSET
    children: Count | UnsetType = UNSET
    infants: Count | UnsetType = UNSET


class Search(Native, frozen=True, tag_field="event", tag="search"):
    at: Instant
    origin: Airport
    destination: Airport
    session: Text | None = None
    device: Text | None = None
    customer: Customer | None = None
    sequence: Count = 0
    channel: Word | UnsetType | None = UNSET
    departs: Day | UnsetType | None = UNSET
    returns: Day | UnsetType | None = UNSET
    passengers: Party = Party()
    cabin: Word | UnsetType | None = UNSET
    results: Count | UnsetType | None = UNSET


class Step(Native, frozen=True, tag_field="event", tag="step"):
    at: Instant
    step: Word
    session: Text | None = None
    device: Text | None = None
    customer: Customer | None = None
    sequence: Count = 0
    channel: Word | UnsetType | None = UNSET
    origin: Airport | UnsetType | None = UNSET
    destination: Airport | UnsetType | None = UNSET
    departs: Day | UnsetType | None = UNSET
    returns: Day | UnsetType | None = UNSET
    passengers: Party = Party()
    cabin: Word | UnsetType | None = UNSET
    locator: Locator | UnsetType | None = UNSET
    price: Price | UnsetType | None = UNSET


_read: Callable[[bytes], Search | Step] = reader(Search | Step)
_STEPS = frozenset(("offer_selected", "passenger_details", "payment", "completed", "abandoned"))


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One draft about whoever is known best: membership, else account, else device, else session."""
    message = _read(body)
    known = _identifiers(message)
    if not known:
        raise Refusal("nobody", "neither a customer nor a device nor a session is named", "$")
    facts: dict[str, Any] = {
        "session": message.session or UNSET,
        "device": message.device or UNSET,
        "at": message.at,
        "channel": message.channel,
        "origin": message.origin,
        "destination": message.destination,
        "departs": message.departs,
        "returns": message.returns,
        "adults": message.passengers.adults,
        "children": message.passengers.children,
        "infants": message.passengers.infants,
        "cabin": message.cabin,
    }
    if isinstance(message.origin, str) and isinstance(message.destination, str):
        facts["route"] = f"{message.origin}-{message.destination}"
    if isinstance(message, Search):
        facts["results"] = message.results
    else:
        if message.step not in _STEPS:
            raise Refusal("bad_field", "not a step of a booking", "$.step")
        facts |= {"step": message.step, "locator": message.locator, "price": price_facts(message.price)}
    return [
        Draft(
            type="search.performed" if isinstance(message, Search) else "booking.step_reached",
            event_time=int(message.at),
            facts=said(facts),
            native=body.decode(),
            owner=known[0],
            subject=known[0],
            identifiers=known[1:],
            entities=(Entity("profile", known[0]),),
            source_sequence=message.sequence,
            controller=controller(envelope),
            region=region(envelope, UNSET),
        )
    ]


def _identifiers(message: Search | Step) -> tuple[Identifier, ...]:
    customer = message.customer or Customer()
    found = [
        loyalty_identifier(customer.loyalty.airline, customer.loyalty.number) if customer.loyalty else None,
        idp_identifier(customer.idp.issuer, customer.idp.subject) if customer.idp else None,
        opaque_identifier("device", message.device) if message.device else None,
        opaque_identifier("session", message.session) if message.session else None,
    ]
    return ranked(identifier for identifier in found if identifier is not None)
