"""A reservation (PNR) as its system writes it, read into checked types."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, UnsetType, field

from paxtrail.core import normalise
from paxtrail.core.native_json import (
    Airline,
    Airport,
    Code,
    Count,
    Country,
    Day,
    Document,
    Instant,
    Locator,
    Membership,
    Name,
    Native,
    Number,
    Price,
    Ref,
    Text,
    Ticket,
    Word,
    reader,
)
from paxtrail.errors import Refusal

_STATUSES = frozenset(("active", "cancelled"))
_MOST_PASSENGERS, _MOST_SEGMENTS, _MOST_JOURNEYS = 500, 50, 2_000


class Agency(Native, frozen=True):
    iata: Word | UnsetType | None = UNSET
    name: Word | UnsetType | None = UNSET


class PointOfSale(Native, frozen=True):
    country: Country | UnsetType | None = UNSET
    agency: Agency | None = None


class Contact(Native, frozen=True):
    kind: Word
    value: Text
    of: Word
    passenger: Ref | None = None


class Passenger(Native, frozen=True):
    ref: Ref
    surname: Name
    given: Text | UnsetType | None = UNSET
    type: Code | UnsetType | None = UNSET
    title: Text | UnsetType | None = UNSET
    birth_date: Day | UnsetType | None = UNSET
    gender: Text | UnsetType | None = UNSET
    language: Word | UnsetType | None = UNSET
    residence: Country | UnsetType | None = UNSET
    loyalty: Membership | UnsetType | None = UNSET
    document: Document | UnsetType | None = UNSET


class Segment(Native, frozen=True):
    ref: Ref
    airline: Airline
    number: Number
    departs: Instant
    arrives: Instant
    status: Code
    departure: Airport = field(name="from")
    arrival: Airport = field(name="to")
    booking_class: Code | UnsetType | None = field(name="class", default=UNSET)


class Ssr(Native, frozen=True):
    code: Code
    status: Code
    passenger: Ref | None = None
    segment: Ref | None = None
    text: Text | UnsetType | None = UNSET


class Coupon(Native, frozen=True):
    segment: Ref
    status: Code | UnsetType | None = UNSET


class TicketOf(Native, frozen=True):
    number: Ticket
    passenger: Ref
    coupons: tuple[Coupon, ...] = ()


class Pnr(Native, frozen=True):
    locator: Locator
    created: Instant
    updated: Instant
    status: Word
    passengers: list[Passenger]
    segments: tuple[Segment, ...] = ()
    owner: Airline | UnsetType | None = UNSET
    version: Count = 0
    point_of_sale: PointOfSale = PointOfSale()
    contacts: tuple[Contact, ...] = ()
    ssrs: tuple[Ssr, ...] = ()
    tickets: tuple[TicketOf, ...] = ()
    price: Price | UnsetType | None = UNSET
    remarks: tuple[Text, ...] = ()


_read: Callable[[bytes], Pnr] = reader(Pnr)


def read(body: bytes) -> Pnr:
    """The reservation in a record's body; Refusal if a member is wrong or a reference leads nowhere."""
    pnr = _read(body)
    _check(pnr)
    return pnr


def _check(pnr: Pnr) -> None:
    if pnr.status not in _STATUSES:
        raise Refusal("bad_field", "status is active or cancelled", "$.status")
    if not pnr.passengers:
        raise Refusal("missing_field", "a reservation names at least one passenger", "$.passengers")
    count, legs = len(pnr.passengers), len(pnr.segments)
    if count > _MOST_PASSENGERS or legs > _MOST_SEGMENTS or count * legs > _MOST_JOURNEYS:
        raise Refusal("too_many", f"at most {_MOST_PASSENGERS} passengers, {_MOST_SEGMENTS} segments, {_MOST_JOURNEYS} journeys", "$")
    for members, items in (("passengers", pnr.passengers), ("segments", pnr.segments)):
        if len({item.ref for item in items}) != len(items):
            raise Refusal("bad_reference", "two items have the same ref", f"$.{members}")
    for index, passenger in enumerate(pnr.passengers):
        if not normalise.surname_key(passenger.surname):
            raise Refusal("bad_field", "a surname without letters", f"$.passengers[{index}].surname")
    people = {passenger.ref for passenger in pnr.passengers}
    segments = {segment.ref for segment in pnr.segments}
    for ref, known, at in _references(pnr):
        if ref is not None and ref not in (people if known == "passenger" else segments):
            raise Refusal("bad_reference", f"there is no {known} with this ref", f"{at}.{known}")


def _references(pnr: Pnr) -> list[tuple[int | None, str, str]]:
    found: list[tuple[int | None, str, str]] = [(c.passenger, "passenger", f"$.contacts[{i}]") for i, c in enumerate(pnr.contacts)]
    for i, ssr in enumerate(pnr.ssrs):
        found += [(ssr.passenger, "passenger", f"$.ssrs[{i}]"), (ssr.segment, "segment", f"$.ssrs[{i}]")]
    for i, ticket in enumerate(pnr.tickets):
        found.append((ticket.passenger, "passenger", f"$.tickets[{i}]"))
        found += [(c.segment, "segment", f"$.tickets[{i}].coupons[{j}]") for j, c in enumerate(ticket.coupons)]
    return found
