"""What is remembered of an entity: attribute tables, read from conf/attributes/<entity>.toml and checked against the event schemas."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from paxtrail.core.records import Json
from paxtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from paxtrail.core.schemas import Field, Schemas

KINDS = ("latest", "first", "min", "max", "sum", "count", "days", "recent", "set", "map")
LISTS = ("days", "recent", "set", "map")
META = {"@type": "string", "@source": "string", "@time": "time"}
"""What a path may name beside the payload: the event's own type, source and event time."""

_MEMBERS = frozenset({"from", "each", "key", "value", "unit", "fold", "keep", "rank", "class", "windows", "about", "requires"})
_FOLDING = ("each", "fold", "from", "keep", "key", "rank", "requires", "unit", "value")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*){0,3}")
_CLEAR = ("public", "internal")


class Spec(NamedTuple):
    """Type and class of what a path leads to; `fields` if that is an object or a list of objects."""

    type: str
    class_: str
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an entity: from which events, by which fold.

    `slot` names it in a state: the name and six hex digits of its definition, so that states of two definitions never mix.
    `requires`: paths by event type; an event counts only where its path holds something other than null and false (in the payload,
    not the item of `each`). `keep` 0 = no limit. `class_` is the field class of its clear values; sealed values carry their own.
    `windows` are days back from the moment of reading. `sealed_key`: the key of this map is personal; keys that two tokens sealed are
    compared when read.
    """

    name: str
    slot: str
    types: tuple[str, ...]
    fold: str
    value: str | tuple[tuple[str, str], ...] | None = None
    each: str | None = None
    key: str | None = None
    unit: str | None = None
    requires: tuple[tuple[str, str], ...] = ()
    keep: int = 0
    rank: tuple[tuple[str, int], ...] = ()
    class_: str = "internal"
    windows: tuple[int, ...] = ()
    about: str = ""
    sealed_key: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AttributeTable:
    """All attributes of one entity. `types`: attributes by the event type that feeds them. Compared by identity; `digest` tells content."""

    entity: str
    attributes: Mapping[str, Attribute]
    digest: str
    types: Mapping[str, tuple[Attribute, ...]]


def table(entity: str, definitions: Mapping[str, Json], schemas: Schemas) -> AttributeTable:
    """The checked attribute table of `entity`; raises ConfigurationError that names entity, attribute and what to do."""
    attributes = {name: _attribute(entity, name, definitions[name], schemas) for name in sorted(definitions)}
    if not attributes:
        raise ConfigurationError(f"{entity}: no attribute is defined; define at least one")
    types: dict[str, list[Attribute]] = {}
    for attribute in attributes.values():
        for type_ in attribute.types:
            types.setdefault(type_, []).append(attribute)
    digest = _digest([attribute.slot for attribute in attributes.values()])[:16]
    return AttributeTable(entity, attributes, digest, {type_: tuple(fed) for type_, fed in types.items()})


def _digest(value: Json) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), digest_size=16).hexdigest()


def _attribute(entity: str, name: str, definition: Json, schemas: Schemas) -> Attribute:
    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(f"{entity}.{name}: {what}")

    if not _NAME.fullmatch(name):
        raise wrong("an attribute's name is lower-case letters, digits and _; rename it")
    if not isinstance(definition, Mapping):
        raise wrong(f"is not a table; write [{name}] with from, value and fold")
    unknown = sorted(set(definition) - _MEMBERS)
    if unknown:
        raise wrong(f"unknown member {unknown[0]!r}; use {', '.join(sorted(_MEMBERS))}")
    kind = definition.get("fold")
    if kind not in KINDS:
        raise wrong(f"fold {kind!r} is none of {', '.join(KINDS)}")
    types = definition.get("from")
    if not isinstance(types, list) or not types or not all(isinstance(t, str) for t in types) or len(set(types)) != len(types):
        raise wrong('from must list event types, each once: from = ["loyalty.account_updated"]')
    attribute = Attribute(
        name=name,
        slot=f"{name}~{_digest({member: definition[member] for member in _FOLDING if member in definition})[:6]}",
        types=tuple(types),
        fold=kind,
        value=_value(definition.get("value"), kind, wrong),
        each=_path(definition.get("each"), "each", wrong),
        key=_path(definition.get("key"), "key", wrong),
        unit=_path(definition.get("unit"), "unit", wrong),
        requires=_requires(definition.get("requires", {}), types, wrong),
        keep=_keep(definition.get("keep", 0), kind, wrong),
        rank=_rank(definition.get("rank", {}), kind, wrong),
        windows=_windows(definition.get("windows", []), kind, wrong),
        about=str(definition.get("about", "")),
        class_=definition.get("class", ""),
    )
    if attribute.class_ not in ("", *_CLEAR):
        raise wrong(f"class {attribute.class_!r} is not clear; sealed values carry their own class, say public or internal or nothing")
    if (attribute.key is None) == (kind == "map"):
        raise wrong("a map needs a key path, and nothing else has one")
    if attribute.unit is not None and kind != "sum":
        raise wrong("only a sum has a unit; remove it")
    class_, sealed_key = _check(attribute, schemas, wrong)
    return replace(attribute, class_=attribute.class_ or class_, sealed_key=sealed_key)


_Wrong = Callable[[str], ConfigurationError]


def _path(path: Json, member: str, wrong: _Wrong) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str) or not (path in META or _PATH.fullmatch(path)):
        raise wrong(f'{member} {path!r} is not a path; write "$.field", "$.object.field", "$" or one of {", ".join(META)}')
    return path


def _value(value: Json, kind: str, wrong: _Wrong) -> str | tuple[tuple[str, str], ...] | None:
    if (value is None) != (kind in ("count", "days")):
        raise wrong("count and days take no value, every other fold needs one")
    if not isinstance(value, Mapping):
        return _path(value, "value", wrong)
    if kind in ("min", "max", "sum"):
        raise wrong(f"{kind} folds one number, not an object; give one path")
    members = tuple((member, _path(value[member], f"value.{member}", wrong) or "") for member in sorted(value))
    if not members or not all(_NAME.fullmatch(member) for member, _ in members):
        raise wrong("the members of value need names of lower-case letters, digits and _")
    return members


def _keep(keep: Json, kind: str, wrong: _Wrong) -> int:
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
        raise wrong(f"keep {keep!r} is not a whole number above 0")
    if (keep > 0) != (kind in LISTS):
        raise wrong(f"{', '.join(LISTS)} need keep (how many are remembered), and nothing else has it")
    return int(keep)


def _rank(rank: Json, kind: str, wrong: _Wrong) -> tuple[tuple[str, int], ...]:
    if not isinstance(rank, Mapping) or not all(isinstance(r, int) and not isinstance(r, bool) for r in rank.values()):
        raise wrong('rank must be a table of source and whole number: rank = { "loyalty" = 3 }')
    if rank and kind not in ("latest", "first", "map"):
        raise wrong("only latest, first and map rank their sources; remove rank")
    return tuple(sorted(rank.items()))


def _requires(requires: Json, types: list[str], wrong: _Wrong) -> tuple[tuple[str, str], ...]:
    if not isinstance(requires, Mapping) or set(requires) - set(types):
        raise wrong('requires must be a table of path by event type of from: requires = { "checkin.accepted" = "$.document" }')
    return tuple((type_, _path(requires[type_], "requires", wrong) or "") for type_ in sorted(requires))


def _windows(windows: Json, kind: str, wrong: _Wrong) -> tuple[int, ...]:
    if not isinstance(windows, list) or not all(isinstance(days, int) and days > 0 for days in windows):
        raise wrong("windows must list numbers of days: windows = [7, 30]")
    if windows and kind != "days":
        raise wrong("only days are read by windows; remove windows")
    return tuple(windows)


def _check(attribute: Attribute, schemas: Schemas, wrong: _Wrong) -> tuple[str, bool]:
    """Class of the attribute's clear values, and whether its key is sealed; raises where a path is undeclared or has the wrong type."""
    classes: set[str] = set()
    used: set[str] = set()
    keys: set[str] = set()
    values: dict[str, str] = dict(attribute.value) if isinstance(attribute.value, tuple) else {}
    if isinstance(attribute.value, str):
        values[""] = attribute.value
    for type_ in attribute.types:
        roots = _roots(attribute, type_, schemas, wrong)
        required = dict(attribute.requires).get(type_)
        if required is not None and _spec(_payload(type_, schemas, wrong), required) is None:
            raise wrong(f"{type_} declares nothing at {required}, which requires names; declare it or take it out of requires")
        found = {member: spec for member, path in values.items() if (spec := _spec(roots, path)) is not None}
        if values and not found:
            raise wrong(
                f"{type_} declares nothing at {', '.join(sorted(set(values.values())))}; declare it in its schema or take it out of from"
            )
        used |= set(found)
        for member, spec in found.items():
            if attribute.fold in ("min", "max", "sum") and spec.class_ not in _CLEAR:
                raise wrong(f"{type_} {values[member]} is personal ({spec.class_}) and sealed; {attribute.fold} folds clear numbers only")
            if attribute.fold in ("min", "max") and spec.type not in ("integer", "time"):
                raise wrong(f"{type_} {values[member]} is {spec.type}; {attribute.fold} folds integer and time only")
            if attribute.fold == "sum" and spec.type not in ("integer", "decimal"):
                raise wrong(f"{type_} {values[member]} is {spec.type}; sum folds integer and decimal only")
        classes |= {spec.class_ for spec in found.values()}
        for member, path, allowed in (("key", attribute.key, ("string", "date", "integer", "time")), ("unit", attribute.unit, ("string",))):
            spec_ = None if path is None else _spec(roots, path)
            if path is not None and (spec_ is None or spec_.type not in allowed):
                raise wrong(f"{type_} declares no {' or '.join(allowed)} at {member} {path}")
        if attribute.key is not None and (key := _spec(roots, attribute.key)) is not None:
            keys.add("" if key.class_ in _CLEAR else key.class_)
    if len(keys) > 1:
        raise wrong(f"{attribute.key} is clear in one type and personal in another, or of two classes; one map has one kind of key")
    if any(keys) and not isinstance(attribute.value, tuple):
        # Without members there is nothing beside the key that a reader without rights to it could be shown, and no status to cancel.
        raise wrong(f"{attribute.key} is personal ({max(keys)}); a map under a sealed key needs a value of members")
    unheard = set(dict(attribute.rank)) - {schemas.source_of(type_) for type_ in attribute.types}
    if unheard:
        raise wrong(f"rank names {min(unheard)}, but no type of from comes from that source; take it out of rank")
    if set(values) - used:
        raise wrong(f"no type of from declares {values[min(set(values) - used)]}; declare it or take it out of value")
    return "public" if classes == {"public"} else "internal", any(keys)


