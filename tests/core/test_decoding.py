"""The door's decoding as a whole: whatever comes in, drafts that fit their schemas or a Refusal come out, and nothing else."""

from __future__ import annotations

import json

import pytest
from tests.core.every_source import BAGGAGE, BOOKING, CHECKIN, LOYALTY, PERSONAL, RESERVATION, SAMPLES
from tests.core.samples import ARRIVAL, BINARY, decoded, refused

from paxtrail.core import sources
from paxtrail.core.decoding import MAX_BODY, event_id, record_id
from paxtrail.core.records import Draft, Envelope, Identifier
from paxtrail.core.sources import SOURCES, Decoder, decoder


@pytest.mark.parametrize("source", SOURCES)
def test_a_sample_of_every_source_is_accepted(source: str) -> None:
    result = decoded(source, SAMPLES[source])
    assert result.drafts
    assert result.decoder_version >= 1
    assert result.schema_version >= 1


@pytest.mark.parametrize("source", SOURCES)
def test_the_native_parts_of_a_record_put_together_decode_to_the_same_drafts(source: str) -> None:
    drafts = decoded(source, SAMPLES[source]).drafts
    assert decoded(source, decoder(source).assemble([draft.native for draft in drafts])).drafts == drafts


def test_a_record_is_named_by_source_and_envelope_wherever_it_is_sent() -> None:
    first = decoded("baggage", BAGGAGE)
    again = decoded("baggage", BAGGAGE.replace("SECRETO", "OTHER"), arrival=ARRIVAL + 1)
    assert first.record_id == again.record_id == record_id("baggage", "test", "1")
    assert len(first.record_id) == 16
    assert len({record_id("a", "bc", "d"), record_id("ab", "c", "d"), record_id("a", "b", "cd"), first.record_id}) == 4
    assert event_id(first.record_id, 258) == first.record_id.hex() + "0102"


def test_the_digest_tells_a_repetition_from_a_conflict() -> None:
    first = decoded("baggage", BAGGAGE)
    assert decoded("baggage", BAGGAGE, arrival=ARRIVAL + 1).body_digest == first.body_digest
    assert decoded("baggage", BAGGAGE.replace("12A", "12B")).body_digest != first.body_digest
    assert decoded("baggage", BAGGAGE, headers=BINARY | {"ce_type": "other"}).body_digest != first.body_digest
    assert len(first.body_digest) == 8


def test_structured_mode_gives_the_same_events_as_binary_mode() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "test", "type": "paxtrail.test.received", "data": CHECKIN}
    structured = decoded("checkin", json.dumps(event), headers={"content-type": "application/cloudevents+json"})
    binary = decoded("checkin", json.dumps(CHECKIN))
    assert (structured.record_id, structured.body_digest) == (binary.record_id, binary.body_digest)
    assert structured.drafts == binary.drafts


@pytest.mark.parametrize(
    ("source", "body", "headers", "code"),
    [
        ("parcels", b"{}", BINARY, "unknown_source"),
        ("../flights", b"{}", BINARY, "unknown_source"),
        ("flights", b"", BINARY, "empty"),
        ("baggage", b" \r\n\t", BINARY, "empty"),
        ("booking", b" ", {"content-type": "application/cloudevents+json"}, "empty"),
        ("baggage", b"x" * (MAX_BODY + 1), BINARY, "too_large"),
        ("checkin", b" " * (MAX_BODY + 1), BINARY, "too_large"),
        ("checkin", SAMPLES["checkin"], {}, "missing_id"),
        ("checkin", SAMPLES["checkin"], BINARY | {"ce_id": ""}, "missing_id"),
        ("checkin", SAMPLES["checkin"], BINARY | {"ce_specversion": "0.3"}, "bad_envelope"),
        ("checkin", b'{"specversion":"1.0","id":"1","source":"s","type":"t"}', {"content-type": "application/cloudevents+json"}, "empty"),
        ("checkin", json.dumps(CHECKIN | {"event": "vanished"}).encode(), BINARY, "unknown_type"),
        ("loyalty", json.dumps(LOYALTY | {"event": "vanished"}).encode(), BINARY, "unknown_type"),
        ("booking", json.dumps(BOOKING | {"event": "vanished"}).encode(), BINARY, "unknown_type"),
        ("checkin", json.dumps(CHECKIN | {"at": "2099-01-01T00:00:00Z"}).encode(), BINARY, "from_the_future"),
        ("loyalty", json.dumps(LOYALTY | {"at": "2099-01-01T00:00:00Z"}).encode(), BINARY, "from_the_future"),
        ("booking", json.dumps(BOOKING | {"at": "2099-01-01T00:00:00Z"}).encode(), BINARY, "from_the_future"),
        ("reservations", json.dumps(RESERVATION | {"updated": "2099-01-01T00:00:00Z"}).encode(), BINARY, "from_the_future"),
        ("flights", SAMPLES["flights"].replace(b"2013-02-08T10:02:00Z", b"2099-01-01T00:00:00Z"), BINARY, "from_the_future"),
    ],
)
def test_a_record_is_refused_with_the_right_code(source: str, body: bytes, headers: dict[str, str], code: str) -> None:
    assert refused(source, body, headers=headers).code == code


