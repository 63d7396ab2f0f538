"""The answers of the platform against the answer known beforehand: every record, flight, bag and customer; each difference by name.

`everything` compares what the serving store holds, rendered by the same views as the API renders; `a_sample` asks the running API over
HTTP for some of each kind. Personal values are masked in what is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from paxtrail.core.records import Json
from paxtrail.core.ssr import care_kind
from paxtrail.demo.desk import Desk
from paxtrail.demo.served import Document, Served

KEPT = 20
"""Differences kept by kind; all are counted."""
_PERSONAL = frozenset({"surname"})
_HISTORY = ("flights_flown", "flights_cancelled", "bags_checked", "bags_mishandled")


class Difference(NamedTuple):
    """One disagreement: `kind` and `member` say what, `key` of which."""

    kind: str
    key: str
    member: str
    expected: Json
    found: Json


@dataclass(slots=True)
class Findings:
    """What was compared and what differed. A kind that must be among what is compared stands in `compared` with 0 from the beginning."""

    compared: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    @property
    def matches(self) -> bool:
        """Whether something was compared, of every kind that must be, and nothing differed."""
        return bool(self.compared) and all(self.compared.values()) and not self.differing

    def compare(self, kind: str, key: str, expected: Mapping[str, Json], found: Mapping[str, Json] | None) -> None:
        """Notes where `found` differs from `expected`, member by member; None: it is not there at all."""
        self.compared[kind] = self.compared.get(kind, 0) + 1
        if found is None:
            self._differ(Difference(kind, key, "", "there", "missing"))
            return
        for member, value in expected.items():
            if found.get(member) != value:
                sides = (mask(value), mask(found.get(member))) if member in _PERSONAL else (value, found.get(member))
                self._differ(Difference(kind, key, member, *sides))

    def nothing_else(self, kind: str, expected: set[str], found: set[str]) -> None:
        """Notes what is there and should not be."""
        for key in sorted(found - expected):
            self._differ(Difference(kind, key, "", "missing", "there"))

    def _differ(self, difference: Difference) -> None:
        name = f"{difference.kind}.{difference.member}" if difference.member else difference.kind
        self.differing[name] = self.differing.get(name, 0) + 1
        if self.differing[name] <= KEPT:
            self.differences.append(difference)


def mask(value: Json) -> Json:
    """A personal text as its first letter and its length."""
    return f"{value[:1]}•••({len(value)})" if isinstance(value, str) and value else value


def name_of(identifier: str) -> str:
    """An identifier as it may be shown: namespace, first part, no name and no number."""
    namespace, _, value = identifier.partition(":")
    first, several, _ = value.partition("|")
    return f"{namespace}:{first}|•••" if several else f"{namespace}:•••"


def everything(expected: Mapping[str, Any], served: Served) -> Findings:
    """Every ledger line, flight, bag, order, journey, customer and browser."""
    findings = Findings()
    ledger = served.ledger()
    for source, line in expected["ledger"].items():
        if line["received"]:
            refused = sum(line["refused"].values())
            findings.compare("ledger", source, {**line, "refused_records": refused}, ledger.get(source))
    for kind, document, shown in (("flights", served.flights, flight), ("bags", served.bags, bag)):
        for key, wanted in expected[kind].items():
            findings.compare(kind, key, wanted, shown(document[key]) if key in document else None)
        findings.nothing_else(kind, set(expected[kind]), set(document))
    totals = {"orders": len(served.orders), "journeys": len(served.journeys)}
    findings.compare("totals", "", {name: expected["totals"][name] for name in totals}, totals)
    _customers(findings, expected, served)
    return findings


def _customers(findings: Findings, expected: Mapping[str, Any], served: Served) -> None:
    people: dict[str, Mapping[str, Any]] = {**expected["customers"], **expected["devices"]}
    names = {name for key, one in people.items() for name in one.get("identifiers", (key,))}
    tokens = served.tokens(names)
    ids: dict[str, str] = {}
    for key in people:
        token = tokens.get(key)
        ids[key] = served.links.get(token, "") if token else ""
    surnames, care = _surnames(served, ids.values()), _care(served, ids.values())
    for key, customer in expected["customers"].items():
        found, shown = served.customers.get(ids[key]), name_of(key)
        if found is not None:
            linked = {served.links.get(tokens.get(name, "")) for name in customer["identifiers"]} == {ids[key]}
            others = len(set(found["linked"]) - {tokens.get(name) for name in customer["identifiers"]})
            shown = f"{ids[key]} ({shown})"
            findings.compare("links", shown, {"together": True, "others": 0}, {"together": linked, "others": others})
        surname = surnames.get(ids[key])
        if surname in customer["surnames"] and not customer["tier"]:
            surname = customer["surname"]  # of several bookings without an account, any spelling is right
        facts = None if found is None else profile(found)
        if facts is not None:
            facts |= {"surname": surname, "ssrs": sorted({*facts["ssrs"], *care[ids[key]]})}
        findings.compare("customers", shown, wanted_customer(customer), facts)
    for key, device in expected["devices"].items():
        found = served.customers.get(ids[key])
        findings.compare("devices", name_of(key), device, None if found is None else {"searches": profile(found)["searches"]})
    findings.nothing_else("customers", set(ids.values()), set(served.customers))


def a_sample(expected: Mapping[str, Any], desk: Desk, size: int, seed: int = 1) -> Findings:
    """Up to `size` flights, bags and customers each, asked of the API as an agent would."""
    findings = Findings()
    for leg in _some(expected, "flights", size, seed):
        answer = desk.flight(leg)
        findings.compare("api.flights", leg, expected["flights"][leg], None if answer is None else flight(answer))
    for tag in _some(expected, "bags", size, seed):
        answer = desk.bag(tag)
        findings.compare("api.bags", tag, expected["bags"][tag], None if answer is None else bag(answer))
    for key in _some(expected, "customers", size, seed):
        customer = expected["customers"][key]
        shown = [_seen(view) for view in desk.views(key)]
        # A look-up by PNR and surname finds a family: the one that answers best is the one meant.
        wanted = wanted_customer(customer)
        # Of requests that tell of health or belief a supervisor learns the kind, never the code.
        kinds = {code: care_kind(code) for code in wanted["ssrs"]}
        wanted["ssrs"] = [code for code, kind in kinds.items() if kind is None]
        wanted["care"] = sorted({kind for kind in kinds.values() if kind})
        if not customer["profiling"]:  # consent keeps back what serves nothing else
            wanted |= dict.fromkeys(PROFILING, 0)
        best = max(shown, key=lambda one: sum(one.get(name) == value for name, value in wanted.items()), default=None)
        if best is not None and not customer["tier"] and best["surname"] in customer["surnames"]:
            best["surname"] = customer["surname"]
        findings.compare("api.customers", name_of(key), wanted, best)
    return findings


def _seen(view: Document) -> dict[str, Json]:
    """A 360 view in the words of the expected answer."""
    attributes = view["profile"]["attributes"]
    outcomes = sorted([one["journey"]["leg"], one["outcome"]["result"] if one["outcome"] else "booked"] for one in view["journeys"])
    found = profile({"attributes": attributes, "history": view["history"]["total"], "outcomes": outcomes})
    care = sorted({request["kind"] for request in attributes.get("care_requests", ())})
    return {**found, "surname": attributes.get("display_name", {}).get("surname"), "care": care}


def _surnames(served: Served, ids: Iterable[str]) -> dict[str, Json]:
    sealed = {}
    for customer in ids:
        if (found := served.customers.get(customer)) and (name := found["attributes"].get("display_name")):
            sealed[customer] = name.get("surname")
    opened = served.opened(sealed.values())
    return {customer: opened.get(text) for customer, text in sealed.items() if isinstance(text, str)}


def _care(served: Served, ids: Iterable[str]) -> dict[str, list[str]]:
    """Codes of the sealed requests that stand, by customer: of one request that several tokens know, the newest word counts."""
    requests = {customer: found["attributes"].get("care_requests", {}) for customer in ids if (found := served.customers.get(customer))}
    opened = served.opened(text for of in requests.values() for key, one in of.items() for text in (key, one["code"]))
    codes: dict[str, list[str]] = {}
    for customer, of in requests.items():
        newest: dict[Json, Mapping[str, Json]] = {}
        for key, one in of.items():
            newest.setdefault(opened.get(key, key), one)
        codes[customer] = [opened[one["code"]] for one in newest.values() if one.get("status") is not None]
    return codes


# -- the same members of both sides --------------------------------------------------------------------------------------------


def flight(document: Document) -> dict[str, Json]:
    """A flight's document in the words of the expected answer."""
    return {
        "status": document["status"],
        "status_code": document.get("status_code"),
        "cancelled": document["status"] == "cancelled",
        "departure_delay": document.get("departure_delay"),
        "arrival_delay": document.get("arrival_delay"),
        "gate": document.get("departure_gate"),
    }


