"""Flight movements: IATA AIDX FlightLegNotifRQ (versions 16 to 22.1); one event per FlightLeg. Described in docs/formats.md.

Element names and the rule "of several values of one qualifier and type the last by RepeatIndex" follow public users of the standard
(IATA AIDX Implementation Guide; airport feeds of versions 16.1 and 22.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from paxtrail.core.cloudevents import sequence
from paxtrail.core.normalise import airline, flight_number, iso_date, leg_key, timestamp
from paxtrail.core.records import Draft, Entity, Envelope, Identifier, Json
from paxtrail.core.sources import flights_xml
from paxtrail.core.sources.flights_xml import Document, Node
from paxtrail.errors import Refusal

VERSION = 1

_OPERATIONS = {"OFB": "off_block", "TKO": "take_off", "TDN": "touch_down", "ONB": "on_block"}
_TIME_TYPES = {"SCT": "scheduled", "EST": "estimated", "ACT": "actual"}
_MILESTONES = {"BST": "boarding_start_actual", "BEN": "boarding_end_actual", "GCL": "gate_close_actual", "DRO": "door_open_actual"}
_TIMES = {
    (qualifier, type_): f"{name}_{kind}"
    for qualifier, name in _OPERATIONS.items()
    for type_, kind in _TIME_TYPES.items()
    if not (kind == "scheduled" and qualifier in ("TKO", "TDN"))
} | {(qualifier, "ACT"): name for qualifier, name in _MILESTONES.items()}

_RESOURCES = {
    "gate": ("PassengerGate",),
    "terminal": ("PublicTerminal", "AircraftTerminal"),
    "stand": ("AircraftParkingPosition",),
    "belt": ("BaggageClaimUnit",),
}
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/+-]{0,31}")
_AIRPORT = re.compile(r"[A-Z]{3,4}")
_OFFSET = re.compile(r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$")
_MINUTES_ONLY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2})([Zz+-].*)?$")
_DURATION = re.compile(r"(-?)P(?:([0-9]{1,3})D)?(?:T(?:([0-9]{1,4})H)?(?:([0-9]{1,5})M)?(?:[0-9]{1,6}(?:\.[0-9]+)?S)?)?")
_STANDARD_CONTEXTS = ("", "2005")


def decode(envelope: Envelope, body: bytes) -> list[Draft]:
    """One `flight.leg_updated` for each FlightLeg of the message."""
    document = flights_xml.read(body)
    root, legs = _legs(document)
    stamp = root.attributes.get("TimeStamp", "").strip()
    received = envelope.arrival if envelope.time is None else envelope.time
    event_time = _instant(stamp, "TimeStamp") if stamp else received
    natives = _natives(document, legs)
    return [_draft(leg, envelope, event_time, native, f"FlightLeg[{i}]") for i, (leg, native) in enumerate(zip(legs, natives, strict=True))]


def assemble(natives: list[str]) -> bytes:
    """A message with the legs of all parts, in order; each part is a message with one leg."""
    parts = [flights_xml.read(native.encode()) for native in natives]
    pieces: list[str] = []
    for document in parts:
        _, legs = _legs(document)
        pieces += [document.slice(leg.start, leg.end) for leg in legs]
    _, first = _legs(parts[0])
    return (parts[0].slice(0, first[0].start) + "".join(pieces) + parts[0].slice(first[-1].end, len(parts[0].text))).encode()


def _legs(document: Document) -> tuple[Node, list[Node]]:
    root = document.root
    if not root.name.endswith("FlightLegNotifRQ"):
        raise Refusal("unknown_type", "the root element is no AIDX FlightLegNotifRQ", "root element")
    legs = list(root.all("FlightLeg"))
    if not legs:
        raise Refusal("no_events", "the message has no FlightLeg", "root element")
    return root, legs


def _natives(document: Document, legs: list[Node]) -> list[str]:
    """For each leg the message as written, with the other legs cut out."""
    gaps: list[str] = []
    start = 0
    for leg in legs:
        gaps.append(document.slice(start, leg.start))
        start = leg.end
    head, between, tail = gaps[0], "".join(gap for gap in gaps[1:] if gap.strip()), document.slice(start, len(document.text))
    return [head + document.slice(leg.start, leg.end) + between + tail for leg in legs]


def _draft(leg: Node, envelope: Envelope, event_time: int, native: str, at: str) -> Draft:
    identifier = leg.first("LegIdentifier")
    if identifier is None:
        raise Refusal("missing_leg", "the leg has no LegIdentifier", at)
    facts, key = _leg(identifier, f"{at}/LegIdentifier")
    for data in leg.all("LegData"):
        _leg_data(data, facts, f"{at}/LegData")
    return Draft(
        type="flight.leg_updated",
        event_time=event_time,
        facts=facts,
        native=native,
        owner=Identifier("flight", key),
        entities=(Entity("flight", key),),
        source_sequence=sequence(envelope),
        controller=envelope.extra.get("controller", ""),
        region=envelope.extra.get("region", ""),
    )


def _leg(identifier: Node, at: str) -> tuple[dict[str, Json], str]:
    def text(name: str) -> str:
        node = identifier.first(name)
        return _leaf(node, f"{at}/{name}") if node is not None else ""

    for name in ("Airline", "FlightNumber", "DepartureAirport", "OriginDate"):
        if not text(name):
            raise Refusal("missing_leg", f"the leg has no {name}", at)
    try:
        designator, (number, suffix) = airline(text("Airline")), flight_number(text("FlightNumber") + text("OperationalSuffix"))
        # xsd:date allows a zone; the origin date is the day at the place, whatever the zone says.
        origin_date = iso_date(text("OriginDate")[:10]) if re.fullmatch(r".{10}([Zz]|[+-]\d\d:\d\d)?", text("OriginDate")) else iso_date("")
        departure = _airport(text("DepartureAirport"))
        key = leg_key(designator, number, origin_date, departure, suffix)
        arrival = _airport(text("ArrivalAirport")) if text("ArrivalAirport") else None
    except ValueError as error:
        raise Refusal("bad_field", f"the leg cannot be identified: {error}", at) from None
    facts: dict[str, Json] = {"airline": designator, "number": number, "origin_date": origin_date, "departure": departure}
    if suffix:
        facts["suffix"] = suffix
    if arrival:
        facts["arrival"] = arrival
    return facts, key


def _leg_data(data: Node, facts: dict[str, Json], at: str) -> None:
    _status(data, facts, at)
    _times(data, facts, at)
    sides = _resources(data, facts, at)
    if "scope" not in facts and len(sides) == 1:
        facts["scope"] = sides.pop()
    for name, element in (("aircraft_type", "AircraftType"), ("registration", "Registration"), ("callsign", "CallSign")):
        _copy(facts, name, next((n for info in data.all("AircraftInfo") for n in info.all(element)), None), at)
    _copy(facts, "service_type", data.first("ServiceType"), at)
    shares = [_codeshare(node, at) for node in data.all("CodeShareInfo")]
    if any(shares):
        facts["codeshares"] = [share for share in shares if share]
    if delays := _delays(data, at):
        facts["delays"] = delays
    _diversion(data, facts, at)


def _status(data: Node, facts: dict[str, Json], at: str) -> None:
    found = [(node, _code(node, f"{at}/OperationalStatus")) for node in data.all("OperationalStatus")]
    found = [(node, code.upper()) for node, code in found if code]
    if not found:
        return
    standard = [pair for pair in found if pair[0].attributes.get("CodeContext", "") in _STANDARD_CONTEXTS] or found
    cancelled = [pair for pair in found if pair[1] == "DX"]
    nodes = _ordered(node for node, _ in cancelled or standard)
    chosen = nodes[-1]
    facts["status"] = next(code for node, code in found if node is chosen)
    scope = chosen.attributes.get("FlightLegScope", "").strip().capitalize()
    if scope in ("Departure", "Arrival"):
        facts["scope"] = scope


def _times(data: Node, facts: dict[str, Json], at: str) -> None:
    for node in _ordered(data.all("OperationTime")):
        pair = (node.attributes.get("OperationQualifier", "").strip(), node.attributes.get("TimeType", "").strip())
        if name := _TIMES.get(pair):
            place = f"{at}/OperationTime[{pair[0]} {pair[1]}]"
            text = _leaf(node, place)
            facts[name] = _instant(text, place) if text else None


def _resources(data: Node, facts: dict[str, Json], at: str) -> set[str]:
    """Puts gates, terminals, stands and the belt into `facts`; gives the sides (Departure, Arrival) that were spoken of."""
    groups = list(data.all("AirportResources"))
    groups.sort(key=lambda group: group.attributes.get("Usage", "Actual") != "Actual")
    sides: set[str] = set()
    for resource in (node for group in groups for node in group.all("Resource")):
        side = resource.attributes.get("DepartureOrArrival", "").strip().capitalize()
        if side not in ("Departure", "Arrival"):
            continue
        sides.add(side)
        for name, elements in _RESOURCES.items():
            fact = f"{side.lower()}_{name}"
            nodes = next((n for element in elements if (n := _ordered(resource.all(element)))), [])
            if fact not in facts and nodes and fact != "departure_belt":
                _copy(facts, fact, nodes[0], at)
    return sides


def _delays(data: Node, at: str) -> list[Json]:
    """Delay codes with minutes, wherever public feeds write them: text or Code child; Duration as attribute, child or sibling."""
    durations = {node.attributes.get("RepeatIndex", ""): node for node in data.all("DelayDuration", "Duration")}
    delays: list[Json] = []
    for node in data.all("DelayCode", "IrregularityCode", "Delay", "IrregularityDelay", "DelayInfo"):
        inner = node.first("DelayCode", "IrregularityCode", "Code", "ReasonCode")
        code = _code(inner if inner is not None else node, f"{at}/{node.name}", children=True)
        if not code:
            continue
        delay: dict[str, Json] = {"code": code}
        own = node.first("DelayDuration", "Duration", "Minutes")
        written = next((node.attributes[key] for key in ("Duration", "DelayDuration", "Minutes") if key in node.attributes), None)
        beside = durations.get(node.attributes.get("RepeatIndex", ""))
        text = written if written is not None else own.text if own is not None else beside.text if beside is not None else ""
        if text.strip():
            delay["minutes"] = _minutes(text.strip(), f"{at}/{node.name}")
        delays.append(delay)
    return delays


def _diversion(data: Node, facts: dict[str, Json], at: str) -> None:
    named = data.first("DiversionAirport", "DivertedAirport")
    history = _ordered(data.all("PlannedArrivalAptHistory"))
    node = named if named is not None else history[-1] if history else None
    text = _leaf(node, at) if node is not None else ""
    if text:
        try:
            airport = _airport(text)
        except ValueError as error:
            raise Refusal("bad_field", str(error), f"{at}/{node.name if node else ''}") from None
        if airport != facts.get("arrival"):
            facts["diverted_to"] = airport


def _codeshare(node: Node, at: str) -> str:
    carrier, number = node.first("Airline"), node.first("FlightNumber")
    if carrier is None or number is None:
        return ""
    try:
        return airline(_leaf(carrier, at)) + "".join(flight_number(_leaf(number, at)))
    except ValueError:
        return ""  # a marketing flight we cannot read is no reason to lose the operation's news; it stays in native


def _ordered(nodes: Iterable[Node]) -> list[Node]:
    """Nodes by RepeatIndex, equal or absent ones as written."""

    def index(node: Node) -> int:
        text = node.attributes.get("RepeatIndex", "").strip()
        return int(text) if text.isdecimal() and len(text) < 10 else 0

    return sorted(nodes, key=index)


def _copy(facts: dict[str, Json], name: str, node: Node | None, at: str) -> None:
    if node is not None:
        facts[name] = _code(node, f"{at}/{node.name}") or None


def _code(node: Node, at: str, *, children: bool = False) -> str:
    text = node.text.strip() if children else _leaf(node, at)
    if text and not _CODE.fullmatch(text):
        raise Refusal("bad_field", "a short code was expected", at)
    return text


def _leaf(node: Node, at: str) -> str:
    if node.children:
        raise Refusal("bad_field", "text was expected, elements were found", at)
    return node.text.strip()


def _airport(text: str) -> str:
    """IATA or ICAO code in capitals; ValueError if it is none."""
    code = text.upper()
    if not _AIRPORT.fullmatch(code):
        raise ValueError("not an airport code")
    return code


def _instant(text: str, at: str) -> int:
    """µs UTC of an xsd:dateTime; without an offset it is UTC, the standard's default; seconds may be missing."""
    if short := _MINUTES_ONLY.fullmatch(text):
        text = f"{short[1]}:00{short[2] or ''}"
    try:
        return timestamp(text if _OFFSET.search(text) else text + "Z")
    except ValueError as error:
        raise Refusal("bad_time", str(error), at) from None


def _minutes(text: str, at: str) -> int:
    """Minutes of PT1H30M, 0130 (hours and minutes) or 90."""
    if (match := _DURATION.fullmatch(text)) and text.lstrip("-") not in ("P", "PT"):
        minutes = int(match[2] or 0) * 1440 + int(match[3] or 0) * 60 + int(match[4] or 0)
        return -minutes if match[1] else minutes
    if re.fullmatch(r"[0-9]{4}", text):
        return int(text[:2]) * 60 + int(text[2:])
    if re.fullmatch(r"-?[0-9]{1,3}", text):
        return int(text)
    raise Refusal("bad_field", "a delay's duration is PT30M, 0030 or 30", at)
