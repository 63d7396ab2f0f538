"""Folds of events to states, in plain Python: ten kinds, each one way to make an entry of an event and one way to unite entries.

A state is `{slot: state of one attribute}`; the slot is the attribute's name and the mark of its definition, so a merge keeps
what is defined as it was and never mixes two definitions. Values are kept as JSON text (members sorted) and never interpreted.
`fold(a + b) == merge(fold(a), fold(b))`, and merge is associative and commutative, because both unite the same entries and every
order is total. `transforms/folds.py` is the same as Spark columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Context, Decimal
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import orjson

from paxtrail.core.attributes import META, Attribute, AttributeTable, steps
from paxtrail.core.records import Json

State: TypeAlias = dict[str, Json]

DAY = 86_400_000_000
"""Microseconds of a day."""
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
"""A number a sum takes; anything else counts as not said."""
_EXACT = Context(prec=60)
_EPOCH = date(1970, 1, 1).toordinal()


class Event(NamedTuple):
    """One event as folded; `payload` holds the facts, personal values sealed."""

    event_id: str
    source: str
    type: str
    event_time: int
    source_sequence: int
    arrival_time: int
    payload: Mapping[str, Json]


class Mention(NamedTuple):
    """What one event says to one attribute: `value` as JSON text, `raw` as it is."""

    rank: int
    event: Event
    id: str
    value: str
    raw: Json
    key: str
    unit: str


class Kind(NamedTuple):
    """One kind of fold: `entry` is the entry of one mention (None = it says nothing), `unite` the state of all entries.

    `many`: the state is a list of entries, else the one entry that is left.
    """

    many: bool
    entry: Callable[[Mention], Json]
    unite: Callable[[list[Json], int], Json]


# -- text and order ---------------------------------------------------------------------------------------------------------


def text(value: Json) -> str:
    """Canonical JSON text of a value: members sorted, no spaces, control characters as \\u00XX in upper case (as Spark writes them)."""
    encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return _ESCAPE.sub(_upper, encoded) if "\\u" in encoded else encoded


_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|.)")


def _upper(match: re.Match[str]) -> str:
    return f"\\u{match[1].upper()}" if match[1] else match[0]


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return date.fromordinal(_EPOCH + number).isoformat()


def day(time: int) -> str:
    """ISO date (UTC) of a moment in µs."""
    return _day(time // DAY)


def _order(e: Json) -> tuple[int, int, int, int, str, str]:
    return e["r"], e["t"], e["s"], e["a"], e["i"], e["v"]


def _earliest(e: Json) -> tuple[int, int, int, int, str, str]:
    return -e["r"], e["t"], e["s"], e["a"], e["i"], e["v"]


def _stamp(e: Json) -> tuple[int, str, str]:
    return e["t"], e["i"], e["v"]


def _seen(e: Json) -> tuple[int, str, str]:
    return e["t"], e["i"], e["k"]


def _cut(entries: list[Json], keep: int) -> list[Json]:
    return entries[:keep] if keep else entries


# -- the ten kinds ----------------------------------------------------------------------------------------------------------


def _said(m: Mention) -> Json:
    e = m.event
    return {"r": m.rank, "t": e.event_time, "s": e.source_sequence, "a": e.arrival_time, "i": m.id, "v": m.value}


def _whole(m: Mention) -> Json:
    return {"v": m.raw} if type(m.raw) is int else None


def _amount(m: Mention) -> Json:
    raw = str(m.raw) if type(m.raw) is int else m.raw
    return {"u": m.unit, "n": _plain(Decimal(raw))} if isinstance(raw, str) and NUMBER.fullmatch(raw) else None


def _plain(number: Decimal) -> str:
    return format(_EXACT.add(number, Decimal(0)), "f")


def _mapped(m: Mention) -> Json:
    return {"k": m.key, **_said(m)}


def _total(entries: list[Json], keep: int) -> Json:
    totals: dict[str, Decimal] = {}
    for e in entries:
        totals[e["u"]] = _EXACT.add(totals.get(e["u"], Decimal(0)), Decimal(e["n"]))
    return [{"u": unit, "n": _plain(totals[unit])} for unit in sorted(totals)]


def _days(entries: list[Json], keep: int) -> Json:
    counts: dict[str, int] = {}
    for e in entries:
        counts[e["d"]] = counts.get(e["d"], 0) + e["n"]
    return _cut([{"d": d, "n": counts[d]} for d in sorted(counts, reverse=True)], keep)


def _recent(entries: list[Json], keep: int) -> Json:
    return _cut(sorted({_stamp(e): e for e in entries}.values(), key=_stamp, reverse=True), keep)


def _distinct(entries: list[Json], keep: int) -> Json:
    return _newest(entries, keep, _seen)


def _latest_by_key(entries: list[Json], keep: int) -> Json:
    # Cut in the order that chooses the winner of a key: any other order would make truncation depend on how events were split.
    return _newest(entries, keep, lambda e: (*_order(e), e["k"]))


def _newest(entries: list[Json], keep: int, order: Callable[[Json], tuple[Json, ...]]) -> list[Json]:
    newest: dict[str, Json] = {}
    for e in entries:
        known = newest.get(e["k"])
        if known is None or order(e) > order(known):
            newest[e["k"]] = e
    return _cut(sorted(newest.values(), key=order, reverse=True), keep)


KINDS: dict[str, Kind] = {
    "latest": Kind(False, _said, lambda entries, keep: max(entries, key=_order)),
    "first": Kind(False, _said, lambda entries, keep: min(entries, key=_earliest)),
    "min": Kind(False, _whole, lambda entries, keep: min(entries, key=lambda e: int(e["v"]))),
    "max": Kind(False, _whole, lambda entries, keep: max(entries, key=lambda e: int(e["v"]))),
    "sum": Kind(True, _amount, _total),
    "count": Kind(False, lambda m: {"n": 1}, lambda entries, keep: {"n": sum(e["n"] for e in entries)}),
    "days": Kind(True, lambda m: {"d": day(m.event.event_time), "n": 1}, _days),
    "recent": Kind(True, lambda m: {"t": m.event.event_time, "i": m.id, "v": m.value}, _recent),
    "set": Kind(True, lambda m: {"k": m.value, "t": m.event.event_time, "i": m.id}, _distinct),
    "map": Kind(True, _mapped, _latest_by_key),
}
"""`first` prefers the higher rank, then the earlier event; an empty set entry ("null") is not a value and is left out."""


# -- fold, merge, view ------------------------------------------------------------------------------------------------------

_ABSENT = object()
_Read = Callable[[Event, Json], Json]


class _Step(NamedTuple):
    slot: str
    kind: Kind
    keep: int
    ranks: Mapping[str, int]
    items: _Read | None
    value: _Read | None
    key: _Read | None
    unit: _Read | None
    requires: _Read | None
    skips_null: bool


def fold(table: AttributeTable, events: Iterable[Event]) -> State:
    """State of the entity after `events`, in whatever order they come; attributes nothing was said about are absent."""
    plan = _plan(table)
    entries: dict[str, list[Json]] = {}
    for event in events:
        for step in plan.get(event.type, ()):
            for mention in _mentions(step, event):
                entry = step.kind.entry(mention)
                if entry is not None:
                    entries.setdefault(step.slot, []).append(entry)
    state: State = {}
    for slot, attribute in _slots(table).items():
        if slot in entries:
            state[slot] = KINDS[attribute.fold].unite(entries[slot], attribute.keep)
    return state


def merge(table: AttributeTable, a: Mapping[str, Json], b: Mapping[str, Json]) -> State:
    """State after the events of both; what `table` no longer defines, or defines otherwise, is dropped."""
    return unite(table, (a, b))


def unite(table: AttributeTable, states: Iterable[Mapping[str, Json]], *, cut: bool = True) -> State:
    """State after the events of all `states`; without `cut`, what several hold is kept beyond the attributes' `keep`."""
    parts: dict[str, list[Json]] = {}
    for state in states:
        for slot, part in state.items():
            parts.setdefault(slot, []).append(part)
    united: State = {}
    for slot, attribute in _slots(table).items():
        found = parts.get(slot)
        if found is None:
            continue
        kind = KINDS[attribute.fold]
        entries = [entry for part in found for entry in part] if kind.many else found
        united[slot] = found[0] if len(found) == 1 else kind.unite(entries, attribute.keep if cut else 0)
    return united


