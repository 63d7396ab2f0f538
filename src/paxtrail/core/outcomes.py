"""What became of a journey, from its own document, its flight's and its bags'; and a person's history, the sum of such outcomes.

The batch concludes every journey up to the cut, a read those since, by the same function. All is pure; a history may be put together
in any order, and a journey that several tokens travelled counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from paxtrail.core.records import Json

RESULTS = ("flown", "diverted", "flight_cancelled", "cancelled", "no_show", "offloaded", "unknown")
DAY = 86_400_000_000
_BY_CARRIER = ("UN", "UC", "NO", "HX")
_TRAVELLED = ("flown", "diverted")
_NOT_FLOWN_REASONS = frozenset({"offloaded", "not_seen"})
"""No mishandling of a bag whose passenger did not fly either."""


def flight_of(journey: Mapping[str, Json], flights: Mapping[str, dict[str, Json]]) -> dict[str, Json] | None:
    """The flight a journey is on, among those it was ever related to (by leg): the one its own document names, else the first leg.

    A journey rebooked to another leg keeps its relation to the first.
    """
    return flights.get(str(journey.get("leg"))) or next((flights[leg] for leg in sorted(flights)), None)


def outcome(
    journey_document: Mapping[str, Json],
    flight_document: Mapping[str, Json] | None,
    bag_documents: Iterable[Mapping[str, Json]],
    *,
    as_of: int,
) -> dict[str, Json] | None:
    """The outcome of a journey, None while it is open at `as_of` (µs UTC).

    {journey, leg, result, by?, departure_delay?, arrival_delay?, bags_checked, bags_mishandled}; delays in minutes as the flight has them.

    flown              boarded (or its coupon used), and the flight is at its destination
    diverted           boarded, and the flight went elsewhere
    flight_cancelled   the flight was cancelled, and the passenger had not given up the journey before (by = carrier)
    cancelled          the segment was: by = carrier (UN, UC, NO, HX), else passenger
    no_show, offloaded as check-in told last
    unknown            nothing of that a day after the flight arrived or, without word of it, after it should have
    """
    result, by = _result(journey_document, flight_document, as_of)
    if result is None:
        return None
    leg = journey_document.get("leg")
    travelled = result in _TRAVELLED
    flight = flight_document or {}
    checked, mishandled = _bags(journey_document, flight, list(bag_documents), travelled)
    found = {
        "journey": journey_document["key"],
        "leg": leg,
        "result": result,
        "by": by,
        "departure_delay": flight.get("departure_delay") if travelled else None,
        "arrival_delay": flight.get("arrival_delay") if travelled else None,
        "bags_checked": checked,
        "bags_mishandled": mishandled,
    }
    return {name: value for name, value in found.items() if value is not None}


def _result(journey: Mapping[str, Json], flight: Mapping[str, Json] | None, as_of: int) -> tuple[str | None, str | None]:
    status, reservation = journey.get("status"), journey.get("reservation") or {}
    flight_status = flight.get("status") if flight else None
    if status in ("no_show", "offloaded"):
        return str(status), None
    if status == "cancelled":
        by = "carrier" if reservation.get("status") in _BY_CARRIER else "passenger"
        if flight_status == "cancelled" and not (by == "passenger" and _gave_up_before(reservation, flight or {})):
            return "flight_cancelled", "carrier"
        return "cancelled", by
    if flight_status == "cancelled":
        return "flight_cancelled", "carrier"
    arrived = (flight or {}).get("on_block", {}).get("actual")
    flew = status == "boarded" or journey.get("coupon_status") in ("F", "B")
    if flew and flight_status == "arrived":
        return "flown", None
    if flew and flight_status == "diverted":
        return "diverted", None
    due = arrived if arrived is not None else journey.get("arrival_time", journey.get("departure_time"))
    if due is None or as_of < due + DAY:
        return None, None
    # A day late and no word of the landing: who boarded has flown, of others nothing is known.
    return ("flown" if flew else "unknown"), None


def _gave_up_before(reservation: Mapping[str, Json], flight: Mapping[str, Json]) -> bool:
    given_up = reservation.get("told", {}).get(reservation.get("status"))
    called_off = flight.get("status_told", {}).get(flight.get("status_code"))
    return given_up is not None and (called_off is None or given_up < called_off)


def _bags(journey: Mapping[str, Json], flight: Mapping[str, Json], bags: list[Mapping[str, Json]], travelled: bool) -> tuple[int, int]:
    """(checked, mishandled): a bag counts for the journey its episode began with."""
    leg = journey.get("leg")
    of_leg = {bag["key"]: episode for bag in bags for episode in bag.get("episodes", ()) if episode.get("first_leg") == leg}
    elsewhere = {bag["key"] for bag in bags if any(leg in episode.get("legs", ()) for episode in bag.get("episodes", ()))} - set(of_leg)
    checked = (set(journey.get("bags", ())) | set(of_leg)) - elsewhere
    return len(checked), sum(_astray(episode, leg, flight, travelled) for episode in of_leg.values())


def _astray(episode: Mapping[str, Json], leg: Json, flight: Mapping[str, Json], travelled: bool) -> bool:
    reasons = set(episode.get("reasons", ()))
    if not travelled:
        return bool(reasons - _NOT_FLOWN_REASONS)
    return bool(reasons) or _left_behind(episode, leg, flight)


def _left_behind(episode: Mapping[str, Json], leg: Json, flight: Mapping[str, Json]) -> bool:
    """Handled at a station that scans, never loaded on the leg, never seen to come from it, and the aircraft has arrived."""
    scans = [s for s in episode.get("scans", ()) if leg in (s.get("leg"), s.get("inbound_leg"))]
    stages = {scan.get("custody") for scan in scans}
    return flight.get("status") == "arrived" and bool(stages & {"sorted", "screened"}) and not stages & {"loaded", "arrived", "delivered"}


# -- histories --------------------------------------------------------------------------------------------------------------


def history(outcomes: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """The history these outcomes make: {"journeys": {journey: outcome}} and its totals beside it."""
    journeys: dict[str, Json] = {}
    for one in outcomes:
        known, key = journeys.get(one["journey"]), one["journey"]
        journeys[key] = dict(one) if known is None else max(known, dict(one), key=_text)
    return _summed(journeys)


def add(history: Mapping[str, Json], outcome: Mapping[str, Json]) -> dict[str, Json]:
    """The history with one more outcome; the same journey again counts once."""
    return unite([history, {"journeys": {outcome["journey"]: outcome}}])


def unite(histories: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """The history of a customer whose tokens have these."""
    return _history_of(one for known in histories for one in known.get("journeys", {}).values())


def totals(history: Mapping[str, Json], *, ahead: int = 0) -> dict[str, Json]:
    """Only the sums of a history, as documents show them; `ahead`: journeys that are not over, which are booked and nothing else yet."""
    sums = {name: value for name, value in history.items() if name != "journeys"}
    return sums | {"flights_booked": sums["flights_booked"] + ahead} if ahead else sums


def _summed(journeys: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    found = list(journeys.values())
    late = [one["arrival_delay"] for one in found if one.get("arrival_delay", 0) > 0]
    results = [one["result"] for one in found]
    return {
        "flights_booked": len(found),
        "flights_flown": results.count("flown"),
        "flights_diverted": results.count("diverted"),
        "flights_cancelled": results.count("flight_cancelled"),
        "journeys_cancelled": results.count("cancelled"),
        "no_shows": results.count("no_show"),
        "offloaded": results.count("offloaded"),
        "unknown": results.count("unknown"),
        "delays": len(late),
        "delay_minutes": sum(late),
        "longest_delay": max(late, default=0),
        "bags_checked": sum(one["bags_checked"] for one in found),
        "bags_mishandled": sum(one["bags_mishandled"] for one in found),
        "journeys": {key: journeys[key] for key in sorted(journeys)},
    }


def _text(value: Json) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


_history_of = history
