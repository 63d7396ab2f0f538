"""The door: records in; sealed events, sealed rejects and duplicates out, one outcome per record. There is no second way in."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from paxtrail.adapters.claims import Claim, Claims
from paxtrail.adapters.scoring import Champion
from paxtrail.adapters.vault import Vault
from paxtrail.core.cloudevents import traceparent
from paxtrail.core.decoding import Decoded, decode, event_id
from paxtrail.core.records import Draft, Entity, Identifier, Json, Record
from paxtrail.core.schemas import Field, Schemas
from paxtrail.core.sealing import seal, seal_bytes
from paxtrail.core.sentiment import scored
from paxtrail.errors import Refusal

Outcome = Literal["accepted", "duplicate", "refused"]


class Position(NamedTuple):
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the door made of one record. `events` and `reject` are rows of bronze without lane and seq."""

    position: Position
    source: str
    arrival: int
    outcome: Outcome
    events: tuple[dict[str, Any], ...] = ()
    reject: dict[str, Any] | None = None


class Door:
    """Decodes, claims, scores, tokenises and seals. One per worker: it holds a connection to the vault and one for claims."""

    def __init__(self, vault: Vault, claims: Claims, schemas: Schemas, champion: Champion) -> None:
        self._vault = vault
        self._claims = claims
        self._schemas = schemas
        self._champion = champion

    def admit(self, received: Sequence[tuple[Position, Record]]) -> Iterator[Admitted]:
        """One outcome per record, in order. Idempotent: a second admission of the same positions gives the same rows."""
        self._vault.refresh()
        self._champion.refresh()
        decoded: list[Decoded | Refusal] = []
        for _, record in received:
            try:
                decoded.append(decode(record, self._schemas))
            except Refusal as refusal:
                decoded.append(refusal)
        lost = self._claims.lost(
            Claim(d.record_id, *position, d.body_digest, record.arrival)
            for (position, record), d in zip(received, decoded, strict=True)
            if isinstance(d, Decoded)
        )
        accepted = [d for (position, _), d in zip(received, decoded, strict=True) if isinstance(d, Decoded) and position not in lost]
        tokens = self._vault.tokens(named(accepted))
        keys = self._vault.keys(tokens[draft.subject or draft.owner] for d in accepted for draft in d.drafts)
        for (position, record), d in zip(received, decoded, strict=True):
            if isinstance(d, Refusal):
                yield Admitted(position, record.source, record.arrival, "refused", reject=self._reject(position, record, d))
            elif position not in lost:
                # The text is in the clear here and nowhere after; how it sounds is decided once and stays with the event.
                rows = seal_drafts(scored(d, self._champion), record, position, self._schemas, tokens, keys)
                yield Admitted(position, record.source, record.arrival, "accepted", events=tuple(rows))
            elif lost[position] == d.body_digest:
                yield Admitted(position, record.source, record.arrival, "duplicate")
            else:
                conflict = Refusal("conflict", "the id was seen before with other content; send corrections under a new id")
                yield Admitted(position, record.source, record.arrival, "duplicate", reject=self._reject(position, record, conflict))

    def _reject(self, position: Position, record: Record, why: Refusal) -> dict[str, Any]:
        day = datetime.fromtimestamp(record.arrival / 1e6, UTC).strftime("%Y-%m-%d")
        reject_id = hashlib.blake2b("\0".join(map(str, position)).encode(), digest_size=16).hexdigest()
        raw = json.dumps({"headers": dict(record.headers), "body": b64encode(record.body).decode()}).encode()  # orjson takes no surrogates
        return {
            "reject_id": reject_id,
            "source": record.source,
            "code": why.code,
            "reason": why.reason,
            "at": why.at,
            "arrival_time": record.arrival,
            "day": day,
            "record": seal_bytes(self._vault.quarantine_key(day), reject_id, raw),
            "topic": position.topic,
            "partition": position.partition,
            "offset": position.offset,
        }


def seal_drafts(
    decoded: Decoded,
    record: Record,
    position: Position,
    schemas: Schemas,
    tokens: dict[Identifier, str],
    keys: dict[str, bytes | None],
    *,
    revision: int = 0,
) -> Iterator[dict[str, Any]]:
    """Rows of bronze.events (without lane and seq) for the drafts of one record; a shredded owner's values become null."""

    def end(entity: Entity) -> tuple[str, str]:
        return entity.kind, tokens[entity.key] if isinstance(entity.key, Identifier) else entity.key

    # The event's own, by CloudEvents' extension; else that of the message that brought it.
    context = traceparent(decoded.envelope.extra.get("traceparent")) or traceparent(record.headers.get("traceparent"))
    for ordinal, draft in enumerate(decoded.drafts):
        owner = tokens[draft.subject or draft.owner]
        key = keys[owner]
        subject = tokens[draft.subject] if draft.subject else None
        own = [i for i in (draft.subject, *draft.identifiers) if i is not None]
        entities = dict.fromkeys(end(e) for e in draft.entities)
        relations = dict.fromkeys((*end(r.origin), r.kind, *end(r.target)) for r in draft.relations)
        if subject is not None:
            entities |= {("profile", subject): None}
            relations |= dict.fromkeys(("identifier", tokens[i], "identifies", "profile", subject) for i in own)
        facts = _sealed(draft.facts, schemas.event(draft.type).fields, key, owner)
        yield {
            "event_id": event_id(decoded.record_id, ordinal),
            "source": record.source,
            "type": draft.type,
            "controller": draft.controller,
            "region": draft.region,
            "event_time": draft.event_time,
            "source_sequence": draft.source_sequence,
            "arrival_time": record.arrival,
            "subject": subject,
            "entities": [{"kind": kind, "key": k} for kind, k in entities],
            "identifiers": [{"namespace": i.namespace, "token": tokens[i]} for i in own],
            "relations": [{"from_kind": a, "from_key": b, "kind": kind, "to_kind": c, "to_key": d} for a, b, kind, c, d in relations],
            "payload": orjson.dumps(facts).decode(),
            "native": None if key is None else seal(key, "record", owner, draft.native),
            "revision": revision,
            "decoder_version": decoded.decoder_version,
            "schema_version": decoded.schema_version,
            "topic": position.topic,
            "partition": position.partition,
            "offset": position.offset,
            "traceparent": context,
        }


def named(decoded: Iterable[Decoded]) -> set[Identifier]:
    """Every identifier that needs a token."""
    found: set[Identifier] = set()
    for d in decoded:
        for draft in d.drafts:
            found.update(_identifiers(draft))
    return found


def _identifiers(draft: Draft) -> Iterator[Identifier]:
    yield draft.owner
    if draft.subject:
        yield draft.subject
    yield from draft.identifiers
    ends = [*draft.entities, *(e for r in draft.relations for e in (r.origin, r.target))]
    yield from (e.key for e in ends if isinstance(e.key, Identifier))


def _sealed(facts: dict[str, Json], fields: dict[str, Field], key: bytes | None, owner: str) -> dict[str, Json]:
    """The facts with every field of a personal class sealed, one level of lists and objects deep."""
    out: dict[str, Json] = {}
    for name, value in facts.items():
        field = fields[name]
        if value is None:
            out[name] = None
        elif field.personal:
            out[name] = None if key is None else seal(key, field.class_, owner, value)
        elif field.type == "list" and field.fields:
            out[name] = [_sealed(item, field.fields, key, owner) for item in value]
        elif field.type == "object" and field.fields:
            out[name] = _sealed(value, field.fields, key, owner)
        else:
            out[name] = value
    return out
