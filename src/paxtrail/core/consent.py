"""Consent: the ledger of what a person has said, and `decide`, the one answer to whether their data may serve a purpose.

A ledger is bitemporal and hangs on the token under which the person spoke; a customer has the ledgers of all its tokens, side by side,
so that unlinking gives each side its own back. What a state keeps of a ledger is the newest act of each purpose, channel, status and
speaker: all that a decision about now can depend on, because a newer act never hides one of another status (domain rules §1.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import orjson

from paxtrail.core.consent_rules import ASKABLE, Parameters, Rules, age
from paxtrail.core.records import Json
from paxtrail.core.sealing import is_sealed

ANY = "any"
"""The channel of an act that is about all of them."""
ALL = "all"
"""The purpose of an act that is about all of them: only ever to say no."""
GIVEN = "given"
"""The reason of a decision by a consent that holds."""
CHANNELS = (ANY, "email", "sms", "phone", "push", "post", "messaging")
SPEAKERS = ("subject", "guardian")
GRANTS = frozenset({"given", "renewed"})
DENIALS = frozenset({"withdrawn", "refused", "invalidated"})
STATUSES = (
    *("requested", "given", "refused", "withdrawn", "expired", "invalidated", "renewed", "unknown", "acknowledged"),
    *("objected", "objection_lifted", "signalled", "restricted", "restriction_lifted"),
)
"""Event states of ISO/IEC TS 27560, `acknowledged` (a notice, which is no consent), objection (GDPR Art. 21), privacy signals such as
Global Privacy Control, restriction (Art. 18)."""
SPACE = (len(ASKABLE) + 1) * len(CHANNELS) * len(STATUSES) * len(SPEAKERS)
"""How many acts a ledger can keep apart: the attribute's `keep` must not be less, or truncation could change a decision."""

_AHEAD = 10 * 60 * 1_000_000
"""How far ahead of its arrival the door lets an act be dated."""


class Record(NamedTuple):
    """One act. `at`: when the person acted; `recorded_at`: when we learnt it; both µs UTC, as `expires_at`."""

    record_id: str
    purpose: str
    channel: str
    status: str
    at: int
    recorded_at: int
    expires_at: int | None = None
    by: str = "subject"
    details: Mapping[str, Json] = {}


Ledger: TypeAlias = Sequence[Record]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a person when deciding. `ledgers`: one for each token; `residence`: ISO 3166 country or subdivision.

    `age`: None if nobody told; `age_hidden`: somebody did, and it cannot be read now. `blocks`: legal blocks held elsewhere (erased,
    sanctioned), by name.
    """

    ledgers: Sequence[Ledger] = ()
    residence: str | None = None
    age: int | None = None
    age_hidden: bool = False
    blocks: frozenset[str] = field(default_factory=frozenset)


class Decision(NamedTuple):
    """Whether, why (a stable code), by which act and which version of the rules."""

    allowed: bool
    purpose: str
    reason: str
    record_id: str | None
    rule: str

    @property
    def consented(self) -> bool:
        """Whether it is allowed because the person said yes: silence is no consent, whatever a region's default allows."""
        return self.allowed and self.reason == GIVEN


def key(purpose: str, channel: str, status: str, by: str) -> str:
    """What a state keeps acts apart by."""
    return f"{purpose}/{channel}/{status}/{by}"


def subject(known: Mapping[str, Json], ledgers: Iterable[Iterable[Mapping[str, Json]]], opened: Callable[[str], Json], at: int) -> Subject:
    """The person a profile's attributes and ledgers tell of; `opened` answers a sealed value, or None where it cannot be opened."""
    sealed = known.get("birth_date")
    born = opened(str(sealed)) if is_sealed(sealed) else sealed
    acts = tuple(ledger(entries) for entries in ledgers)
    return Subject(acts, _place(known), age(born, at) if isinstance(born, str) else None, age_hidden=bool(sealed) and born is None)


def _place(known: Mapping[str, Json]) -> str | None:
    """The part of the country if it is one of the country told, else the country."""
    country, part = known.get("residence"), known.get("subdivision")
    if isinstance(part, str) and (not country or part.startswith(f"{country}-")):
        return part
    return country if isinstance(country, str) else None


def ledger(entries: Iterable[Mapping[str, Json]]) -> list[Record]:
    """Acts of one token's state, newest first; `entries` are those of its `consents` map (core.folds)."""
    return sorted((_record(entry) for entry in entries if entry["v"] != "null"), key=_newness, reverse=True)


def _record(entry: Mapping[str, Json]) -> Record:
    purpose, channel, status, by = entry["k"].split("/")
    details = orjson.loads(entry["v"])
    expires = details.pop("expires_at", None)
    return Record(entry["i"], purpose, channel, status, entry["t"], entry["a"], expires, by, details)


