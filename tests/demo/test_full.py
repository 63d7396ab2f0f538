"""The tools of the full demo: any difference between Druid and silver is found and named; what was not done is not called good."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

import pytest

from paxtrail.demo.check import Findings
from paxtrail.demo.desk import Desk
from paxtrail.demo.full import Answered, druid_beside_lake
from paxtrail.demo.model import Trained

HOURS = ("2026-11-21T10", "2026-11-21T12")
LAKE: dict[str, list[dict[str, Any]]] = {
    "bags": [{"hour": 1_795_255_200_000, "custody": "loaded", "bags": 2, "scans": 3}],
    "punctuality": [{"hour": 1_795_255_200_000, "airline": "UA", "departures": 7, "departure_delay_minutes": 10 / 3}],
}
DRUID: dict[str, list[dict[str, Any]]] = {
    "bags": [{"hour": "2026-11-21T10:00:00.000Z", "custody": "loaded", "bags": 2, "scans": 3}],
    "punctuality": [{"hour": "2026-11-21T10:00:00.000Z", "airline": "UA", "departures": 7, "departure_delay_minutes": 3.3333333333333335}],
}


class Answering:
    """A desk that gives these rows."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        self.rows = rows

    def counted(self, question: str, since: str, until: str, by: str) -> list[dict[str, Any]]:
        assert (since, until) == HOURS
        assert by.startswith("hour,")
        return self.rows[question]


def differing(rows: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    found = druid_beside_lake(cast(Desk, Answering(rows)), HOURS, copy.deepcopy(LAKE))
    assert found.compared == {"druid.bags": 1, "druid.punctuality": 1}
    return found.differing


def test_equal_rows_do_not_differ_also_where_a_mean_was_added_up_in_another_order() -> None:
    assert differing(DRUID) == {}


@pytest.mark.parametrize(
    ("question", "rows", "told"),
    [
        ("bags", [{**DRUID["bags"][0], "scans": 4}], {"druid.bags.scans": 1}),
        ("bags", [], {"druid.bags": 1}),
        ("bags", [*DRUID["bags"], {**DRUID["bags"][0], "custody": None}], {"druid.bags": 1}),
        ("bags", [{**DRUID["bags"][0], "hour": "2026-11-21T11:00:00.000Z"}], {"druid.bags": 2}),
        ("punctuality", [{**DRUID["punctuality"][0], "departure_delay_minutes": 3.34}], {"druid.punctuality.departure_delay_minutes": 1}),
        ("punctuality", [{**DRUID["punctuality"][0], "departure_delay_minutes": None}], {"druid.punctuality.departure_delay_minutes": 1}),
    ],
)
def test_a_value_a_group_or_an_hour_that_differs_is_named(question: str, rows: list[dict[str, Any]], told: dict[str, int]) -> None:
    assert differing({**DRUID, question: rows}) == told


def test_a_question_without_an_answer_on_either_side_is_not_called_equal() -> None:
    found = druid_beside_lake(cast(Desk, Answering({**DRUID, "bags": []})), HOURS, copy.deepcopy({**LAKE, "bags": []}))
    assert found.differing == {}
    assert not found.matches


SHOWN = {"operations-now": {"Departures": {"departures": 7}}}
GOOD = Answered(
    runs={"states": 2, "marts": 1, "models": 1},
    gates_green=2,
    marts={"fct_flight_legs": 8},
    compared=Findings({"marts.flights": 8}),
    counted=Findings({"druid.bags": 3}),
    charts=SHOWN,
    before={"operations-now": {"Departures": {"departures": 2}}},
    sentiments=60,
    trained=Trained(2, 339, 1.0, 0.0, 0.0, promoted=False),
    landed=25,
    export={"export_rows": 40, "export_k": 10, "folder": ""},
    least_k=10,
    agent_page=True,
    objector=None,
    memory_mb=8000,
)


def test_all_done_is_good_also_where_the_dashboards_came_late() -> None:
    assert GOOD.good
    assert GOOD.summary()["dashboard_refreshed"] is True
    late = replace(GOOD, before=None)
    assert late.good
    assert late.summary()["dashboard_refreshed"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": {**GOOD.runs, "models": 0}},
        {"gates_green": 1},
        {"compared": Findings({"marts.flights": 8, "marts.bags": 0})},
        {"counted": Findings()},
        {"charts": {"operations-now": {"Departures": {"departures": 0}}}},
        {"charts": {}},
        {"before": SHOWN},
        {"sentiments": 0},
        {"least_k": 11},
        {"agent_page": False},
    ],
)
def test_what_was_not_done_is_not_good(wrong: dict[str, Any]) -> None:
    assert not replace(GOOD, **wrong).good
