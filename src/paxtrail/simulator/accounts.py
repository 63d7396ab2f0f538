"""Frequent flyers' accounts as their programme publishes them: the account when it is first seen, changes, miles."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from paxtrail.simulator.bookings import encode
from paxtrail.simulator.messages import DAY, MINUTE, instant, opaque
from paxtrail.simulator.people import Account, Person
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.world import World


@dataclass(slots=True)
class Accounts:
    """Tells of accounts and keeps their balances."""

    world: World
    rng: Random

    def introduce(self, person: Person, before: int) -> None:
        """The account's first message, before `before`, and for some an earlier posting or a change of contact."""
        account = person.account
        if account is None or person.introduced:
            return
        person.introduced = True
        past = self.world.past
        at = past + int((min(before, self.world.schedule.opens) - past) * self.rng.uniform(0, 0.5)) // MINUTE * MINUTE
        self._update(person, account, at)
        draw = self.rng.random()
        if draw < 0.12:
            kind, miles = self.rng.choice((("partner", 750), ("partner", 1200), ("redemption", -400), ("adjustment", 100)))
            self._post(account, at + self.rng.randint(60, 600) * MINUTE, miles, kind, None)
        elif draw < 0.18:
            account.seat = "window" if account.seat == "aisle" else "aisle"
            self._update(person, account, at + self.rng.randint(60, 600) * MINUTE)

    def fly(self, person: Person, flight: Flight, miles: int) -> None:
        """Miles of a flight, posted some hours after it arrived; a few reach the next tier with it."""
        account = person.account
        if account is None or flight.on_actual is None:
            return
        at = flight.on_actual + self.rng.randint(60, 300) * MINUTE
        if self._post(account, at, miles, "flight", flight) and self.rng.random() < 0.02:
            higher = {"BASE": "SILVER", "SILVER": "GOLD", "GOLD": "PLATINUM"}.get(account.tier, account.tier)
            if at + 5 * MINUTE <= self.world.schedule.closes:
                account.tier = higher
                self._update(person, account, at + 5 * MINUTE)

    def _update(self, person: Person, account: Account, at: int) -> None:
        account.sequence += 1
        preferences: dict[str, Any] = {"seat": account.seat, "language": person.language}
        if account.meal:
            preferences["meal"] = account.meal
        native = {
            "event": "account_updated",
            "account": {"airline": account.airline, "number": account.number},
            "at": instant(at),
            "sequence": account.sequence,
            "status": "active",
            "tier": account.tier,
            "tierExpires": instant(self.world.schedule.closes + 300 * DAY)[:10],
            "enrolled": account.enrolled,
            "member": {
                "surname": person.surname,
                "given": person.given,
                "title": person.title.title(),
                "birthDate": person.born.isoformat(),
                "gender": person.gender,
                "email": person.email,
                "emailVerified": True,
                "phone": person.phone,
                "phoneVerified": person.index % 3 != 0,
                "residence": person.residence,
                "nationality": person.residence,
            },
            "preferences": preferences,
            "balance": account.balance,
        }
        if self.world.tell(at, "loyalty", opaque(account.identifier), encode(native)):
            answers = self.world.answers
            answers.person(account.identifier)
            answers.named(account.identifier, person.surname, account=True)
            answers.account(account.identifier, account.tier, account.balance, at, account.sequence)

    def _post(self, account: Account, at: int, miles: int, kind: str, flight: Flight | None) -> bool:
        native: dict[str, Any] = {
            "event": "miles_posted",
            "account": {"airline": account.airline, "number": account.number},
            "at": instant(at),
            "sequence": account.sequence + 1,
            "posting": opaque("posting", account.identifier, str(account.sequence)),
            "miles": miles,
            "kind": kind,
            "balance": account.balance + miles,
        }
        if flight:
            native["flight"] = {"airline": flight.airline, "number": flight.number, "from": flight.origin, "date": flight.local_date}
        if not self.world.tell(at, "loyalty", opaque(account.identifier), encode(native)):
            return False
        account.sequence += 1
        account.balance += miles
        self.world.answers.account(account.identifier, None, account.balance, at, account.sequence)
        return True