def carry(table: AttributeTable, state: Mapping[str, Json]) -> State:
    """What of a state of any older table still holds under `table`."""
    return {slot: state[slot] for slot in _slots(table) if slot in state}


def view(table: AttributeTable, state: Mapping[str, Json]) -> dict[str, Json]:
    """Values by attribute name, still sealed, newest first.

    latest, first, min, max: the value · sum: {unit: number text} · count: a number · days: {day: count} · recent: [{"at": µs,
    "value": …}] · set: [value] · map: {key: value}, without tombstones. What nothing is known of is absent.
    """
    return {name: _show(attribute, state[attribute.slot]) for name, attribute in table.attributes.items() if attribute.slot in state}


def _show(attribute: Attribute, state: Json) -> Json:
    match attribute.fold:
        case "latest" | "first":
            return orjson.loads(state["v"])
        case "min" | "max":
            return state["v"]
        case "sum":
            return {e["u"]: e["n"] for e in state}
        case "count":
            return state["n"]
        case "days":
            return {e["d"]: e["n"] for e in state}
        case "recent":
            return [{"at": e["t"], "value": orjson.loads(e["v"])} for e in state]
        case "set":
            return [orjson.loads(e["k"]) for e in state]
        case _:
            return {e["k"]: orjson.loads(e["v"]) for e in state if e["v"] != "null"}


