"""A booking as its reservation system keeps it: passengers, segments, services, and the snapshot each change sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from paxtrail.simulator.messages import MINUTE, instant, local, local_instant
from paxtrail.simulator.people import Account, Party, Person
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.typeb import NUMERIC


@dataclass(slots=True)
class Segment:
    """One leg in a booking; `flight` is the real one, None for a leg beyond the replay (the way back, a number given up)."""

    ref: int
    airline: str
    number: str
    origin: str
    destination: str
    origin_tz: str
    destination_tz: str
    departs: int
    arrives: int
    cabin: str
    status: str = "HK"
    flight: Flight | None = None

    @property
    def leg(self) -> str:
        return f"{self.airline}{self.number}/{local(self.departs, self.origin_tz).date().isoformat()}/{self.origin}"

    def native(self) -> dict[str, Any]:
        return {
            "ref": self.ref,
            "airline": self.airline,
            "number": self.number,
            "from": self.origin,
            "to": self.destination,
            "departs": local_instant(self.departs, self.origin_tz),
            "arrives": local_instant(self.arrives, self.destination_tz),
            "class": self.cabin,
            "status": self.status,
        }


def segment_of(flight: Flight, ref: int, cabin: str, *, status: str = "HK") -> Segment:
    """The segment of a real flight."""
    return Segment(
        ref, flight.airline, flight.number, flight.origin, flight.destination, flight.origin_tz, flight.destination_tz,
        flight.off_scheduled, flight.on_scheduled, cabin, status, flight,
    )  # fmt: skip


@dataclass(slots=True)
class Traveller:
    """A person as named in one booking (`surname`, `given`: A–Z, perhaps misspelt), with ticket, seat and place in the queue."""

    ref: int
    person: Person
    surname: str
    given: str
    ticket: str
    seat: str
    sequence: int
    account: Account | None
    """The membership the booking names: the person's, none, or for a while somebody else's."""
    gives_document: bool
    namesake: bool = False
    """A second traveller of the same name: check-in and bags cannot tell the two apart."""

    @property
    def name_key(self) -> str:
        return f"{self.surname}/{self.given}" + (f"#{self.ref}" if self.namesake else "")

    def identifiers(self, booking: Booking) -> tuple[str, ...]:
        """The strong identifiers the reservation gives for this person, the strongest first: whom its events are about."""
        own = [self.account.identifier] if self.account else []
        if self.gives_document and (document := self.person.document):
            own.append(f"document:{document['country']}|{document['type']}|{document['number']}")
        return (*own, f"passenger:{booking.locator}|{instant(booking.created)[:10]}|{self.name_key}")


@dataclass(slots=True)
class Booking:
    """A passenger name record and its history; `price` in cents."""

    locator: str
    owner: str
    created: int
    party: Party
    travellers: list[Traveller]
    segments: list[Segment]
    price: int
    remark: str = ""
    status: str = "active"
    version: int = 0
    updated: int = 0
    services: list[dict[str, Any]] = field(default_factory=list)

    def change(self, at: int) -> int:
        """The time of the next version: `at`, or a minute after the last one if that is later."""
        self.updated = max(at, self.updated + MINUTE) if self.version else at
        self.version += 1
        return self.updated

    def journey(self, traveller: Traveller, segment: Segment) -> tuple[str, str, str]:
        return (segment.leg, self.locator, traveller.name_key)

    def snapshot(self) -> bytes:
        """The whole record as it is now, as the reservation system publishes it after each change."""
        coupons = [{"segment": segment.ref, "status": _coupon(segment.status)} for segment in self.segments]
        native: dict[str, Any] = {
            "locator": self.locator,
            "owner": self.owner,
            "created": instant(self.created),
            "version": self.version,
            "updated": instant(self.updated),
            "status": self.status,
            "pointOfSale": self._point_of_sale(),
            "contacts": self._contacts(),
            "passengers": [self._passenger(traveller) for traveller in self.travellers],
            "segments": [segment.native() for segment in self.segments],
            "ssrs": self.services,
            "tickets": [{"number": t.ticket, "passenger": t.ref, "coupons": coupons} for t in self.travellers],
            "price": {"amount": f"{self.price // 100}.{self.price % 100:02d}", "currency": "USD"},
        }
        if self.remark:
            native["remarks"] = [self.remark]
        return encode(native)

    def _point_of_sale(self) -> dict[str, Any]:
        agency = self.party.agency
        return {"country": "US"} | ({"agency": {"iata": agency.iata, "name": agency.name}} if agency else {})

    def _contacts(self) -> list[dict[str, Any]]:
        contacts: list[dict[str, Any]] = []
        if agency := self.party.agency:
            contacts.append({"kind": "phone", "value": agency.phone, "of": "agency"})
        if self.party.booker is not self.travellers[0].person:
            contacts.append({"kind": "email", "value": self.party.booker.email, "of": "booker"})
            contacts.append({"kind": "phone", "value": self.party.booker.phone, "of": "booker"})
        for traveller in self.travellers:
            first = traveller.ref == 1
            if traveller.person.kind != "ADT" or (self.party.agency and not first):
                continue
            if first or not self.party.shared_phone:
                contacts.append({"kind": "email", "value": traveller.person.email, "of": "passenger", "passenger": traveller.ref})
            phone = self.travellers[0].person.phone if self.party.shared_phone else traveller.person.phone
            contacts.append({"kind": "phone", "value": phone, "of": "passenger", "passenger": traveller.ref})
        return contacts

    def _passenger(self, traveller: Traveller) -> dict[str, Any]:
        person = traveller.person
        native: dict[str, Any] = {
            "ref": traveller.ref,
            "type": person.kind,
            "surname": traveller.surname,
            "given": traveller.given,
            "title": person.title,
            "birthDate": person.born.isoformat(),
            "gender": person.gender,
            "language": person.language,
            "residence": person.residence,
        }
        if traveller.account:
            native["loyalty"] = {"airline": traveller.account.airline, "number": traveller.account.number}
        if traveller.gives_document and person.document:
            native["document"] = person.document
        return native


def encode(native: dict[str, Any]) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(native, ensure_ascii=False, separators=(",", ":")).encode()


def locators(seed: int) -> Iterator[str]:
    """Six-character locators, none twice before all 29**6 were given."""
    letters = "BCDFGHJKLMNPQRSTVWXYZ23456789"
    size = len(letters) ** 6
    position = seed * 7_919 % size
    while True:
        position = (position + 392_167_681) % size  # coprime to 29**6
        n, text = position, ""
        for _ in range(6):
            n, digit = divmod(n, len(letters))
            text += letters[digit]
        yield text


def ticket_number(airline: str, serial: int) -> str:
    """Thirteen digits: the airline's numeric code and a serial."""
    return f"{NUMERIC.get(airline, '016')}{2_400_000_000 + serial:010d}"


def _coupon(status: str) -> str:
    return {"HK": "O", "TK": "O", "HL": "O"}.get(status, "V")
