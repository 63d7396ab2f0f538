"""Baggage messages: IATA RP 1745 (BSM, BPM, BTM, BUM, BNS); one event per licence plate. Described in docs/formats.md.

Custody follows the points of IATA Resolution 753 (acceptance, loading, transfer, return to the passenger). Which element says what, and
the order in which elements decide when several are there (DEL, .B, .U, .X, .J), is Avinor's published mapping of RP 1745, but .J/R
goes before .X, because a loading scan may repeat the screening result:

    DEL of BSM/BTM → cancelled · BNS or .B/UNS → not_seen · BUM or .B/OFF → offloaded · .B/NAL → loaded · .B/OND, .B/ONA → on_hand
    BPM: source X with .J/D → delivered, source X → arrived · .U or .J/R (reconciled on loading) → loaded · result in .X → screened ·
    else sorted
    BTM → transfer · BSM with RUSH or a rush tag → rushed · BSM from T → transfer, from L or R → accepted · BSM CHG or from X → nothing
"""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

import msgspec

from paxtrail.core.airports import zone
from paxtrail.core.cloudevents import sequence
from paxtrail.core.normalise import flight, given_key, leg_key, name_key, surname_key
from paxtrail.core.normalise import locator as normal_locator
from paxtrail.core.records import Draft, Entity, Envelope, Identifier, Json, Relation
from paxtrail.core.sources.baggage_typeb import Element, Group, Tag, read
from paxtrail.errors import Refusal

VERSION = 1

_EVENTS = {
    "BSM": "bag.sourced",
    "BPM": "bag.processed",
    "BTM": "bag.transferred",
    "BUM": "bag.unloaded",
    "BNS": "bag.not_seen",
}
_IRREGULAR = {"UNS": "not_seen", "OFF": "offloaded", "NAL": "loaded", "OND": "on_hand", "ONA": "on_hand"}
_SCREENED = ("CLR", "REJ", "UCL")
# RP 1740c: the first digit of a licence plate.
_TAG_KINDS = {"0": "interline", "1": "fallback", "2": "rush"}

_VERSION_FIELD = re.compile(r"1([LTXR])([A-Z]{3})")
_DATE = re.compile(r"([0-9]{1,2})(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})?([LZ]?)")
_AMOUNT = re.compile(r"([0-9]{1,4})(?:\.[0-9]{1,2})?")
_NAME = re.compile(r"([0-9]{1,3})?(.*)")
_SHORT = re.compile(r"[A-Za-z0-9 ._:+()-]{1,64}")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_POUND = 0.45359237


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One event for each licence plate of the record's messages."""
    return [draft for group in read(_text(body)) for draft in _drafts(group, envelope)]


def assemble(natives: list[str]) -> bytes:
    """The groups of all parts as messages one after the other; parts of the same group are the same text and stand there once."""
    messages: list[str] = []
    left = 0
    for native in natives:
        if left and messages[-1] == native:
            left -= 1
            continue
        messages.append(native)
        left = sum(len(group.tags) for group in read(native)) - 1
    return "\n".join(messages).encode()


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
        if text.lstrip().startswith("{"):
            text = msgspec.json.decode(text, type=_Wrapped).text
    except UnicodeError:
        raise Refusal("bad_encoding", "Type B text is ASCII (UTF-8 at most)", "body") from None
    except (msgspec.MsgspecError, RecursionError):
        raise Refusal("bad_json", 'JSON of a baggage message is an object with the member "text"', "body") from None
    return text


class _Wrapped(msgspec.Struct):
    text: str


def _drafts(group: Group, envelope: Envelope) -> list[Draft]:
    received = envelope.arrival if envelope.time is None else envelope.time
    facts, leg, inbound = _facts(group, received)
    event_time = facts.get("at", received)
    station_leg = inbound if facts["source_indicator"] == "X" else leg
    day = (_EPOCH + dt.timedelta(microseconds=event_time)).date().isoformat()
    people, locator = _people(group), facts.get("locator")
    if people:
        facts |= {name: value for name, value in zip(("surname", "given"), people[0], strict=True) if value}
        if people[1:]:
            facts["others"] = [{"surname": surname, "given": given} for surname, given in people[1:]]
    journeys = [
        Entity("journey", Identifier("journey", f"{station_leg}|{locator}|{name_key(surname, given)}"))
        for surname, given in people
        if station_leg and locator and surname_key(surname) and given_key(given)
    ]
    drafts = []
    for tag in group.tags:
        bag = Entity("bag", tag.number)
        # A rushed bag flies without its passenger: the leg of its message is nobody's journey.
        carried = [] if _is_rushed(tag, facts) else journeys
        relations = [Relation(journey, "carries", bag) for journey in carried]
        relations += [Relation(journey, "on", Entity("flight", station_leg)) for journey in carried if station_leg]
        drafts.append(
            Draft(
                type=_EVENTS[group.type],
                event_time=event_time,
                facts=facts | _tag_facts(group, tag, facts),
                native=group.text,
                owner=Identifier("bag", f"{tag.number}|{leg or inbound or day}"),
                entities=(bag, *carried),
                relations=tuple(relations),
                source_sequence=sequence(envelope),
                controller=envelope.extra.get("controller", ""),
                region=envelope.extra.get("region", ""),
            )
        )
    return drafts


