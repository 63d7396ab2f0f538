"""Snapshots of a reservation (PNR): one event for what is shared, one per passenger, one per passenger and segment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import UNSET

from paxtrail.core import normalise
from paxtrail.core.identity import document_identifier, email_identifier, loyalty_identifier, phone_identifier, ranked
from paxtrail.core.native_json import (
    Document,
    Membership,
    controller,
    document_facts,
    given,
    leg_facts,
    loyalty_facts,
    phone_fact,
    price_facts,
    region,
    said,
)
from paxtrail.core.records import Draft, Entity, Envelope, Identifier, Relation
from paxtrail.core.sources.reservations_parts import assemble, divide
from paxtrail.core.sources.reservations_pnr import Agency, Contact, Passenger, Pnr, Segment, Ssr, read
from paxtrail.core.ssr import care_kind, meal_of, seat_of

__all__ = ["VERSION", "assemble", "decode"]

VERSION = 2

# Cancelled by the airline or the customer (HX, XX), or not to be had (UN, UC, NO); a wait-list or standby place is none of these.
CANCELLED = frozenset(("HX", "XX", "UN", "UC", "NO"))


class Person(NamedTuple):
    """A passenger as the drafts name them."""

    passenger: Passenger
    name: str
    subject: Identifier
    others: tuple[Identifier, ...]
    emails: list[str]
    phones: list[str]


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """Drafts in the order order, then each passenger followed by their segments, cancelled ones first.

    The order matters: events of one record have the same times, and of two about one journey (schedule change: old UN, new TK on the
    same leg) the later one counts.
    """
    pnr = read(body)
    order = Entity("order", Identifier("order", f"{pnr.locator}|{_created(pnr)}"))
    parts = divide(body, [passenger.ref for passenger in pnr.passengers])
    common: dict[str, Any] = {"event_time": int(pnr.updated), "source_sequence": pnr.version, "controller": controller(envelope)}
    assert isinstance(order.key, Identifier)
    drafts = [
        Draft(
            type="reservation.order_changed",
            facts=said(_order_facts(pnr)),
            native=parts[0],
            owner=order.key,
            entities=(order,),
            region=region(envelope, UNSET),
            **common,
        )
    ]
    for person in _people(pnr):
        profile = Entity("profile", person.subject)
        own = common | {
            "owner": person.subject,
            "subject": person.subject,
            "identifiers": person.others,
            "region": region(envelope, person.passenger.residence),
        }
        pnr_key = Identifier("pnr", f"{pnr.locator}|{normalise.surname_key(person.passenger.surname)}")
        drafts.append(
            Draft(
                type="reservation.passenger_changed",
                facts=said(_passenger_facts(pnr, person)),
                native=parts[person.passenger.ref],
                entities=(profile, order),
                relations=(Relation(profile, "party_to", order), Relation(Entity("identifier", pnr_key), "finds", profile)),
                **own,
            )
        )
        for segment in sorted(pnr.segments, key=lambda segment: not _is_cancelled(pnr, segment)):
            drafts.append(_segment_draft(pnr, order, person, segment, own))
    return drafts


def _segment_draft(pnr: Pnr, order: Entity, person: Person, segment: Segment, own: Mapping[str, Any]) -> Draft:
    leg = leg_facts(segment.airline, segment.number, segment.departs.local_day, segment.departure)
    journey = Entity("journey", Identifier("journey", f"{leg['leg']}|{pnr.locator}|{person.name}"))
    profile = Entity("profile", person.subject)
    tickets = _tickets(pnr, person.passenger.ref, segment.ref)
    return Draft(
        type="reservation.segment_changed",
        facts=said(leg | _segment_facts(pnr, person, segment, leg["leg"], tickets)),
        native="",
        entities=(journey, order, profile),
        relations=(
            Relation(profile, "travels", journey),
            Relation(journey, "on", Entity("flight", leg["leg"])),
            Relation(order, "contains", journey),
            *(Relation(Entity("identifier", Identifier("ticket", number)), "finds", journey) for number in tickets),
        ),
        **own,
    )


def _created(pnr: Pnr) -> str:
    """UTC day of creation: locators are used again, so it is part of the order's name."""
    return normalise.utc_day(int(pnr.created))


