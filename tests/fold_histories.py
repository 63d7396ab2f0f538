"""Generated histories: a table that uses all ten kinds in every form, and strategies for events that feed it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from paxtrail.core import attributes
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.folds import DAY, Event
from paxtrail.core.schemas import Schemas

FIELDS: dict[str, Any] = {
    "name": {"type": "string", "class": "name", "about": "n"},
    "tier": {"type": "string", "about": "t"},
    "flag": {"type": "boolean", "about": "f"},
    "amount": {"type": "decimal", "about": "a"},
    "currency": {"type": "string", "about": "c"},
    "miles": {"type": "integer", "about": "m"},
    "at": {"type": "time", "about": "t"},
    "words": {"type": "strings", "about": "w"},
    "price": {
        "type": "object",
        "about": "p",
        "fields": {"amount": {"type": "decimal", "about": "a"}, "currency": {"type": "string", "about": "c"}},
    },
    "ssrs": {
        "type": "list",
        "about": "s",
        "items": {
            "code": {"type": "string", "about": "c"},
            "status": {"type": "string", "about": "s"},
            "segment": {"type": "integer", "about": "s"},
        },
    },
}
TYPES = {"alpha.said": "alpha", "beta.told": "beta", "beta.noted": "beta"}
BOTH = ["alpha.said", "beta.told"]

DEFINITIONS: dict[str, Any] = {
    "tier": {"from": BOTH, "value": "$.tier", "fold": "latest", "rank": {"beta": 2}},
    "whole_name": {"from": BOTH, "value": {"name": "$.name", "flag": "$.flag", "words": "$.words"}, "fold": "latest"},
    "price": {"from": ["alpha.said"], "value": "$.price", "fold": "latest"},
    "first_tier": {"from": BOTH, "value": "$.tier", "fold": "first", "rank": {"alpha": 1}},
    "least": {"from": BOTH, "value": "$.miles", "fold": "min"},
    "most": {"from": BOTH, "value": "$.at", "fold": "max"},
    "first_seen": {"from": [*BOTH, "beta.noted"], "value": "@time", "fold": "min"},
    "miles": {"from": BOTH, "value": "$.miles", "fold": "sum"},
    "spent": {"from": BOTH, "value": "$.price.amount", "unit": "$.price.currency", "fold": "sum"},
    "events": {"from": [*BOTH, "beta.noted"], "fold": "count"},
    "requests": {"from": BOTH, "each": "$.ssrs", "fold": "count"},
    "days": {"from": BOTH, "fold": "days", "keep": 3},
    "last": {"from": [*BOTH, "beta.noted"], "value": {"what": "@type", "tier": "$.tier"}, "fold": "recent", "keep": 3},
    "last_words": {"from": BOTH, "each": "$.words", "value": "$", "fold": "recent", "keep": 2},
    "tiers": {"from": BOTH, "value": "$.tier", "fold": "set", "keep": 2},
    "flagged": {
        "from": [*BOTH, "beta.noted"],
        "value": "$.tier",
        "fold": "set",
        "keep": 3,
        "requires": {"alpha.said": "$.flag", "beta.told": "$.price.currency"},
    },
    "words": {"from": BOTH, "each": "$.words", "value": "$", "fold": "set", "keep": 3},
    "by_name": {"from": BOTH, "key": "$.name", "value": {"tier": "$.tier"}, "fold": "map", "keep": 2},
    "ssrs": {"from": BOTH, "each": "$.ssrs", "key": "$.code", "value": "$.status", "fold": "map", "keep": 2, "rank": {"beta": 1}},
    "segments": {
        "from": ["alpha.said"],
        "each": "$.ssrs",
        "key": "$.segment",
        "value": {"code": "$.code", "status": "$.status", "by": "@source"},
        "fold": "map",
        "keep": 9,
    },
    "milestones": {"from": [*BOTH, "beta.noted"], "key": "@type", "value": "@time", "fold": "map", "keep": 9},
}


def schemas() -> Schemas:
    """Schemas of two invented sources whose events share one set of fields."""
    events: dict[str, dict[str, Any]] = {}
    for type_, source in TYPES.items():
        events.setdefault(source, {})[type_] = {"about": "said", "fields": FIELDS}
    return Schemas.from_tables({source: {"version": 1, "events": declared} for source, declared in events.items()})


def table(definitions: dict[str, Any] | None = None) -> AttributeTable:
    """A fresh table (never shared, so that a planted mutant cannot leak through a cache)."""
    return attributes.table("profile", DEFINITIONS if definitions is None else definitions, schemas())


_texts = st.sampled_from(
    ["", "GOLD", "a b", 'q"uo\\te', "\u00e9\u4e2d\U0001f6eb", "line\nbreak\ttab", "\x1b\x0b\x7f", "\\u001b", "sealed:name:0f:x-_"]
)
_codes = st.sampled_from(["VGML", "WCHR", "BIKE", "0"])
_absent = st.just("absent")


def _facts() -> st.SearchStrategy[dict[str, Any]]:
    price = st.fixed_dictionaries(
        {},
        optional={
            "amount": st.sampled_from(["12.30", "0", "-0.05", "7", "0.0000001", "1e5", "-0.0"]),
            "currency": st.sampled_from(["EUR", "USD"]),
        },
    )
    ssr = st.fixed_dictionaries(
        {}, optional={"code": _codes | st.none(), "status": st.sampled_from(["HK", "HX"]) | st.none(), "segment": st.integers(1, 3)}
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "name": _texts | st.none(),
            "tier": _texts | st.none(),
            "flag": st.booleans(),
            "miles": st.integers(-(10**12), 10**12) | st.none(),
            "at": st.integers(0, 3 * 10**15),
            "words": st.lists(_texts, max_size=3),
            "price": price | st.none(),
            "ssrs": st.lists(ssr, max_size=3),
        },
    )


def histories(max_size: int = 8) -> st.SearchStrategy[list[Event]]:
    """Events of one entity, ids unique, many ties in everything else."""

    def build(rows: list[tuple[str, int, int, int, dict[str, Any]]]) -> list[Event]:
        return [
            Event(f"{index:036x}", TYPES[type_], type_, when * DAY // 2, sequence, arrival, facts)
            for index, (type_, when, sequence, arrival, facts) in enumerate(rows)
        ]

    row = st.tuples(st.sampled_from(sorted(TYPES)), st.integers(-1, 9), st.integers(0, 2), st.integers(0, 2), _facts())
    return st.lists(row, max_size=max_size).map(build)
