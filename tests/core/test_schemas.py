"""Event schemas: what a table may declare, and what facts may say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.samples import schemas

from paxtrail.core.records import Draft, Entity, Identifier, Json
from paxtrail.core.schemas import Schemas, check
from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError, Refusal

FIELDS: dict[str, Any] = {
    "tier": {"type": "string"},
    "miles": {"type": "integer"},
    "active": {"type": "boolean"},
    "fare": {"type": "decimal"},
    "at": {"type": "time"},
    "day": {"type": "date"},
    "codes": {"type": "strings"},
    "email": {"type": "string", "class": "email", "about": "address"},
    "bags": {
        "type": "list",
        "items": {"tag": {"type": "string"}, "kilos": {"type": "integer"}, "name": {"type": "string", "class": "name"}},
    },
    "price": {"type": "object", "fields": {"amount": {"type": "decimal"}}},
}


def table(**changes: Any) -> dict[str, Any]:
    return {"version": 3, "events": {"loyalty.account_updated": {"about": "x", "fields": FIELDS}}} | changes


SCHEMAS = Schemas.from_tables({"loyalty": table()})
DRAFT = Draft("loyalty.account_updated", 1_360_000_000_000_000, {}, "{}", Identifier("loyalty", "UA|1"))


def code(draft: Draft, source: str = "loyalty") -> str | None:
    try:
        check(draft, source, SCHEMAS)
    except Refusal as refusal:
        return refusal.code
    return None


def fact(name: str, value: Json) -> str | None:
    return code(replace(DRAFT, facts={name: value}))


def test_a_schema_tells_fields_classes_source_and_version() -> None:
    fields = SCHEMAS.event("loyalty.account_updated").fields
    assert (fields["email"].class_, fields["email"].personal, fields["tier"].class_, fields["tier"].personal) == (
        "email",
        True,
        "internal",
        False,
    )
    assert fields["bags"].items == fields["bags"].fields
    assert fields["bags"].items["name"].personal
    assert (fields["price"].items, fields["price"].fields["amount"].type) == ({}, "decimal")
    assert (SCHEMAS.source_of("loyalty.account_updated"), SCHEMAS.version("loyalty"), SCHEMAS.version("other")) == ("loyalty", 3, 0)


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        SCHEMAS.event("nothing.happened")


def test_the_schemas_of_the_project_cover_every_source() -> None:
    assert sorted(schemas().sources) == sorted(SOURCES)
    assert {schemas().source_of(type_) for type_ in schemas().types} == set(SOURCES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tier", "GOLD"),
        ("tier", ""),
        ("tier", None),
        ("miles", 2**63 - 1),
        ("miles", -(2**63)),
        ("active", False),
        ("fare", "12.30"),
        ("fare", "-0.5"),
        ("at", 0),
        ("day", "2012-02-29"),
        ("codes", []),
        ("codes", ["a", "b"]),
        ("email", "a@b.com"),
        ("bags", [{"tag": "1", "kilos": 2}]),
        ("bags", [{}]),
        ("bags", [{"tag": None}]),
        ("price", {"amount": "1"}),
        ("price", {}),
        ("email", "sealed:x"),
    ],
)
def test_declared_facts_of_their_type_are_accepted(name: str, value: Json) -> None:
    assert fact(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("colour", "red", "undeclared_fact"),
        ("colour", None, "undeclared_fact"),
        ("tier", 1, "wrong_type"),
        ("tier", ["GOLD"], "wrong_type"),
        ("miles", "1", "wrong_type"),
        ("miles", 1.0, "wrong_type"),
        ("miles", True, "wrong_type"),
        ("miles", 2**63, "integer_range"),
        ("miles", -(2**63) - 1, "integer_range"),
        ("active", 1, "wrong_type"),
        ("fare", 12.3, "wrong_type"),
        ("fare", "12,30", "wrong_type"),
        ("fare", "1e3", "wrong_type"),
        ("fare", "NaN", "wrong_type"),
        ("fare", "007", "wrong_type"),
        ("fare", "٣", "wrong_type"),
        ("at", "2013-02-08T00:00:00Z", "wrong_type"),
        ("at", -1, "time_range"),
        ("at", 4_133_980_800_000_000, "time_range"),
        ("at", 10**30, "time_range"),
        ("day", "2013-02-30", "wrong_type"),
        ("day", "20130208", "wrong_type"),
        ("codes", "a", "wrong_type"),
        ("codes", [1], "wrong_type"),
        ("codes", [None], "wrong_type"),
        ("bags", {"tag": "1"}, "wrong_type"),
        ("bags", ["1"], "wrong_type"),
        ("bags", [None], "wrong_type"),
        ("bags", [{"tag": 1}], "wrong_type"),
        ("bags", [{"colour": "red"}], "undeclared_fact"),
        ("price", "1", "wrong_type"),
        ("price", {"amount": 1}, "wrong_type"),
        ("price", {"currency": "USD"}, "undeclared_fact"),
        ("tier", "sealed:email:x:y", "reserved_marker"),
        ("codes", ["sealed:"], "reserved_marker"),
        ("bags", [{"tag": "sealed:"}], "reserved_marker"),
        ("tier", "GO\0LD", "nul_character"),
        ("email", "a\0@b.com", "nul_character"),
        ("tier", "\ud800", "lone_surrogate"),
        ("email", "\udfff", "lone_surrogate"),
        ("codes", ["\ud83d"], "lone_surrogate"),
    ],
)
def test_other_facts_are_refused(name: str, value: Json, expected: str) -> None:
    assert fact(name, value) == expected


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (replace(DRAFT, type="loyalty.account_deleted"), "undeclared_type"),
        (replace(DRAFT, event_time=-1), "time_range"),
        (replace(DRAFT, event_time=4_133_980_800_000_000), "time_range"),
        (replace(DRAFT, source_sequence=2**63), "integer_range"),
        (replace(DRAFT, native="\ud800"), "lone_surrogate"),
        (replace(DRAFT, native="\\u0000 escaped and \0 bare: the native part is bytes"), None),
        (replace(DRAFT, owner=Identifier("loyalty", "\ud800")), "lone_surrogate"),
        (replace(DRAFT, subject=Identifier("loyalty", "U\0")), "nul_character"),
        (replace(DRAFT, identifiers=(Identifier("email", "\0"),)), "nul_character"),
        (replace(DRAFT, entities=(Entity("flight", "\0"),)), "nul_character"),
        (replace(DRAFT, controller="\0"), "nul_character"),
        (DRAFT, None),
    ],
)
def test_a_draft_is_checked_beside_its_facts(draft: Draft, expected: str | None) -> None:
    assert code(draft) == expected


def test_a_source_may_not_speak_for_another() -> None:
    assert code(DRAFT, "booking") == "undeclared_type"


def test_reasons_name_fields_and_never_values() -> None:
    for name, value in (("miles", "SECRET"), ("tier", "SECRET\0"), ("fare", "SECRET"), ("tier", "sealed:SECRET")):
        with pytest.raises(Refusal) as caught:
            check(replace(DRAFT, facts={name: value}), "loyalty", SCHEMAS)
        assert "SECRET" not in str(caught.value)
        assert name in caught.value.at


def fields(**more: Any) -> dict[str, Any]:
    return {"version": 1, "events": {"a.b": {"fields": more}}}


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"events": {}}, "version"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"version": 1, "colour": 1}, "colour"),
        ({"version": 1, "events": {"NoDot": {}}}, "NoDot"),
        ({"version": 1, "events": {"a.b": {"colour": 1}}}, "colour"),
        ({"version": 1, "events": {"a.b": {"about": 1}}}, "about"),
        (fields(x={"type": "float"}), "a.b.fields.x"),
        (fields(x={}), "a.b.fields.x"),
        (fields(x={"type": "string", "class": "secret"}), "a.b.fields.x"),
        (fields(x={"type": "string", "class": "record"}), "a.b.fields.x"),
        (fields(x={"type": "string", "colour": 1}), "colour"),
        (fields(X={"type": "string"}), "a.b.fields.X"),
        (fields(x={"type": "list"}), "items"),
        (fields(x={"type": "object"}), "fields"),
        (fields(x={"type": "string", "items": {}}), "items"),
        (fields(x={"type": "list", "items": {"y": {"type": "list", "items": {"z": {"type": "string"}}}}}), "flat"),
        (fields(x="string"), "fields"),
    ],
)
def test_a_wrong_table_is_refused_naming_source_and_key(bad: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^loyalty: ") as caught:
        Schemas.from_tables({"loyalty": bad})
    assert named in str(caught.value)


def test_two_sources_may_not_declare_one_type() -> None:
    with pytest.raises(ConfigurationError, match="loyalty declares this type too"):
        Schemas.from_tables({"loyalty": table(), "booking": table()})
