"""Dashboards as an analyst gets them: signed in to Superset's API, every chart asked for its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx
import tenacity

from paxtrail.adapters.postgres import secret
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings
from paxtrail.stack import superset

_TRIES = 6
_HOURS = "TEMPORAL_RANGE"
Charts = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Sum of each metric over a chart's rows, by the dashboard's name, the chart's and the metric's; 0 where there is no number."""


def has_numbers(sums: Mapping[str, float]) -> bool:
    """Whether a chart shows something: each metric above 0."""
    return bool(sums) and min(sums.values()) > 0


def full_boards(charts: Charts) -> int:
    """Dashboards all of whose charts show something."""
    return sum(bool(shown) and all(map(has_numbers, shown.values())) for shown in charts.values())


def time_range(metadata: Mapping[str, Any]) -> str:
    """The hours that a dashboard's filter gives to its charts, as the page opens; empty if it has none."""
    filters = metadata.get("native_filter_configuration", ())
    return next((str(one["defaultDataMask"]["extraFormData"]["time_range"]) for one in filters if one["filterType"] == "filter_time"), "")


def asked(form: Mapping[str, Any], hours: str) -> dict[str, Any]:
    """The query that the page makes of a chart's form: its columns, by the form's time grain, its metrics, its filters; `hours`, those of
    the dashboard, take the place of the form's own."""
    grain, times = form.get("time_grain_sqla"), {form.get("x_axis"), *form.get("temporal_columns_lookup", ())}
    columns = [*([form["x_axis"]] if "x_axis" in form else []), *form.get("groupby", ())]
    return {
        "columns": [_by(name, str(grain)) if grain and name in times else name for name in columns],
        "metrics": form.get("metrics") or [form["metric"]],
        "filters": [
            {"col": one["subject"], "op": one["operator"], "val": hours if hours and one["operator"] == _HOURS else one["comparator"]}
            for one in form.get("adhoc_filters", ())
        ],
        "extras": {"time_grain_sqla": grain} if grain else {},
        "row_limit": form.get("row_limit", 1000),
    }


def _by(column: str, grain: str) -> dict[str, str]:
    return {"columnType": "BASE_AXIS", "expressionType": "SQL", "sqlExpression": column, "label": column, "timeGrain": grain}


class Analyst:
    """The user `analyst` of this copy's Superset."""

    def __init__(self, settings: Settings) -> None:
        self._client = httpx.Client(base_url=superset.url(settings), timeout=90, trust_env=False)
        body = {"username": "analyst", "password": secret(settings, "superset_analyst"), "provider": "db"}
        self._client.headers["Authorization"] = f"Bearer {self._signed_in(body)}"

    def __enter__(self) -> Analyst:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def charts(self) -> Charts:
        """What every chart of every dashboard shows now."""
        boards = self._ask("GET", "/api/v1/dashboard/")["result"]
        return {board["slug"]: self._charts(board["id"]) for board in boards}

    def _charts(self, board: int) -> dict[str, dict[str, float]]:
        hours = time_range(json.loads(self._ask("GET", f"/api/v1/dashboard/{board}")["result"]["json_metadata"]))
        return {
            chart["slice_name"]: self._sums(chart["form_data"], hours)
            for chart in self._ask("GET", f"/api/v1/dashboard/{board}/charts")["result"]
        }

    def _sums(self, form: dict[str, Any], hours: str) -> dict[str, float]:
        dataset, _, kind = str(form["datasource"]).partition("__")
        query = asked(form, hours)
        answer = self._ask("POST", "/api/v1/chart/data", {"datasource": {"id": int(dataset), "type": kind}, "queries": [query]})
        rows = answer["result"][0]["data"]
        return {name: sum(row[name] for row in rows if isinstance(row.get(name), int | float)) for name in query["metrics"]}

    def _signed_in(self, body: dict[str, str]) -> str:
        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            wait=tenacity.wait_incrementing(start=0, increment=1),
            stop=tenacity.stop_after_attempt(_TRIES),
            reraise=True,
        )
        answer: dict[str, Any] = trying(self._ask, "POST", "/api/v1/security/login", body)
        return str(answer["access_token"])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"Superset does not answer: {type(error).__name__}") from None
        if answer.status_code != 200:
            raise Unavailable(f"Superset refused {method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()
