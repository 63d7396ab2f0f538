"""Records that no door should let in, each with the code it has to be refused with, and bodies that contradict an earlier one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from paxtrail.simulator.messages import Message

BROKEN = "-broken"
"""How the ids of broken records end."""
FAR = "2099-06-01T12:00:00Z"
_MOMENT_OF = {"reservations": "updated", "checkin": "at", "loyalty": "at", "booking": "at", "contacts": "at"}
_NEEDED = {"reservations": "locator", "checkin": "surname", "loyalty": "account", "booking": "at", "contacts": "contact"}
_TEXT = {"reservations": "version", "checkin": "sequence", "loyalty": "sequence", "booking": "session", "contacts": "sequence"}
"""A member whose type is spoilt by an object in its place."""

Wreck = tuple[str, Callable[[Message], Message]]


def broken(message: Message, rng: Random) -> tuple[str, Message]:
    """(refusal code, record): `message` under an id of its own, spoilt in one of the ways its format knows."""
    spoilt = message._replace(headers=message.headers | {"ce_id": message.headers["ce_id"] + BROKEN})
    code, wreck = rng.choice(ways(message.source))
    return code, wreck(spoilt)


def ways(source: str) -> tuple[Wreck, ...]:
    """Every way to break a message of the source, each with its refusal code."""
    return {"flights": _XML, "baggage": _TYPE_B}.get(source, _JSON)


def contradicted(body: bytes, source: str) -> bytes:
    """Another valid body for the same id: what a source sends that corrects without a new id."""
    if source == "flights":
        return body.replace(b' CorrelationID="', b' CorrelationID="c', 1)
    if source == "baggage":
        return re.sub(rb"\r\nEND", b"\r\n.R/CORRECTED\r\nEND", body, count=1)
    return body[:-1] + b',"correction":true}'


def _rewritten(pattern: bytes, by: bytes) -> Callable[[Message], Message]:
    return lambda message: message._replace(body=re.sub(pattern, by, message.body))


def _cut(message: Message) -> Message:
    return message._replace(body=message.body[: len(message.body) * 2 // 3])


def _emptied(message: Message) -> Message:
    return message._replace(body=b" ")


def _nameless(message: Message) -> Message:
    return message._replace(headers={name: value for name, value in message.headers.items() if name != "ce_id"})


def _late_clock(message: Message) -> Message:
    return message._replace(headers=message.headers | {"ce_time": FAR})


def _json(change: Callable[[dict[str, Any], str], None]) -> Callable[[Message], Message]:
    def wreck(message: Message) -> Message:
        native = json.loads(message.body)
        change(native, message.source)
        return message._replace(body=json.dumps(native, separators=(",", ":")).encode())

    return wreck


def _put_far(native: dict[str, Any], source: str) -> None:
    native[_MOMENT_OF[source]] = FAR


def _put_object(native: dict[str, Any], source: str) -> None:
    native[_TEXT[source]] = {"a": [1]}


def _leave_out(native: dict[str, Any], source: str) -> None:
    del native[_NEEDED[source]]


_XML: tuple[Wreck, ...] = (
    ("bad_xml", _cut),
    ("xml_doctype", _rewritten(rb"<IATA_AIDX", b'<!DOCTYPE x [<!ENTITY a "b">]><IATA_AIDX')),
    ("missing_leg", _rewritten(rb"<FlightNumber>[^<]*</FlightNumber>", b"")),
    ("unknown_type", _rewritten(rb"IATA_AIDX_FlightLegNotifRQ", b"IATA_AIDX_FlightLegRQ")),
    ("from_the_future", _rewritten(rb'TimeStamp="[^"]*"', f'TimeStamp="{FAR}"'.encode())),
    ("empty", _emptied),
    ("missing_id", _nameless),
)
_TYPE_B: tuple[Wreck, ...] = (
    ("truncated", _rewritten(rb"END[A-Z]{3}\r\n", b"")),
    ("missing_tag", _rewritten(rb"\.N/[0-9]*\r\n", b"")),
    ("bad_tag", _rewritten(rb"\.N/([0-9]{9})[0-9]*", rb".N/\1")),
    ("unknown_type", _rewritten(rb"(?:BSM|BPM|BTM|BUM|BNS)\r\n", b"BCM\r\n")),
    ("from_the_future", _late_clock),
    ("empty", _emptied),
    ("missing_id", _nameless),
)
_JSON: tuple[Wreck, ...] = (
    ("bad_json", _cut),
    ("bad_field", _json(_put_object)),
    ("missing_field", _json(_leave_out)),
    ("from_the_future", _json(_put_far)),
    ("empty", _emptied),
    ("missing_id", _nameless),
)
