"""Attribute tables: what is refused, in words that say what to do; and what a digest covers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fold_histories import DEFINITIONS, schemas, table

from paxtrail.core import attributes
from paxtrail.errors import ConfigurationError

TIER = {"from": ["alpha.said"], "value": "$.tier", "fold": "latest"}
SSRS = {"from": ["alpha.said"], "each": "$.ssrs", "key": "$.code", "value": "$.status", "fold": "map", "keep": 5}


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({**TIER, "fold": "newest"}, "none of latest"),
        ({**TIER, "kept": 3}, "unknown member 'kept'"),
        ({**TIER, "from": []}, "from must list event types"),
        ({**TIER, "from": ["alpha.said", "alpha.said"]}, "each once"),
        ({**TIER, "from": ["gamma.said"]}, "gamma.said is declared in no schema"),
        ({**TIER, "value": "$.teir"}, "alpha.said declares nothing at $.teir"),
        ({**TIER, "value": "tier"}, "is not a path"),
        ({**TIER, "value": {"a": "$.tier", "b": "$.teir"}}, "declares $.teir"),
        ({**TIER, "value": {}}, "members of value"),
        ({**TIER, "keep": 3}, "nothing else has it"),
        ({**TIER, "fold": "set"}, "need keep"),
        ({**TIER, "fold": "set", "keep": -1}, "not a whole number"),
        ({**TIER, "fold": "count"}, "count and days take no value"),
        ({"from": ["alpha.said"], "fold": "latest"}, "every other fold needs one"),
        ({**TIER, "fold": "min"}, "folds integer and time only"),
        ({**TIER, "fold": "sum"}, "folds integer and decimal only"),
        ({**TIER, "fold": "sum", "value": {"a": "$.miles"}}, "folds one number"),
        ({**TIER, "unit": "$.currency"}, "only a sum has a unit"),
        ({**TIER, "key": "$.tier"}, "a map needs a key"),
        ({**SSRS, "key": "$.kode"}, "at key $.kode"),
        ({**SSRS, "each": "$.tier"}, "declares no list at $.tier"),
        ({**SSRS, "each": None, "key": "$.name", "value": "$.tier"}, "a map under a sealed key needs a value of members"),
        ({**TIER, "rank": {"beta": 1}}, "no type of from comes from that source"),
        ({**TIER, "rank": {"alpha": "high"}}, "rank must be"),
        ({**TIER, "fold": "set", "keep": 1, "rank": {"alpha": 1}}, "rank their sources"),
        ({**TIER, "class": "name"}, "is not clear"),
        ({**TIER, "windows": [7]}, "only days are read by windows"),
        ({**TIER, "requires": {"beta.told": "$.tier"}}, "requires must be"),
        ({**TIER, "requires": {"alpha.said": "$.teir"}}, "which requires names"),
        ("latest", "is not a table"),
    ],
)
def test_a_wrong_definition_is_refused_by_entity_and_name(definition: Any, text: str) -> None:
    if isinstance(definition, dict):
        definition = {name: member for name, member in definition.items() if member is not None}
    with pytest.raises(ConfigurationError) as refused:
        attributes.table("profile", {"tier": definition}, schemas())
    assert str(refused.value).startswith("profile.tier: ")
    assert text in str(refused.value)


def test_a_table_without_attributes_and_a_bad_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no attribute is defined"):
        attributes.table("profile", {}, schemas())
    with pytest.raises(ConfigurationError, match="rename it"):
        attributes.table("profile", {"Tier": TIER}, schemas())


@pytest.mark.parametrize(
    ("change", "redefines"),
    [
        ({"about": "the tier"}, False),
        ({"class": "public"}, False),
        ({"rank": {"alpha": 1}}, True),
        ({"value": "$.name"}, True),
        ({"fold": "first"}, True),
        ({"requires": {"alpha.said": "$.flag"}}, True),
    ],
)
def test_a_digest_covers_what_folding_depends_on_and_nothing_else(change: dict[str, Any], redefines: bool) -> None:
    before, after = (attributes.table("profile", {"tier": d, "ssrs": SSRS}, schemas()) for d in (TIER, {**TIER, **change}))
    assert (before.digest != after.digest) is redefines
    assert (before.attributes["tier"].slot != after.attributes["tier"].slot) is redefines
    assert before.attributes["ssrs"].slot == after.attributes["ssrs"].slot


def test_a_table_knows_what_each_event_type_feeds() -> None:
    found = table()
    assert {a.name for a in found.types["beta.noted"]} == {name for name, d in DEFINITIONS.items() if "beta.noted" in d["from"]}


def test_clear_values_are_internal_unless_every_schema_or_the_table_says_public() -> None:
    assert table().attributes["tier"].class_ == "internal"
    assert attributes.table("profile", {"tier": {**TIER, "class": "public"}}, schemas()).attributes["tier"].class_ == "public"
