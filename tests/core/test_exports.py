"""Contracts of exports: what is wrong is named, what is not on a list does not leave, what is described is what was told."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from paxtrail.adapters import configuration
from paxtrail.core import exports
from paxtrail.core.anonymity import ANY, hierarchy
from paxtrail.errors import ChecksFailed, ConfigurationError
from paxtrail.settings import ROOT

FILE = ROOT / "conf" / "exports" / "frequent_travellers.toml"
ATTRIBUTES = frozenset(configuration.attributes(ROOT / "conf")["profile"].attributes)
AT = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z


def told() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def test_the_contract_that_is_shipped_keeps_the_thresholds_of_the_rules() -> None:
    found = configuration.export(ROOT / "conf", "frequent_travellers")
    assert found.contract.limits.model_dump() == {"k": 10, "l": 3, "t": 0.3, "suppression": 0.05}
    assert found.hierarchies.keys() == {"age", "gender", "residence", "route_region", "flights"}
    assert found.contract.purpose == "partner_sharing"
    assert {"display_name", "emails", "phones", "memberships", "document"} == set(found.contract.named("direct"))


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "one person": (lambda c: c["sign_off"].update(officer="partnerships"), "two persons"),
    "nobody signed": (lambda c: c["sign_off"].update(officer=""), "sign_off.officer"),
    "k of one": (lambda c: c["limits"].update(k=1), "limits.k"),
    "no such column": (lambda c: c["columns"].update(shoe={"role": "quasi", "hierarchy": "age"}), "columns.shoe"),
    "no such attribute": (lambda c: c["columns"].update(shoe={"role": "direct"}), "columns.shoe: no attribute"),
    "quasi without hierarchy": (lambda c: c["columns"]["age"].update(hierarchy=""), "columns.age"),
    "sensitive without values": (lambda c: c["columns"]["tier"].update(values=[]), "columns.tier"),
    "unknown key": (lambda c: c.update(extra=1), "extra"),
    "no quasi-identifier": (lambda c: c.update(columns={"tier": c["columns"]["tier"]}), "at least one"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_contract_is_refused_and_the_fault_named(case: str) -> None:
    change, word = WRONG[case]
    wrong = told()
    exports.contract(wrong, ATTRIBUTES)
    change(wrong)
    with pytest.raises(ConfigurationError, match=word):
        exports.contract(wrong, ATTRIBUTES)


def test_a_contract_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="frequent_travellers"):
        configuration.export(ROOT / "conf", "nobody")


def test_a_traveller_is_described_by_where_most_flights_went_and_the_age_of_the_day() -> None:
    known = {"birth_date": "sealed:birth_date:x:y", "gender": "F", "residence": "US", "tier": "GOLD"}
    values = {"sealed:birth_date:x:y": "1986-11-23"}
    assert exports.described(known, ["LAX", "ORD", "SFO", None], values.get, AT) == {
        "age": "39", "gender": "F", "residence": "US", "route_region": "America/Los_Angeles", "flights": "4", "tier": "GOLD",
    }  # fmt: skip
    assert exports.described({}, [None], values.get, AT) == {**dict.fromkeys(exports.VALUES, ANY), "flights": "1"}


def small(**limits: Any) -> tuple[exports.Contract, dict[str, Any]]:
    body = told()
    body["columns"] = {
        "gender": {"role": "quasi", "hierarchy": "gender"},
        "age": {"role": "quasi", "hierarchy": "age", "least": 1},
        "tier": {"role": "sensitive", "values": ["BASE", "GOLD"]},
    }
    body["limits"] |= {"k": 2, "l": 1} | limits
    ages = hierarchy("age", [(str(n), f"{n // 5 * 5}s", f"{n // 10 * 10}s", ANY) for n in range(40)])
    return exports.contract(body, ATTRIBUTES), {"gender": hierarchy("gender", [("F", ANY), ("M", ANY)]), "age": ages}


def test_a_release_is_sorted_cut_to_the_least_level_and_says_only_what_is_listed() -> None:
    of, hierarchies = small()
    told = [(("M", "31", "GOLD"), 2, 2), (("F", "20", "JOHN SMITH"), 3, 2), (("F", "35", "BASE"), 2, 2), (("F", "22", "BASE"), 9, 0)]
    found = exports.release(of, hierarchies, told)
    assert found.rows == [("F", "20s", ANY)] * 2 + [("F", "35s", "BASE")] * 2 + [("M", "30s", "GOLD")] * 2
    assert found.levels == {"gender": 0, "age": 1}
    assert sorted(set(found.population)) == [("F", "20s"), ("F", "35s"), ("M", "30s")]
    assert (len(found.population), found.suppressed) == (16, 0)


def test_without_anybody_or_any_way_to_keep_the_limits_nothing_is_released() -> None:
    of, hierarchies = small()
    with pytest.raises(ChecksFailed, match="nobody"):
        exports.release(of, hierarchies, [(("F", "22", "BASE"), 9, 0)])
    with pytest.raises(ChecksFailed, match="no generalisation"):
        exports.release(of, hierarchies, [(("F", "22", "BASE"), 1, 1)])
    with pytest.raises(ConfigurationError, match="least"):
        exports.from_level(hierarchies["gender"], 1)


AGES = hierarchy("age", [("21", "20-29", "*"), ("25", "20-29", "*"), ("34", "30-39", "*")])


def release_of(rows: dict[tuple[str, ...], int], level: int) -> exports.Told:
    return exports.Told(("age", "tier"), {"age": level}, rows)


@pytest.mark.parametrize(
    ("now", "level", "found"),
    [
        ({("20-29", "GOLD"): 12, ("30-39", "BASE"): 10}, 1, []),
        ({("20-29", "GOLD"): 13, ("30-39", "BASE"): 10}, 1, [1]),
        ({("20-29", "GOLD"): 11, ("20-29", "BASE"): 1, ("30-39", "BASE"): 10}, 1, [2]),
        ({("20-29", "GOLD"): 12}, 1, [10]),
        ({("*", "GOLD"): 12, ("*", "BASE"): 9}, 2, [1]),
        ({("21", "GOLD"): 5, ("25", "GOLD"): 6, ("34", "BASE"): 10}, 0, [1]),
    ],
    ids=["as before", "one came", "one has another tier", "a class left", "coarser than before", "finer than before"],
)
def test_two_releases_are_compared_where_both_can_be_read(now: dict[tuple[str, ...], int], level: int, found: list[int]) -> None:
    before = release_of({("20-29", "GOLD"): 12, ("30-39", "BASE"): 10}, 1)
    assert exports.differences(release_of(now, level), before, {"age": AGES}) == found


def test_two_releases_of_other_columns_are_compared_on_those_of_both() -> None:
    before = exports.Told(("age",), {"age": 1}, {("20-29",): 12, ("30-39",): 10})
    assert exports.differences(release_of({("20-29", "GOLD"): 12, ("30-39", "BASE"): 9}, 1), before, {"age": AGES}) == [1]
