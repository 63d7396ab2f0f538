"""One record in; its drafts, checked against the schemas, out; or a Refusal and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from paxtrail.core.cloudevents import open_record
from paxtrail.core.records import Draft, Envelope, Record
from paxtrail.core.schemas import Schemas, check
from paxtrail.core.sources import Decoder, decoder
from paxtrail.errors import Refusal

MAX_BODY = 1024 * 1024
MAX_AHEAD = 10 * 60 * 1_000_000
MAX_EVENTS = 0xFFFF
"""Ordinals are four hex digits."""
OUR_FAULTS = frozenset(("decoder_fault", "undeclared_type", "undeclared_fact", "wrong_type"))
"""Codes of refusals that no sender can mend: a decoder and its schema must be."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An accepted record. `body_digest` tells a repetition from a conflict: same id, other content."""

    record_id: bytes
    envelope: Envelope
    drafts: list[Draft]
    decoder_version: int
    schema_version: int
    body_digest: bytes


def decode(record: Record, schemas: Schemas) -> Decoded:
    """The drafts of a record; Refusal (and no other exception) if any part of it cannot be accepted."""
    source = _decoder(record.source)
    if len(record.body) > MAX_BODY:
        raise Refusal("too_large", "a record has at most 1 MiB", "body")
    if not record.body.strip():
        raise Refusal("empty", "the record is empty", "body")
    envelope, body = open_record(record)
    if not body.strip():
        raise Refusal("empty", "the record's data is empty", "data")
    try:
        drafts = source.decode(envelope, body)
        for draft in drafts:
            check(draft, record.source, schemas)
    except Refusal:
        raise
    except Exception as error:  # a fault of a decoder must refuse its record, never stop the stream
        raise Refusal("decoder_fault", f"the decoder of {record.source} failed with {type(error).__name__}") from None
    if not drafts:
        raise Refusal("no_events", "the record states nothing", "body")
    if len(drafts) > MAX_EVENTS:
        raise Refusal("too_many_events", f"a record makes at most {MAX_EVENTS} events", "body")
    if max(draft.event_time for draft in drafts) > record.arrival + MAX_AHEAD:
        raise Refusal("from_the_future", "the event happened more than 10 minutes after it arrived", "event_time")
    return Decoded(
        record_id(record.source, envelope.source, envelope.id),
        envelope,
        drafts,
        source.version,
        schemas.version(record.source),
        _digest(8, envelope.type, body),
    )


def record_id(source: str, ce_source: str, ce_id: str) -> bytes:
    """16 bytes that name a record wherever and however often it is sent."""
    return _digest(64, source, ce_source, ce_id)[:16]


def event_id(record: bytes, ordinal: int) -> str:
    """32 hex digits of the record's id and 4 of the event's place in it."""
    return f"{record.hex()}{ordinal:04x}"


def _decoder(source: str) -> Decoder:
    try:
        return decoder(source)
    except KeyError:
        raise Refusal("unknown_source", "there is no such source", "source") from None


def _digest(size: int, *parts: str | bytes) -> bytes:
    """blake2b over the parts, each behind its length, so that ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()