def _people(pnr: Pnr) -> list[Person]:
    """The passengers with their identifiers; an identifier that stands with two passengers, or is an agency's, is nobody's."""
    agency_values = {_comparable(pnr, contact) for contact in pnr.contacts if contact.of == "agency"}
    candidates = {passenger.ref: _candidates(pnr, passenger, agency_values) for passenger in pnr.passengers}
    held = Counter(identifier for found in candidates.values() for identifier in found)
    people = []
    for passenger, name in _named(pnr):
        own = [identifier for identifier in candidates[passenger.ref] if held[identifier] == 1]
        first, *others = ranked([*own, Identifier("passenger", f"{pnr.locator}|{_created(pnr)}|{name}")])
        contacts = [c for c in _own_contacts(pnr, passenger) if _comparable(pnr, c) not in agency_values]
        people.append(
            Person(
                passenger,
                name,
                first,
                tuple(others),
                [c.value.strip() for c in contacts if c.kind == "email"],
                [phone_fact(c.value.strip(), _phone_region(pnr, passenger)) for c in contacts if c.kind == "phone"],
            )
        )
    return people


def _named(pnr: Pnr) -> list[tuple[Passenger, str]]:
    """Each passenger with their name key; a second one of the same name (father and son) gets "#" and their ref.

    Check-in and bags know names only, so what they say of either goes to the first one.
    """
    names: dict[int, str] = {}
    for passenger in sorted(pnr.passengers, key=lambda passenger: passenger.ref):
        name = normalise.name_key(passenger.surname, passenger.given if isinstance(passenger.given, str) else "")
        names[passenger.ref] = f"{name}#{passenger.ref}" if name in names.values() else name
    return [(passenger, names[passenger.ref]) for passenger in pnr.passengers]


def _candidates(pnr: Pnr, passenger: Passenger, agency_values: set[str]) -> set[Identifier]:
    found: list[Identifier | None] = []
    if isinstance(passenger.loyalty, Membership):
        found.append(loyalty_identifier(passenger.loyalty.airline, passenger.loyalty.number))
    if isinstance(passenger.document, Document) and given(passenger.document.country):
        found.append(document_identifier(str(passenger.document.country), passenger.document.type, passenger.document.number))
    for contact in _own_contacts(pnr, passenger):
        if _comparable(pnr, contact) in agency_values:
            continue
        if contact.kind == "email":
            found.append(email_identifier(contact.value))
        elif contact.kind == "phone":
            found.append(phone_identifier(contact.value, _phone_region(pnr, passenger)))
    return {identifier for identifier in found if identifier is not None}


def _own_contacts(pnr: Pnr, passenger: Passenger) -> list[Contact]:
    return [contact for contact in pnr.contacts if contact.of == "passenger" and contact.passenger == passenger.ref]


def _comparable(pnr: Pnr, contact: Contact) -> str:
    """One spelling of a contact's value, to see an agency's number behind a passenger's."""
    country = _sale_country(pnr)
    return normalise.email(contact.value) or normalise.phone(contact.value, country) or contact.value.strip().casefold()


def _phone_region(pnr: Pnr, passenger: Passenger) -> str | None:
    return str(passenger.residence) if given(passenger.residence) else _sale_country(pnr)


def _sale_country(pnr: Pnr) -> str | None:
    return str(pnr.point_of_sale.country) if given(pnr.point_of_sale.country) else None


def _is_cancelled(pnr: Pnr, segment: Segment) -> bool:
    return pnr.status == "cancelled" or segment.status in CANCELLED


def _channel(pnr: Pnr) -> str:
    return "agency" if pnr.point_of_sale.agency else "direct"


def _order_facts(pnr: Pnr) -> dict[str, Any]:
    agency = pnr.point_of_sale.agency or Agency()
    shared = [contact for contact in pnr.contacts if contact.of != "passenger" or contact.passenger is None]
    flown = sorted((s for s in pnr.segments if not _is_cancelled(pnr, s)), key=lambda segment: segment.departs)
    facts: dict[str, Any] = {
        "locator": pnr.locator,
        "owner": pnr.owner,
        "created": pnr.created,
        "version": pnr.version,
        "status": pnr.status,
        "cancelled": pnr.status == "cancelled",
        "channel": _channel(pnr),
        "country": pnr.point_of_sale.country,
        "agency_iata": agency.iata,
        "agency_name": agency.name,
        "passenger_count": len(pnr.passengers),
        "segment_count": len(flown),
        "price": price_facts(pnr.price),
        "segments": [_segment_brief(pnr, segment) for segment in pnr.segments],
        "contacts": [{"kind": contact.kind, "of": contact.of, "value": contact.value} for contact in shared],
        **_requests([ssr for ssr in pnr.ssrs if ssr.passenger is None], pnr.status == "cancelled"),
        "remarks": pnr.remarks,
    }
    return facts | ({"origin": flown[0].departure, "destination": flown[-1].arrival} if flown else {})