@pytest.mark.parametrize("source", ["reservations", "checkin", "loyalty", "booking", "contacts"])
@pytest.mark.parametrize(
    "body",
    [
        b"{" * 500_000,
        b"[" * 1_000_000,
        b'{"a":' * 150_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"1e999",
    ],
    ids=["braces", "brackets", "objects", "deep member", "bytes", "null", "list", "text", "number"],
)
def test_deep_or_foreign_json_is_refused_by_every_json_source(source: str, body: bytes) -> None:
    assert refused(source, body).code != "decoder_fault"


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\udfff x", "x\\ud83d"])
@pytest.mark.parametrize(
    ("source", "member"),
    [("checkin", "seat"), ("loyalty", "tier"), ("booking", "session"), ("contacts", "channel"), ("checkin", "surname")],
)
def test_nul_and_half_surrogates_are_refused(source: str, member: str, text: str) -> None:
    sample = json.loads(SAMPLES[source])
    body = json.dumps(sample | {member: "@@"}).replace("@@", f"A{text}").encode()
    refusal = refused(source, body)
    assert refusal.code != "decoder_fault"
    assert not any(value in str(refusal) for value in PERSONAL)


def test_a_fault_of_a_decoder_refuses_its_record_and_says_no_more_than_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Envelope, __: bytes) -> list[Draft]:
        raise ValueError("SECRET")

    monkeypatch.setattr("paxtrail.core.decoding.decoder", lambda _: Decoder(1, broken, lambda natives: natives[0].encode()))
    refusal = refused("flights", b"x")
    assert refusal.code == "decoder_fault"
    assert "SECRET" not in str(refusal)
    assert refusal.__cause__ is None


@pytest.mark.parametrize(
    ("drafts", "code"),
    [
        ([], "no_events"),
        ([Draft("flight.leg_updated", ARRIVAL, {"colour": "red"}, "", Identifier("flight", "x"))], "undeclared_fact"),
        ([Draft("flight.leg_updated", ARRIVAL + 600_000_001, {}, "", Identifier("flight", "x"))], "from_the_future"),
        ([Draft("flight.leg_updated", ARRIVAL, {}, "", Identifier("flight", "x"))] * 0x10000, "too_many_events"),
    ],
)
def test_what_a_decoder_makes_is_checked(monkeypatch: pytest.MonkeyPatch, drafts: list[Draft], code: str) -> None:
    made = Decoder(1, lambda envelope, body: drafts, lambda natives: natives[0].encode())
    monkeypatch.setattr("paxtrail.core.decoding.decoder", lambda _: made)
    assert refused("flights", b"x").code == code


def test_a_decoders_module_is_imported_only_when_its_source_is_asked_for() -> None:
    with pytest.raises(KeyError):
        sources.decoder("schemas")


# --- whatever comes ---------------------------------------------------------------------------------------------------------------------
