"""The rules of consent: purposes and their bases, parameters by region in dated versions, fields with a purpose of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paxtrail.core.folds import day
from paxtrail.core.records import Json
from paxtrail.errors import ConfigurationError

ASKABLE = ("analysis", "marketing", "partner_sharing", "personalisation", "sensitive_data", "social_enrichment")
"""Purposes a person can say something about. A closed list: the size of a ledger follows from it."""

Default = Literal["opt_in", "opt_out", "notice", "legitimate_interest"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Purpose(_Part):
    """On what ground data serve a purpose. `whole`: no field is asked for by itself."""

    basis: Literal["consent", "contract", "legal_obligation", "vital_interest"]
    whole: bool = False
    despite_restriction: bool = False


class OwnPurpose(_Part):
    """A field that serves a purpose of its own, but for the caller's purposes in `free_for`; or just some `members` of its entries."""

    purpose: str
    free_for: frozenset[str] = frozenset()
    members: tuple[str, ...] = ()


class Parameters(_Part):
    """One dated version of a region's rules."""

    region: str
    starts: date = Field(alias="from")
    on: bool = True
    about: str = ""
    child_age: int = Field(ge=0, le=21)
    child_ages: dict[str, int] = {}
    opt_in_under: dict[str, int] = {}
    never_for_children: frozenset[str] = frozenset()
    gpc: frozenset[str] = frozenset()
    defaults: dict[str, Default]

    @property
    def version(self) -> str:
        """What decisions cite."""
        return f"{self.region}/{self.starts.isoformat()}"


class _Region(_Part):
    places: tuple[str, ...]


class _Table(_Part):
    region_unknown: str
    purposes: dict[str, Purpose]
    fields: dict[str, dict[str, OwnPurpose]]
    events: dict[str, str]
    regions: dict[str, _Region]
    parameters: tuple[Parameters, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The checked table. `fields`: by entity and field; `events`: purpose of an event type that has one of its own."""

    purposes: Mapping[str, Purpose]
    fields: Mapping[str, Mapping[str, OwnPurpose]]
    events: Mapping[str, str]
    _places: Mapping[str, str]
    _versions: Mapping[str, tuple[Parameters, ...]]
    _unknown: str

    def parameters(self, place: str | None, at: int) -> Parameters:
        """The version that holds at `at` (µs UTC) for a place: an ISO 3166 country or subdivision, None if unknown."""
        country = (place or "").partition("-")[0]
        region = self._places.get(place or "") or self._places.get(country) or self._unknown
        begun = [version for version in self._versions[region] if version.starts.isoformat() <= day(at)]
        return begun[-1] if begun else self._versions[region][0]


def rules(table: Mapping[str, Json]) -> Rules:
    """The rules of a parsed conf/consent.toml; ConfigurationError that says what is wrong in it."""
    try:
        parsed = _Table.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check(parsed)
    versions = {
        region: tuple(sorted((p for p in parsed.parameters if p.region == region and p.on), key=lambda p: p.starts))
        for region in parsed.regions
    }
    if missing := [region for region, held in versions.items() if not held]:
        raise ConfigurationError(f"region {missing[0]} has no parameters that are on; add [[parameters]] for it")
    places = {place: region for region, held in parsed.regions.items() for place in held.places}
    return Rules(parsed.purposes, parsed.fields, parsed.events, places, versions, parsed.region_unknown)


def _check(table: _Table) -> None:
    by_consent = {name for name, purpose in table.purposes.items() if purpose.basis == "consent"}
    if by_consent != set(ASKABLE):
        raise ConfigurationError(f"purposes: those with basis consent are {', '.join(ASKABLE)}, and no others")
    named = [(f"fields.{entity}.{field}", own.purpose) for entity, fields in table.fields.items() for field, own in fields.items()]
    named += [(f"events.{type_}", purpose) for type_, purpose in table.events.items()]
    free = [
        (f"fields.{entity}.{field}.free_for", name)
        for entity, fields in table.fields.items()
        for field, own in fields.items()
        for name in own.free_for
    ]
    for at, purpose in (*named, *free):
        if purpose not in table.purposes:
            raise ConfigurationError(f"{at}: {purpose} is no purpose; list it under [purposes]")
    if table.region_unknown not in table.regions:
        raise ConfigurationError(f"region_unknown: {table.region_unknown} is no region")
    seen: set[tuple[str, date]] = set()
    for version in table.parameters:
        if version.region not in table.regions:
            raise ConfigurationError(f"parameters {version.version}: no such region")
        if (version.region, version.starts) in seen:
            raise ConfigurationError(f"parameters {version.version}: two versions begin on that day")
        seen.add((version.region, version.starts))
        if {name.partition("/")[0] for name in version.defaults} != by_consent or not by_consent <= set(version.defaults):
            raise ConfigurationError(f"parameters {version.version}: defaults must name each of {', '.join(ASKABLE)}")
        if unknown := sorted((version.gpc | version.never_for_children | set(version.opt_in_under)) - by_consent):
            raise ConfigurationError(f"parameters {version.version}: {unknown[0]} is no purpose that asks for consent")


def age(born: str, at: int) -> int | None:
    """Whole years at `at` (µs UTC) of who was born on an ISO date; None if it is none."""
    try:
        then = date.fromisoformat(born)
    except ValueError:
        return None
    today = datetime.fromtimestamp(at // 1_000_000, UTC).date()
    return today.year - then.year - ((today.month, today.day) < (then.month, then.day))
