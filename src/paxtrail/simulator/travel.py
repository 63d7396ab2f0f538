"""The day of travel: check-in, seats, bags and their scans, boarding, no-shows, and what goes wrong with bags."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from paxtrail.simulator import typeb
from paxtrail.simulator.accounts import Accounts
from paxtrail.simulator.bookings import Booking, Segment, Traveller, encode
from paxtrail.simulator.contacts import Contacts
from paxtrail.simulator.luggage import Luggage
from paxtrail.simulator.messages import HOUR, MINUTE, SECOND, instant, opaque
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.world import World

NO_SHOW_SHARE = 0.03
LATE = 60
"""Minutes of delay that people complain about."""


@dataclass(slots=True)
class _Desk:
    """The check-in system's view of one passenger on one flight; `sequence` counts its messages."""

    world: World
    booking: Booking
    segment: Segment
    traveller: Traveller
    sequence: int = 0

    def say(self, event: str, at: int, **more: Any) -> bool:
        self.sequence += 1
        segment, traveller = self.segment, self.traveller
        native: dict[str, Any] = {
            "event": event,
            "locator": self.booking.locator,
            "surname": traveller.surname,
            "given": traveller.given,
            "flight": {
                "airline": segment.airline,
                "number": segment.number,
                "from": segment.origin,
                "to": segment.destination,
                "date": segment.leg.split("/")[1],
            },
            "at": instant(at),
            "sequence": self.sequence,
            **more,
        }
        if event == "accepted":
            native["ticket"] = traveller.ticket
            if account := traveller.account:
                native["loyalty"] = {"airline": account.airline, "number": account.number}
        return self.world.tell(at, "checkin", opaque("pnr", self.booking.locator), encode(native))


@dataclass(slots=True)
class Travel:
    """Plays the day of each flight for the bookings that are on it."""

    world: World
    accounts: Accounts
    rng: Random
    luggage: Luggage
    contacts: Contacts

    def day_of(self, flight: Flight, seated: list[tuple[Booking, Segment]]) -> None:
        """Everything that passengers and their bags do on a flight."""
        for booking, segment in seated:
            if segment.status == "XX":
                continue
            for traveller in (t for t in booking.travellers if not t.namesake):
                self._travel(flight, _Desk(self.world, booking, segment, traveller))
                if flight.cancelled_at is not None:
                    self.contacts.maybe("cancellation", booking, segment, traveller, flight.cancelled_at)

    def _travel(self, flight: Flight, desk: _Desk) -> None:
        rng, closes = self.rng, flight.off_scheduled - 45 * MINUTE
        shows_up = rng.random() >= NO_SHOW_SHARE
        online = rng.random() < 0.55
        at = flight.off_scheduled - int((rng.uniform(3.2, 23) if online else rng.uniform(0.9, 2.8)) * HOUR) // SECOND * SECOND
        at = max(at, min(desk.booking.updated + 10 * MINUTE, closes))
        pieces = rng.choices((0, 1, 2), (45, 45, 10))[0] if desk.traveller.person.kind == "ADT" else 0
        called_off = flight.cancelled_at
        if not shows_up and not (online and rng.random() < 0.3):
            if flight.off_actual is not None:
                self._missing(flight, desk)
            return
        if called_off is not None and at >= called_off:
            return
        dropped = max(at, flight.off_scheduled - rng.randint(55, 150) * MINUTE) if online else at
        label = None
        if pieces and shows_up and (called_off is None or dropped < called_off):
            label = self.luggage.label(desk.booking, desk.segment, desk.traveller, flight, pieces)
        self._check_in(desk, at, online, label if not online else None)
        if label:
            if online:
                desk.say("bag_added", dropped, bags=_bags(label), channel="counter")
            self.luggage.accept(label, dropped, desk.booking.journey(desk.traveller, desk.segment))
        self._changes(desk, at, min(called_off or closes, flight.off_scheduled - 70 * MINUTE))
        if called_off is not None:
            desk.say("cancelled", called_off + rng.randint(5, 40) * MINUTE)
            if label:
                self.luggage.return_to_owner(label, called_off + 45 * MINUTE)
        elif shows_up:
            self._fly(flight, desk, label)
        else:
            self._missing(flight, desk)

    def _check_in(self, desk: _Desk, at: int, online: bool, label: typeb.Label | None) -> None:
        more: dict[str, Any] = {
            "seat": desk.traveller.seat,
            "cabin": desk.segment.cabin,
            "boardingNumber": desk.traveller.sequence,
            "channel": ("web", "app")[self.rng.randrange(2)] if online else ("kiosk", "counter")[self.rng.randrange(2)],
        }
        if label:
            more["bags"] = _bags(label)
        desk.say("accepted", at, **more)

    def _changes(self, desk: _Desk, after: int, before: int) -> None:
        draw = self.rng.random()
        at = after + int(max(0, before - after) * self.rng.random()) // SECOND * SECOND
        if at <= after or at >= before:
            return
        if draw < 0.08:
            desk.traveller.seat = f"{self.rng.randint(1, 33)}{self.rng.choice('ABCDEF')}"
            desk.say("seat_changed", at, seat=desk.traveller.seat, cabin=desk.segment.cabin)
        elif draw < 0.14 and desk.segment.cabin == "Y" and desk.traveller.person.account:
            desk.traveller.seat = f"{self.rng.randint(1, 4)}{self.rng.choice('ACDF')}"
            desk.say("upgraded", at, seat=desk.traveller.seat, cabin="F", previousCabin="Y")

    def _missing(self, flight: Flight, desk: _Desk) -> None:
        assert flight.off_actual is not None
        if desk.say("no_show", flight.off_actual - 8 * MINUTE):
            self.world.answers.outcomes[desk.booking.journey(desk.traveller, desk.segment)] = "no_show"

    def _fly(self, flight: Flight, desk: _Desk, label: typeb.Label | None) -> None:
        assert flight.off_actual is not None
        boarded = flight.off_actual - self.rng.randint(12 * 60, 33 * 60) * SECOND
        if not desk.say("boarded", boarded, gate=flight.gate, seat=desk.traveller.seat):
            return
        self.world.answers.outcomes[desk.booking.journey(desk.traveller, desk.segment)] = "diverted" if flight.diverted_to else "flown"
        if label:
            self.luggage.travel(label)
        self._comment(flight, desk, label)
        if desk.traveller.account:
            self.accounts.fly(desk.traveller.person, flight, 500 + 50 * self.rng.randint(0, 40))

    def _comment(self, flight: Flight, desk: _Desk, label: typeb.Label | None) -> None:
        """Perhaps a word to the contact centre about the bag, the delay, or just the flight."""
        bags = self.world.answers.bags
        if label and any(tag in bags and bags[tag]["mishandled"] for tag in label.tags):
            reason = "baggage"
        else:
            reason = "delay" if (flight.departure_delay or 0) >= LATE else "other"
        self.contacts.maybe(
            reason, desk.booking, desk.segment, desk.traveller, flight.on_actual or flight.off_actual or flight.off_scheduled
        )


def _bags(label: typeb.Label) -> list[dict[str, Any]]:
    return [{"tag": tag, "weight": {"value": str(label.weight), "unit": "K"}} for tag in label.tags]
