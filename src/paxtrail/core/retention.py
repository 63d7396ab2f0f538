"""How long things are kept: the table of conf/retention.toml, checked, and what is past its time at a given moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from paxtrail.core.records import Json
from paxtrail.core.schemas import PERSONAL
from paxtrail.errors import ConfigurationError

DAY = 86_400_000_000
"""Microseconds of a day."""
BACKLOG_DAYS = 7
"""Raw topics keep a week: a stream that comes back after that long must still find what its records need."""
_SECTIONS = frozenset({"rejects", "timeline", "sources", "classes", "training", "reads"})


class Limit(NamedTuple):
    """Events that arrived before `before` (µs UTC) are past their time: of this source, or that hold a value of this class ("" = any)."""

    source: str
    class_: str
    before: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Days by what is kept; `events` and `bronze` by source."""

    key_days: int
    row_days: int
    timeline_days: int
    training_days: int
    reads_days: int
    events: Mapping[str, int]
    bronze: Mapping[str, int]
    classes: Mapping[str, int]

    def event_limits(self, as_of: int) -> tuple[Limit, ...]:
        """What is past its time in silver at `as_of` (µs UTC)."""
        return self._limits(self.events, as_of)

    def bronze_limits(self, as_of: int) -> tuple[Limit, ...]:
        """What is past its time in bronze at `as_of` (µs UTC)."""
        return self._limits(self.bronze, as_of)

    def first_key_day(self, as_of: int) -> str:
        """First day (YYYY-MM-DD, UTC) whose quarantine key stays."""
        return datetime.fromtimestamp((as_of - self.key_days * DAY) / 1e6, UTC).strftime("%Y-%m-%d")

    def _limits(self, sources: Mapping[str, int], as_of: int) -> tuple[Limit, ...]:
        by_source = (Limit(source, "", as_of - days * DAY) for source, days in sorted(sources.items()))
        by_class = (Limit("", class_, as_of - days * DAY) for class_, days in sorted(self.classes.items()))
        return (*by_source, *by_class)


def retention(table: Mapping[str, Json], sources: Iterable[str]) -> Retention:
    """The checked table; raises ConfigurationError that names the key and what to do."""
    unknown = sorted(set(table) - _SECTIONS)
    if unknown:
        raise ConfigurationError(f"unknown section [{unknown[0]}]; use {', '.join(sorted(_SECTIONS))}")
    rejects = _members(table, "rejects", {"key_days", "row_days"})
    kept = {
        source: _members(_section(table, "sources"), source, {"days", "bronze_days"}, "sources.") for source in _section(table, "sources")
    }
    declared = set(sources)
    if missing := sorted(declared ^ set(kept)):
        what = "is missing; say how long it is kept" if missing[0] in declared else "is no source; remove it"
        raise ConfigurationError(f"sources.{missing[0]} {what}")
    classes = {class_: _days(days, f"classes.{class_}", BACKLOG_DAYS) for class_, days in _section(table, "classes").items()}
    if strange := sorted(set(classes) - set(PERSONAL)):
        raise ConfigurationError(f"classes.{strange[0]} is no class of sealed values; there are {', '.join(sorted(PERSONAL))}")
    found = Retention(
        key_days=_days(rejects["key_days"], "rejects.key_days", BACKLOG_DAYS),
        row_days=_days(rejects["row_days"], "rejects.row_days", BACKLOG_DAYS),
        timeline_days=_days(_members(table, "timeline", {"days"})["days"], "timeline.days", 0),
        training_days=_days(_members(table, "training", {"days"})["days"], "training.days", 0),
        reads_days=_days(_members(table, "reads", {"days"})["days"], "reads.days", 0),
        events={source: _days(one["days"], f"sources.{source}.days", BACKLOG_DAYS) for source, one in kept.items()},
        bronze={source: _days(one["bronze_days"], f"sources.{source}.bronze_days", BACKLOG_DAYS) for source, one in kept.items()},
        classes=classes,
    )
    if found.key_days > found.row_days:
        raise ConfigurationError("rejects.key_days is more than row_days; without its row a record is out of reach, so keep rows as long")
    for source, days in sorted(found.events.items()):
        if found.bronze[source] > days:
            raise ConfigurationError(f"sources.{source}: bronze_days is more than days; an event that is gone must be gone from bronze too")
        if found.timeline_days > days:
            raise ConfigurationError(f"timeline.days is more than sources.{source}.days; a rebuild makes the timeline from these events")
    return found


def _section(table: Mapping[str, Json], name: str, prefix: str = "") -> Mapping[str, Json]:
    section = table.get(name)
    if not isinstance(section, Mapping):
        raise ConfigurationError(f"{prefix}{name} is missing or no table; see docs/guides/keep-and-delete.md")
    return section


def _members(table: Mapping[str, Json], name: str, members: set[str], prefix: str = "") -> Mapping[str, Json]:
    section = _section(table, name, prefix)
    if odd := sorted(members ^ set(section)):
        raise ConfigurationError(
            f"{prefix}{name}.{odd[0]} is {'missing' if odd[0] in members else 'unknown'}; it takes {', '.join(sorted(members))}"
        )
    return section


def _days(value: Json, at: str, more_than: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= more_than:
        raise ConfigurationError(
            f"{at} must be a whole number of days above {more_than}" + (", which raw topics keep" if more_than else "")
        )
    return int(value)
