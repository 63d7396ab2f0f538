"""How long records waited from their arrival until they were served, counted in the transaction that served them."""

from __future__ import annotations

import math
from typing import Any

import psycopg

BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, math.inf)
"""Seconds; docs/slo.md counts by one of them."""


def count(cursor: psycopg.Cursor[Any], lane: str, records: int, oldest: int) -> None:
    """Adds the records of a micro-batch to `stream_delays` by how long the oldest of them (arrival, µs UTC) has waited until now.

    So none of those counted under a bound waited longer; most waited less.
    """
    cursor.execute(
        "insert into stream_delays as d select %s, le, %s from unnest(%s::float8[]) le"
        " where le >= extract(epoch from clock_timestamp()) - %s"
        " on conflict (lane, le) do update set records = d.records + excluded.records",
        (lane, records, list(BOUNDS), oldest / 1e6),
    )
