"""What each event type may say: its declared fields, their types and their classes, and the check of facts against them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from paxtrail.core.records import Draft, Entity, Json
from paxtrail.errors import ConfigurationError, Refusal

TYPES = ("string", "integer", "boolean", "decimal", "time", "date", "strings", "list", "object")
CLEAR = ("public", "internal")
PERSONAL = ("name", "birth_date", "gender", "email", "phone", "document", "payment", "health", "care", "text", "contact")
SEALED_MARK = "sealed:"

SECOND = 1_000_000
EARLIEST = 0
LATEST = 4_133_980_800 * SECOND  # 2101-01-01: the years 1970 to 2100
_INT64 = 2**63

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPE_NAME = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Field:
    """A declared fact. `fields` are the members of an object or of each item of a list."""

    name: str
    type: str
    class_: str = "internal"
    about: str = ""
    fields: dict[str, Field] = field(default_factory=dict)

    @property
    def items(self) -> dict[str, Field]:
        """Members of each item of a list; empty for other types."""
        return self.fields if self.type == "list" else {}

    @property
    def personal(self) -> bool:
        """Whether the value is sealed under its owner's key."""
        return self.class_ not in CLEAR


@dataclass(frozen=True, slots=True)
class EventSchema:
    """One event type of a source."""

    type: str
    source: str
    about: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True)
