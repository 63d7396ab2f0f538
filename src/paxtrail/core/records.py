"""A record as received, and the drafts of events a decoder makes of it, before tokens and sealing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = Any  # JSON-compatible value: dict with str keys, list, str, int, bool, None (no float in facts)


@dataclass(frozen=True, slots=True)
class Record:
    """One message as received; `arrival` is µs UTC (the broker's append time).

    `headers` have lower-case names; bytes of a value that are no UTF-8 stand as surrogates (PEP 383), so that they can be given back.
    """

    source: str
    headers: Mapping[str, str]
    body: bytes
    arrival: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """CloudEvents 1.0 context attributes of a record (extensions in `extra`); `time` in µs UTC or None."""

    id: str
    source: str
    type: str
    time: int | None = None
    arrival: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)


class Identifier(NamedTuple):
    """(namespace, normalised value) of a person or of something that must be named without being shown."""

    namespace: str
    value: str


class Entity(NamedTuple):
    """What an event changes. `key` is clear for `flight` and `bag`; an Identifier (to become a token) for
    `profile`, `order`, `journey`."""

    kind: str
    key: str | Identifier


class Relation(NamedTuple):
    """`origin` —kind→ `target`; what the events together state is a set."""

    origin: Entity
    kind: str
    target: Entity


@dataclass(frozen=True, slots=True)
class Draft:
    """One fact out of a record.

    `facts` hold only fields declared for `type` in conf/schemas/<source>.toml. `native` is this event's own part of what
    was received (text), lossless; the door seals it under the owner's key. The owner of personal values is `subject` if
    there is one, else `owner`. `identifiers` are further identifiers of *the subject*, never of anybody else.
    """

    type: str
    event_time: int
    facts: dict[str, Json]
    native: str
    owner: Identifier
    subject: Identifier | None = None
    identifiers: tuple[Identifier, ...] = ()
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    source_sequence: int = 0
    controller: str = ""
    region: str = ""
