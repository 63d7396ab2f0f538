"""The comparison of the demo: what differs is found, counted and told without personal values."""

from __future__ import annotations

from paxtrail.demo.check import KEPT, Difference, Findings, mask, name_of


def test_equal_answers_match() -> None:
    findings = Findings()
    findings.compare("bags", "0016123456", {"custody": "loaded"}, {"custody": "loaded", "station": "EWR"})
    assert findings.matches
    assert findings.compared == {"bags": 1}


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
