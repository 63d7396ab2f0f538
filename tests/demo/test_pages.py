"""The demo asks a dashboard's charts what their page asks: columns by hour, filters, the hours of the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from paxtrail.demo.pages import asked, full_boards, time_range
from paxtrail.settings import ROOT

ASSETS = ROOT / "conf" / "superset" / "assets"
HOURS = "DATEADD(DATETIME('now'), -24, HOUR) : now"
BY_HOUR = {"columnType": "BASE_AXIS", "expressionType": "SQL", "sqlExpression": "__time", "label": "__time", "timeGrain": "PT1H"}


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def form(name: str) -> Any:
    return read(ASSETS / "charts" / f"{name}.yaml")["params"]


def test_the_hours_are_those_of_the_dashboard() -> None:
    assert time_range(read(ASSETS / "dashboards" / "operations_now.yaml")["metadata"]) == HOURS
    assert time_range({}) == ""


def test_a_table_is_asked_with_its_filters_by_hour() -> None:
    assert asked(form("flights_by_hour_and_airport"), HOURS) == {
        "columns": [BY_HOUR, "airport"],
        "metrics": ["departures", "delays", "cancellations"],
        "filters": [
            {"col": "__time", "op": "TEMPORAL_RANGE", "val": HOURS},
            {"col": "kind", "op": "IN", "val": ["departed", "delayed", "cancelled"]},
        ],
        "extras": {"time_grain_sqla": "PT1H"},
        "row_limit": 500,
    }


def test_a_chart_over_time_has_its_axis_by_hour() -> None:
    assert asked(form("flights_by_hour"), HOURS)["columns"] == [BY_HOUR]


def test_a_number_has_no_columns_and_only_the_filters_that_its_form_has() -> None:
    found = asked(form("departures"), HOURS)
    assert (found["columns"], found["metrics"]) == ([], ["departures"])
    assert found["filters"] == [{"col": "__time", "op": "TEMPORAL_RANGE", "val": HOURS}]
    assert asked(form("travellers_last_day"), HOURS)["filters"] == []


def test_where_a_dashboard_names_no_hours_the_forms_own_hold() -> None:
    assert asked(form("departures"), "")["filters"] == [{"col": "__time", "op": "TEMPORAL_RANGE", "val": "No filter"}]


@pytest.mark.parametrize(
    ("shown", "full"),
    [
        ({"a": {"departures": 3, "delays": 1}, "b": {"bags": 2}}, 1),
        ({"a": {"departures": 3, "delays": 0}, "b": {"bags": 2}}, 0),
        ({"a": {"departures": 3}, "b": {"bags": 0}}, 0),
        ({"a": {}}, 0),
        ({}, 0),
    ],
)
def test_a_dashboard_counts_when_every_metric_of_every_chart_is_above_0(shown: dict[str, dict[str, float]], full: int) -> None:
    assert full_boards({"operations-now": shown}) == full
