"""Messages of the departure control system: check-in, seats, bags, upgrades, boarding and what undoes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType, field

from paxtrail.core import normalise
from paxtrail.core.identity import document_identifier, loyalty_identifier, ranked
from paxtrail.core.native_json import (
    Airline,
    Airport,
    Amount,
    Count,
    Day,
    Document,
    Instant,
    Locator,
    Membership,
    Name,
    Native,
    Number,
    Tag,
    Text,
    Ticket,
    Word,
    controller,
    document_facts,
    given,
    kilograms,
    leg_facts,
    loyalty_facts,
    reader,
    region,
    require,
    said,
)
from paxtrail.core.records import Draft, Entity, Envelope, Identifier, Relation
from paxtrail.errors import Refusal

VERSION = 1


class Flight(Native, frozen=True):
    airline: Airline
    number: Number
    date: Day
    departure: Airport = field(name="from")
    arrival: Airport | UnsetType | None = field(name="to", default=UNSET)


class Weight(Native, frozen=True):
    value: Amount
    unit: Word = Word("K")


class Bag(Native, frozen=True):
    tag: Tag
    weight: Weight | None = None


class Message(Native, frozen=True):
    event: Word
    locator: Locator
    surname: Name
    flight: Flight
    at: Instant
    given: Text = ""
    sequence: Count = 0
    seat: Word | UnsetType | None = UNSET
    cabin: Word | UnsetType | None = UNSET
    previous_cabin: Word | UnsetType | None = UNSET
    boarding_number: Count | UnsetType | None = UNSET
    gate: Word | UnsetType | None = UNSET
    channel: Word | UnsetType | None = UNSET
    bags: tuple[Bag, ...] = ()
    ticket: Ticket | UnsetType | None = UNSET
    loyalty: Membership | UnsetType | None = UNSET
    document: Document | UnsetType | None = UNSET


_read: Callable[[bytes], Message] = reader(Message)
_EVENTS = frozenset(("accepted", "seat_changed", "bag_added", "upgraded", "boarded", "no_show", "offloaded", "cancelled"))
_STATUSES = frozenset(("accepted", "boarded", "no_show", "offloaded", "cancelled"))
_MOST_BAGS = 99


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One draft about the journey; a person is its subject only if the message itself names a membership or a document."""
    message = _read(body)
    _complete(message)
    leg = leg_facts(message.flight.airline, message.flight.number, message.flight.date, message.flight.departure)
    name = normalise.name_key(message.surname, message.given)
    if name.startswith("/"):
        raise Refusal("bad_field", "a surname without letters", "$.surname")
    journey = Entity("journey", Identifier("journey", f"{leg['leg']}|{message.locator}|{name}"))
    bags = [Entity("bag", str(bag.tag)) for bag in message.bags]
    known = _identifiers(message)
    subject = known[0] if known else None
    relations = [Relation(journey, "on", Entity("flight", leg["leg"])), *(Relation(journey, "carries", bag) for bag in bags)]
    if given(message.ticket):
        relations.append(Relation(Entity("identifier", Identifier("ticket", str(message.ticket))), "finds", journey))
    if subject is not None:
        person = Entity("profile", subject)
        pnr = Identifier("pnr", f"{message.locator}|{normalise.surname_key(message.surname)}")
        relations += [Relation(person, "travels", journey), Relation(Entity("identifier", pnr), "finds", person)]
    return [
        Draft(
            type=f"checkin.{message.event}",
            event_time=int(message.at),
            facts=said(leg | _facts(message)),
            native=body.decode(),
            owner=subject or Identifier("journey", f"{leg['leg']}|{message.locator}|{name}"),
            subject=subject,
            identifiers=known[1:],
            entities=(journey, *dict.fromkeys(bags), *([Entity("profile", subject)] if subject else [])),
            relations=tuple(dict.fromkeys(relations)),
            source_sequence=message.sequence,
            controller=controller(envelope),
            region=region(envelope, UNSET),
        )
    ]


def _complete(message: Message) -> None:
    if message.event not in _EVENTS:
        raise Refusal("unknown_type", "no event of this source", "$.event")
    require(message.event != "seat_changed" or message.seat is not UNSET, "$.seat")
    require(message.event != "upgraded" or given(message.cabin), "$.cabin")
    require(message.event != "bag_added" or bool(message.bags), "$.bags")
    if len(message.bags) > _MOST_BAGS:
        raise Refusal("too_many", f"a message has at most {_MOST_BAGS} bags", "$.bags")
    for index, bag in enumerate(message.bags):
        if bag.weight and (bag.weight.unit not in ("K", "L") or bag.weight.value.startswith("-")):
            raise Refusal("bad_field", "a weight has unit K or L and is not negative", f"$.bags[{index}].weight")


def _facts(message: Message) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "locator": message.locator,
        "surname": message.surname,
        "given": message.given or UNSET,
        "arrival": message.flight.arrival,
        "at": message.at,
        "channel": message.channel,
        "seat": message.seat,
        "cabin": message.cabin,
        "boarding_number": message.boarding_number,
        "gate": message.gate,
        "ticket": message.ticket,
        "document": document_facts(message.document),
    }
    if message.event in _STATUSES:
        facts["status"] = message.event
    if message.event == "upgraded":
        facts["previous_cabin"] = message.previous_cabin
    facts |= loyalty_facts(message.loyalty)
    if message.bags:
        facts |= {"bag_count": len({bag.tag for bag in message.bags}), "bags": [_bag(bag) for bag in message.bags]}
    return facts


def _bag(bag: Bag) -> dict[str, Any]:
    return {"tag": bag.tag, "weight_kg": kilograms(bag.weight.value, bag.weight.unit) if bag.weight else UNSET}


def _identifiers(message: Message) -> tuple[Identifier, ...]:
    found = []
    if isinstance(message.loyalty, Membership):
        found.append(loyalty_identifier(message.loyalty.airline, message.loyalty.number))
    if isinstance(message.document, Document) and given(message.document.country):
        found.append(document_identifier(str(message.document.country), message.document.type, message.document.number))
    return ranked(identifier for identifier in found if identifier is not None)
