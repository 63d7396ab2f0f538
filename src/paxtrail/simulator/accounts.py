"""Frequent flyers' accounts as their programme publishes them: the account when it is first seen, changes, miles, consent."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from paxtrail.simulator.bookings import encode
from paxtrail.simulator.messages import DAY, MINUTE, instant, opaque
from paxtrail.simulator.people import Account, Person
from paxtrail.simulator.schedule import Flight
from paxtrail.simulator.world import World

CONSENTS = (
    ("marketing", "email", 0.45, 0.25),
    ("partner_sharing", "any", 0.20, 0.15),
    ("sensitive_data", "any", 0.10, 0.05),
)
"""Purpose, channel, share of members who consent when asked, share who refuse; the others were never asked."""
WITHDRAWN_SHARE = 0.15
"""Of the consents, those taken back some days later."""
OBJECTION_SHARE = 0.03
"""Members who object to profiling."""


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
        self._consent(person, account, at + 20 * MINUTE)
        draw = self.rng.random()
        if draw < 0.12:
            kind, miles = self.rng.choice((("partner", 750), ("partner", 1200), ("redemption", -400), ("adjustment", 100)))
            self._post(account, at + self.rng.randint(60, 600) * MINUTE, miles, kind, None)
        elif draw < 0.18:
            account.seat = "window" if account.seat == "aisle" else "aisle"
            self._update(person, account, at + self.rng.randint(60, 600) * MINUTE)

    def _consent(self, person: Person, account: Account, at: int) -> None:
        """What the member says of consent: in one message when asked, and what is taken back in later ones."""
        # A stream of its own, so that who consents changes nothing else in the world.
        rng = Random(f"{self.world.options.seed}:consents:{account.identifier}")
        asked: list[dict[str, Any]] = []
        for purpose, channel, gives, refuses in CONSENTS:
            draw = rng.random()
            if draw < gives:
                proof = {"mechanism": "opt_in", "notice": "privacy", "noticeVersion": "2026-01", "language": person.language}
                ends = instant(at + 730 * DAY)
                asked.append({"purpose": purpose, "channel": channel, "status": "given", "via": "web", **proof, "expiresAt": ends})
            elif draw < gives + refuses:
                asked.append({"purpose": purpose, "channel": channel, "status": "refused", "via": "web"})
            if draw < gives * WITHDRAWN_SHARE:
                self._say(
                    account, at + rng.randint(1, 8) * DAY, [{"purpose": purpose, "channel": channel, "status": "withdrawn", "via": "phone"}]
                )
        if rng.random() < OBJECTION_SHARE:
            asked.append({"purpose": "personalisation", "status": "objected", "via": "app"})
        if asked:
            self._say(account, at, asked)

    def _say(self, account: Account, at: int, acts: list[dict[str, Any]]) -> None:
        whose = {"airline": account.airline, "number": account.number}
        native = {"event": "consent_changed", "account": whose, "at": instant(at), "consents": acts}
        if self.world.tell(at, "loyalty", opaque(account.identifier), encode(native)):
            for act in acts:
                self.world.answers.consented(account.identifier, act["purpose"], act["status"], at)

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
                **({"subdivision": person.subdivision} if person.subdivision else {}),
            },
            "preferences": preferences,
            "balance": account.balance,
        }
        if self.world.tell(at, "loyalty", opaque(account.identifier), encode(native)):
            answers = self.world.answers
            answers.person(account.identifier)
            answers.lives(account.identifier, person.subdivision)
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
