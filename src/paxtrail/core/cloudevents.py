"""Records opened as CloudEvents 1.0: binary mode (attributes in headers) and structured mode (one JSON object)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import msgspec

from paxtrail.core.normalise import timestamp
from paxtrail.core.records import Envelope, Json, Record
from paxtrail.core.schemas import EARLIEST, LATEST
from paxtrail.errors import Refusal

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_MEDIA = "application/cloudevents"
_REQUIRED = ("specversion", "id", "source", "type")
_NAME = re.compile(r"[a-z0-9]+")
_JSON_MEDIA = re.compile(r"[^/]+/(?:[^;]+\+)?json", re.IGNORECASE)
# CloudEvents 1.0 §3.1: no control characters, no halves of surrogate pairs, no non-characters in attribute values.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_MAX_ATTRIBUTE = 4096
_TRACEPARENT = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def open_record(record: Record) -> tuple[Envelope, bytes]:
    """Envelope and data of a record; Refusal with `missing_id` or `bad_envelope` if it is no CloudEvent 1.0.

    A record whose content type is application/cloudevents+json is in structured mode, any other in binary mode. Header names are
    `ce_id` (Kafka) or `ce-id` (HTTP, percent-encoded values).
    """
    media = record.headers.get("content-type", "")
    if media.strip().lower().startswith(_MEDIA):
        if media.split(";")[0].strip().lower() != STRUCTURED:
            raise Refusal("bad_envelope", f"of structured CloudEvents only {STRUCTURED} is read", "content-type")
        attributes, data = _structured(record.body)
    else:
        attributes, data = _binary(record.headers), record.body
    return _envelope(attributes, record.arrival), data


def batch(body: bytes) -> list[bytes]:
    """The events of a body in batched mode (JSON batch format), each a CloudEvent in structured mode; there may be none."""
    try:
        return [bytes(event) for event in msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Refusal("bad_envelope", "a batch is a JSON array of CloudEvents", "body") from None


def from_http(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers of the HTTP binding in binary mode as those of the Kafka binding: `ce-id` becomes `ce_id`, its value decoded.

    Values are unquoted (RFC 9110 §5.6.4) and percent-decoded once, as the HTTP binding 1.0 §3.1.3.2 wants it. Refusal `bad_envelope` if a
    value is no UTF-8 or an attribute is given twice with different values.
    """
    found: dict[str, str] = {}
    for raw_name, raw in headers:
        name = raw_name.decode("latin-1").lower()
        if name != "content-type" and not name.startswith("ce-"):
            continue
        try:
            value = raw.decode()
            if name != "content-type":
                value = unquote(_unquoted(value), errors="strict")
        except UnicodeError:
            raise Refusal("bad_envelope", "an attribute is no UTF-8", name[3:67]) from None
        if found.setdefault(name.replace("ce-", "ce_", 1), value) != value:
            raise Refusal("bad_envelope", "an attribute is given twice with different values", name[3:67])
    return found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value


def identity(record: Record) -> tuple[str, str] | None:
    """CloudEvents source and id of a record that has them; None if it is no CloudEvent."""
    try:
        envelope, _ = open_record(record)
    except Refusal:
        return None
    return envelope.source, envelope.id


def sequence(envelope: Envelope) -> int:
    """The extension `sequence` as a number, 0 if there is none or it is no number of 64 bits."""
    text = envelope.extra.get("sequence", "")
    return number if text.isascii() and text.isdecimal() and len(text) < 20 and (number := int(text)) < 2**63 else 0


def traceparent(text: str | None) -> str | None:
    """The text if it is a `traceparent` of W3C Trace Context 1 (§3.2), else None: whatever else a sender wrote there stays out."""
    return text if text and _TRACEPARENT.fullmatch(text) else None


def trace_header(record: Record) -> str:
    """Where a record's trace context is written: the extension `traceparent` in binary mode; in structured mode, whose attributes are in
    the body, the header of the message."""
    return "traceparent" if record.headers.get("content-type", "").strip().lower().startswith(_MEDIA) else "ce_traceparent"


