"""The marts as an analyst reads them, against the API: the same flights, bags and customers, in PostgreSQL and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from paxtrail.adapters.postgres import dsn
from paxtrail.core.records import Json
from paxtrail.demo.check import Findings
from paxtrail.demo.desk import Desk
from paxtrail.settings import Settings

# The order by digest is one that has nothing to do with the rows: a sample that is the same each time.
_FLIGHTS = "SELECT leg, status, departure_delay, arrival_delay FROM fct_flight_legs ORDER BY md5(leg) LIMIT %s"
_BAGS = (
    "SELECT tag, custody, mishandled FROM (SELECT DISTINCT ON (tag) * FROM fct_bag_journeys ORDER BY tag, started_at DESC) AS newest"
    " ORDER BY md5(tag) LIMIT %s"
)
_CUSTOMERS = (
    "SELECT customer_id, tier, flights_flown, flights_cancelled, bags_checked, bags_mishandled FROM dim_customers"
    " WHERE flights_booked > 0 ORDER BY md5(customer_id) LIMIT %s"
)
_COUNTS = ("flights_flown", "flights_cancelled", "bags_checked", "bags_mishandled")


def published(settings: Settings) -> dict[str, int]:
    """Rows of every published mart."""
    with psycopg.connect(dsn(settings, "marts", "analyst")) as connection:
        return dict(connection.execute("SELECT mart, rows FROM published_marts ORDER BY mart").fetchall())


def compared(settings: Settings, desk: Desk, size: int) -> Findings:
    """Up to `size` rows of each kind against what the API says of the same thing."""
    findings = Findings(dict.fromkeys(("marts.flights", "marts.bags", "marts.customers"), 0))
    with psycopg.connect(dsn(settings, "marts", "analyst"), row_factory=dict_row) as connection:
        for row in connection.execute(_FLIGHTS, (size,)):
            findings.compare("marts.flights", *_split(row, "leg"), desk.flight(row["leg"]))
        for row in connection.execute(_BAGS, (size,)):
            findings.compare("marts.bags", *_split(row, "tag"), desk.bag(row["tag"]))
        for row in connection.execute(_CUSTOMERS, (size,)):
            view = desk.view(row["customer_id"])
            findings.compare("marts.customers", *_split(row, "customer_id"), None if view is None else _customer(view))
    return findings


def _split(row: Mapping[str, Any], key: str) -> tuple[str, dict[str, Json]]:
    return row[key], {name: value for name, value in row.items() if name != key}


def _customer(view: Mapping[str, Any]) -> dict[str, Json]:
    total = view["history"]["total"]
    return {"tier": view["profile"]["attributes"].get("tier"), **{name: total.get(name, 0) for name in _COUNTS}}
