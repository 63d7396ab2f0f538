"""How seats are sold: people look, somebody books for a party, bookings change, and flights that are cancelled are rebooked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

from paxtrail.simulator import web
from paxtrail.simulator.accounts import Accounts
from paxtrail.simulator.bookings import Booking, Segment, Traveller, locators, segment_of, ticket_number
from paxtrail.simulator.messages import DAY, HOUR, MINUTE, SECOND, local, micros, opaque
from paxtrail.simulator.names import misspelt
from paxtrail.simulator.people import PROGRAMMES, Party, People
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.world import World

TYPO_SHARE = 0.03
SERVICES = (("VGML", 5), ("WCHR", 4), ("KSML", 2), ("MOML", 2), ("GFML", 2), ("PETC", 1), ("BIKE", 1), ("WCHS", 1))
REMARKS = ("PAX ASKED FOR QUIET SEAT", "MEETING PARTY AT ARRIVAL", "CORPORATE RATE APPLIED", "CALL BEFORE ANY CHANGE")
Seat = tuple[Booking, Segment]


@dataclass(slots=True)
class Sales:
    """Sells the flights and keeps who sits in them."""

    world: World
    people: People
    accounts: Accounts
    rng: Random
    _seats: defaultdict[str, list[Seat]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    """Bookings made so far."""
    _sold: int = 0
    _locator: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._locator = locators(self.world.options.seed)

    def seated(self, flight: Flight) -> list[Seat]:
        """The bookings whose current segment is this flight, in the order they came."""
        return self._seats[flight.leg]

    def fill(self, flight: Flight) -> None:
        """Sell a flight: parties until the wished number of passengers is on it."""
        wished = self.world.options.passengers
        room = max(1, round(self.rng.gauss(wished, wished * 0.25))) if wished > 1 else wished
        while room > 0:
            party = self.people.party(flight.airline, room, flight.off_scheduled, flight.on_scheduled)
            room -= len(party.travellers)
            self._sell(flight, party)

    def disrupt(self) -> None:
        """Cancelled flights in the order they were called off: most passengers get another flight, some their money."""
        later: defaultdict[tuple[str, str], list[Flight]] = defaultdict(list)
        for flight in self.world.schedule.flights:
            if flight.flown and not flight.diverted_to:
                later[PROGRAMMES.get(flight.airline, flight.airline), flight.destination].append(flight)
        cancelled = [flight for flight in self.world.schedule.flights if flight.cancelled_at is not None]
        for flight in sorted(cancelled, key=lambda flight: (flight.cancelled_at or 0, flight.leg)):
            ways = later[PROGRAMMES.get(flight.airline, flight.airline), flight.destination]
            for booking, segment in self._seats[flight.leg]:
                self._care_for(booking, segment, flight.cancelled_at or 0, ways)

    def _sell(self, flight: Flight, party: Party) -> None:
        rng = self.rng
        latest = min(flight.off_scheduled - 3 * HOUR, (flight.cancelled_at or flight.off_scheduled) - HOUR)
        age = min(int(rng.expovariate(1 / (9 * DAY))), self.world.options.history_days * DAY - 3 * DAY)
        created = max(self.world.past + 2 * DAY, latest - age) // SECOND * SECOND
        if flight.cancelled_at is not None and len(party.travellers) == 1 and party.travellers[0].account and rng.random() < 0.02:
            twin = self.people.namesake(party.travellers[0], flight.airline)
            party = replace(party, travellers=(*party.travellers, twin))
        for person in (*party.travellers, party.booker):
            self.accounts.introduce(person, created)
        booking = self._booking(flight, party, created)
        self.count += 1
        web.before(self.world, booking, rng)
        amend = self._amendment(booking, flight, latest - created - 30 * MINUTE)
        booking.change(created)
        self._publish(booking, booking.updated)
        web.completed(self.world, booking, rng)
        if amend:
            amend()
        if booking.status == "active":
            seat = next(segment for segment in booking.segments if segment.flight)
            self._seats[flight.leg].append((booking, seat))

    def _booking(self, flight: Flight, party: Party, created: int) -> Booking:
        rng = self.rng
        cabin = rng.choices("YFJ", (90, 6, 4))[0]
        travellers = []
        named: set[str] = set()
        for ref, person in enumerate(party.travellers, 1):
            surname, given = person.pnr_surname, person.pnr_given
            if rng.random() < TYPO_SHARE:
                surname = misspelt(surname, rng)
            namesake = f"{surname}/{given}" in named
            if namesake and flight.flown:  # check-in could not tell them apart: one is told by an initial
                namesake, given = False, given + "X"
            named.add(f"{surname}/{given}")
            self._sold += 1
            travellers.append(
                Traveller(
                    ref, person, surname, given, ticket_number(flight.airline, self._sold),
                    f"{1 + self._sold % 33}{'ABCDEF'[self._sold // 33 % 6]}", 1 + self._sold % 180,
                    account=person.account if rng.random() < 0.9 else None, gives_document=rng.random() < 0.7, namesake=namesake,
                )
            )  # fmt: skip
        segments = [segment_of(flight, 1, cabin)]
        if rng.random() < 0.35:
            segments.append(_way_back(flight, cabin, self.world.schedule.closes, rng))
        remark = rng.choice(REMARKS) if rng.random() < 0.05 else ""
        return Booking(
            next(self._locator), flight.airline, created, party, travellers, segments, len(travellers) * rng.randint(7_900, 64_000), remark
        )

    def _amendment(self, booking: Booking, flight: Flight, room: int) -> Callable[[], None] | None:
        """What happens to a booking before the day: a service asked for (and given back), a cancellation, a schedule change.

        Decided before the booking is made, for a schedule change means that it was made for other times or another number.
        """
        rng = self.rng
        draw = rng.random()
        first, second = sorted(booking.created + int(room * rng.random()) // SECOND * SECOND for _ in range(2))
        if room < 6 * HOUR:
            return None
        if draw < 0.14:
            given_back = second if rng.random() < 0.25 else None
            return lambda: self._serve(booking, first, given_back)
        if draw < 0.19:
            return lambda: self._cancel(booking, second)
        if draw < 0.24:
            return self._retimed(booking, second)
        if draw < 0.26 and flight.flown:
            return self._renumbered(booking, second)
        return self._mistaken(booking, first) if draw < 0.27 else None

    def _mistaken(self, booking: Booking, at: int) -> Callable[[], None] | None:
        """Booked with the number of another member, put right later: a passenger with two accounts must not merge the two."""
        traveller = booking.travellers[0]
        others = self.people.members.get(PROGRAMMES.get(booking.owner, ""), [])
        right, wrong = traveller.account, self.rng.choice(others).account if others else None
        if right is None or wrong is None or wrong is right or (traveller.gives_document and traveller.person.document):
            return None
        traveller.account = wrong

        def change() -> None:
            traveller.account = right
            booking.change(at)
            self._publish(booking, booking.updated)

        return change

    def _serve(self, booking: Booking, at: int, given_back: int | None) -> None:
        traveller = self.rng.choice(booking.travellers)
        code = self.rng.choices([c for c, _ in SERVICES], [w for _, w in SERVICES])[0]
        services = [{"code": code, "passenger": traveller.ref, "segment": segment.ref, "status": "HK"} for segment in booking.segments]
        booking.services.extend(services)
        booking.change(at)
        self._publish(booking, booking.updated)
        if given_back is not None:
            for service in services:
                service["status"] = "XX"
            booking.change(given_back)
            self._publish(booking, booking.updated)

    def _cancel(self, booking: Booking, at: int) -> None:
        booking.status = "cancelled"
        for segment in booking.segments:
            segment.status = "XX"
        for service in booking.services:
            service["status"] = "XX"
        booking.change(at)
        self._publish(booking, booking.updated)

    def _retimed(self, booking: Booking, at: int) -> Callable[[], None] | None:
        """Booked for other times of the same day; the real ones come as a schedule change (TK)."""
        real = booking.segments[0]
        planned = replace(real, departs=real.departs + 25 * MINUTE, arrives=real.arrives + 25 * MINUTE)
        if planned.leg != real.leg:
            return None
        booking.segments[0] = planned

        def change() -> None:
            booking.segments[0] = real
            real.status = "TK"
            booking.change(at)
            self._publish(booking, booking.updated)

        return change

    def _renumbered(self, booking: Booking, at: int) -> Callable[[], None]:
        """Booked on a number that is given up (UN); the real flight takes its place (TK)."""
        real = booking.segments[0]
        given_up = replace(real, number=str(int(real.number) % 1000 + 8000), flight=None)
        booking.segments[0] = given_up

        def change() -> None:
            given_up.status, real.status = "UN", "TK"
            real.ref = len(booking.segments) + 1
            booking.segments.insert(1, real)
            booking.change(at)
            self._publish(booking, booking.updated)

        return change

    def _care_for(self, booking: Booking, segment: Segment, cancelled_at: int, ways: list[Flight]) -> None:
        rng = self.rng
        draw, at = rng.random(), cancelled_at + rng.randint(15, 100) * MINUTE
        free = [f for f in ways if f.off_scheduled > at + 3 * HOUR and len(self._seats[f.leg]) < 4 * self.world.options.passengers]
        if draw < 0.62 and free and not any(traveller.namesake for traveller in booking.travellers):
            segment.status = "UN"
            other = segment_of(free[0], max(s.ref for s in booking.segments) + 1, segment.cabin, status="TK")
            booking.segments.insert(booking.segments.index(segment) + 1, other)
            for service in [s for s in booking.services if s["segment"] == segment.ref and s["status"] == "HK"]:
                service["status"] = "UN"
                booking.services.append(service | {"segment": other.ref, "status": "HK"})
            booking.change(at)
            if self._publish(booking, booking.updated):
                self._seats[free[0].leg].append((booking, other))
        elif draw < 0.92:
            segment.status = "UN"
            for service in booking.services:
                if service["segment"] == segment.ref:
                    service["status"] = "UN"
            booking.change(at)
            self._publish(booking, booking.updated)

    def _publish(self, booking: Booking, at: int) -> bool:
        """Send the snapshot and book what it says: who travels, on what, with which services."""
        if not self.world.tell(at, "reservations", opaque("pnr", booking.locator), booking.snapshot()):
            return False
        answers = self.world.answers
        answers.orders.add(booking.locator)
        for traveller in booking.travellers:
            identifiers = traveller.identifiers(booking)
            answers.person(*identifiers)
            answers.named(identifiers[0], traveller.surname)
            for segment in booking.segments:
                answers.travels(identifiers[0], booking.journey(traveller, segment), _outcome(segment))
            for service in booking.services:
                if service["passenger"] == traveller.ref:
                    leg = next(segment.leg for segment in booking.segments if segment.ref == service["segment"])
                    answers.service(identifiers[0], service["code"], leg, service["status"] == "HK", at)
        return True


def _outcome(segment: Segment) -> str:
    """What becomes of a journey as far as its booking and the airport's cancellation tell; the day of travel tells the rest."""
    if segment.flight and segment.flight.cancelled_at is not None and segment.status != "XX":
        return "flight_cancelled"
    return {"XX": "cancelled", "UN": "cancelled"}.get(segment.status, "booked")


def _way_back(flight: Flight, cabin: str, closes: int, rng: Random) -> Segment:
    """The flight home some days later, after the replay: nothing else will be told of it."""
    days = rng.randint(2, 7)
    back = local(flight.on_scheduled, flight.destination_tz).replace(hour=rng.randint(6, 20), minute=rng.choice((0, 15, 30, 45)), second=0)
    departs = micros(back.replace(microsecond=0)) + days * DAY
    departs += max(0, -(-(closes + DAY // 4 - departs) // DAY)) * DAY
    number = str(int(flight.number) % 7000 + 1)
    return Segment(
        2, flight.airline, number, flight.destination, flight.origin, flight.destination_tz, flight.origin_tz,
        departs, departs + (flight.on_scheduled - flight.off_scheduled), cabin,
    )  # fmt: skip
