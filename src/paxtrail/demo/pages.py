"""Dashboards as an analyst gets them: signed in to Superset's API, every chart asked for its numbers."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx
import tenacity

from paxtrail.adapters.postgres import secret
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings
from paxtrail.stack import superset

_TRIES = 6


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

    def charts(self) -> dict[str, dict[str, int]]:
        """Numbers that each chart of each dashboard shows, by the dashboard's name and the chart's: how many are there."""
        boards = self._ask("GET", "/api/v1/dashboard/")["result"]
        return {board["slug"]: self._charts(board["id"]) for board in boards}

    def _charts(self, board: int) -> dict[str, int]:
        return {
            chart["slice_name"]: self._numbers(chart["form_data"])
            for chart in self._ask("GET", f"/api/v1/dashboard/{board}/charts")["result"]
        }

    def _numbers(self, form: dict[str, Any]) -> int:
        """How many numbers the chart gets as its answer; it is asked for what its page asks, of the same dataset."""
        dataset, _, kind = str(form["datasource"]).partition("__")
        metrics = form.get("metrics") or [form["metric"]]
        columns = [*([form["x_axis"]] if "x_axis" in form else []), *form.get("groupby", ())]
        query = {"columns": columns, "metrics": metrics, "row_limit": 1000}
        answer = self._ask("POST", "/api/v1/chart/data", {"datasource": {"id": int(dataset), "type": kind}, "queries": [query]})
        return sum(isinstance(row.get(name), int | float) for row in answer["result"][0]["data"] for name in metrics)

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
