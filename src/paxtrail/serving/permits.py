"""The subject's side of every read: what of a person's data may leave for the purpose the caller stated, by `core.consent.decide`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from paxtrail.core import consent
from paxtrail.core.consent import Decision, Subject
from paxtrail.core.consent_rules import ASKABLE, Rules
from paxtrail.core.views import LEDGERS
from paxtrail.serving.seeing import Eyes

_NAMES = ("entity", "customer_id", "key")
"""What is left of a document that serves the purpose not at all."""
_UNREAD = Subject(age_hidden=True)


class Permit:
    """Decisions for one purpose about the persons that some documents are about; of several, the most restrictive counts."""

    def __init__(self, rules: Rules, purpose: str, subjects: Iterable[Subject], at: int) -> None:
        self._rules = rules
        self._purpose = purpose
        self._subjects = tuple(subjects) or (Subject(),)
        self._at = at
        self._decided: dict[str, Decision] = {}

    def decided(self, purpose: str) -> Decision:
        """The decision about one purpose, taken once."""
        if (found := self._decided.get(purpose)) is None:
            all_ = [consent.decide(self._rules, subject, purpose, at=self._at) for subject in self._subjects]
            found = self._decided[purpose] = next((one for one in all_ if not one.allowed), all_[0])
        return found

    @property
    def refused(self) -> list[dict[str, str]]:
        """Why nothing at all may leave for the purpose of this call; empty if something may."""
        whole = self.decided(self._purpose)
        return [] if whole.allowed else [_line("*", whole)]

    def _denied(self, purpose: str) -> Decision | None:
        if self._rules.purposes[self._purpose].whole:
            return None
        return None if (found := self.decided(purpose)).allowed else found

    def released(self, entity: str, document: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
        """What of a document may leave, and a line (field, purpose, reason) for each of its fields that may not. Changes `document`."""
        if refused := self.refused:
            return {name: document[name] for name in _NAMES if name in document}, refused
        is_customer = entity == "customer"
        holder = document["attributes"] if is_customer else document
        withheld = []
        for name, own in self._rules.fields.get("profile" if is_customer else entity, {}).items():
            if holder.get(name) is not None and self._purpose not in own.free_for and (denied := self._denied(own.purpose)):
                if not own.members:
                    del holder[name]
                    withheld.append(_line(name, denied))
                    continue
                for entry in holder[name]:
                    entry["value"] = {member: value for member, value in entry["value"].items() if member not in own.members}
                withheld += [_line(f"{name}.{member}", denied) for member in own.members]
        if is_customer and (entries := holder.get("interactions")):
            holder["interactions"], lines = self._kept(entries, "interactions", lambda entry: entry["value"].get("what"))
            withheld += lines
        return document, withheld

    def lines(self, items: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """The lines of a timeline that may leave, and why others may not."""
        if refused := self.refused:
            return [], refused
        return self._kept(items, "items", lambda line: line["type"])

    def _kept(self, entries: list[Any], field: str, type_of: Any) -> tuple[list[Any], list[dict[str, str]]]:
        denied = {type_: found for type_, purpose in self._rules.events.items() if (found := self._denied(purpose))}
        kept = [entry for entry in entries if type_of(entry) not in denied]
        gone = {type_of(entry) for entry in entries} & set(denied)
        return kept, [{**_line(field, denied[type_]), "type": type_} for type_ in sorted(gone)]


def _line(field: str, decision: Decision) -> dict[str, str]:
    return {"field": field, "purpose": decision.purpose, "reason": decision.reason}


def asks(rules: Rules, purpose: str) -> bool:
    """Whether reads for this purpose ask anything that the person's age can change."""
    return not rules.purposes[purpose].whole


def subject(document: dict[str, Any] | None, eyes: Eyes, at: int) -> Subject:
    """The person a customer's document is about; one whose document is gone by now counts as a child."""
    return _UNREAD if document is None else consent.subject(document["attributes"], document.get(LEDGERS, ()), eyes.opened, at)


def decisions(rules: Rules, who: Subject, at: int) -> Sequence[tuple[Decision, str]]:
    """The decision about each purpose a person can say something about, with its channel; marketing by each channel."""
    return [
        (consent.decide(rules, who, purpose, at=at, channel=channel), channel)
        for purpose in ASKABLE
        for channel in (consent.CHANNELS[1:] if purpose == "marketing" else (consent.ANY,))
    ]
