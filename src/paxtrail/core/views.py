"""Documents: finished views of flights, bags, journeys, orders and customers, made of states; still sealed, the same whenever read.

What depends on the moment of reading (windows, cuts after unsealing, what a caller may see) is `present`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import orjson

from paxtrail.core import custody, outcomes
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.folds import DAY, day, unite, view
from paxtrail.core.records import Json

MINUTE = 60_000_000
CANCELLED_CODES = frozenset({"DX", "CX", "CNL"})
DIVERTED_CODES = frozenset({"DV"})
SEALED = "sealed:"
LEDGERS = "consents"
"""The attribute, and the member of a customer's document, that hold what was said of consent: for deciding, never shown as it is."""

PUBLIC: dict[str, frozenset[str]] = {
    "bag": frozenset({"key", "custody", "station", "leg", "last_scan", "mishandled"}),
    "order": frozenset(
        {"key", "status", "locator", "created", "updated", "price", "passenger_count", "passengers", "segments", "origin", "destination"}
        | {"care_requests"}
    ),
    "journey": frozenset(
        {"key", "leg", "status", "name", "locator", "ticket", "airline", "number", "origin_date", "departure", "arrival", "class", "cabin"}
        | {"departure_time", "arrival_time", "first_departure_time", "first_arrival_time", "schedule_changed", "passenger_type"}
        | {"seat", "seat_reserved", "upgraded_from", "boarding_number", "gate", "milestones", "meal", "ssrs", "care_requests", "bags"}
    ),
    "customer": frozenset({"customer_id", "journeys", "orders", "history"}),
}
"""Members of documents whose clear values are public; all of a flight's are, and a customer's attributes say it in their table."""


def document(entity: str, key: str, state: Mapping[str, Json], table: AttributeTable) -> dict[str, Json]:
    """The document of a flight, bag, journey or order. Times are µs UTC, delays whole minutes (early = negative); unknown = absent."""
    known = view(table, state)
    body = {"flight": flight, "bag": bag, "journey": journey, "order": order}[entity](known)
    return {"entity": entity, "key": key, **{name: value for name, value in body.items() if value is not None}}


# -- flights ----------------------------------------------------------------------------------------------------------------


def flight(known: Mapping[str, Json]) -> dict[str, Json]:
    """One leg: status, four moments (scheduled, estimated, actual), delays against the schedule in force, gates.

    Delay: actual, else estimated, minus scheduled off-block (departure) and on-block (arrival); none for a cancelled flight.
    """
    status = flight_status(known)
    names = ("off_block", "take_off", "touch_down", "on_block")
    moments = {name: _filled({part: known.get(f"{name}_{part}") for part in ("scheduled", "estimated", "actual")}) for name in names}
    first = known.get("first_off_block_scheduled")
    plain = ("airline", "number", "suffix", "origin_date", "departure", "arrival", "status_code", "diverted_to")
    return {
        **{name: known.get(name) for name in plain},
        "status": status,
        **{name: moment or None for name, moment in moments.items()},
        "first_scheduled": first if first != known.get("off_block_scheduled") else None,
        "departure_delay": None if status == "cancelled" else _delay(moments["off_block"]),
        "arrival_delay": None if status in ("cancelled", "diverted") else _delay(moments["on_block"]),
        "delays": known.get("delays") or None,
        "status_told": known.get("status_told"),
        "boarding_started": known.get("boarding_start_actual"),
        "boarding_ended": known.get("boarding_end_actual"),
        "gate_closed": known.get("gate_close_actual"),
        "doors_opened": known.get("door_open_actual"),
        **{f"{end}_{part}": known.get(f"{end}_{part}") for end in ("departure", "arrival") for part in ("gate", "terminal", "stand")},
        "arrival_belt": known.get("arrival_belt"),
        **{name: known.get(name) for name in ("aircraft_type", "registration", "service_type", "callsign")},
        "codeshares": known.get("codeshares") or None,
        "updated": known.get("updated"),
    }


def flight_status(known: Mapping[str, Json]) -> str:
    """scheduled, boarding, departed, arrived, cancelled or diverted, from the facts.

    A cancellation holds unless the aircraft took off; a diversion stays one after landing; boarding starts count only before off-block.
    """
    airborne = any(known.get(name) is not None for name in ("take_off_actual", "touch_down_actual", "on_block_actual"))
    if known.get("status_code") in CANCELLED_CODES and not airborne:
        return "cancelled"
    if known.get("diverted_to") or known.get("status_code") in DIVERTED_CODES:
        return "diverted"
    if known.get("on_block_actual") is not None:
        return "arrived"
    if airborne or known.get("off_block_actual") is not None:
        return "departed"
    return "scheduled" if known.get("boarding_start_actual") is None else "boarding"


