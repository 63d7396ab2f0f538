"""Whatever bytes, JSON, headers or envelopes come in, drafts or a Refusal come out, and no reason repeats a personal value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.every_source import BOOKING, PERSONAL, SAMPLES
from tests.core.samples import BINARY, record, schemas

from paxtrail.core.decoding import Decoded, decode, record_id
from paxtrail.core.sources import SOURCES, decoder
from paxtrail.errors import Refusal


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
    source=st.sampled_from(["reservations", "checkin", "loyalty", "booking", "contacts"]),
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
