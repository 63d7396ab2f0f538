"""Bags and their scans from the counter to the belt, and the few per thousand that go astray."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from random import Random

from paxtrail.simulator import typeb
from paxtrail.simulator.bookings import Booking, Segment, Traveller
from paxtrail.simulator.messages import HOUR, MINUTE, SECOND, day_month, local, opaque
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.world import Body, World

TRANSFER_SHARE = 0.08
INBOUND = (("BA0117", "LHR"), ("LH0400", "FRA"), ("AF0006", "CDG"), ("AC0704", "YYZ"), ("LX0014", "ZRH"), ("AM0404", "MEX"))


@dataclass(slots=True)
class Luggage:
    """Prints labels, tells of scans, and decides which bags are mishandled so that the share is kept exactly."""

    world: World
    rng: Random
    flights: tuple[Flight, ...]
    _serials: defaultdict[str, int] = field(default_factory=lambda: defaultdict(lambda: 100_000))
    _owed: float = 0.5

    def label(self, booking: Booking, segment: Segment, traveller: Traveller, flight: Flight, pieces: int) -> typeb.Label:
        """A label for `pieces` bags, its tags never given before."""
        numeric = typeb.NUMERIC.get(flight.airline, "016")
        serial = self._serials[numeric]
        self._serials[numeric] += pieces
        inbound = ""
        if self.rng.random() < TRANSFER_SHARE and traveller.ref == 1:
            designator, airport = self.rng.choice(INBOUND)
            inbound = f"{designator}/{day_month(local(flight.off_scheduled - 9 * HOUR, 'UTC').date())}/{airport}"
        return typeb.Label(
            f"0{numeric}{serial:06d}", pieces, flight, traveller.surname, traveller.given, booking.locator, segment.cabin,
            traveller.seat, traveller.sequence, self.rng.randint(9, 31), self.rng.choice(("", "", traveller.person.title)), inbound,
        )  # fmt: skip

    def accept(self, label: typeb.Label, at: int, journey: tuple[str, str, str]) -> None:
        """The bags of a journey enter the system: from the counter, or from another airline's flight."""
        self.world.answers.checked(journey, label.tags)
        self._owed += label.count * self.world.options.mishandled
        indicator, state = ("T", "transfer") if label.inbound else ("L", "accepted")
        self._scan(label, at + 20 * SECOND, state, typeb.sourced(label, indicator=indicator))
        if label.inbound:
            self._scan(label, at + 3 * MINUTE, "transfer", partial(typeb.report, "BTM", label, at + 3 * MINUTE))

    def return_to_owner(self, label: typeb.Label, at: int) -> None:
        """The flight is cancelled: the announcement is withdrawn."""
        self._scan(label, at, "cancelled", typeb.sourced(label, action="DEL"))

    def travel(self, label: typeb.Label) -> None:
        """Sorted, screened, loaded, arrived, delivered; one bag of a label may miss its flight."""
        flight = label.flight
        assert flight.off_actual is not None
        start = flight.off_actual - self.rng.randint(46, 52) * MINUTE
        self._step(label, start + self.rng.randint(0, 5) * MINUTE, "sorted")
        self._step(label, start + 7 * MINUTE, "screened")
        astray = ""
        if self._owed >= 1 and flight.on_actual is not None:
            self._owed -= 1
            astray = label.tags[-1]
            self._lose(label, astray, flight)
        for tag in label.tags:
            if tag != astray:
                self._along(label, tag, flight)

    def _along(self, label: typeb.Label, tag: str, flight: Flight) -> None:
        assert flight.off_actual is not None
        self._step(label, flight.off_actual - self.rng.randint(8, 26) * MINUTE, "loaded", tag)
        if flight.on_actual is not None:
            at = flight.on_actual + self.rng.randint(6, 22) * MINUTE
            self._step(label, at, "arrived", tag)
            self._step(label, at + self.rng.randint(3, 30) * MINUTE, "delivered", tag)

    def _lose(self, label: typeb.Label, tag: str, flight: Flight) -> None:
        """A bag that misses its flight: not seen at loading, or unloaded again; most are rushed after their owner."""
        assert flight.off_actual is not None
        at = flight.off_actual - 6 * MINUTE
        kind, state = ("BNS", "not_seen") if self.rng.random() < 0.5 else ("BUM", "offloaded")
        if state == "offloaded":
            self._step(label, at - 9 * MINUTE, "loaded", tag)
        self._scan(label, at, state, partial(typeb.report, kind, label, at, tag=tag), (tag,), astray=True)
        rush = next((f for f in self.flights if f.destination == flight.destination and f.airline == flight.airline
                     and f.off_actual and f.on_actual and f.off_actual > flight.off_actual + 2 * HOUR), None)  # fmt: skip
        if rush is None or rush.off_actual is None or self.rng.random() < 0.15:
            return
        hurried = typeb.Label(
            tag, 1, rush, label.surname, label.given, "", label.cabin, label.seat, label.sequence, label.weight, label.title
        )
        at = rush.off_actual - 80 * MINUTE
        self._scan(hurried, at, "rushed", typeb.sourced(hurried, rush=True), astray=True)
        self._along(hurried, tag, rush)

    def _step(self, label: typeb.Label, at: int, step: str, tag: str = "") -> None:
        self._scan(label, at, step, partial(typeb.processed, label, at, step, tag=tag), (tag,) if tag else ())

    def _scan(self, label: typeb.Label, at: int, state: str, body: Body, tags: tuple[str, ...] = (), *, astray: bool = False) -> None:
        if self.world.tell(at, "baggage", opaque("bag", label.first_tag), body):
            for tag in tags or label.tags:
                self.world.answers.custody(tag, state, at, mishandled=astray)
