"""The table of retention: what it says at a moment, and what it must not say."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from paxtrail.adapters import configuration
from paxtrail.core.retention import DAY, Limit, retention
from paxtrail.errors import ConfigurationError

TABLE: dict[str, Any] = {
    "rejects": {"key_days": 30, "row_days": 400},
    "timeline": {"days": 100},
    "training": {"days": 60},
    "reads": {"days": 500},
    "sources": {"alpha": {"bronze_days": 200, "days": 300}},
    "classes": {"health": 50},
}


def test_what_is_past_its_time_depends_on_the_moment_alone() -> None:
    kept = retention(TABLE, ["alpha"])
    assert kept.event_limits(1000 * DAY) == (Limit("alpha", "", 700 * DAY), Limit("", "health", 950 * DAY))
    assert kept.bronze_limits(1000 * DAY) == (Limit("alpha", "", 800 * DAY), Limit("", "health", 950 * DAY))
    assert kept.first_key_day(40 * DAY) == "1970-01-11"
    assert kept.first_key_day(41 * DAY - 1) == "1970-01-11"


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        ("rejects.key_days", 7, "rejects.key_days must be a whole number of days above 7"),
        ("rejects.key_days", True, "must be a whole number"),
        ("rejects.key_days", 401, "key_days is more than row_days"),
        ("timeline.days", 301, "timeline.days is more than sources.alpha.days"),
        ("sources.alpha.bronze_days", 301, "bronze_days is more than days"),
        ("sources.alpha.weeks", 3, "sources.alpha.weeks is unknown"),
        ("sources.beta", {"bronze_days": 200, "days": 300}, "sources.beta is no source"),
        ("sources", {}, "sources.alpha is missing"),
        ("classes.public", 50, "classes.public is no class of sealed values"),
        ("timeline", None, "timeline is missing"),
        ("training.days", 0, "training.days must be a whole number of days above 0"),
        ("reads", None, "reads is missing"),
        ("odd", {}, "unknown section [odd]"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(at: str, value: Any, said: str) -> None:
    table: dict[str, Any] = copy.deepcopy(TABLE)
    *path, last = at.split(".")
    inner = table
    for step in path:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(ConfigurationError) as wrong:
        retention(table, ["alpha"])
    assert said in str(wrong.value)


def test_the_table_of_the_project_names_every_source(root: Path) -> None:
    kept = configuration.retention(root / "conf")
    assert set(kept.events) == set(configuration.schemas(root / "conf").sources)
