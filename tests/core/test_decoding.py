"""The door's decoding as a whole: whatever comes in, drafts that fit their schemas or a Refusal come out, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import ARRIVAL, BINARY, data, decoded, record, refused, schemas

from paxtrail.core import sources
from paxtrail.core.decoding import MAX_BODY, Decoded, decode, event_id, record_id
from paxtrail.core.records import Draft, Envelope, Identifier
from paxtrail.core.sources import SOURCES, Decoder, decoder
from paxtrail.errors import Refusal

RESERVATION: dict[str, Any] = {
    "locator": "K7Q2ZP",
    "owner": "UA",
    "created": "2013-01-20T14:03:11Z",
    "version": 3,
    "updated": "2013-02-07T09:00:00Z",
    "status": "active",
    "pointOfSale": {"country": "US", "agency": {"iata": "05123456", "name": "Acme Travel"}},
    "contacts": [
        {"kind": "email", "value": "secret@b.com", "of": "passenger", "passenger": 1},
        {"kind": "phone", "value": "+12125550100", "of": "booker"},
        {"kind": "phone", "value": "+12125550199", "of": "agency"},
    ],
    "passengers": [
        {
            "ref": 1,
            "type": "ADT",
            "surname": "SECRETO",
            "given": "JUANITO",
            "title": "MR",
            "birthDate": "1970-01-02",
            "gender": "M",
            "language": "en",
            "residence": "US",
            "loyalty": {"airline": "UA", "number": "SE123456"},
            "document": {"type": "P", "number": "X1234567", "country": "US"},
        },
    ],
    "segments": [
        {
            "ref": 1,
            "airline": "UA",
            "number": "1545",
            "from": "EWR",
            "to": "IAH",
            "departs": "2013-02-08T05:15:00-05:00",
            "arrives": "2013-02-08T08:19:00-06:00",
            "class": "Y",
            "status": "HK",
        },
    ],
    "ssrs": [{"code": "VGML", "passenger": 1, "segment": 1, "status": "HK", "text": "SECRETTEXT"}],
    "tickets": [{"number": "0161234567890", "passenger": 1, "coupons": [{"segment": 1, "status": "O"}]}],
    "price": {"amount": "123.45", "currency": "USD"},
    "remarks": ["SECRETREMARK"],
}
CHECKIN: dict[str, Any] = {
    "event": "accepted",
    "locator": "K7Q2ZP",
    "surname": "SECRETO",
    "given": "JUANITO",
    "flight": {"airline": "UA", "number": "1545", "from": "EWR", "to": "IAH", "date": "2013-02-08"},
    "at": "2013-02-08T09:00:00Z",
    "sequence": 17,
    "seat": "12A",
    "cabin": "Y",
    "boardingNumber": 17,
    "channel": "kiosk",
    "bags": [{"tag": "0016123456", "weight": {"value": "23", "unit": "K"}}],
    "ticket": "0161234567890",
    "loyalty": {"airline": "UA", "number": "SE123456"},
}
LOYALTY: dict[str, Any] = {
    "event": "account_updated",
    "account": {"airline": "UA", "number": "SE123456"},
    "at": "2013-02-08T09:00:00Z",
    "sequence": 5,
    "status": "active",
    "tier": "GOLD",
    "tierExpires": "2013-12-31",
    "enrolled": "2010-05-01",
    "member": {
        "surname": "Secreto",
        "given": "Juanito",
        "birthDate": "1970-01-02",
        "gender": "M",
        "email": "secret@b.com",
        "emailVerified": True,
        "phone": "+12125550100",
        "residence": "US",
    },
    "preferences": {"seat": "aisle", "meal": "VGML", "language": "en"},
    "balance": 12345,
}
BOOKING: dict[str, Any] = {
    "event": "step",
    "session": "s-1",
    "device": "d-1",
    "customer": {"loyalty": {"airline": "UA", "number": "SE123456"}},
    "at": "2013-02-08T09:00:00Z",
    "channel": "web",
    "step": "payment",
    "origin": "EWR",
    "destination": "LAX",
    "departs": "2013-03-01",
    "locator": "K7Q2ZP",
    "price": {"amount": "123.45", "currency": "USD"},
}
BAGGAGE = "BSM\n.V/1LEWR\n.F/UA1545/08FEB/IAH/Y\n.N/0016123456002\n.S/Y/12A/C/017\n.W/K/2/38\n.P/SECRETO/JUANITO\n.L/K7Q2ZP\nENDBSM"
SAMPLES = {
    "flights": data("flights/delayed.xml"),
    "baggage": BAGGAGE.encode(),
    "reservations": json.dumps(RESERVATION).encode(),
    "checkin": json.dumps(CHECKIN).encode(),
    "loyalty": json.dumps(LOYALTY).encode(),
    "booking": json.dumps(BOOKING).encode(),
}
PERSONAL = ("SECRET", "JUANITO", "SE123456", "X1234567", "12125550", "K7Q2ZP", "0161234567890", "1970-01-02")


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


@pytest.mark.parametrize("source", ["reservations", "checkin", "loyalty", "booking"])
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
@pytest.mark.parametrize(("source", "member"), [("checkin", "seat"), ("loyalty", "tier"), ("booking", "session"), ("checkin", "surname")])
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


def outcome(source: str, body: bytes, headers: dict[str, str] | None = None) -> Decoded | None:
    """Decodes and holds the door to its promise: nothing but a Refusal, never the decoder's fault, no personal value in a reason."""
    try:
        return decode(record(source, body, headers=headers), schemas())
    except Refusal as caught:
        refusal = caught
    assert refusal.code != "decoder_fault", refusal.reason
    told = f"{refusal} {refusal.reason} {refusal.at}".upper()
    assert not any(value in told for value in PERSONAL)
    return None


