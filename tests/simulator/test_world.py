"""The world of the simulator: real flights, the same bytes for the same seed, shares as stated, times in order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import date

import pytest

from paxtrail.core import sources
from paxtrail.simulator.messages import MINUTE, SOURCES, instant, local
from paxtrail.simulator.noise import SILENCE, Noise
from paxtrail.simulator.schedule import Schedule, schedule
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options

END = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z


@pytest.fixture(scope="module")
def plan() -> Schedule:
    return schedule(END)


@pytest.fixture(scope="module")
def small() -> Simulation:
    return Simulation(Options(END, limit=25), Noise())


def digest(simulation: Simulation) -> str:
    total = hashlib.sha256()
    for message in simulation.messages():
        total.update(repr((message.at_us, message.source, sorted(message.headers.items()), message.key)).encode() + message.body)
    return total.hexdigest()


def test_the_blizzard_is_all_there(plan: Schedule) -> None:
    flights = Counter((flight.day, flight.cancelled_at is not None) for flight in plan.flights)
    assert flights[date(2013, 2, 8), True] == 472
    assert flights[date(2013, 2, 8), False] + 472 == 930
    assert flights[date(2013, 2, 9), True] == 393
    assert flights[date(2013, 2, 9), False] + 393 == 684
    late = Counter(flight.day.day for flight in plan.flights if (flight.arrival_delay or 0) >= 180)
    assert late == {8: 5, 9: 4}


@pytest.mark.parametrize("end", [END, END + 7 * 3600 * 1_000_000 + 1, 1_783_000_000_000_000])
def test_no_two_flights_share_a_leg_key_wherever_the_replay_ends(end: int) -> None:
    flights = schedule(end).flights
    assert len({flight.leg for flight in flights}) == len(flights) == 1614


def test_the_replay_ends_at_the_asked_time(plan: Schedule) -> None:
    assert END - 5 * MINUTE < plan.closes <= END
    assert max(flight.on_actual or 0 for flight in plan.flights) < plan.closes


def test_a_flight_lives_in_the_order_of_its_moments(plan: Schedule) -> None:
    for flight in plan.flights:
        assert flight.off_scheduled < flight.on_scheduled
        moments = [flight.off_actual, flight.take_off, flight.touch_down, flight.on_actual]
        told = [moment for moment in moments if moment is not None]
        assert told == sorted(told)
        assert (flight.cancelled_at is None) == bool(told)
        assert local(flight.off_scheduled, flight.origin_tz).date().isoformat() == flight.local_date


def test_local_times_become_utc_by_the_airports_zone() -> None:
    honolulu = next(f for f in schedule(END).flights if f.destination == "HNL" and f.flown)
    assert 10 * 60 * MINUTE < honolulu.on_scheduled - honolulu.off_scheduled < 12 * 60 * MINUTE


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(small: Simulation) -> None:
    again = digest(Simulation(small.options, small.noise))
    assert digest(small) == again == digest(small)
    assert digest(Simulation(Options(END, limit=25, seed=2), small.noise)) != again


def test_messages_come_in_order_of_time_and_end_with_the_replay(small: Simulation) -> None:
    times = [message.at_us for message in small.messages()]
    assert times == sorted(times)
    assert times[-1] <= small.world.schedule.closes <= END


def test_nothing_happens_after_it_was_sent(small: Simulation) -> None:
    """Else the door would take honest messages for ones from the future."""
    for message in Simulation(small.options, SILENCE).messages():
        assert message.headers["ce_time"] <= instant(message.at_us)


def test_ids_are_unique_without_noise(small: Simulation) -> None:
    quiet = Simulation(small.options, SILENCE)
    ids = [message.headers["ce_id"] for message in quiet.messages()]
    assert len(ids) == len(set(ids)) == quiet.count() == quiet.expected()["totals"]["accepted"]


def test_noise_has_the_stated_shares() -> None:
    noise = Noise(duplicates=0.05, conflicts=0.02, disorder=0.1, late=0.05, broken=0.04)
    simulation = Simulation(Options(END, limit=60), noise)
    totals = simulation.expected()["totals"]
    told = totals["accepted"]
    assert told == Simulation(simulation.options, SILENCE).count()
    assert totals["duplicates"] / told == pytest.approx(0.07, abs=0.01)
    assert totals["conflicts"] / told == pytest.approx(0.02, abs=0.006)
    assert totals["refused"] / told == pytest.approx(0.04, abs=0.008)


def test_a_repetition_never_overtakes_its_original_and_goes_to_the_same_partition() -> None:
    simulation = Simulation(Options(END, limit=25), Noise(duplicates=0.2, conflicts=0.2, disorder=0.3, late=0.1, broken=0))
    quiet = {message.headers["ce_id"]: message for message in Simulation(simulation.options, SILENCE).messages()}
    seen: set[str] = set()
    repeated = 0
    for message in simulation.messages():
        original = quiet[message.headers["ce_id"]]
        if message.headers["ce_id"] not in seen:
            assert message.body == original.body
        repeated += message.headers["ce_id"] in seen
        assert message.key == original.key
        seen.add(message.headers["ce_id"])
    assert repeated > 1000


def test_about_six_or_seven_bags_in_a_thousand_go_astray() -> None:
    totals = Simulation(Options(END, limit=400), SILENCE).expected()["totals"]
    assert totals["bags"] > 1000
    assert 0.006 <= totals["bags_mishandled"] / totals["bags"] <= 0.0075


def test_passengers_per_flight_are_about_those_asked_for() -> None:
    answer = Simulation(Options(END, limit=40, passengers=30), SILENCE).expected()
    booked = Counter(leg for customer in answer["customers"].values() for leg, _ in customer["journeys"])
    first_booked = [booked[leg] for leg, flight in answer["flights"].items() if flight["cancelled"]]
    assert 27 <= sum(first_booked) / len(first_booked) <= 36


def test_activity_is_uneven_as_people_are(small: Simulation) -> None:
    searches = sorted((c["searches"] for c in small.expected()["customers"].values()), reverse=True)
    top = searches[: len(searches) // 10]
    assert sum(top) > 0.4 * sum(searches)


def test_one_phone_stands_on_many_bookings_and_one_booker_books_for_five() -> None:
    phones: Counter[str] = Counter()
    fives = 0
    for message in Simulation(Options(END, limit=120), SILENCE).messages():
        if message.source == "reservations":
            pnr = json.loads(message.body)
            if pnr["version"] == 1:
                phones.update({c["value"] for c in pnr["contacts"] if c["of"] == "agency"})
                fives += any(c["of"] == "booker" for c in pnr["contacts"]) and len(pnr["passengers"]) == 5
    assert phones.most_common(1)[0][1] > 20
    assert fives > 0


def test_every_source_speaks(small: Simulation) -> None:
    assert {message.source for message in small.messages()} == set(SOURCES) == set(sources.SOURCES)
    assert all(line["accepted"] > 0 for line in small.expected()["ledger"].values())