def _tag_facts(group: Group, tag: Tag, facts: dict[str, Json]) -> dict[str, Json]:
    own: dict[str, Json] = {"tag": tag.number, "tag_kind": _TAG_KINDS.get(tag.number[0], "other"), "tag_issuer": tag.number[1:4]}
    if tag.irregularity:
        own["irregularity"] = tag.irregularity
    if custody := _custody(group, tag, facts):
        own["custody"] = custody
    return own


def _custody(group: Group, tag: Tag, facts: dict[str, Json]) -> str | None:
    source, code = facts["source_indicator"], facts.get("processing", "")
    if group.action == "DEL":
        return "cancelled" if group.type in ("BSM", "BTM") else None
    if group.type == "BNS":
        return "not_seen"
    if group.type == "BUM":
        return "offloaded"
    if tag.irregularity in _IRREGULAR:
        return _IRREGULAR[tag.irregularity]
    if group.type == "BPM":
        if source == "X":
            return "delivered" if code == "D" else "arrived"
        if "container" in facts or "compartment" in facts or code == "R":
            return "loaded"
        return "screened" if facts.get("screening") in _SCREENED else "sorted"
    if group.type == "BTM":
        return "transfer"
    if group.action or source == "X":
        return None
    if _is_rushed(tag, facts):
        return "rushed"
    return "transfer" if source == "T" else "accepted"


def _is_rushed(tag: Tag, facts: dict[str, Json]) -> bool:
    return "RUSH" in facts.get("exceptions", ()) or tag.number[0] == "2"


def _facts(group: Group, received: int) -> tuple[dict[str, Json], str | None, str | None]:
    """Facts all tags of a group share, the outbound leg's key and the inbound leg's key."""
    source, station = _version(group)
    facts: dict[str, Json] = {"action": group.action or "NEW", "station": station, "source_indicator": source}
    _processing(group.last("J"), station, received, facts)
    near = facts.get("at", received)
    leg = _outbound(group.last("F"), station, near, facts)
    inbound = _inbound(group.last("I"), near)
    if inbound:
        facts["inbound_leg"] = inbound
    if onward := ["/".join(element.fields) for element in group.all("O")]:
        facts["onward"] = onward
    names = ("authority_to_load", "seat", "passenger_status", "sequence_number", "security_number")
    _copy(facts, group.last("S"), names)
    _copy(facts, group.last("U"), ("container", "compartment"))
    if (x := group.last("X")) and (result := x.get(1) or x.get(0)):
        facts["screening"] = _short(result, x)
    if exceptions := [_short(code.strip(), element) for element in group.all("E") for code in element.fields if code.strip()]:
        facts["exceptions"] = exceptions
    if locator := _locator(group.last("L")):
        facts["locator"] = locator
    _weight(group.last("W"), facts)
    facts["bag_count"] = facts.get("pieces", len(group.tags))
    return facts, leg, inbound


def _version(group: Group) -> tuple[str, str]:
    element = group.last("V")
    match = _VERSION_FIELD.fullmatch(element.get(0)) if element else None
    if not match or not element:
        raise Refusal("bad_element", ".V is version 1, a source L, T, X or R, and an airport", element.at if element else "")
    return match[1], match[2]


def _outbound(element: Element | None, station: str, received: int, facts: dict[str, Json]) -> str | None:
    if element is None:
        return None
    carrier, number, suffix = _flight(element)
    facts |= {"airline": carrier, "number": number}
    if suffix:
        facts["suffix"] = suffix
    _copy(facts, element, ("", "", "destination", "class"))
    if not element.get(1):
        return None
    date = _date(element.get(1), received, element).isoformat()
    facts["flight_date"] = date
    facts["leg"] = leg = leg_key(carrier, number, date, station, suffix)
    return leg