@given(source=st.sampled_from(SOURCES), body=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_decoded(source: str, body: bytes) -> None:
    outcome(source, body)


TOKENS = (
    b"<",
    b">",
    b"/>",
    b"<!DOCTYPE a>",
    b"<![CDATA[",
    b"&amp;",
    b"&x;",
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"/",
    b".",
    b".N/0016123456999",
    b".F/",
    b".J/R///08FEB/9999L",
    b"ENDBSM",
    b"BPM\n",
    b"DEL\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"1e400",
    b"-0",
    b"9" * 40,
    b'"\\ud800"',
    b"\\u0000",
    b"true",
    "ß€İ\u202e\ufeff".encode(),
    b"sealed:name:x",
    b"2013-02-30",
    b"0001-01-01T00:00:00Z",
    b"9999-12-31T23:59:59-23:59",
    b"08FEB",
    b"29FEB",
    b'{"text":"',
)
EDITS = st.lists(
    st.tuples(st.sampled_from(("cut", "put", "copy", "flip")), st.floats(0, 1), st.floats(0, 0.2), st.sampled_from(TOKENS)),
    min_size=1,
    max_size=4,
)


def edited(body: bytes, edits: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, where, length, token in edits:
        start = int(where * len(body))
        end = min(len(body), start + int(length * len(body)) + 1)
        if kind == "cut":
            body = body[:start] + body[end:]
        elif kind == "put":
            body = body[:start] + token + body[end if length > 0.1 else start :]
        elif kind == "copy":
            body = body[:end] + body[start:end] + body[end:]
        elif start < len(body):
            body = body[:start] + bytes([body[start] ^ (1 << int(length * 35) % 8)]) + body[start + 1 :]
    return body


@given(source=st.sampled_from(SOURCES), edits=EDITS)
def test_samples_with_random_edits_are_refused_or_decoded_and_can_be_put_together_again(
    source: str, edits: list[tuple[str, float, float, bytes]]
) -> None:
    result = outcome(source, edited(SAMPLES[source], edits))
    if result is not None:
        again = outcome(source, decoder(source).assemble([draft.native for draft in result.drafts]))
        assert again is not None
        assert again.drafts == result.drafts


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "0", "UA", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(
    source=st.sampled_from(["reservations", "checkin", "loyalty", "booking"]),
    where=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    value=JSON_VALUES,
)
def test_any_json_value_in_any_place_is_refused_or_decoded(source: str, where: list[int], value: Any) -> None:
    sample = json.loads(SAMPLES[source])
    node: Any = sample
    for step in where:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[step % len(keys)]
        if not isinstance(node[key], (dict, list)) or not node[key] or step is where[-1]:
            node[key] = value
            break
        node = node[key]
    outcome(source, json.dumps(sample).encode())


@given(
    headers=st.dictionaries(
        st.sampled_from([*BINARY, "ce_time", "ce_x", "ce-id", "ce_X", "content-type", "x"]),
        st.text(max_size=12)
        | st.sampled_from(["1.0", "application/cloudevents+json", "application/cloudevents", "2013-02-08T10:00:00Z", "\ud800", "%"]),
        max_size=8,
    )
)
def test_any_headers_are_refused_or_read(headers: dict[str, str]) -> None:
    outcome("baggage", SAMPLES["baggage"], headers)
    outcome("booking", SAMPLES["booking"], headers)


@given(
    members=st.dictionaries(
        st.sampled_from(["specversion", "id", "source", "type", "time", "data", "data_base64", "datacontenttype", "x"]),
        JSON_VALUES,
        max_size=9,
    )
)
def test_any_structured_envelope_is_refused_or_read(members: dict[str, Any]) -> None:
    whole = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": BOOKING} | members
    for event in (members, whole):
        outcome("booking", json.dumps(event).encode(), {"content-type": "application/cloudevents+json"})


def test_records_that_differ_in_source_have_different_ids() -> None:
    one = record("flights", SAMPLES["flights"])
    with pytest.raises(Refusal):
        decode(replace(one, source="baggage"), schemas())
    assert record_id("flights", "a", "b") != record_id("baggage", "a", "b")
