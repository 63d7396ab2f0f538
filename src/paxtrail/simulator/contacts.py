"""What people tell the contact centre: after a cancellation, a delay or a lost bag, and now and then without any of these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Any

from paxtrail.simulator.bookings import Booking, Segment, Traveller, encode
from paxtrail.simulator.messages import MINUTE, SECOND, instant, opaque
from paxtrail.simulator.world import World

SHARES = {"cancellation": 0.3, "delay": 0.15, "baggage": 0.6, "other": 0.03}
"""How many get in touch, by what happened to them."""
NOBODY_SHARE = 0.06
"""Callers whom the contact centre does not recognise."""
_SURVEYED = 0.35

# (tone, text): the tone is the one any reader hears, and the expected answer counts on it.
_TEXTS = {
    "cancellation": (
        ("negative", "My flight {flight} was cancelled and nobody helped me. This is terrible, I am very angry."),
        ("negative", "Cancelled again! Awful service, I missed my sister's wedding and I hate waiting on hold."),
        ("negative", "Flight {flight} cancelled, no hotel, no food, no answer. Worst airline ever, a horrible night."),
        ("neutral", "Flight {flight} does not operate. Which other flights to {destination} are there tomorrow?"),
        ("positive", "Thanks for rebooking me so fast after {flight}, your agent was wonderful and very kind!"),
    ),
    "delay": (
        ("negative", "We sat on the plane for two hours, {flight} was late and I missed my connection. Very bad, very disappointed."),
        ("neutral", "When will {flight} to {destination} depart?"),
        ("positive", "The crew on {flight} was great and kept us informed, thank you, we love them!"),
    ),
    "baggage": (
        ("negative", "My bag did not arrive in {destination}. Terrible, all my clothes are lost and your line is useless."),
        ("negative", "Where is my suitcase? Nobody knows. This is awful and I am angry."),
        ("neutral", "My suitcase from {flight} was not on the belt in {destination}. It is a blue one with four wheels."),
    ),
    "other": (
        ("neutral", "Which terminal does {flight} depart from?"),
        ("positive", "Great flight, wonderful crew, thank you!"),
        ("positive", "I love the new seats on {flight}, excellent work!"),
        ("negative", "The wifi on {flight} was horrible and the seat was broken."),
    ),
}


_AT_ONCE = 3


def toned() -> Iterator[tuple[str, str]]:
    """(tone, text): each text alone, and up to three of one tone at once, as people write who have more than one thing to say."""
    own: dict[str, list[str]] = {}
    for tone, text in (one for texts in _TEXTS.values() for one in texts):
        own.setdefault(tone, []).append(text.format(flight="UA1545", destination="ORD"))
    for tone, texts in own.items():
        for size in range(1, _AT_ONCE + 1):
            yield from ((tone, " ".join(chosen)) for chosen in permutations(texts, size))


@dataclass(slots=True)
class Contacts:
    """Tells of contacts, each with its end and perhaps a survey, and books them."""

    world: World
    rng: Random
    count: int = 0

    def maybe(self, reason: str, booking: Booking, segment: Segment, traveller: Traveller, after: int) -> None:
        """By the share of the reason: a contact within four hours after `after`."""
        rng = self.rng
        if rng.random() >= SHARES[reason] or traveller.person.kind != "ADT":
            return
        self.count += 1
        at = after + rng.randint(300, 4 * 3600) * SECOND
        tone, text = rng.choice(_TEXTS[reason])
        identifier, customer = self._known_as(booking, traveller)
        common: dict[str, Any] = {
            "contact": opaque("contact", booking.locator, str(self.count)),
            "channel": rng.choice(("call", "call", "chat", "email")),
            "reason": reason,
            "language": traveller.person.language,
        }
        if customer:
            common["customer"] = customer
        if common["channel"] == "email":
            common["subject"] = f"{segment.airline}{segment.number}, {traveller.person.given} {traveller.person.surname}"
        common["text"] = text.format(flight=f"{segment.airline}{segment.number}", destination=segment.destination)
        if self._say("received", at, 1, common) and identifier:
            self.world.answers.person(identifier)
            self.world.answers.contacted(identifier, tone)
        del common["text"]
        common.pop("subject", None)
        ended = at + rng.randint(3, 40) * MINUTE
        self._say("closed", ended, 2, common | {"status": rng.choice(("resolved", "resolved", "unresolved"))})
        if rng.random() < _SURVEYED:
            scores = {"negative": (1, 2), "neutral": (3, 4), "positive": (4, 5)}[tone]
            rated = {"score": rng.choice(scores), "scale": 5}
            if self._say("surveyed", ended + rng.randint(5, 90) * MINUTE, 3, common | rated) and identifier:
                self.world.answers.surveyed(identifier)

    def _known_as(self, booking: Booking, traveller: Traveller) -> tuple[str, dict[str, Any]]:
        """Identifier of the expected answer and the message's customer; both empty for a caller whom nobody recognises."""
        person = traveller.person
        if self.rng.random() < NOBODY_SHARE:
            return "", {}
        customer: dict[str, Any] = {"email": person.email} if self.rng.random() < 0.5 else {"phone": person.phone}
        if person.account and traveller.account is person.account:
            return person.account.identifier, customer | {
                "loyalty": {"airline": person.account.airline, "number": person.account.number},
            }
        return traveller.identifiers(booking)[-1], customer | {
            "booking": {
                "locator": booking.locator,
                "surname": traveller.surname,
                "given": traveller.given,
                "created": instant(booking.created)[:10],
            }
        }

    def _say(self, event: str, at: int, sequence: int, facts: dict[str, Any]) -> bool:
        native = {"event": event, "at": instant(at), "sequence": sequence, **facts}
        return self.world.tell(at, "contacts", opaque("contact", str(facts["contact"])), encode(native))
