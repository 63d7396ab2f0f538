"""The comparison of the demo: what differs is found, counted and told without personal values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from paxtrail.demo.check import KEPT, Difference, Findings, everything, mask, name_of
from paxtrail.demo.served import Served


def test_equal_answers_match() -> None:
    findings = Findings()
    findings.compare("bags", "0016123456", {"custody": "loaded"}, {"custody": "loaded", "station": "EWR"})
    assert findings.matches
    assert findings.compared == {"bags": 1}


def test_what_was_not_compared_does_not_match() -> None:
    assert not Findings().matches
    findings = Findings({"bags": 0, "flights": 0})
    findings.compare("bags", "0016123456", {}, {})
    assert not findings.matches
    findings.compare("flights", "UA1/2013-02-08/EWR", {}, {})
    assert findings.matches


def test_a_wrong_member_is_named_with_both_sides() -> None:
    findings = Findings()
    findings.compare("flights", "UA1/2013-02-08/EWR", {"gate": "C1", "cancelled": True}, {"gate": "C2", "cancelled": True})
    assert not findings.matches
    assert findings.differences == [Difference("flights", "UA1/2013-02-08/EWR", "gate", "C1", "C2")]
    assert findings.differing == {"flights.gate": 1}


def test_missing_and_unexpected_answers_are_differences() -> None:
    findings = Findings()
    findings.compare("bags", "a", {"custody": "loaded"}, None)
    findings.nothing_else("bags", {"a"}, {"a", "b"})
    assert [(one.key, one.expected, one.found) for one in findings.differences] == [("a", "there", "missing"), ("b", "missing", "there")]


def test_names_are_masked_and_all_differences_counted() -> None:
    findings = Findings()
    for n in range(KEPT + 5):
        findings.compare("customers", str(n), {"surname": "SMITH"}, {"surname": "Pereira"})
    assert findings.differing == {"customers.surname": KEPT + 5}
    assert len(findings.differences) == KEPT
    assert findings.differences[0][3:] == ("S•••(5)", "P•••(7)")


def test_identifiers_are_shown_without_names_and_numbers() -> None:
    assert name_of("passenger:K7Q2ZP|2013-01-20|SMITH/JOHN") == "passenger:K7Q2ZP|•••"
    assert name_of("loyalty:UA|AB123456") == "loyalty:UA|•••"
    assert name_of("device:d-81f3") == "device:•••"
    assert mask(None) is None


class Store:
    """What `Served` answers, by hand: one flight, one bag, one customer of two tokens, one browser."""

    def __init__(self) -> None:
        attributes = {
            "tier": "GOLD",
            "miles": 500,
            "ssrs": {"PETC leg": {"code": "PETC", "status": "HK"}, "BIKE leg": {"code": "BIKE", "status": None}},
            "care_requests": {
                "sealed:health:t1:VGML leg": {"code": "sealed:health:t1:VGML", "status": "HK"},
                "sealed:health:t2:WCHR leg": {"code": "sealed:health:t2:WCHR", "status": None},
                "sealed:health:t1:WCHR leg": {"code": "sealed:health:t1:WCHR", "status": "HK"},
            },
            "searches": {"2013-02-08": 2},
            "contacts": [{"value": {"channel": "call"}}],
            "contacts_negative": {"2013-02-08": 1},
            "survey_scores": [{"value": {"score": 2}}],
            "display_name": {"surname": "sealed:name:t1:x"},
        }
        history = {"flights_flown": 1, "flights_cancelled": 0, "bags_checked": 1, "bags_mishandled": 0}
        self.flights: dict[str, Any] = {
            LEG: {"status": "arrived", "status_code": "OP", "departure_delay": 5, "arrival_delay": -2, "departure_gate": "C1"}
        }
        self.bags: dict[str, Any] = {"0016123456": {"custody": "delivered", "mishandled": False}}
        self.orders = {"o1"}
        self.journeys: dict[str, Any] = {"j1": {}}
        self.links = {"t1": "t1", "t2": "t1", "t3": "t3"}
        self.customers: dict[str, Any] = {
            "t1": {"linked": ["t1", "t2"], "attributes": attributes, "history": history, "outcomes": [[LEG, "flown"]]},
            "t3": {"linked": ["t3"], "attributes": {"searches": {"2013-02-08": 1}}, "history": {}, "outcomes": []},
        }
        self.surname = "Smith"
        self.line = {"received": 4, "accepted": 2, "duplicates": 1, "conflicts": 0, "refused": {"empty": 1}, "refused_records": 1}

    def ledger(self) -> dict[str, Any]:
        return {"flights": self.line}

    def tokens(self, names: set[str]) -> dict[str, str]:
        known = {"loyalty:UA|AB12": "t1", "passenger:K7Q2ZP|2013-01-20|SMITH/JOHN": "t2", "device:d-1": "t3"}
        return {name: token for name, token in known.items() if name in names}

    def opened(self, texts: Iterable[str]) -> dict[str, str]:
        return {text: self.surname if text.startswith("sealed:name:") else text.rpartition(":")[2] for text in texts}


LEG = "UA1545/2013-02-08/EWR"
EXPECTED = {
    "ledger": {"flights": {"received": 4, "accepted": 2, "duplicates": 1, "conflicts": 0, "refused": {"empty": 1}}},
    "flights": {
        LEG: {"status": "arrived", "status_code": "OP", "cancelled": False, "departure_delay": 5, "arrival_delay": -2, "gate": "C1"}
    },
    "bags": {"0016123456": {"custody": "delivered", "mishandled": False}},
    "customers": {
        "loyalty:UA|AB12": {
            "identifiers": ["loyalty:UA|AB12", "passenger:K7Q2ZP|2013-01-20|SMITH/JOHN"],
            "surname": "Smith",
            "surnames": ["SMITH", "Smith"],
            "tier": "GOLD",
            "miles": 500,
            "journeys": [[LEG, "flown"]],
            "flights_flown": 1,
            "flights_cancelled": 0,
            "bags_checked": 1,
            "bags_mishandled": 0,
            "ssrs": ["PETC", "VGML"],
            "searches": 2,
            "contacts": 1,
            "contacts_negative": 1,
            "surveys": 1,
        }
    },
    "devices": {"device:d-1": {"searches": 1}},
    "totals": {"orders": 1, "journeys": 1},
}


def differing(store: Store) -> dict[str, int]:
    return everything(EXPECTED, cast(Served, store)).differing


def test_a_platform_that_answers_as_expected_matches() -> None:
    assert differing(Store()) == {}


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda s: s.line.update(duplicates=0), "ledger.duplicates"),
        (lambda s: s.line.update(refused={"bad_xml": 1}), "ledger.refused"),
        (lambda s: s.flights[LEG].update(departure_gate="C2"), "flights.gate"),
        (lambda s: s.flights[LEG].update(status="cancelled"), "flights.cancelled"),
        (lambda s: s.flights.update(other=s.flights[LEG]), "flights"),
        (lambda s: s.bags["0016123456"].update(mishandled=True), "bags.mishandled"),
        (lambda s: s.bags.clear(), "bags"),
        (lambda s: s.orders.add("o2"), "totals.orders"),
        (lambda s: s.links.update(t2="t2"), "links.together"),
        (lambda s: s.customers["t1"]["linked"].append("t9"), "links.others"),
        (lambda s: s.customers.update(t9=s.customers["t3"]), "customers"),
        (lambda s: s.customers.pop("t1"), "customers"),
        (lambda s: setattr(s, "surname", "SMYTH"), "customers.surname"),
        (lambda s: s.customers["t1"]["attributes"].update(miles=501), "customers.miles"),
        (lambda s: s.customers["t1"]["attributes"]["ssrs"]["BIKE leg"].update(status="HK"), "customers.ssrs"),
        (lambda s: s.customers["t1"]["attributes"]["care_requests"]["sealed:health:t2:WCHR leg"].update(status="HK"), "customers.ssrs"),
        (lambda s: s.customers["t1"]["history"].update(bags_mishandled=1), "customers.bags_mishandled"),
        (lambda s: s.customers["t1"].update(outcomes=[[LEG, "booked"]]), "customers.journeys"),
        (lambda s: s.customers["t3"]["attributes"].clear(), "devices.searches"),
        (lambda s: s.customers["t1"]["attributes"]["contacts"].clear(), "customers.contacts"),
        (lambda s: s.customers["t1"]["attributes"]["contacts_negative"].clear(), "customers.contacts_negative"),
        (lambda s: s.customers["t1"]["attributes"]["survey_scores"].clear(), "customers.surveys"),
    ],
)
def test_each_planted_fault_is_found(plant: Callable[[Store], object], found: str) -> None:
    store = Store()
    plant(store)
    assert found in differing(store)
