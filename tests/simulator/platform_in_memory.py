"""The whole platform in one process without a store: decode, drop repetitions, fold, link, render. For comparison with the simulator."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from paxtrail.adapters import configuration
from paxtrail.adapters.scoring import Lexicon
from paxtrail.core import folds, identity, outcomes, views
from paxtrail.core.decoding import Decoded, decode, event_id
from paxtrail.core.records import Draft, Entity, Identifier, Record
from paxtrail.core.sentiment import scored
from paxtrail.errors import Refusal
from paxtrail.settings import ROOT
from paxtrail.simulator.messages import Message

SCHEMAS = configuration.schemas(ROOT / "conf")
LEXICON = Lexicon()
TABLES = configuration.attributes(ROOT / "conf")


def token(identifier: Identifier) -> str:
    return hashlib.blake2b("\x1f".join(identifier).encode(), digest_size=16).hexdigest()


def key_of(entity: Entity) -> str:
    return entity.key if isinstance(entity.key, str) else token(entity.key)


@dataclass
class Platform:
    """What it received; `documents` and `customers` answer after that."""

    ledger: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: defaultdict[tuple[str, str], list[folds.Event]] = field(default_factory=lambda: defaultdict(list))
    relations: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    edges: set[identity.Edge] = field(default_factory=set)
    tokens: dict[str, Identifier] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    _seen: dict[bytes, bytes] = field(default_factory=dict)

    def receive(self, messages: Iterable[Message]) -> Platform:
        for message in messages:
            self.ledger[message.source, "received"] += 1
            try:
                decoded = scored(decode(Record(message.source, message.headers, message.body, message.at_us), SCHEMAS), LEXICON)
            except Refusal as refusal:
                self.refused[message.source, refusal.code] += 1
                continue
            digest = self._seen.setdefault(decoded.record_id, decoded.body_digest)
            if self.ledger[message.source, decoded.record_id.hex()]:
                self.ledger[message.source, "duplicates"] += 1
                self.ledger[message.source, "conflicts"] += digest != decoded.body_digest
                continue
            self.ledger[message.source, decoded.record_id.hex()] = 1
            self.ledger[message.source, "accepted"] += 1
            for ordinal, draft in enumerate(decoded.drafts):
                self._take(message, decoded, draft, ordinal)
        return self

    def _take(self, message: Message, decoded: Decoded, draft: Draft, ordinal: int) -> None:
        event = folds.Event(
            event_id(decoded.record_id, ordinal),
            message.source,
            draft.type,
            draft.event_time,
            draft.source_sequence,
            message.at_us,
            draft.facts,
        )
        entities = {(entity.kind, key_of(entity)) for entity in draft.entities}
        if draft.subject:
            subject = token(draft.subject)
            self.subjects.add(subject)
            entities.add(("profile", subject))
            own = [(identifier.namespace, token(identifier)) for identifier in (draft.subject, *draft.identifiers)]
            self.tokens |= {token(identifier): identifier for identifier in (draft.subject, *draft.identifiers)}
            self.edges.update(identity.edges_of(own[0], own))
        for entity in entities:
            self.events[entity].append(event)
        for relation in draft.relations:
            self.relations[relation.kind, key_of(relation.origin)].add(key_of(relation.target))

    def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """Documents of all entities of a kind, by key."""
        return {
            key: views.document(entity, key, folds.fold(TABLES[entity], events), TABLES[entity])
            for (entity, key), events in self.events.items()
            if entity == kind
        }

    def customers(self, as_of: int) -> dict[str, dict[str, Any]]:
        """Customer documents by the strongest identifier of each, as the simulator names them."""
        flights, bags, journeys = self.documents("flight"), self.documents("bag"), self.documents("journey")
        concluded: dict[str, Any] = {}
        for key, journey in journeys.items():
            carried = [bags[tag] for tag in self.relations["carries", key] | set(journey.get("bags", ())) if tag in bags]
            concluded[key] = outcomes.outcome(journey, flights.get(journey["leg"]), carried, as_of=as_of)
        links = identity.customers(self.edges)
        groups: defaultdict[str, set[str]] = defaultdict(set)
        for one in self.tokens:
            if self.tokens[one].namespace in (*identity.STRONG, "device") and (one in links or one in self.subjects):
                groups[links.get(one, one)].add(one)
        found = {}
        for group in groups.values():
            states = {one: folds.fold(TABLES["profile"], self.events[("profile", one)]) for one in group if ("profile", one) in self.events}
            travelled = set().union(*(self.relations["travels", one] for one in group))
            document = views.customer_document(
                min(group), states, TABLES["profile"], journeys=travelled, orders=(),
                history=outcomes.history(o for o in (concluded[key] for key in travelled) if o),
            )  # fmt: skip
            document["outcomes"] = sorted(
                [journeys[key]["leg"], concluded[key]["result"] if concluded[key] else "booked"] for key in travelled
            )
            found[self._name(group)] = document
        return found

    def _name(self, group: set[str]) -> str:
        order = (*identity.STRONG, "device")
        identifiers = sorted((self.tokens[one] for one in group), key=lambda i: (order.index(i.namespace), i.value))
        return ":".join(identifiers[0])
