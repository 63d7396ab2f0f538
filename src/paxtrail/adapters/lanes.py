"""Lanes: sets of sources with a stream, a checkpoint and bronze tables of their own; bronze is the union of the lanes' tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from paxtrail.adapters import lake
from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings
from paxtrail.tables.contracts import Table

REVISIONS = "revisions"
"""Lane of bronze.revisions: its seq is the Delta version that holds the rows."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def lanes(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Sources of every lane. A lane without sources is retired: its tables are read, and nothing new gets into them.

    ConfigurationError unless each source is in exactly one lane.
    """
    for name in settings.lanes:
        if not _NAME.fullmatch(name) or name == REVISIONS:
            raise ConfigurationError(f"[lanes]: {name!r} cannot name a lane; use small letters, digits and _, and not `{REVISIONS}`")
    given = [source for sources in settings.lanes.values() for source in sources]
    if unknown := sorted(set(given) - set(SOURCES)):
        raise ConfigurationError(f"[lanes]: there is no source {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    if twice := sorted({source for source in given if given.count(source) > 1}):
        raise ConfigurationError(f"[lanes]: {', '.join(twice)} is in more than one lane; leave it in the one whose stream is to read it")
    if missing := [source for source in SOURCES if source not in given]:
        raise ConfigurationError(f"[lanes]: {', '.join(missing)} is in no lane, so nobody would read it; add it to one")
    return settings.lanes


def running(settings: Settings) -> tuple[str, ...]:
    """The lanes that have a stream."""
    return tuple(lane for lane, sources in lanes(settings).items() if sources)


def chosen(settings: Settings, name: str | None) -> str:
    """The lane of that name; without one, the only lane there is."""
    if name is None and len(running(settings)) == 1:
        return running(settings)[0]
    if name not in lanes(settings):
        raise ConfigurationError(f"name a lane by --lane: one of {', '.join(lanes(settings))}")
    return name


def part_name(settings: Settings, lane: str) -> str:
    """What the stream of the lane is called in the stack: `stream` where it is the only one."""
    return "stream" if running(settings) == (lane,) else f"stream-{lane}"


def check_named(settings: Settings, found: Iterable[str]) -> None:
    """ConfigurationError where a lane that has data is not in `[lanes]`: what it wrote would be missing without a word."""
    if forgotten := sorted(set(found) - set(lanes(settings)) - {REVISIONS}):
        raise ConfigurationError(f"lane {', '.join(forgotten)} has data and is not in [lanes]: add `{forgotten[0]} = []`, and it is read")


def tables(table: Table, settings: Settings) -> dict[str, Table]:
    """The lanes' tables of a contract, as far as they exist."""
    return {lane: one for lane in lanes(settings) if lake.exists(one := table.of(lane), settings)}
