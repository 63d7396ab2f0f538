"""Folds: the algebra of all ten kinds, by generated histories, and planted mutants that must break it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.fold_histories import DEFINITIONS, histories, table

from paxtrail.core import folds
from paxtrail.core.attributes import KINDS, AttributeTable
from paxtrail.core.folds import Event, Kind, brief, carry, fold, merge, view

TABLE = table()
MINUTE = 60_000_000


def check(table: AttributeTable, events: list[Event], parts: list[int], order: list[int]) -> None:
    """Raises unless fold and merge obey their laws on this history, split into three parts and shuffled."""
    whole = fold(table, events)
    assert whole == fold(table, [events[i] for i in order]), "the order of events changes the state"
    a, b, c = (fold(table, [e for e, part in zip(events, parts, strict=True) if part == p]) for p in range(3))
    ab, bc = merge(table, a, b), merge(table, b, c)
    assert ab == merge(table, b, a), "merge is not commutative"
    assert merge(table, ab, c) == merge(table, a, bc), "merge is not associative"
    assert merge(table, ab, c) == whole, "merged parts differ from the fold in one go"
    assert merge(table, whole, {}) == whole, "the empty state changes something"
    for attribute in table.attributes.values():
        if attribute.keep and attribute.slot in whole:
            assert len(whole[attribute.slot]) <= attribute.keep, "more is kept than allowed"


@st.composite
def cases(draw: Callable[..., Any]) -> tuple[list[Event], list[int], list[int]]:
    events = draw(histories())
    parts = draw(st.lists(st.integers(0, 2), min_size=len(events), max_size=len(events)))
    return events, parts, draw(st.permutations(range(len(events))))


@settings(max_examples=300, deadline=None)
@given(cases())
def test_every_order_and_every_split_of_a_history_gives_the_same_state(case: tuple[list[Event], list[int], list[int]]) -> None:
    check(TABLE, *case)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_state_survives_being_stored_as_json_text(case: tuple[list[Event], list[int], list[int]]) -> None:
    state = fold(TABLE, case[0])
    assert orjson.loads(orjson.dumps(state)) == state
    assert view(TABLE, orjson.loads(orjson.dumps(state))) == view(TABLE, state)


def test_the_table_of_the_generated_histories_uses_all_ten_kinds() -> None:
    assert {definition["fold"] for definition in DEFINITIONS.values()} == set(KINDS) == set(folds.KINDS)


def _by_time(entries: list[Any], keep: int) -> list[Any]:
    return sorted(entries, key=lambda e: (e["t"], e["i"]), reverse=True)[:keep]


# One mutant of each kind: a fault that somebody could make, which the laws must find.
_K = dict(folds.KINDS)
MUTANTS: dict[str, Kind] = {
    "latest": _K["latest"]._replace(unite=lambda entries, keep: max(entries, key=lambda e: e["t"])),
    "first": _K["first"]._replace(unite=lambda entries, keep: min(entries, key=lambda e: (-e["r"], e["t"]))),
    "min": _K["min"]._replace(unite=lambda entries, keep: entries[0]),
    "max": _K["max"]._replace(unite=lambda entries, keep: entries[-1]),
    "sum": _K["sum"]._replace(unite=lambda entries, keep: sorted({e["u"]: e for e in entries}.values(), key=lambda e: e["u"])),
    "count": _K["count"]._replace(unite=lambda entries, keep: {"n": len(entries)}),
    "days": _K["days"]._replace(unite=lambda entries, keep: sorted(_K["days"].unite(entries, 0), key=lambda e: (-e["n"], e["d"]))[:keep]),
    "recent": _K["recent"]._replace(unite=lambda entries, keep: sorted(entries, key=lambda e: -e["t"])[:keep]),
    "set": _K["set"]._replace(
        unite=lambda entries, keep: sorted({e["k"]: e for e in entries}.values(), key=lambda e: (e["t"], e["i"]), reverse=True)[:keep]
    ),
    "map": _K["map"]._replace(unite=lambda entries, keep: _by_time(list({e["k"]: e for e in entries}.values()), keep)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_mutant_of_each_kind_breaks_the_laws(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(folds.KINDS, kind, MUTANTS[kind])
    only = table({name: definition for name, definition in DEFINITIONS.items() if definition["fold"] == kind})

    @settings(
        max_examples=2000, deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(cases())
    def laws(case: tuple[list[Event], list[int], list[int]]) -> None:
        check(only, *case)

    with pytest.raises(AssertionError):
        laws()


def test_a_map_cut_by_time_while_rank_chooses_breaks_the_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("alpha.said", 9, "A"), ("alpha.said", 8, "B"), ("alpha.said", 7, "C"), ("beta.told", 1, "A"), ("beta.told", 2, "B")]
    history = [event(n, type_=type_, time=time, ssrs=[{"code": code, "status": "HK"}]) for n, (type_, time, code) in enumerate(said)]
    split, order = [0, 0, 0, 1, 1], [4, 3, 2, 1, 0]
    check(table(), history, split, order)
    monkeypatch.setitem(folds.KINDS, "map", _K["map"]._replace(unite=lambda entries, keep: _by_time(_K["map"].unite(entries, 0), keep)))
    with pytest.raises(AssertionError):
        check(table(), history, split, order)


def event(number: int, *, type_: str = "alpha.said", time: int = 0, sequence: int = 0, arrival: int = 0, **facts: Any) -> Event:
    return Event(f"e{number}", type_.split(".")[0], type_, time, sequence, arrival, facts)


@pytest.mark.parametrize(
    ("name", "events", "expected"),
    [
        ("tier", [event(1, time=5, tier="A"), event(2, time=4, tier="B")], "A"),
        ("tier", [event(1, time=5, tier="A"), event(2, type_="beta.told", time=4, tier="B")], "B"),
        ("tier", [event(1, time=5, sequence=2, tier="A"), event(2, time=5, sequence=1, tier="B")], "A"),
        ("tier", [event(1, time=5, tier="A"), event(2, time=6, tier=None)], None),
        ("tier", [event(1, time=5, tier="A"), event(2, time=6)], "A"),
        ("first_tier", [event(1, time=5, tier="A"), event(2, type_="beta.told", time=4, tier="B")], "A"),
        ("least", [event(1, miles=7), event(2, miles=-3)], -3),
        ("most", [event(1, at=7), event(2, at=3)], 7),
        ("miles", [event(1, miles=7), event(2, miles=-3)], {"": "4"}),
        (
            "spent",
            [event(n, price={"amount": a, "currency": c}) for n, (a, c) in enumerate([("0.1", "EUR"), ("0.20", "EUR"), ("5", "USD")])],
            {"EUR": "0.30", "USD": "5"},
        ),
        ("events", [event(1), event(2, type_="beta.noted")], 2),
        ("requests", [event(1, ssrs=[{"code": "A"}, {}]), event(2)], 2),
        ("days", [event(n, time=n * folds.DAY) for n in (1, 1, 2, 3, 4)], {"1970-01-05": 1, "1970-01-04": 1, "1970-01-03": 1}),
        (
            "last_words",
            [event(1, time=5, words=["a", "b"]), event(2, time=4, words=["c"])],
            [{"at": 5, "value": "b"}, {"at": 5, "value": "a"}],
        ),
        ("tiers", [event(n, time=t, tier=v) for n, (t, v) in enumerate([(1, "A"), (2, "B"), (3, "C"), (4, "A")])], ["A", "C"]),
        (
            "ssrs",
            [
                event(1, time=1, ssrs=[{"code": "A", "status": "HK"}, {"code": "B", "status": "HK"}]),
                event(2, time=2, ssrs=[{"code": "A", "status": None}]),
            ],
            {"B": "HK"},
        ),
        ("segments", [event(1, ssrs=[{"segment": 1, "code": "A"}])], {"1": {"by": "alpha", "code": "A"}}),
        ("milestones", [event(1, time=5), event(2, time=9)], {"alpha.said": 9}),
    ],
)
def test_a_history_gives_this_value(name: str, events: list[Event], expected: Any) -> None:
    got = view(TABLE, fold(TABLE, events))[name]
    assert got == expected
    assert json.dumps(got) == json.dumps(expected), "same members, another order"


@pytest.mark.parametrize(("flag", "counts"), [(True, True), (False, False), (None, False)])
def test_an_event_counts_only_if_what_its_type_requires_is_there_and_not_false(flag: bool | None, counts: bool) -> None:
    assert ("flagged" in view(TABLE, fold(TABLE, [event(1, tier="A", flag=flag)]))) is counts
    assert "flagged" not in view(TABLE, fold(TABLE, [event(1, tier="A")]))
    assert "flagged" in view(TABLE, fold(TABLE, [event(1, type_="beta.noted", tier="A")]))


def test_nothing_said_leaves_nothing_in_the_state() -> None:
    assert set(view(TABLE, fold(TABLE, [event(1)]))) == {"events", "days", "last", "milestones", "first_seen"}
    assert fold(TABLE, []) == {}


def test_the_canonical_state_is_the_documented_one() -> None:
    state = fold(TABLE, [event(1, time=5, sequence=2, arrival=7, tier="A", ssrs=[{"code": "X", "status": "HK"}])])
    slots = {name: state[attribute.slot] for name, attribute in TABLE.attributes.items() if attribute.slot in state}
    said = {"r": 0, "t": 5, "s": 2, "a": 7, "i": "e1", "v": '"A"'}
    assert slots["tier"] == said
    assert slots["first_tier"] == {**said, "r": 1}
    assert slots["tiers"] == [{"k": '"A"', "t": 5, "i": "e1"}]
    assert slots["ssrs"] == [{"k": "X", "r": 0, "t": 5, "s": 2, "a": 7, "i": "e1.0", "v": '"HK"'}]
    assert slots["days"] == [{"d": "1970-01-01", "n": 1}]
    assert slots["events"] == {"n": 1}


def test_a_redefined_attribute_is_dropped_and_never_mixed() -> None:
    redefined = table({**DEFINITIONS, "tiers": {**DEFINITIONS["tiers"], "keep": 9}})
    old, new = fold(TABLE, [event(1, tier="A", miles=3)]), fold(redefined, [event(2, tier="B", miles=4)])
    assert redefined.digest != TABLE.digest
    merged = view(redefined, merge(redefined, old, new))
    assert merged["tiers"] == ["B"]
    assert merged["miles"] == {"": "7"}
    assert "tiers" not in view(redefined, carry(redefined, old))
    assert view(redefined, carry(redefined, old))["miles"] == {"": "3"}


def test_a_brief_shows_no_sealed_and_no_long_value() -> None:
    facts: dict[str, Any] = {"status": "sealed:name:00:xx", "seat": "12A", "location": "x" * 41, "surname": "ROE", "on_block_actual": 5}
    assert brief(event(1, **facts)) == {"seat": "12A", "on_block_actual": 5}
