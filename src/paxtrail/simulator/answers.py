"""The expected answer: plain bookkeeping beside the making of the world, sharing nothing with what it will be compared to.

ledger      by source: received = accepted + duplicates (conflicts among them) + refused {code: n}
flights     by leg key: status (arrived, cancelled, diverted), status_code, delays in minutes, last departure gate
bags        by tag: last custody by scan time, mishandled
customers   by the strongest identifier to look them up with ("loyalty:UA|AB123456", "passenger:LOCATOR|date|NAMEKEY", idp, document):
            identifiers linked, surname (the account's before a booking's), tier, miles, journeys [leg, outcome], counts, active SSRs,
            contacts, those of them with a negative text, surveys
            partner_sharing (members only): the reason code of the decision when the replay ends; profiling: nobody objected to it
            outcomes are flown, diverted, flight_cancelled, cancelled, no_show, and booked = still open when the replay ends
devices     searches of browsers that nobody logged in from (no customers, but profiles)
highlights  customers worth showing: a cancelled flight, and a bag that is not with its owner yet
totals      of all these
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class _Known:
    """What one identifier is known for; a customer adds up the identifiers that are linked."""

    surname: str = ""
    surname_of_account: str = ""
    tier: str | None = None
    balance: tuple[int, int, int] | None = None
    journeys: set[tuple[str, str, str]] = field(default_factory=set)
    ssrs: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    searches: int = 0
    tones: Counter[str] = field(default_factory=Counter)
    surveys: int = 0
    acts: dict[str, tuple[int, str]] = field(default_factory=dict)
    signalled: bool = False
    subdivision: str | None = None


@dataclass(slots=True)
class Answers:
    """Collects facts as they happen; `expected` adds them up."""

    flights: dict[str, dict[str, Any]] = field(default_factory=dict)
    bags: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str, str], str] = field(default_factory=dict)
    orders: set[str] = field(default_factory=set)
    _tags: defaultdict[tuple[str, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    _known: dict[str, _Known] = field(default_factory=dict)
    _edges: set[tuple[str, str]] = field(default_factory=set)

    def person(self, *identifiers: str) -> None:
        """One message gives these identifiers (`namespace:value`, all strong or a lone device) to one person."""
        for identifier in identifiers:
            self._known.setdefault(identifier, _Known())
        for n, one in enumerate(identifiers):
            self._edges.update((min(one, other), max(one, other)) for other in identifiers[n + 1 :])

    def named(self, identifier: str, surname: str, *, account: bool = False) -> None:
        known = self._known[identifier]
        if account:
            known.surname_of_account = surname
        else:
            known.surname = surname

    def account(self, identifier: str, tier: str | None, balance: int, at: int, sequence: int) -> None:
        """State of an account as last told: by time, then sequence. No tier: the message does not say."""
        known = self._known[identifier]
        if tier is not None:
            known.tier = tier
        if known.balance is None or (at, sequence) > known.balance[:2]:
            known.balance = (at, sequence, balance)

    def travels(self, identifier: str, journey: tuple[str, str, str], outcome: str) -> None:
        self._known[identifier].journeys.add(journey)
        self.outcomes[journey] = outcome

    def service(self, identifier: str, code: str, leg: str, active: bool, at: int) -> None:
        """A service is asked for (or given back) for a leg; the last word on each leg counts."""
        known = self._known[identifier].ssrs
        if at >= known.get((code, leg), (0, False))[0]:
            known[code, leg] = (at, active)

    def lives(self, identifier: str, subdivision: str | None) -> None:
        self._known[identifier].subdivision = subdivision

    def consented(self, identifier: str, purpose: str, status: str, at: int) -> None:
        """The member says yes or no to a purpose; the last word counts."""
        acts = self._known[identifier].acts
        if at >= acts.get(purpose, (0, ""))[0]:
            acts[purpose] = (at, status)

    def signalled(self, *identifiers: str) -> None:
        """A browser of who is logged in as these asked not to sell what is known of its owner."""
        for identifier in identifiers:
            self._known[identifier].signalled = True

    def searched(self, identifier: str) -> None:
        self._known[identifier].searches += 1

    def contacted(self, identifier: str, tone: str) -> None:
        """A contact with a text whose tone nobody can mistake."""
        self._known[identifier].tones[tone] += 1

    def surveyed(self, identifier: str) -> None:
        self._known[identifier].surveys += 1

    def checked(self, journey: tuple[str, str, str], tags: tuple[str, ...]) -> None:
        self._tags[journey].update(tags)

    def custody(self, tag: str, state: str, at: int, *, mishandled: bool = False) -> None:
        bag = self.bags.setdefault(tag, {"custody": state, "at": at, "mishandled": False})
        if at >= bag["at"]:
            bag["custody"], bag["at"] = state, at
        bag["mishandled"] |= mishandled

    def expected(self) -> dict[str, Any]:
        """Everything as JSON-compatible data, customers keyed by the identifier to look them up with."""
        customers = [self._customer(group) for group in self._groups()]
        devices = [c for c in customers if c["identifiers"][0].startswith("device:")]
        customers = [c for c in customers if not c["identifiers"][0].startswith("device:")]
        highlights = self._highlights(customers)
        return {
            "flights": self.flights,
            "bags": {tag: {"custody": bag["custody"], "mishandled": bag["mishandled"]} for tag, bag in sorted(self.bags.items())},
            "customers": {c.pop("key"): c for c in sorted(customers, key=lambda c: str(c["key"]))},
            "devices": {c["identifiers"][0]: {"searches": c["searches"]} for c in devices},
            "highlights": highlights,
            "totals": {
                "customers": len(customers),
                "devices": len(devices),
                "orders": len(self.orders),
                "journeys": len(self.outcomes),
                "flights": len(self.flights),
                "flights_cancelled": sum(flight["cancelled"] for flight in self.flights.values()),
                "bags": len(self.bags),
                "bags_mishandled": sum(bag["mishandled"] for bag in self.bags.values()),
                "outcomes": dict(sorted(Counter(self.outcomes.values()).items())),
            },
        }

    def _highlights(self, customers: list[dict[str, Any]]) -> list[str]:
        """Who has a cancelled flight and a bag on its way, members before others, then the mishandled; at most twenty."""
        under_way = {tag for tag, bag in self.bags.items() if bag["custody"] not in ("delivered", "cancelled")}
        waiting = {journey for journey, tags in self._tags.items() if tags & under_way}
        found = [
            (customer["tier"] is None, -customer["bags_mishandled"], str(customer["key"]))
            for customer in customers
            if customer["flights_cancelled"] and any(self._known[identifier].journeys & waiting for identifier in customer["identifiers"])
        ]
        return [key for *_, key in sorted(found)][:20]

    def _groups(self) -> list[list[str]]:
        """Identifiers linked by the rule: one person's strong identifiers, but a passenger with two accounts links to nobody."""
        accounts: defaultdict[str, set[str]] = defaultdict(set)
        for one, other in self._edges:
            if one.startswith("loyalty:") and other.startswith("passenger:"):
                accounts[other].add(one)
        near: defaultdict[str, set[str]] = defaultdict(set)
        for one, other in self._edges:
            if all(len(accounts.get(end, ())) < 2 for end in (one, other)):
                near[one].add(other)
                near[other].add(one)
        groups, seen = [], set()
        for start in self._known:
            if start in seen:
                continue
            seen.add(start)
            group, front = [start], [start]
            while front:
                for neighbour in near[front.pop()] - seen:
                    seen.add(neighbour)
                    group.append(neighbour)
                    front.append(neighbour)
            groups.append(sorted(group, key=_by_strength))
        return groups

    def _customer(self, identifiers: list[str]) -> dict[str, Any]:
        parts = [self._known[identifier] for identifier in identifiers]
        journeys = sorted({journey for part in parts for journey in part.journeys})
        outcomes = [self.outcomes[journey] for journey in journeys]
        services: dict[tuple[str, str], tuple[int, bool]] = {}
        for part in parts:
            for request, (at, active) in part.ssrs.items():
                services[request] = max(services.get(request, (0, False)), (at, active))
        balances = [part.balance for part in parts if part.balance is not None]
        bags = {tag for journey in journeys for tag in self._tags[journey]}
        surnames = [part.surname_of_account for part in parts] + [part.surname for part in parts]
        return {
            "key": identifiers[0],
            "identifiers": identifiers,
            "surname": next((surname for surname in surnames if surname), ""),
            "surnames": sorted({surname for surname in surnames if surname}),
            "tier": next((part.tier for part in parts if part.tier), None),
            "miles": max(balances)[2] if balances else None,
            "journeys": [[leg, outcome] for (leg, _locator, _name), outcome in zip(journeys, outcomes, strict=True)],
            "flights_flown": outcomes.count("flown"),
            "flights_cancelled": outcomes.count("flight_cancelled"),
            "bags_checked": len(bags),
            "bags_mishandled": sum(self.bags[tag]["mishandled"] for tag in bags),
            "ssrs": sorted({code for (code, _leg), (_at, active) in services.items() if active}),
            "searches": sum(part.searches for part in parts),
            "contacts": sum(part.tones.total() for part in parts),
            "contacts_negative": sum(part.tones["negative"] for part in parts),
            "surveys": sum(part.surveys for part in parts),
            "profiling": not any("personalisation" in part.acts for part in parts),
            "partner_sharing": _sharing(parts) if any(part.tier for part in parts) else None,
        }


def _sharing(parts: list[_Known]) -> str:
    """Members are grown up: a signal before what was said, what was said before the default of where they live."""
    if any(part.signalled for part in parts):
        return "gpc"
    said = [part.acts["partner_sharing"][1] for part in parts if "partner_sharing" in part.acts]
    return said[0] if said else "default:opt_out" if any(part.subdivision == "US-CA" for part in parts) else "default:opt_in"


def _by_strength(identifier: str) -> tuple[int, str]:
    return (("loyalty", "idp", "document", "passenger", "device").index(identifier.partition(":")[0]), identifier)
