"""What people do on the airline's site before they book: searches, the steps of a booking, and looking without buying."""

from __future__ import annotations

from random import Random
from typing import Any

from paxtrail.simulator.bookings import Booking, encode
from paxtrail.simulator.messages import DAY, HOUR, MINUTE, SECOND, instant, local, opaque
from paxtrail.simulator.people import Person
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.world import World

ISSUER = "https://login.example.com"
STEPS = (("offer_selected", 420), ("passenger_details", 300), ("payment", 90))


def before(world: World, booking: Booking, rng: Random) -> None:
    """Searches of the booker in the days before, and the steps up to the payment; an agency's customers do not come."""
    if booking.party.agency:
        return
    person, segment = booking.party.booker, booking.segments[0]
    way = (segment.origin, segment.destination, local(segment.departs, segment.origin_tz).date().isoformat())
    many = min(30, int(rng.paretovariate(1.4)))
    for n in range(many):
        at = booking.created - 15 * MINUTE - int(rng.expovariate(1 / (2 * DAY)) if n else 0) // SECOND * SECOND
        _search(world, person, max(at, world.past + n * MINUTE), way, len(booking.travellers), rng)
    if rng.random() < 0.6:
        for step, seconds in STEPS:
            _step(world, person, booking.created - seconds * SECOND, way, step, None, booking.price, rng)


def completed(world: World, booking: Booking, rng: Random) -> None:
    """The last step, which knows the locator."""
    if booking.party.agency:
        return
    segment = booking.segments[0]
    way = (segment.origin, segment.destination, local(segment.departs, segment.origin_tz).date().isoformat())
    _step(world, booking.party.booker, booking.created + 2 * SECOND, way, "completed", booking.locator, booking.price, rng)


def look(world: World, person: Person, flight: Flight, rng: Random) -> None:
    """A few searches around a flight that end nowhere, some of them after choosing an offer."""
    way = (flight.origin, flight.destination, flight.local_date)
    at = world.past + int(rng.random() * (flight.off_scheduled - 2 * HOUR - world.past)) // SECOND * SECOND
    for n in range(min(60, int(rng.paretovariate(1.0)))):
        _search(world, person, at + n * 97 * SECOND, way, 1, rng)
    if rng.random() < 0.3:
        _step(world, person, at + 2 * HOUR, way, "offer_selected", None, 19_900, rng)
        _step(world, person, at + 2 * HOUR + 5 * MINUTE, way, "abandoned", None, 19_900, rng)


def _search(world: World, person: Person, at: int, way: tuple[str, str, str], travellers: int, rng: Random) -> None:
    native = _native("search", person, at, rng) | {
        "origin": way[0],
        "destination": way[1],
        "departs": way[2],
        "returns": None,
        "passengers": {"adults": travellers, "children": 0, "infants": 0},
        "cabin": "Y",
        "results": rng.randint(1, 40),
    }
    if world.tell(at, "booking", opaque(person.device), encode(native)):
        world.answers.searched(_known_as(world, person, native))


def _step(
    world: World, person: Person, at: int, way: tuple[str, str, str], step: str, locator: str | None, price: int, rng: Random
) -> None:
    native = _native("step", person, at, rng) | {"step": step, "origin": way[0], "destination": way[1], "departs": way[2]}
    if locator:
        native["locator"] = locator
    native["price"] = {"amount": f"{price // 100}.{price % 100:02d}", "currency": "USD"}
    if world.tell(at, "booking", opaque(person.device), encode(native)):
        _known_as(world, person, native)


def _native(event: str, person: Person, at: int, rng: Random) -> dict[str, Any]:
    native: dict[str, Any] = {
        "event": event,
        "session": opaque("session", person.device, instant(at)[:13]),
        "device": person.device,
        "at": instant(at),
        "channel": rng.choice(("web", "web", "app")),
    }
    if person.signals:
        native["gpc"] = True
    customer: dict[str, Any] = {}
    if person.account and rng.random() < 0.6:
        customer["loyalty"] = {"airline": person.account.airline, "number": person.account.number}
    if person.login and rng.random() < 0.7:
        customer["idp"] = {"issuer": ISSUER, "subject": person.login}
    if customer:
        native["customer"] = customer
    return native


def _known_as(world: World, person: Person, native: dict[str, Any]) -> str:
    """The strongest identifier of the message, all strong ones booked as one person's."""
    customer = native.get("customer", {})
    identifiers = []
    if "loyalty" in customer and person.account:
        identifiers.append(person.account.identifier)
    if "idp" in customer:
        identifiers.append(f"idp:{ISSUER}|{person.login}")
    identifiers = identifiers or [f"device:{person.device}"]
    world.answers.person(*identifiers)
    if native.get("gpc"):
        world.answers.signalled(*identifiers)
    return identifiers[0]
