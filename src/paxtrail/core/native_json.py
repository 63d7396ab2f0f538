"""What the JSON sources have in common: members read into checked types, refusals that name the place and never the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from paxtrail.core import normalise
from paxtrail.core.records import Envelope, Json
from paxtrail.errors import Refusal

Text = Annotated[str, Meta(max_length=10_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Ref = Annotated[int, Meta(ge=1, le=9999)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class Airline(str):
    """Designator in capitals."""


class Airport(str):
    """IATA code in capitals."""


class Number(str):
    """Flight number with suffix, if any, without leading zeros."""


class Locator(str):
    """Record locator in capitals."""


class Tag(str):
    """Ten-digit licence plate."""


class Ticket(str):
    """Thirteen digits."""


class Day(str):
    """ISO date."""


class Country(str):
    """Country code of two or three letters in capitals, passport oddities (D, GBD, UNK) included."""


class Subdivision(str):
    """ISO 3166-2 in capitals: US-CA."""


class Code(str):
    """Code of a reservation system in capitals: SSR, status, booking class."""


class Reference(str):
    """Id that another system gave: letters, digits and . _ : / -, at most 64."""


class Word(str):
    """Short text without control characters: what may stand in clear."""


class Amount(str):
    """Decimal text, at most 18 digits before and 9 after the point."""


class Instant(int):
    """µs UTC; `local_day` is the day on the clock it was written for."""

    local_day: str


class Native(msgspec.Struct, rename="camel", frozen=True):
    """A JSON object as its system writes it; members we do not know stay in the native part."""


class Membership(Native, frozen=True):
    airline: Airline
    number: Name


class Account(Native, frozen=True):
    """An account at an identity provider."""

    issuer: Name
    subject: Name


class Document(Native, frozen=True):
    number: Name
    type: Word = Word("P")
    country: Country | UnsetType | None = UNSET
    expires: Day | UnsetType | None = UNSET


class Price(Native, frozen=True):
    amount: Amount
    currency: Code


def _number(text: str) -> Number:
    return Number("".join(normalise.flight_number(text)))


def _instant(text: str) -> Instant:
    instant = Instant(normalise.timestamp(text))
    instant.local_day = text[:10]
    return instant


def _matching(kind: type[str], pattern: str, what: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(what)
        return kind(text)

    return parse


def _capitals(kind: type[str], pattern: str, what: str) -> Callable[[str], str]:
    parse = _matching(kind, pattern, what)
    return lambda text: parse(text.strip().upper())


_PARSERS: dict[type, Callable[[str], Any]] = {
    Airline: lambda text: Airline(normalise.airline(text)),
    Airport: lambda text: Airport(normalise.airport(text)),
    Number: _number,
    Locator: lambda text: Locator(normalise.locator(text)),
    Tag: lambda text: Tag(normalise.bag_tag(text)),
    Ticket: lambda text: Ticket(normalise.ticket(text)),
    Day: lambda text: Day(normalise.iso_date(text)),
    Country: _capitals(Country, r"[A-Z]{1,3}", "not a country code"),
    Subdivision: _capitals(Subdivision, r"[A-Z]{2}-[A-Z0-9]{1,3}", "not an ISO 3166-2 code"),
    Code: _capitals(Code, r"[A-Z0-9]{1,8}", "not a code of letters and digits"),
    Reference: _matching(Reference, r"[A-Za-z0-9._:/-]{1,64}", "not an id of letters, digits and . _ : / -"),
    Word: _matching(Word, r"[^\x00-\x1f\x7f-\x9f]{0,200}", "too long or with control characters"),
    Amount: _matching(Amount, r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?", 'not an amount like "12.30"'),
    Instant: _instant,
}
# Whole numbers are harmless spellings of these; anything else must be text.
_NUMERIC = (Number, Amount, Tag, Ticket)


def _hook(kind: type, value: object) -> object:
    if type(value) is int and kind in _NUMERIC:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("not text")
    return _PARSERS[kind](value)


def reader(kind: Any) -> Callable[[bytes], Any]:
    """A function from a record's body to a checked `kind`; it raises Refusal with `bad_encoding`, `bad_json`, `json_depth`,
    `missing_field`, `bad_field` or `unknown_type`, the JSON path, and no value."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind, dec_hook=_hook)

    def read(body: bytes) -> Any:
        try:
            body.decode("utf-8")
            return decoder.decode(body)
        except UnicodeDecodeError:
            raise Refusal("bad_encoding", "JSON is UTF-8") from None
        except RecursionError:
            raise Refusal("json_depth", "nested too deep") from None
        except msgspec.ValidationError as error:
            raise _refusal(str(error)) from None
        except msgspec.DecodeError:
            raise Refusal("bad_json", "not one well-formed JSON value") from None

    return read