def brief(event: Event) -> dict[str, Json]:
    """The few clear facts of an event for a line of its timeline: short scalars, nothing sealed, at most eight."""
    facts = ((name, event.payload[name]) for name in BRIEF if event.payload.get(name) is not None)
    return dict([(name, value) for name, value in facts if _short(value)][:8])


BRIEF = (
    *("status", "custody", "action", "step", "kind", "tier", "miles", "balance", "airline", "number"),
    *("origin_date", "flight_date", "departure", "arrival", "origin", "destination", "station", "seat", "cabin", "class"),
    *(
        "gate",
        "departure_gate",
        "arrival_gate",
        "off_block_estimated",
        "off_block_actual",
        "on_block_estimated",
        "on_block_actual",
        "channel",
        "location",
        "departs",
    ),
)
"""Facts worth a line, by importance."""


def _short(value: Json) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and len(value) <= 40 and not value.startswith("sealed:"))


@lru_cache(maxsize=64)
def _slots(table: AttributeTable) -> dict[str, Attribute]:
    return {attribute.slot: attribute for attribute in table.attributes.values()}


@lru_cache(maxsize=64)
def _plan(table: AttributeTable) -> dict[str, tuple[_Step, ...]]:
    return {type_: tuple(_step(attribute, type_) for attribute in fed) for type_, fed in table.types.items()}


def _step(attribute: Attribute, type_: str) -> _Step:
    inside = attribute.each is not None
    if isinstance(attribute.value, tuple):
        value: _Read | None = _object([(member, _reader(path, inside)) for member, path in attribute.value])
    else:
        value = None if attribute.value is None else _reader(attribute.value, inside)
    return _Step(
        slot=attribute.slot,
        kind=KINDS[attribute.fold],
        keep=attribute.keep,
        ranks=dict(attribute.rank),
        items=None if attribute.each is None else _reader(attribute.each, False),
        value=value,
        key=None if attribute.key is None else _reader(attribute.key, inside),
        unit=None if attribute.unit is None else _reader(attribute.unit, inside),
        requires=_reader(required, False) if (required := dict(attribute.requires).get(type_)) else None,
        skips_null=attribute.fold == "set",
    )


def _mentions(step: _Step, event: Event) -> Iterable[Mention]:
    if step.requires is not None:
        required = step.requires(event, None)
        if required is _ABSENT or required is None or required is False:
            return ()
    rank = step.ranks.get(event.source, 0)
    if step.items is None:
        mention = _mention(step, event, rank, None, event.event_id)
        return () if mention is None else (mention,)
    items = step.items(event, None)
    if not isinstance(items, list):
        return ()
    mentions = (_mention(step, event, rank, item, f"{event.event_id}.{index}") for index, item in enumerate(items))
    return [mention for mention in mentions if mention is not None]


def _mention(step: _Step, event: Event, rank: int, item: Json, id_: str) -> Mention | None:
    raw = None if step.value is None else step.value(event, item)
    if raw is _ABSENT or (raw is None and step.skips_null):
        return None
    key = "" if step.key is None else step.key(event, item)
    if type(key) is int:
        key = str(key)
    if not isinstance(key, str):
        return None
    unit = "" if step.unit is None else step.unit(event, item)
    return Mention(rank, event, id_, "" if step.value is None else text(raw), raw, key, unit if isinstance(unit, str) else "")


def _reader(path: str, inside: bool) -> _Read:
    """Reads what `path` leads to: in the payload, or `inside` an item of `each`; _ABSENT where there is nothing."""
    if path in META:
        field = {"@type": "type", "@source": "source", "@time": "event_time"}[path]
        return lambda event, item: getattr(event, field)
    names = steps(path)
    if not names:
        return (lambda event, item: item) if inside else (lambda event, item: dict(event.payload))
    if len(names) == 1:
        name = names[0]
        if inside:
            return lambda event, item: item.get(name, _ABSENT) if isinstance(item, dict) else _ABSENT
        return lambda event, item: event.payload.get(name, _ABSENT)

    def walk(event: Event, item: Json) -> Json:
        value: Json = item if inside else event.payload
        for name in names:
            value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        return value

    return walk


def _object(members: list[tuple[str, _Read]]) -> _Read:
    def read(event: Event, item: Json) -> Json:
        found = {member: value for member, reader in members if (value := reader(event, item)) is not _ABSENT}
        return found or _ABSENT

    return read
