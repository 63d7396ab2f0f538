"""What a message says of consent, whichever system took it: acts, each with its purpose, status and proof."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from paxtrail.core import consent
from paxtrail.core.consent_rules import ASKABLE
from paxtrail.core.native_json import Instant, Native, Text, Word
from paxtrail.errors import Refusal

MAX_ACTS = 100
_VOICE = frozenset({"phone", "voice", "agent"})


class Evidence(Native, frozen=True):
    """Where the proof is: its kind (form, recording, letter, header …) in clear, its reference sealed."""

    kind: Word
    reference: Text | UnsetType | None = UNSET


class Act(Native, frozen=True):
    """One act about one purpose. Without `at` it was done at the message's own time."""

    purpose: Word
    status: Word
    at: Instant | UnsetType | None = UNSET
    channel: Word = Word(consent.ANY)
    by: Word = Word("subject")
    mechanism: Word | UnsetType | None = UNSET
    method: Word | UnsetType | None = UNSET
    via: Word | UnsetType | None = UNSET
    notice: Word | UnsetType | None = UNSET
    notice_version: Word | UnsetType | None = UNSET
    notice_hash: Word | UnsetType | None = UNSET
    language: Word | UnsetType | None = UNSET
    expires_at: Instant | UnsetType | None = UNSET
    evidence: Evidence | UnsetType | None = UNSET


SIGNAL = Act(Word(consent.ALL), Word("signalled"), method=Word("gpc"), evidence=Evidence(Word("header")))
"""`Sec-GPC: 1` was seen."""


def facts(act: Act, at: str) -> dict[str, Any]:
    """Facts of one act; Refusal where the record could not prove what it says. `at`: its place in the message."""
    for member, value, known in (
        ("purpose", act.purpose, (*ASKABLE, consent.ALL)),
        ("status", act.status, consent.STATUSES),
        ("channel", act.channel, consent.CHANNELS),
        ("by", act.by, consent.SPEAKERS),
    ):
        if value not in known:
            raise Refusal("bad_field", f"not a {member} of consent", f"{at}.{member}")
    evidence = act.evidence if isinstance(act.evidence, Evidence) else None
    if act.status in consent.GRANTS:
        if act.purpose == consent.ALL:
            raise Refusal("bundled_consent", "consent is given for one purpose at a time", f"{at}.purpose")
        if act.mechanism != "opt_in":
            raise Refusal("no_consent", "only an opt-in gives consent; a notice is `acknowledged`", f"{at}.mechanism")
        if act.via in _VOICE and (evidence is None or evidence.kind != "recording" or not evidence.reference):
            raise Refusal("no_recording", "consent by voice needs a recording as evidence", f"{at}.evidence")
    return {
        "act": consent.key(act.purpose, act.channel, act.status, act.by),
        "purpose": act.purpose,
        "status": act.status,
        "consent_channel": act.channel,
        "by": act.by,
        "mechanism": act.mechanism,
        "method": act.method,
        "via": act.via,
        "notice": act.notice,
        "notice_version": act.notice_version,
        "notice_hash": act.notice_hash,
        "language": act.language,
        "expires_at": act.expires_at,
        "evidence": evidence.kind if evidence else UNSET,
        "evidence_reference": evidence.reference if evidence else UNSET,
    }


def acts(given: tuple[Act, ...], at: Instant) -> list[tuple[int, dict[str, Any]]]:
    """(when, facts) of each act of a message told at `at`; refused whole if one of them is."""
    if not 1 <= len(given) <= MAX_ACTS:
        raise Refusal("bad_field", f"a message tells of 1 to {MAX_ACTS} acts", "$.consents")
    return [(int(act.at) if isinstance(act.at, Instant) else int(at), facts(act, f"$.consents[{n}]")) for n, act in enumerate(given)]