_PLACE = re.compile(r" - at `(?P<key>key in )?(?P<path>\$[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `([A-Za-z]+)`")
# Of msgspec's own reasons only these are repeated: they speak of types and limits, the others may quote the value.
_QUOTABLE = re.compile(r"Expected `[^`']+`(?: of length [<>=]+ \d+| [<>=]+ -?\d+|, got `[a-z|]+`)?")


def _refusal(message: str) -> Refusal:
    place = _PLACE.search(message)
    at = place["path"] if place else "$"
    what = message[: place.start()] if place else message
    if missing := _MISSING.fullmatch(what):
        return Refusal("missing_field", "a required member is missing", f"{at}.{missing[1]}")
    if at == "$.event":
        return Refusal("unknown_type", "no event of this source", at)
    if what in _REASONS:
        return Refusal("bad_field", what, at)
    return Refusal("bad_field", what if _QUOTABLE.fullmatch(what) else "not an allowed value", at)


_REASONS = frozenset(
    (
        "not an airline designator",
        "not an airport code",
        "not a flight number",
        "not a record locator",
        "not a ten-digit bag tag",
        "not a ticket number",
        "not a date YYYY-MM-DD",
        "not a day of the calendar",
        "not a country code",
        "not an ISO 3166-2 code",
        "not a code of letters and digits",
        "not an id of letters, digits and . _ : / -",
        "too long or with control characters",
        'not an amount like "12.30"',
        "not an RFC 3339 time with offset",
        "not text",
    )
)


def require(present: bool, at: str) -> None:
    """Refuses a record that lacks a member which this event needs."""
    if not present:
        raise Refusal("missing_field", "this event needs the member", at)


def said(facts: Mapping[str, Any]) -> dict[str, Json]:
    """Facts without what was not said (UNSET); empty text becomes null, our own text and number types become plain ones."""
    return {name: _plain(value) for name, value in facts.items() if value is not UNSET}


def _plain(value: Any) -> Json:
    if isinstance(value, str):
        return str.__str__(value) or None
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return said(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def given(value: Any) -> bool:
    """Whether a member was there with content."""
    return value is not UNSET and value is not None and value != ""


def leg_facts(airline: str, number: str, origin_date: str, departure: str) -> dict[str, Any]:
    """Facts that name a leg: leg, airline, number, suffix (if any), origin_date, departure."""
    digits, suffix = normalise.flight_number(number)
    key = normalise.leg_key(airline, digits, origin_date, departure, suffix)
    names: dict[str, Any] = {"leg": key, "airline": airline, "number": digits, "origin_date": origin_date, "departure": departure}
    return names | ({"suffix": suffix} if suffix else {})


def loyalty_facts(membership: Membership | UnsetType | None) -> dict[str, Any]:
    """The facts `loyalty_airline` and `loyalty_number` of a membership; none where there is none."""
    if not isinstance(membership, Membership):
        return {}
    return {"loyalty_airline": membership.airline, "loyalty_number": membership.number}


def document_facts(document: Document | UnsetType | None) -> Any:
    """The `document` fact: an object, null, or UNSET."""
    if not isinstance(document, Document):
        return document
    return {"type": document.type, "number": document.number, "country": document.country, "expires": document.expires}


def price_facts(price: Price | UnsetType | None) -> Any:
    """The `price` fact: an object, null, or UNSET."""
    return {"amount": price.amount, "currency": price.currency} if isinstance(price, Price) else price


def kilograms(value: str, unit: str) -> str:
    """Decimal text in kilograms to a tenth; `unit` K or L (pounds)."""
    amount = Decimal(value) * (Decimal("0.45359237") if unit == "L" else 1)
    rounded = amount.quantize(Decimal("0.1"))
    return format(rounded.to_integral() if rounded == rounded.to_integral() else rounded, "f")


def phone_fact(text: Any, region: str | None) -> Any:
    """A phone number in E.164 if it can be read, else as written; null and UNSET as they are."""
    return (normalise.phone(text, region) or text) if isinstance(text, str) else text


def controller(envelope: Envelope) -> str:
    """Which airline of the group the record belongs to, "" if it does not say."""
    return envelope.extra.get("controller", "")


def region(envelope: Envelope, residence: Any) -> str:
    """Residency of the person: what the record says of them, else what its envelope says, else ""."""
    return str.__str__(residence) if given(residence) else envelope.extra.get("region", "")