class Schemas:
    """All declared event types of all sources."""

    _events: Mapping[str, EventSchema]
    _versions: Mapping[str, int]

    @classmethod
    def from_tables(cls, tables: Mapping[str, Mapping[str, Any]]) -> Schemas:
        """Schemas of {source: parsed conf/schemas/<source>.toml}; ConfigurationError names source and key."""
        events: dict[str, EventSchema] = {}
        versions: dict[str, int] = {}
        for source, table in tables.items():
            _only(table, {"version", "about", "events"}, source)
            version = table.get("version")
            if not isinstance(version, int) or isinstance(version, bool) or version < 1:
                raise ConfigurationError(f"{source}: version must be a whole number from 1")
            versions[source] = version
            for type_, definition in _table(table, "events", source).items():
                at = f"{source}: events.{type_}"
                if not _TYPE_NAME.fullmatch(type_):
                    raise ConfigurationError(f"{at}: a type is <aggregate>.<past_tense> in lower case")
                if type_ in events:
                    raise ConfigurationError(f"{at}: {events[type_].source} declares this type too")
                _only(definition, {"about", "fields"}, at)
                events[type_] = EventSchema(type_, source, _about(definition, at), _fields(definition, "fields", at))
        return cls(events, versions)

    def event(self, type_: str) -> EventSchema:
        """The schema of an event type; KeyError if no source declares it."""
        return self._events[type_]

    def source_of(self, type_: str) -> str:
        """The source that declares an event type; KeyError if none does."""
        return self._events[type_].source

    def version(self, source: str) -> int:
        """Version of a source's schemas, 0 if it has none."""
        return self._versions.get(source, 0)

    @property
    def types(self) -> tuple[str, ...]:
        """Every declared event type, sorted."""
        return tuple(sorted(self._events))

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source with schemas, sorted."""
        return tuple(sorted(self._versions))


def _about(table: Mapping[str, Any], at: str) -> str:
    about = table.get("about", "")
    if not isinstance(about, str):
        raise ConfigurationError(f"{at}: about must be text")
    return about


def _table(table: Mapping[str, Any], key: str, at: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise ConfigurationError(f"{at}: {key} must be a table of tables")
    return value


def _only(table: Mapping[str, Any], known: set[str], at: str) -> None:
    if unknown := sorted(set(table) - known):
        raise ConfigurationError(f"{at}: {unknown[0]} is not known; known are {', '.join(sorted(known))}")


def _fields(definition: Mapping[str, Any], key: str, at: str, *, flat: bool = False) -> dict[str, Field]:
    return {name: _field(name, spec, f"{at}.{key}.{name}", flat=flat) for name, spec in _table(definition, key, at).items()}


def _field(name: str, spec: Mapping[str, Any], at: str, *, flat: bool) -> Field:
    type_, class_ = spec.get("type"), spec.get("class", "internal")
    inner = {"list": "items", "object": "fields"}.get(str(type_), "")
    _only(spec, {"type", "class", "about", inner} - {""}, at)
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{at}: a field's name is snake_case")
    if type_ not in TYPES:
        raise ConfigurationError(f"{at}: type must be one of {', '.join(TYPES)}")
    if class_ not in CLEAR and class_ not in PERSONAL:
        raise ConfigurationError(f"{at}: class must be one of {', '.join((*CLEAR, *PERSONAL))}")
    if flat and inner:
        raise ConfigurationError(f"{at}: objects and items are flat")
    if inner and not spec.get(inner):
        raise ConfigurationError(f"{at}: a {type_} needs {inner}")
    return Field(name, type_, class_, _about(spec, at), _fields(spec, inner, at, flat=True) if inner else {})


def check(draft: Draft, source: str, schemas: Schemas) -> None:
    """Refuses a draft that says what its type does not declare, or what cannot be stored; reasons name fields, never values."""
    try:
        event = schemas.event(draft.type)
    except KeyError:
        raise Refusal("undeclared_type", f"conf/schemas declares no event type {draft.type}") from None
    if event.source != source:
        raise Refusal("undeclared_type", f"{draft.type} belongs to {event.source}, not to {source}")
    check_instant(draft.event_time, "event_time")
    if not -_INT64 <= draft.source_sequence < _INT64:
        raise Refusal("integer_range", "the sequence does not fit 64 bits", "source_sequence")
    _members(draft.facts, event.fields, draft.type)
    for text in _texts(draft):
        _text(text, draft.type)
    if _SURROGATE.search(draft.native):
        raise Refusal("lone_surrogate", "text with half a surrogate pair cannot be stored", draft.type)


def check_instant(instant: int, at: str) -> None:
    """Refuses a time outside the years 1970 to 2100."""
    if not EARLIEST <= instant < LATEST:
        raise Refusal("time_range", "a time must lie in the years 1970 to 2100", at)


def _texts(draft: Draft) -> list[str]:
    ends = [*draft.entities, *(end for relation in draft.relations for end in (relation.origin, relation.target))]
    names = [draft.owner, *([draft.subject] if draft.subject else []), *draft.identifiers]
    return [*(_key(end) for end in ends), *(name.value for name in names), draft.controller, draft.region]


def _key(entity: Entity) -> str:
    return entity.key if isinstance(entity.key, str) else entity.key.value


def _members(values: Mapping[str, Json], fields: Mapping[str, Field], at: str) -> None:
    for name, value in values.items():
        declared = fields.get(name)
        if declared is None:
            raise Refusal("undeclared_fact", "the event's schema does not declare this fact", f"{at}.{name[:64]}")
        if value is not None:
            _value(value, declared, f"{at}.{name}")


def _value(value: Json, declared: Field, at: str) -> None:
    kind = declared.type
    if kind in ("string", "decimal", "date"):
        if not isinstance(value, str):
            raise _wrong(declared, at)
        _text(value, at)
        if not declared.personal and value.startswith(SEALED_MARK):
            raise Refusal("reserved_marker", 'a clear text may not start with "sealed:"', at)
        if (kind == "decimal" and not _DECIMAL.fullmatch(value)) or (kind == "date" and not _is_date(value)):
            raise _wrong(declared, at)
    elif kind in ("integer", "time"):
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(declared, at)
        if kind == "time":
            check_instant(value, at)
        elif not -_INT64 <= value < _INT64:
            raise Refusal("integer_range", "the number does not fit 64 bits", at)
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise _wrong(declared, at)
    elif kind == "object":
        if not isinstance(value, dict):
            raise _wrong(declared, at)
        _members(value, declared.fields, at)
    else:
        if not isinstance(value, list):
            raise _wrong(declared, at)
        for index, item in enumerate(value):
            _item(item, declared, f"{at}[{index}]")


def _item(item: Json, declared: Field, at: str) -> None:
    if declared.type == "strings":
        _value(item, Field(declared.name, "string", declared.class_), at)
    elif isinstance(item, dict):
        _members(item, declared.fields, at)
    else:
        raise _wrong(declared, at)


def _wrong(declared: Field, at: str) -> Refusal:
    return Refusal("wrong_type", f"the value is no {declared.type}", at)


def _text(text: str, at: str) -> None:
    if "\0" in text:
        raise Refusal("nul_character", "text with a NUL character cannot be stored", at)
    if _SURROGATE.search(text):
        raise Refusal("lone_surrogate", "text with half a surrogate pair cannot be stored", at)


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