def is_structured(value: Json) -> bool:
    """Whether a JSON value looks like a CloudEvent in structured mode."""
    return isinstance(value, dict) and "specversion" in value


def _envelope(attributes: dict[str, str], arrival: int) -> Envelope:
    for name, value in attributes.items():
        if len(value) > _MAX_ATTRIBUTE or _FORBIDDEN.search(value):
            raise Refusal("bad_envelope", "an attribute is too long or holds a forbidden character", name[:64])
    if not attributes.get("id"):
        raise Refusal("missing_id", "a CloudEvent needs an id", "id")
    for name in _REQUIRED:
        if not attributes.get(name):
            raise Refusal("bad_envelope", f"a CloudEvent needs {name}", name)
    if attributes["specversion"] != "1.0":
        raise Refusal("bad_envelope", "only CloudEvents 1.0 is read", "specversion")
    time = _time(attributes["time"]) if "time" in attributes else None
    extra = {name: value for name, value in attributes.items() if name not in (*_REQUIRED, "time")}
    return Envelope(attributes["id"], attributes["source"], attributes["type"], time, arrival, extra)


def _time(text: str) -> int:
    try:
        instant = timestamp(text)
    except ValueError:
        raise Refusal("bad_envelope", "time must be an RFC 3339 time with offset", "time") from None
    if not EARLIEST <= instant < LATEST:
        raise Refusal("time_range", "a time must lie in the years 1970 to 2100", "time")
    return instant


def _binary(headers: Mapping[str, str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for header, value in headers.items():
        if header.startswith(("ce_", "ce-")):
            name = header[3:]
            if not _NAME.fullmatch(name):
                raise Refusal("bad_envelope", "an attribute's name has letters and digits only", "headers")
            text = unquote(value) if header[2] == "-" else value
            if attributes.setdefault(name, text) != text:
                raise Refusal("bad_envelope", "an attribute is given twice with different values", name[:64])
    if media := headers.get("content-type"):
        attributes["datacontenttype"] = media
    return attributes


def _structured(body: bytes) -> tuple[dict[str, str], bytes]:
    try:
        body.decode("utf-8")
        members = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
        values = {name: msgspec.json.decode(raw) for name, raw in members.items() if name not in ("data", "data_base64")}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Refusal("bad_envelope", "the structured CloudEvent is no JSON object", "body") from None
    attributes: dict[str, str] = {}
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise Refusal("bad_envelope", "an attribute's name has lower-case letters and digits only", "body")
        if value is not None:
            attributes[name] = _attribute(name, value)
    return attributes, _data(members, attributes.get("datacontenttype"))


def _attribute(name: str, value: Json) -> str:
    if isinstance(value, str) and value:
        return value
    if name not in (*_REQUIRED, "time", "datacontenttype", "dataschema", "subject"):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int) and -(2**31) <= value < 2**31:
            return str(value)
    if name == "id":
        raise Refusal("missing_id", "a CloudEvent's id is a text with content", "id")
    raise Refusal("bad_envelope", "an attribute is a text with content (extensions also integers and booleans)", name[:64])


def _data(members: dict[str, msgspec.Raw], media: str | None) -> bytes:
    """The data as bytes: JSON data as written (numbers keep every digit), text of another media type as UTF-8, base64 decoded."""
    raw = bytes(members.get("data", b""))
    encoded = bytes(members.get("data_base64", b""))
    if raw and encoded not in (b"", b"null"):
        raise Refusal("bad_envelope", "data and data_base64 exclude each other", "data")
    try:
        if encoded not in (b"", b"null"):
            return b64decode(msgspec.json.decode(encoded, type=str), validate=True)
        if raw:
            value = msgspec.json.decode(raw)
            if isinstance(value, str) and (media is None or not _JSON_MEDIA.fullmatch(media.split(";")[0].strip())):
                return value.encode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refusal("bad_envelope", "the data cannot be read", "data") from None
    return raw