def _payload(type_: str, schemas: Schemas, wrong: _Wrong) -> Spec:
    try:
        return Spec("object", "internal", schemas.event(type_).fields)
    except KeyError:
        raise wrong(f"event type {type_} is declared in no schema; declare it in conf/schemas or take it out of from") from None


def _roots(attribute: Attribute, type_: str, schemas: Schemas, wrong: _Wrong) -> Spec:
    """What "$" stands for: the payload, or an item of `each`."""
    payload = _payload(type_, schemas, wrong)
    if attribute.each is None:
        return payload
    spec = _spec(payload, attribute.each)
    if spec is None or spec.type not in ("list", "strings"):
        raise wrong(f"{type_} declares no list at {attribute.each}; each needs one")
    return Spec("string" if spec.type == "strings" else "object", spec.class_, spec.fields)


def _spec(root: Spec, path: str) -> Spec | None:
    if path in META:
        return Spec(META[path], "internal", {})
    spec = root
    for step in steps(path):
        field = spec.fields.get(step) if spec.type == "object" else None
        if field is None:
            return None
        spec = Spec(field.type, _class(field), _inner(field))
    return spec


def _class(field: Field) -> str:
    inner = [_class(part) for part in _inner(field).values()]
    own = field.class_ or "internal"
    return next((class_ for class_ in [own, *inner] if class_ not in _CLEAR), own)


def _inner(field: Field) -> Mapping[str, Field]:
    return field.fields


def steps(path: str) -> tuple[str, ...]:
    """Member names along a payload path: "$.price.amount" -> ("price", "amount"); "$" -> ()."""
    return tuple(path.split(".")[1:])