def _newness(record: Record) -> tuple[int, int, bool, str]:
    # By when the person acted, then by when we learnt it; a refusal wins an exact tie.
    return record.at, record.recorded_at, record.status not in GRANTS and record.status != "objection_lifted", record.record_id


def decide(rules: Rules, subject: Subject, purpose: str, *, at: int, channel: str = ANY, known_at: int | None = None) -> Decision:
    """Whether data of `subject` may serve `purpose` at `at` (µs UTC). KeyError if the rules have no such purpose.

    First match: legal block; a ground that needs no consent; child without a guardian's consent; objection or signal; the newest act on
    the channel, else on any; the region's default. Of several ledgers the most restrictive counts, per purpose. `known_at` leaves out
    what was learnt later: a decision as it was then, of a whole history.
    """
    known = [[r for r in one if r.at <= at + _AHEAD and (known_at is None or r.recorded_at <= known_at)] for one in subject.ledgers]
    rule, parameters = rules.purposes[purpose], rules.parameters(subject.residence, at)

    def answer(allowed: bool, reason: str, record: Record | None = None) -> Decision:
        return Decision(allowed, purpose, reason, record and record.record_id, parameters.version)

    for block in sorted(subject.blocks):
        return answer(False, block)
    if not rule.despite_restriction and (record := _standing(known, (ALL, purpose), "restricted", "restriction_lifted")):
        return answer(False, "restricted", record)
    if rule.basis != "consent":
        return answer(True, f"basis:{rule.basis}")
    child = _is_child(parameters, subject)
    if child:
        known = [[r for r in one if r.status not in GRANTS or r.by == "guardian"] for one in known]
    act, allowed, reason = _act(known, purpose, channel, at)
    if child and (not allowed or purpose in parameters.never_for_children):
        return answer(False, "age_unknown" if subject.age_hidden else "child", act)
    if record := _standing(known, (ALL, purpose), "objected", "objection_lifted"):
        return answer(False, "objection", record)
    if purpose in parameters.gpc and (record := _standing(known, (ALL, purpose), "signalled", "objection_lifted")):
        return answer(False, "gpc", record)
    if act is not None:
        return answer(allowed, reason, act)
    if subject.age is not None and subject.age < parameters.opt_in_under.get(purpose, 0):
        return answer(False, "minor_opt_in")
    default = parameters.defaults.get(f"{purpose}/{channel}", parameters.defaults[purpose])
    return answer(default != "opt_in", f"default:{default}")


def _is_child(parameters: Parameters, subject: Subject) -> bool:
    """Whether a guardian has to consent; the age is that of the country if it has one of its own."""
    limit = parameters.child_ages.get((subject.residence or "").partition("-")[0], parameters.child_age)
    return subject.age_hidden or (subject.age is not None and subject.age < limit)


def _standing(ledgers: Iterable[Ledger], purposes: Sequence[str], set_by: str, lifted_by: str) -> Record | None:
    """The act that still stands in some ledger; a later one of the same ledger lifts it, whatever the channel."""
    for one in ledgers:
        for purpose in purposes:
            said = [r for r in one if r.status == set_by and r.purpose == purpose]
            lifted = [r for r in one if r.status == lifted_by and r.purpose in purposes]
            if said and not (lifted and _newness(max(lifted, key=_newness)) > _newness(max(said, key=_newness))):
                return max(said, key=_newness)
    return None


def _act(ledgers: Iterable[Ledger], purpose: str, channel: str, at: int) -> tuple[Record | None, bool, str]:
    """The act that counts, whether it allows, and its reason code. A refusal in one ledger outweighs a consent in another; a consent that
    holds outweighs one that has run out, which nobody took back."""
    standing = [act for one in ledgers if (act := _newest(one, purpose, channel)) is not None]
    if not standing:
        return None, False, ""

    def weight(act: Record) -> tuple[int, int, int, str]:
        allowed, reason = _judged(act, at)
        return (1 if allowed else 0 if reason == "expired" else 2), act.at, act.recorded_at, act.record_id

    act = max(standing, key=weight)
    return act, *_judged(act, at)


def _judged(act: Record, at: int) -> tuple[bool, str]:
    if act.status not in GRANTS:
        return False, act.status
    if act.expires_at is not None and at >= act.expires_at:
        return False, "expired"
    return True, GIVEN


def _newest(one: Ledger, purpose: str, channel: str) -> Record | None:
    """The newest act on the channel, else on any; a later refusal for all channels (or, asked for all, on one) outweighs it."""
    acts = [r for r in one if r.purpose in (purpose, ALL) and (r.status in GRANTS or r.status in DENIALS or r.status == "expired")]
    refusals = [r for r in acts if r.status in DENIALS and (channel == ANY or r.channel in (channel, ANY))]
    own = [r for r in acts if r.channel == channel] or [r for r in acts if r.channel == ANY]
    return max((*own, *refusals), key=_newness, default=None)