def _delay(moment: Mapping[str, Json]) -> int | None:
    told = moment.get("actual", moment.get("estimated"))
    return None if told is None or "scheduled" not in moment else int((told - moment["scheduled"]) // MINUTE)


# -- bags, journeys, orders -------------------------------------------------------------------------------------------------


def bag(known: Mapping[str, Json]) -> dict[str, Json]:
    """One tag: its episodes (trips), newest first, and where the newest stands."""
    episodes = [custody.summary(scans) for scans in custody.episodes(known.get("scans", []))][::-1]
    newest = episodes[0] if episodes else {}
    return {**{name: newest.get(name) for name in ("custody", "station", "leg", "last_scan", "mishandled")}, "episodes": episodes}


def journey(known: Mapping[str, Json]) -> dict[str, Json]:
    """One passenger on one leg. Status: booked, waitlisted, cancelled, checked_in, boarded, no_show or offloaded."""
    booked, first = dict(known.get("booked") or {}), known.get("first_booked") or {}
    reservation, checkin = known.get("reservation") or {}, known.get("checkin") or {}
    times = ("departure_time", "arrival_time")
    return {
        "leg": known.get("leg"),
        "status": _journey_status(reservation, checkin),
        "reservation": {**reservation, "told": known.get("statuses", {})} if reservation else None,
        **{name: known.get(name) for name in ("name", "locator", "ticket", "coupon_status")},
        **booked,
        **{f"first_{name}": first.get(name) for name in times},
        "schedule_changed": any(first.get(name) != booked.get(name) for name in times) or None,
        **{name: known.get(name) for name in ("seat", "seat_reserved", "cabin", "upgraded_from", "boarding_number", "gate", "meal")},
        "checkin": checkin or None,
        "milestones": known.get("milestones"),
        "ssrs": _requests(known.get("ssrs")) or None,
        "care_requests": known.get("care_requests") or None,
        "bags": sorted({*known.get("tags", []), *known.get("labels", [])}) or None,
    }


def _journey_status(reservation: Mapping[str, Json], checkin: Mapping[str, Json]) -> str:
    reached = checkin.get("status")
    if reached in ("boarded", "no_show", "offloaded"):
        return str(reached)
    if reservation.get("cancelled"):
        return "cancelled"
    if reached == "accepted":
        return "checked_in"
    return "waitlisted" if reservation.get("status") == "HL" else "booked"


def order(known: Mapping[str, Json]) -> dict[str, Json]:
    """One reservation: who sold it, for how much, to whom, for which flights."""
    plain = ("status", "locator", "owner", "created", "updated", "revision", "price", "passenger_count", "passengers", "segments")
    more = ("point_of_sale", "contacts", "remarks")
    body = {**{name: known.get(name) for name in plain}, **(known.get("route") or {}), **{name: known.get(name) for name in more}}
    return {**body, "ssrs": _requests(known.get("ssrs")) or None, "care_requests": known.get("care_requests") or None}


def _requests(ssrs: Mapping[str, Json] | None) -> list[Json]:
    """SSRs newest first; `cancelled` where the status is null."""
    return [{"code": code, **_filled(ssr), "cancelled": ssr.get("status") is None} for code, ssr in (ssrs or {}).items()]


# -- customers --------------------------------------------------------------------------------------------------------------


def customer_document(
    customer_id: str,
    states: Mapping[str, Mapping[str, Json]],
    table: AttributeTable,
    *,
    journeys: Iterable[str],
    orders: Iterable[str],
    history: Mapping[str, Json] | Sequence[Mapping[str, Json]] | None = None,
) -> dict[str, Json]:
    """The customer's document: the states of all its tokens united uncut, keys of journeys and orders, history up to the cut.

    Ledgers of consent are not united but stand side by side, one for each token that has one: the most restrictive counts.
    `history`: that of one token or of several (a journey that two of them travelled counts once).
    """
    histories = [history] if isinstance(history, Mapping) else list(history or ())
    attributes = view(table, unite(table, [states[token] for token in sorted(states)], cut=False))
    attributes.pop(LEDGERS, None)
    return {
        "entity": "customer",
        "customer_id": customer_id,
        "tokens": sorted(states),
        "attributes": {name: value for name, value in attributes.items() if value is not None},
        "journeys": sorted(set(journeys)),
        "orders": sorted(set(orders)),
        "history": outcomes.totals(outcomes.unite(histories)),
        **({LEDGERS: held} if (held := ledgers(states, table)) else {}),
    }


def ledgers(states: Mapping[str, Mapping[str, Json]], table: AttributeTable) -> list[Json]:
    """Entries of the ledger of each token that has one (for `core.consent.ledger`), in the order of the tokens."""
    slot = table.attributes[LEDGERS].slot if LEDGERS in table.attributes else ""
    return [states[token][slot] for token in sorted(states) if slot in states[token]]


# -- reading ----------------------------------------------------------------------------------------------------------------

_HIDDEN = object()


class Unseal(Protocol):
    """What opens sealed texts for one caller."""

    def __call__(self, sealed: str, /) -> Json:
        """The value, a mask, or None for what this caller may not see: that is absent."""

    def same(self, sealed: str, /) -> Json:
        """What equal values have in common though two tokens sealed them differently; to compare, never to show."""


def present(
    document: Mapping[str, Json], table: AttributeTable | None = None, *, unseal: Unseal, as_of: int, internal: bool = True
) -> dict[str, Json]:
    """What a caller gets of a document at `as_of` (µs UTC).

    What `unseal` answers None for is absent. Without `internal`, clear values that are not public are absent too. Equal values are shown
    once, and lists are cut to what the attribute `table` keeps.
    """
    entity = str(document["entity"])
    public = PUBLIC.get(entity)
    shown: dict[str, Json] = {"entity": entity}
    for name, value in document.items():
        if name == "attributes" and table is not None:
            opened = {n: _attribute(table, n, v, unseal, as_of, internal) for n, v in value.items() if n in table.attributes}
            shown[name] = {n: v for n, v in opened.items() if v is not _HIDDEN}
        elif name == "care_requests":
            requests = _keyed(value, unseal, clear=internal or public is None or name in public)
            if requests:
                shown[name] = [{**request, "cancelled": cancelled} for request, cancelled in requests]
        elif name not in ("entity", LEDGERS):
            found = _open(value, unseal, clear=internal or public is None or name in public)
            if found is not _HIDDEN:
                shown[name] = _distinct(found) if name == "passengers" else found
    return shown


def _attribute(table: AttributeTable, name: str, value: Json, unseal: Unseal, as_of: int, internal: bool) -> Json:
    attribute = table.attributes[name]
    clear = internal or attribute.class_ == "public"
    if attribute.sealed_key:
        return [entry for entry, cancelled in _keyed(value, unseal, clear=clear) if not cancelled][: attribute.keep] or _HIDDEN
    if attribute.fold == "map":
        value = {key: kept for key, kept in value.items() if not (isinstance(kept, Mapping) and kept.get("status", "") is None)}
    opened = _open(value, unseal, clear=clear)
    if opened is _HIDDEN:
        return _HIDDEN
    match attribute.fold:
        case "days":
            return days(value, attribute.keep, attribute.windows, as_of)
        case "set":
            return _distinct(opened)[: attribute.keep]
        case "recent":
            return [_flat(entry) for entry in opened[: attribute.keep]]
        case "map":
            return dict(list(opened.items())[: attribute.keep])
        case _:
            return opened


def _keyed(entries: Mapping[str, Json], unseal: Unseal, *, clear: bool) -> list[tuple[dict[str, Json], bool]]:
    """Entries of a map under sealed keys, newest first, each with whether its status is null; of equal keys the newest word stands.

    Who may see nothing of the key sees nothing of the entry.
    """
    newest: dict[str, tuple[str, Json]] = {}
    for key, entry in entries.items():
        newest.setdefault(orjson.dumps(unseal.same(key)).decode(), (key, entry))
    found = []
    for key, entry in newest.values():
        if unseal(key) is not None:
            seen = _open(_filled(entry), unseal, clear=clear)
            found.append(({} if seen is _HIDDEN else seen, entry.get("status", "") is None))
    return found


def _flat(entry: Mapping[str, Json]) -> dict[str, Json]:
    value = entry.get("value")
    return {**{n: v for n, v in entry.items() if n != "value"}, **value} if isinstance(value, Mapping) else dict(entry)


def days(counts: Mapping[str, int], keep: int, windows: Iterable[int], as_of: int) -> dict[str, Json]:
    """Counts by day, newest first, and for each window the count of the last n days, the day of `as_of` (UTC) included."""
    today = day(as_of)
    sums = {f"last_{n}_days": sum(c for d, c in counts.items() if day(as_of - n * DAY) < d <= today) for n in windows}
    return {**sums, "by_day": dict(list(counts.items())[:keep])}


def _open(value: Json, unseal: Unseal, *, clear: bool) -> Json:
    """`value` with sealed texts opened; _HIDDEN if nothing of it may be seen."""
    if isinstance(value, str) and value.startswith(SEALED):
        opened = unseal(value)
        return _HIDDEN if opened is None else opened
    if isinstance(value, dict):  # not Mapping: that check took a fifth of the time of a profile read
        members = {name: _open(member, unseal, clear=clear) for name, member in value.items()}
        seen = {name: member for name, member in members.items() if member is not _HIDDEN}
        return _HIDDEN if value and not seen else seen
    if isinstance(value, list):
        items = [item for item in (_open(item, unseal, clear=clear) for item in value) if item is not _HIDDEN]
        return _HIDDEN if value and not items else items
    return value if clear else _HIDDEN


def _distinct(values: list[Json]) -> list[Json]:
    """The values without repetition, the first of equals kept: two tokens seal the same e-mail differently."""
    return list({orjson.dumps(value, option=orjson.OPT_SORT_KEYS): value for value in reversed(values)}.values())[::-1]


def _filled(values: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}
