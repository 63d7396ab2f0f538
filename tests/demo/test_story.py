"""Who is shown in the demo: a cancelled flight and a bag on its way before a cancelled flight alone."""

from __future__ import annotations

from io import StringIO
from typing import Any, cast

from rich.console import Console

from paxtrail.demo.desk import Desk
from paxtrail.demo.story import Objector, objector, shown, traveller

LEG = "UA1545/2013-02-08/EWR"


def view(name: str, *, cancelled: int, custody: str) -> dict[str, Any]:
    return {
        "customer_id": name,
        "profile": {"attributes": {"display_name": {"given": "ANN", "surname": name.upper()}, "emails": ["ann@example.org"]}},
        "history": {"total": {"flights_cancelled": cancelled, "bags_checked": 1}},
        "journeys": [
            {
                "journey": {"leg": LEG, "status": "booked", "arrival": "IAH"},
                "flights": [{"key": LEG, "status": "cancelled"}],
                "bags": [{"bag": "0016123456", "custody": custody, "station": "ORD"}],
                "outcome": {"result": "flight_cancelled"} if cancelled else None,
            }
        ],
    }


class Found:
    """Answers look-ups by hand."""

    def __init__(self, *views: dict[str, Any]) -> None:
        self._views = {f"passenger:{one['customer_id']}|2013-01-20|X/Y": one for one in views}

    def views(self, key: str) -> list[dict[str, Any]]:
        return [self._views[key]]

    def expected(self, *highlights: str) -> dict[str, Any]:
        """As the simulator foretells: all have cancelled flights by their counts, and only some are worth showing."""
        customers = {key: {"identifiers": ["loyalty:UA|1", key], "flights_cancelled": 1, "bags_checked": 1} for key in self._views}
        return {"customers": customers, "highlights": [key for key in self._views if key.split(":")[1].split("|")[0] in highlights]}

    def choice(self, *highlights: str) -> str | None:
        found = traveller(self.expected(*highlights), cast(Desk, self))
        return found and found.locator


def test_a_bag_on_its_way_comes_before_a_cancelled_flight_alone() -> None:
    desk = Found(view("aaa", cancelled=2, custody="delivered"), view("bbb", cancelled=1, custody="transferred"))
    assert desk.choice("bbb") == desk.choice() == "bbb"


def test_whoever_the_simulator_names_is_found_behind_any_number_of_others() -> None:
    others = [view(f"a{n:03d}", cancelled=1, custody="delivered") for n in range(500)]
    assert Found(*others, view("zzz", cancelled=1, custody="missing")).choice("zzz") == "zzz"


def test_a_bag_on_its_way_without_a_cancelled_flight_is_not_enough() -> None:
    assert Found(view("aaa", cancelled=0, custody="transferred"), view("bbb", cancelled=1, custody="delivered")).choice() == "bbb"
    assert Found(view("aaa", cancelled=0, custody="transferred")).choice() is None


def test_the_screen_shows_the_cancelled_flight_and_where_the_bag_is() -> None:
    desk = Found(view("bbb", cancelled=1, custody="transferred"))
    found = traveller(desk.expected("bbb"), cast(Desk, desk))
    assert found is not None
    console = Console(file=StringIO(), width=200)
    console.print(shown(found))
    text = cast(StringIO, console.file).getvalue()
    assert "flight_cancelled" in text
    assert "0016123456 transferred at ORD" in text
    assert "found by PNR bbb" in text


def test_the_first_objector_of_whom_something_is_kept_back_is_told_with_the_fields() -> None:
    line = {"purpose": "personalisation", "reason": "objected"}
    kept_back = {"profile": {"withheld": [{**line, "field": "searches"}, {**line, "field": "routes"}]}}
    people: dict[str, tuple[bool, int, dict[str, Any]]] = {
        "a": (True, 3, {}),
        "b": (False, 0, kept_back),
        "c": (False, 2, {"profile": {}}),
        "d": (False, 1, kept_back),
    }
    customers = {key: {"profiling": profiling, "searches": n, "contacts": 0} for key, (profiling, n, _) in people.items()}

    class Known:
        def views(self, key: str) -> list[dict[str, Any]]:
            return [{"customer_id": key, **people[key][2]}]

    assert objector({"customers": customers}, cast(Desk, Known())) == Objector("d", "personalisation", ("searches", "routes"))
    assert objector({"customers": {"a": customers["a"]}}, cast(Desk, Known())) is None
