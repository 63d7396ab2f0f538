"""Exports for partners: the contract of a release, what is said of each traveller, and the rows that may leave.

A contract names its columns by role: `direct` is never read, `quasi` is generalised along a hierarchy, `sensitive` is protected within
every class, `insensitive` leaves as it is. Values come from a closed list or a hierarchy; anything else leaves as `*`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paxtrail.core import airports
from paxtrail.core.anonymity import ANY, Hierarchy, Limits, best
from paxtrail.core.consent_rules import age
from paxtrail.core.records import Json
from paxtrail.core.sealing import is_sealed
from paxtrail.errors import ChecksFailed, ConfigurationError

VALUES = ("age", "gender", "residence", "route_region", "flights", "tier")
"""What `described` says of a traveller: the columns a contract may release."""
SEALABLE = ("birth_date", "gender", "residence", "tier")
"""Attributes that the columns are made of."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Part):
    """`least`: the level of its hierarchy below which a quasi-identifier never leaves; `values`: all that others may say."""

    role: Literal["direct", "quasi", "sensitive", "insensitive"]
    hierarchy: str = ""
    least: int = Field(default=0, ge=0)
    values: tuple[str, ...] = ()


class Segment(_Part):
    """Whom it is about: members who flew at least so often."""

    flights_flown: int = Field(ge=1)


class Bounds(_Part):
    """Limits of a release as core.anonymity has them."""

    k: int = Field(ge=2)
    l: int = Field(ge=1)  # noqa: E741  # the field's own letter
    t: float = Field(ge=0, le=1)
    suppression: float = Field(ge=0, le=1)

    def limits(self) -> Limits:
        return Limits(self.k, self.l, self.t, self.suppression)


class SignOff(_Part):
    """Two persons: who prepared the contract, and the data protection officer who released it, on that day."""

    prepared_by: str = Field(min_length=1)
    officer: str = Field(min_length=1)
    on: date


class Contract(_Part):
    """What leaves, to whom, for which purpose, under which limits. `fresh_hours`: how old the cut may be that it is made of."""

    about: str
    partner: str = Field(min_length=1)
    purpose: str
    licence: str
    fresh_hours: int = Field(ge=1)
    segment: Segment
    limits: Bounds
    sign_off: SignOff
    columns: dict[str, Column]

    def named(self, *roles: str) -> tuple[str, ...]:
        """Columns of these roles, in the order of the contract."""
        return tuple(name for name, column in self.columns.items() if column.role in roles)

    @property
    def released(self) -> tuple[str, ...]:
        """Columns of the file."""
        return self.named("quasi", "sensitive", "insensitive")


def contract(told: Mapping[str, Json], attributes: frozenset[str]) -> Contract:
    """The contract a file tells; `attributes`: those of a profile, which `direct` columns name. ConfigurationError says what is wrong."""
    try:
        found = Contract.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    if found.sign_off.prepared_by.casefold() == found.sign_off.officer.casefold():
        raise ConfigurationError("sign_off: who prepares a release does not sign it; name two persons")
    if not found.named("quasi"):
        raise ConfigurationError("columns: at least one has the role quasi")
    for name, column in found.columns.items():
        if name not in (attributes if column.role == "direct" else VALUES):
            known = "attribute of a profile" if column.role == "direct" else f"column that can leave: {', '.join(VALUES)}"
            raise ConfigurationError(f"columns.{name}: no {known}")
        if bool(column.hierarchy) != (column.role == "quasi"):
            raise ConfigurationError(f"columns.{name}: a quasi-identifier has a hierarchy, and nothing else has one")
        if bool(column.values) != (column.role in ("sensitive", "insensitive")):
            raise ConfigurationError(f"columns.{name}: columns that leave as they are, and only they, list their values")
    return found


def from_level(of: Hierarchy, least: int) -> Hierarchy:
    """The hierarchy without its levels below `least`; ConfigurationError if nothing but `*` would remain."""
    if least >= of.height - 1 and least:
        raise ConfigurationError(f"hierarchy {of.name}: least = {least}, but it has {of.height} levels, the last of them {ANY}")
    return Hierarchy(of.name, {value: path[least:] for value, path in of.paths.items()})


