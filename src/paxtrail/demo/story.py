"""One traveller worth looking at, found as an agent would: by PNR and surname; a cancelled flight, and a bag on its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from paxtrail.demo.desk import Desk
from paxtrail.serving.freshness import instant

_TRIES = 30
_HERE = ("delivered", "cancelled")


class Traveller(NamedTuple):
    """Who was found: the locator it was looked up by, and the 360 view."""

    locator: str
    view: dict[str, Any]


def traveller(expected: Mapping[str, Any], desk: Desk) -> Traveller | None:
    """Who has a cancelled flight and a bag on its way, as a look-up by PNR and surname finds them.

    In a small world there may be nobody: then somebody with a cancelled flight. The simulator names those with both first (`highlights`).
    """
    customers: Mapping[str, Any] = expected["customers"]
    others = sorted(customers, key=lambda key: (-customers[key]["flights_cancelled"], -customers[key]["bags_checked"], key))
    best: Traveller | None = None
    for key in [*expected.get("highlights", ()), *others][:_TRIES]:
        for name in customers[key]["identifiers"]:
            if name.startswith("passenger:"):
                locator = name.removeprefix("passenger:").partition("|")[0]
                for view in desk.views(name):
                    cancelled = bool(view["history"]["total"].get("flights_cancelled"))
                    if cancelled and under_way(view):
                        return Traveller(locator, view)
                    if cancelled and best is None:
                        best = Traveller(locator, view)
    return best


class Objector(NamedTuple):
    """A member who objected to profiling: the purpose objected to, and fields that an agent who cares for them is not shown."""

    customer_id: str
    purpose: str
    fields: tuple[str, ...]


def objector(expected: Mapping[str, Any], desk: Desk) -> Objector | None:
    """The first of whom something is kept back; None where nobody has objected, or nothing is known that serves profiling only."""
    for key, customer in expected["customers"].items():
        if not customer["profiling"] and (customer["searches"] or customer["contacts"]):
            for view in desk.views(key):
                if lines := view["profile"].get("withheld"):
                    return Objector(view["customer_id"], lines[0]["purpose"], tuple(line["field"] for line in lines))
    return None


def under_way(view: Mapping[str, Any]) -> bool:
    """Whether a bag of this traveller is on its way."""
    return any(bag.get("custody") not in _HERE for journey in view["journeys"] for bag in journey["bags"])


def shown(found: Traveller) -> RenderableType:
    """The 360 view as an agent's screen would show it."""
    view = found.view
    attributes, history = view["profile"]["attributes"], view["history"]["total"]
    name = attributes.get("display_name", {})
    who = " ".join(str(name[part]) for part in ("title", "given", "surname") if name.get(part))
    member = f"{attributes['tier']} member, {attributes.get('miles', 0):,} miles" if attributes.get("tier") else "no member"
    head = Text(f"{who}: {member}; found by PNR {found.locator} and surname; customer {view['customer_id']}")
    contacts = [str(value) for kind in ("emails", "phones") for value in attributes.get(kind, [])[:1]]
    # What this role sees only an icon of is left out here.
    wishes = [value for name in ("seat_preference", "meal_preference", "language") if isinstance(value := attributes.get(name), str)]
    told = ("flights_booked", "flights_flown", "flights_cancelled", "delay_minutes", "bags_checked", "bags_mishandled")
    counts = ", ".join(f"{history[name]} {name.replace('_', ' ')}" for name in told if name in history)
    table = Table(box=None, pad_edge=False)
    for column in ("journey", "seat", "passenger", "flight now", "outcome", "bags"):
        table.add_column(column, overflow="fold")
    for part in view["journeys"]:
        table.add_row(*_journey(part))
    return Group(head, Text(f"  {'; '.join([*contacts, *wishes])}"), Text(f"  {counts}"), table)


def _journey(part: Mapping[str, Any]) -> tuple[str, ...]:
    journey = part["journey"]
    flight: Mapping[str, Any] = next((one for one in part["flights"] if one["key"] == journey.get("leg")), {})
    now = [str(flight.get("status", "not known yet"))]
    if (late := flight.get("departure_delay")) and late > 0:
        now.append(f"{late} min late")
    if gate := flight.get("departure_gate"):
        now.append(f"gate {gate}")
    if moment := flight.get("off_block", {}):
        now.append("off block " + instant(moment.get("actual", moment.get("estimated", moment.get("scheduled", 0))))[5:16])
    bags = [f"{bag['bag' if 'bag' in bag else 'key']} {_bag(bag)}" for bag in part["bags"]]
    outcome = part["outcome"]["result"] if part["outcome"] else "open"
    route = f"{journey.get('leg', '')} → {journey.get('arrival', flight.get('arrival', ''))}"
    return route, str(journey.get("seat") or ""), str(journey["status"]), ", ".join(now), outcome, "; ".join(bags)


def _bag(bag: Mapping[str, Any]) -> str:
    where = f"{bag.get('custody')} at {bag['station']}" if bag.get("station") else str(bag.get("custody"))
    return where + (" (mishandled)" if bag.get("mishandled") else "")