def bag(document: Document) -> dict[str, Json]:
    """A bag's document in the words of the expected answer."""
    return {"custody": document.get("custody"), "mishandled": document.get("mishandled")}


PROFILING = ("searches", "contacts_negative")
"""Members that a person who objects to profiling does not show (conf/consent.toml)."""


def wanted_customer(customer: Mapping[str, Any]) -> dict[str, Json]:
    """The members of an expected customer that are compared."""
    names = ("surname", "tier", "miles", "ssrs", "searches", "contacts", "contacts_negative", "surveys", *_HISTORY)
    return {**{name: customer[name] for name in names}, "surname": customer["surname"] or None, "journeys": sorted(customer["journeys"])}


def profile(document: Document) -> dict[str, Json]:
    """A customer's document in the words of the expected answer."""
    attributes = document["attributes"]
    searches = attributes.get("searches", {})
    negative = attributes.get("contacts_negative", {})
    requests = attributes.get("ssrs", {}).values()
    return {
        "tier": attributes.get("tier"),
        "miles": attributes.get("miles"),
        "ssrs": sorted({request["code"] for request in requests if request.get("status") is not None}),
        "searches": sum(searches.get("by_day", searches).values()),
        "contacts": len(attributes.get("contacts", ())),
        "contacts_negative": sum(negative.get("by_day", negative).values()),
        "surveys": len(attributes.get("survey_scores", ())),
        **{name: document["history"].get(name, 0) for name in _HISTORY},
        "journeys": document.get("outcomes"),
    }


def _some(expected: Mapping[str, Any], kind: str, size: int, seed: int) -> list[str]:
    keys = sorted(expected[kind])
    return Random(f"{seed}:{kind}").sample(keys, min(size, len(keys)))