def described(known: Mapping[str, Json], arrivals: Sequence[str | None], opened: Callable[[str], Json], at: int) -> dict[str, str]:
    """What is said of a traveller at `at` (µs UTC), by column; unknown = `*`. `known`: attributes of the customer; `arrivals`: airports
    of the journeys flown; `opened` answers a sealed value. The route region is the time zone most flown to, the first of equals."""

    def told(name: str) -> str:
        value = known.get(name)
        value = opened(value) if isinstance(value, str) and is_sealed(value) else value
        return value if isinstance(value, str) and value else ANY

    years = age(told("birth_date"), at)
    zones = Counter(zone for arrival in arrivals if arrival and (zone := airports.zone(arrival)))
    return {
        "age": ANY if years is None else str(years),
        "gender": told("gender"),
        "residence": told("residence"),
        "route_region": min(zones, key=lambda zone: (-zones[zone], zone), default=ANY),
        "flights": str(len(arrivals)),
        "tier": told("tier"),
    }


@dataclass(frozen=True, slots=True)
class Release:
    """Rows of the file, sorted, in the order of `Contract.released`. `population`: the quasi-identifiers, likewise generalised, of all
    whom the segment is about, whether they consent or not. `levels`: by column, counted in its hierarchy."""

    rows: list[tuple[str, ...]]
    population: list[tuple[str, ...]]
    levels: dict[str, int]
    loss: float
    suppressed: int


def release(of: Contract, hierarchies: Mapping[str, Hierarchy], frequencies: Sequence[tuple[tuple[str, ...], int, int]]) -> Release:
    """The release of least loss; ChecksFailed if the limits leave none.

    `frequencies`: values in the order of `released`, how many travellers have them, and how many of these may be in the file.
    """
    names, quasi = of.released, of.named("quasi")
    cut = [from_level(hierarchies[name], of.columns[name].least) for name in quasi]
    at = [names.index(name) for name in quasi]
    allowed = [(_listed(of, values), consenting) for values, _, consenting in frequencies if consenting]
    if not allowed:
        raise ChecksFailed("nobody of the segment may be in the file: nothing is released")
    sensitive = [[values[names.index(name)] for values, _ in allowed] for name in of.named("sensitive")]
    node = best([[values[i] for i in at] for values, _ in allowed], sensitive, cut, of.limits.limits(), [n for _, n in allowed])
    if node is None or not node.kept.any():
        raise ChecksFailed(f"no generalisation keeps the limits for {sum(n for _, n in allowed)} persons: nothing is released")

    def general(values: Sequence[str]) -> tuple[str, ...]:
        found = list(values)
        for place, one, level in zip(at, cut, node.levels, strict=True):
            found[place] = one.at(values[place], level)
        return tuple(found)

    rows = [row for (values, n), kept in zip(allowed, node.kept, strict=True) if kept for row in [general(values)] * n]
    around = [row for values, n, _ in frequencies for row in [tuple(general(values)[i] for i in at)] * n]
    levels = {name: level + of.columns[name].least for name, level in zip(quasi, node.levels, strict=True)}
    return Release(sorted(rows), around, levels, node.loss, sum(n for _, n in allowed) - len(rows))


def _listed(of: Contract, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values, of columns with a closed list only what is on it."""
    lists = (of.columns[name].values for name in of.released)
    return tuple(ANY if listed and value not in listed else value for value, listed in zip(values, lists, strict=True))


@dataclass(frozen=True, slots=True)
class Told:
    """What a release tells whoever has it: how many have which values of its columns; `levels` as in `Release`."""

    columns: tuple[str, ...]
    levels: Mapping[str, int]
    rows: Mapping[tuple[str, ...], int]


def differences(now: Told, before: Told, hierarchies: Mapping[str, Hierarchy]) -> list[int]:
    """By how many rows the classes of two releases differ that do differ, sorted: whoever has both can tell these from the others.

    They are compared on the columns of both, each on the coarser of its two levels; a value that its hierarchy lost is `*`.
    """
    names = [name for name in now.columns if name in before.columns]
    quasi = [name for name in names if name in now.levels and name in before.levels]
    common = {name: min(max(now.levels[name], before.levels[name]), hierarchies[name].height - 1) for name in quasi}

    def counted(told: Told) -> Counter[tuple[str, ...]]:
        found: Counter[tuple[str, ...]] = Counter()
        above = {name: hierarchies[name].upwards(told.levels[name], common[name]) for name in quasi}
        places = [(told.columns.index(name), above.get(name)) for name in names]
        for row, n in told.rows.items():
            found[tuple(row[at] if up is None else up.get(row[at], ANY) for at, up in places)] += n
        return found

    ours, theirs = counted(now), counted(before)
    differ: Counter[tuple[str, ...]] = Counter()
    for row in ours.keys() | theirs.keys():
        differ[tuple(value for name, value in zip(names, row, strict=True) if name in common)] += abs(ours[row] - theirs[row])
    return sorted(n for n in differ.values() if n)