def _segment_brief(pnr: Pnr, segment: Segment) -> dict[str, Any]:
    return {
        "leg": leg_facts(segment.airline, segment.number, segment.departs.local_day, segment.departure)["leg"],
        **_schedule(pnr, segment),
    }


def _schedule(pnr: Pnr, segment: Segment) -> dict[str, Any]:
    cancelled = _is_cancelled(pnr, segment)
    return {
        "arrival": segment.arrival,
        "departure_time": segment.departs,
        "arrival_time": segment.arrives,
        "class": segment.booking_class,
        "status": segment.status if segment.status in CANCELLED or not cancelled else "XX",
        "cancelled": cancelled,
    }


def _passenger_facts(pnr: Pnr, person: Person) -> dict[str, Any]:
    passenger = person.passenger
    facts: dict[str, Any] = {
        "locator": pnr.locator,
        "passenger_type": passenger.type,
        "surname": passenger.surname,
        "given": passenger.given,
        "title": passenger.title,
        "birth_date": passenger.birth_date,
        "gender": passenger.gender,
        "language": passenger.language,
        "residence": passenger.residence,
        "document": document_facts(passenger.document),
        "order_status": pnr.status,
        "channel": _channel(pnr),
    }
    facts |= loyalty_facts(passenger.loyalty)
    for one, more, values in (("email", "other_emails", person.emails), ("phone", "other_phones", person.phones)):
        if values:
            facts[one] = values[0]
        if len(values) > 1:
            facts[more] = values[1:]
    return facts


def _segment_facts(pnr: Pnr, person: Person, segment: Segment, leg: str, tickets: Mapping[str, Any]) -> dict[str, Any]:
    cancelled = _is_cancelled(pnr, segment)
    ref = person.passenger.ref
    asked = [ssr for ssr in pnr.ssrs if ssr.passenger == ref and ssr.segment in (None, segment.ref)]
    # One entry per code: what still holds before what was cancelled, then the later one.
    of_code = {ssr.code: ssr for ssr in sorted(asked, key=lambda ssr: ssr.status not in CANCELLED)}
    facts: dict[str, Any] = {
        "locator": pnr.locator,
        "surname": person.passenger.surname,
        "given": person.passenger.given,
        "passenger_type": person.passenger.type,
        **_schedule(pnr, segment),
        **_requests(of_code.values(), cancelled, leg),
        "seat_reserved": seat_of([(ssr.code, ssr.text, cancelled or ssr.status in CANCELLED) for ssr in of_code.values()]),
        "meal": meal_of([(ssr.code, cancelled or ssr.status in CANCELLED) for ssr in of_code.values()]),
    }
    if tickets:
        number, coupon = list(tickets.items())[-1]
        facts |= {"ticket": number, "coupon_status": coupon}
    return facts


def _requests(ssrs: Iterable[Ssr], cancelled: bool, leg: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Requests by what their code tells: of health, belief or custody (sealed, code and all), or of nothing."""
    facts: dict[str, list[dict[str, Any]]] = {"ssrs": [], "care_requests": []}
    for ssr in ssrs:
        kind = care_kind(ssr.code)
        status = None if cancelled or ssr.status in CANCELLED else ssr.status
        asked = {"code": ssr.code, "status": status, "text": ssr.text}
        if leg is not None:
            asked["request"] = f"{ssr.code} {leg}"
        if kind is None:
            facts["ssrs"].append(asked)
        else:
            facts["care_requests"].append(asked | {"kind": kind} | ({} if leg is None else {"leg": leg}))
    return facts


def _tickets(pnr: Pnr, passenger: int, segment: int) -> dict[str, Any]:
    """Ticket numbers of a passenger for a segment with the coupon's status; a ticket without coupons counts for all segments."""
    found: dict[str, Any] = {}
    for ticket in pnr.tickets:
        if ticket.passenger == passenger:
            coupons = [coupon.status for coupon in ticket.coupons if coupon.segment == segment]
            if coupons or not ticket.coupons:
                found[str(ticket.number)] = coupons[-1] if coupons else UNSET
    return found