def _inbound(element: Element | None, received: int) -> str | None:
    if element is None:
        return None
    carrier, number, suffix = _flight(element)
    if not element.get(1) or not element.get(2):
        return None
    try:
        return leg_key(carrier, number, _date(element.get(1), received, element).isoformat(), element.get(2), suffix)
    except ValueError:
        raise Refusal("bad_element", ".I names the airport the flight comes from", element.at) from None


def _flight(element: Element) -> tuple[str, str, str]:
    try:
        return flight(element.get(0))
    except ValueError as error:
        raise Refusal("bad_element", f".{element.letter}: {error}", element.at) from None


def _processing(element: Element | None, station: str, received: int, facts: dict[str, Json]) -> None:
    """.J/<code>/<agent>/<device>/<date>/<time>/<location>: the agent is a person at work and stays in native."""
    if element is None:
        return
    _copy(facts, element, ("processing", "", "device", "", "", "location"))
    if element.get(3) and element.get(4) and (at := _instant(element, station, received)) is not None:
        facts["at"] = at


def _instant(element: Element, station: str, received: int) -> int | None:
    date, match = _date(element.get(3), received, element, happened=True), _TIME.fullmatch(element.get(4))
    try:
        clock = dt.time(int(match[1]), int(match[2]), int(match[3] or 0)) if match else None
    except ValueError:
        clock = None
    if clock is None or match is None:
        raise Refusal("bad_element", "a time is HHMM or HHMMSS with L or Z", element.at)
    if match[4] == "Z":
        local = dt.datetime.combine(date, clock, dt.UTC)
    elif name := zone(station):
        local = dt.datetime.combine(date, clock, ZoneInfo(name))
    else:
        return None
    return (local - _EPOCH) // dt.timedelta(microseconds=1)


def _date(text: str, received: int, element: Element, *, happened: bool = False) -> dt.date:
    """The day of 05FEB in the year that brings it nearest to `received`; 29FEB looks for a leap year around it.

    What has happened does not lie months ahead: a reading more than a month after `received` is of the year before.
    """
    match = _DATE.fullmatch(text)
    near = (_EPOCH + dt.timedelta(microseconds=received)).date()
    days: list[dt.date] = []
    for year in range(near.year - 4, near.year + 5) if match else ():
        try:
            days.append(dt.date(year, _MONTHS.index(match[2]) + 1, int(match[1])))  # type: ignore[index] # match is not None here
        except ValueError:
            continue
    if not days:
        raise Refusal("bad_element", "a date is a day and a month, 05FEB", element.at)
    latest = near + dt.timedelta(days=31) if happened else days[-1]
    return min((day for day in days if day <= latest), key=lambda day: (abs(day - near), day))


def _weight(element: Element | None, facts: dict[str, Json]) -> None:
    if element is None:
        return
    unit, pieces, weight = element.get(0), element.get(1), element.get(2)
    if unit not in ("K", "L", "P") or any(text and not _AMOUNT.fullmatch(text) for text in (pieces, weight)):
        raise Refusal("bad_element", ".W is K, L or P, bags, weight", element.at)
    if pieces:
        facts["pieces"] = round(float(pieces))
    if weight and unit != "P":
        facts["weight_kg"] = round(float(weight) * (_POUND if unit == "L" else 1))


def _people(group: Group) -> list[tuple[str, str]]:
    """(surname, given) of every passenger named; .P/2PAGE/LEE/BO are two of one surname."""
    people: list[tuple[str, str]] = []
    for element in group.all("P"):
        match = _NAME.fullmatch(element.get(0))
        surname = match[2].strip() if match else ""
        givens = [given.strip() for given in element.fields[1:] if given.strip()]
        if surname:
            people += [(surname, given) for given in givens] or [(surname, "")]
    return people


def _locator(element: Element | None) -> str | None:
    """A record locator that is none stays in native: the bag's news matters more."""
    try:
        return normal_locator(element.get(0)) if element else None
    except ValueError:
        return None


def _copy(facts: dict[str, Json], element: Element | None, names: tuple[str, ...]) -> None:
    for index, name in enumerate(names):
        if element and name and (text := element.get(index)):
            facts[name] = _short(text, element)


def _short(text: str, element: Element) -> str:
    if not _SHORT.fullmatch(text):
        raise Refusal("bad_element", "a short code was expected", element.at)
    return text
