"""Messages of the booking engine: searches, the steps of a booking, and what is said of consent on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType

from paxtrail.core.identity import STRONG, idp_identifier, loyalty_identifier, opaque_identifier, ranked
from paxtrail.core.native_json import (
    Account,
    Airport,
    Count,
    Day,
    Instant,
    Locator,
    Membership,
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
from paxtrail.core.sources import consents
from paxtrail.errors import Refusal

VERSION = 2


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
    gpc: bool | None = None


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
    gpc: bool | None = None


class ConsentChanged(Native, frozen=True, tag_field="event", tag="consent_changed"):
    at: Instant
    consents: tuple[consents.Act, ...]
    session: Text | None = None
    device: Text | None = None
    customer: Customer | None = None
    sequence: Count = 0


_read: Callable[[bytes], Search | Step | ConsentChanged] = reader(Search | Step | ConsentChanged)
_STEPS = frozenset(("offer_selected", "passenger_details", "payment", "completed", "abandoned"))


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One draft about whoever is known best (membership, else account, else device, else session); one more for a privacy signal.

    What is said of consent hangs on every account named, or on the device: an act under an identifier of two is in both their ledgers.
    """
    message = _read(body)
    known = _identifiers(message)
    if not known:
        raise Refusal("nobody", "neither a customer nor a device nor a session is named", "$")

    def draft(type_: str, at: int, facts: dict[str, Any], spoken: tuple[Identifier, ...]) -> Draft:
        return Draft(
            type=type_,
            event_time=at,
            facts=said(facts),
            native=body.decode(),
            owner=known[0],
            subject=known[0],
            identifiers=known[1:],
            entities=tuple(Entity("profile", identifier) for identifier in spoken),
            source_sequence=message.sequence,
            controller=controller(envelope),
            region=region(envelope, UNSET),
        )

    names = {"session": message.session or UNSET, "device": message.device or UNSET}
    accounts = tuple(identifier for identifier in known if identifier.namespace in STRONG) or known[:1]
    if isinstance(message, ConsentChanged):
        told = consents.acts(message.consents, message.at)
        return [draft("booking.consent_changed", at, names | facts, accounts) for at, facts in told]
    type_ = "search.performed" if isinstance(message, Search) else "booking.step_reached"
    drafts = [draft(type_, int(message.at), names | _facts(message), known[:1])]
    if message.gpc:
        signal = {**consents.facts(consents.SIGNAL, "$.gpc"), "via": message.channel}
        drafts.append(draft("booking.consent_changed", int(message.at), names | signal, accounts))
    return drafts


def _facts(message: Search | Step) -> dict[str, Any]:
    facts: dict[str, Any] = {
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
        return facts | {"results": message.results}
    if message.step not in _STEPS:
        raise Refusal("bad_field", "not a step of a booking", "$.step")
    return facts | {"step": message.step, "locator": message.locator, "price": price_facts(message.price)}


def _identifiers(message: Search | Step | ConsentChanged) -> tuple[Identifier, ...]:
    customer = message.customer or Customer()
    found = [
        loyalty_identifier(customer.loyalty.airline, customer.loyalty.number) if customer.loyalty else None,
        idp_identifier(customer.idp.issuer, customer.idp.subject) if customer.idp else None,
        opaque_identifier("device", message.device) if message.device else None,
        opaque_identifier("session", message.session) if message.session else None,
    ]
    return ranked(identifier for identifier in found if identifier is not None)
