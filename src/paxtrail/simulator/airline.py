"""A whole world from a few options: flights, then bookings, disruption, and the day of travel of everybody."""

from __future__ import annotations

from functools import partial
from random import Random

from paxtrail.simulator import aidx, web
from paxtrail.simulator.accounts import Accounts
from paxtrail.simulator.contacts import Contacts
from paxtrail.simulator.luggage import Luggage
from paxtrail.simulator.messages import HOUR, MINUTE, moment, opaque
from paxtrail.simulator.people import People
from paxtrail.simulator.sales import Sales
from paxtrail.simulator.schedule import FIRST_DAY, Flight, schedule
from paxtrail.simulator.travel import Travel
from paxtrail.simulator.world import Options, World


def build(options: Options) -> World:
    """The whole world of these options, the same for the same options."""
    plan = schedule(options.end_us, days=options.days, first=FIRST_DAY, seed=options.seed, limit=options.limit)
    world = World(options, plan)
    _flights(world)
    people = People(Random(f"{options.seed}:people"), moment(plan.opens).date())
    accounts = Accounts(world, Random(f"{options.seed}:accounts"))
    sales = Sales(world, people, accounts, Random(f"{options.seed}:sales"))
    for flight in plan.flights:
        sales.fill(flight)
    sales.disrupt()
    rng = Random(f"{options.seed}:lookers")
    for _ in range(sales.count // 5):
        web.look(world, people.looker(), rng.choice(plan.flights), rng)
    luggage = Luggage(world, Random(f"{options.seed}:luggage"), plan.flights)
    contacts = Contacts(world, Random(f"{options.seed}:contacts"))
    travel = Travel(world, accounts, Random(f"{options.seed}:travel"), luggage, contacts)
    for flight in plan.flights:
        travel.day_of(flight, sales.seated(flight))
    return world


def _flights(world: World) -> None:
    waiting: list[Flight] = []
    for flight in world.schedule.flights:
        if waiting and (len(waiting) == 3 or waiting[0].off_scheduled + HOUR < flight.off_scheduled):
            _publish(world, waiting)
            waiting = []
        waiting.append(flight)
        for notice in aidx.notices(flight):
            world.tell(notice.at, "flights", opaque(flight.leg), partial(aidx.body, (notice,)))
        world.answers.flights[flight.leg] = {
            "status": "cancelled" if flight.cancelled_at is not None else "diverted" if flight.diverted_to else "arrived",
            "status_code": "DX" if flight.cancelled_at is not None else "DV" if flight.diverted_to else "OP",
            "cancelled": flight.cancelled_at is not None,
            "departure_delay": flight.departure_delay,
            "arrival_delay": flight.arrival_delay,
            "gate": aidx.departure_gate(flight),
        }
    _publish(world, waiting)


def _publish(world: World, flights: list[Flight]) -> None:
    """The schedule of a few flights in one message, a day or so before."""
    at = min(flight.off_scheduled for flight in flights) - 26 * HOUR - 7 * MINUTE
    parts = [part for flight in flights for part in aidx.published(flight, at)]
    world.tell(at, "flights", opaque(flights[0].leg), partial(aidx.body, parts))
