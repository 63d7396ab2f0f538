"""Type B text as IATA RP 1745 writes it: messages, their elements, and the groups of tags that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from paxtrail.errors import Refusal

TYPES = ("BSM", "BPM", "BTM", "BUM", "BNS")
MAX_TAGS = 999

_ACTIONS = ("CHG", "DEL")
# A Type B heading: priority and addresses (QU HKGTSXH …), more addresses, origin (.ISTKMTK 081625 …).
_HEADING = re.compile(r"(?:Q[A-Z](?: [A-Z0-9]{7})+|[A-Z0-9]{7}(?: [A-Z0-9]{7})*|\.[A-Z]{3}[A-Z0-9]{4}(?: .*)?|\.)")
_TYPE_LINE = re.compile(r"[A-Z]{3}")
_ELEMENT = re.compile(r"\.([A-Z])/(.*)")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TRANSMISSION = str.maketrans("", "", "\x01\x02\x03\x04")  # SOH, STX, ETX, EOT frame a transmission; they are not text
_TAG = re.compile(r"([0-9]{4})([0-9]{6})([0-9]{3})")
_TAGS = ("N", "B")
_SHARED = ("V", "J", "I", "A")
_ROUTE = ("F", "I", "O", "J", "U", "D", "G", "H")


@dataclass(frozen=True, slots=True)
class Element:
    """A line ".X/a/b/c": its letter, its fields, the line as written and where it stands."""

    letter: str
    fields: tuple[str, ...]
    line: str
    at: str

    def get(self, index: int) -> str:
        """A field, "" if it is not there."""
        return self.fields[index].strip() if index < len(self.fields) else ""


@dataclass(frozen=True, slots=True)
class Tag:
    """A ten-digit licence plate; `irregularity` is the status of a .B element, "" for .N."""

    number: str
    irregularity: str


@dataclass(slots=True)
class Group:
    """Bags of one passenger on one flight: the elements that hold for them and their tags; `text` is a message with this group only."""

    type: str
    action: str
    elements: list[Element]
    tags: list[Tag]
    text: str

    def all(self, letter: str) -> Iterator[Element]:
        """Elements with a letter, in order."""
        return (element for element in self.elements if element.letter == letter)

    def last(self, letter: str) -> Element | None:
        """The last element with a letter: the one nearest to the tags, or said after them."""
        return next((element for element in reversed(self.elements) if element.letter == letter), None)


@dataclass(slots=True)
class _Parts:
    route: list[Element] = field(default_factory=list)
    own: list[Element] = field(default_factory=list)

    @property
    def tagged(self) -> bool:
        return any(element.letter in _TAGS for element in self.own)

    @property
    def flight(self) -> bool:
        return any(element.letter == "F" for element in (*self.route, *self.own))


def read(text: str) -> list[Group]:
    """The groups of every message in `text`, in order; Refusal if a message is cut off or not of RP 1745's form."""
    lines = [line.rstrip() for line in text.translate(_TRANSMISSION).replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    if any(_CONTROL.search(line) for line in lines):
        raise Refusal("control_character", "Type B text holds no control characters", "text")
    groups: list[Group] = []
    place = 0
    while (place := _next(lines, place)) < len(lines):
        place = _message(lines, place, groups)
        if sum(len(group.tags) for group in groups) > MAX_TAGS:
            raise Refusal("too_many_tags", f"a record has at most {MAX_TAGS} tags", f"line {place}")
    return groups


def _next(lines: list[str], place: int) -> int:
    while place < len(lines) and not lines[place]:
        place += 1
    return place


def _message(lines: list[str], place: int, groups: list[Group]) -> int:
    """Reads the message at `place` into `groups`; gives the place after it."""
    first = place
    while place < len(lines) and lines[place] not in TYPES and (not lines[place] or _HEADING.fullmatch(lines[place])):
        place += 1
    if place == len(lines) or lines[place] not in TYPES:
        raise Refusal("unknown_type", f"the first line must be one of {', '.join(TYPES)}", f"line {min(place, len(lines) - 1) + 1}")
    heading, type_ = [line for line in lines[first:place] if line], lines[place]
    place += 1
    action = lines[place] if place < len(lines) and lines[place] in _ACTIONS else ""
    place += bool(action)
    elements: list[Element] = []
    while place < len(lines) and not lines[place].startswith("END"):
        if lines[place]:
            elements.append(_element(lines[place], f"line {place + 1}"))
        place += 1
    if place == len(lines):
        raise Refusal("truncated", f"the message has no line END{type_}", f"line {place}")
    if lines[place] != f"END{type_}":
        raise Refusal("bad_end", f"the message must end with END{type_}", f"line {place + 1}")
    if not any(element.letter == "V" for element in elements):
        raise Refusal("missing_version", "the message has no .V element", f"line {place + 1}")
    shared, parts = _split(elements)
    for part in parts:
        kept = [*shared, *part.route, *part.own]
        tags = [tag for element in part.own if element.letter in _TAGS for tag in _plates(element)]
        if not tags:
            raise Refusal("missing_tag", "there are bags without a .N element", f"line {place + 1}")
        body = "\n".join([*heading, type_, *([action] if action else []), *(element.line for element in kept), f"END{type_}"])
        groups.append(Group(type_, action, kept, tags, body))
    return place + 1


def _element(line: str, at: str) -> Element:
    match = _ELEMENT.fullmatch(line)
    if not match:
        raise Refusal("bad_line", "a line must be an element of the form .X/…", at)
    return Element(match[1], tuple(match[2].split("/")), line, at)


def _split(elements: list[Element]) -> tuple[list[Element], list[_Parts]]:
    """What holds for the whole message, and the groups: a new .F after tags opens a flight, a new .N after other elements a passenger."""
    lead = 0
    while lead < len(elements) and elements[lead].letter in _SHARED:
        lead += 1
    shared, rest = elements[:lead], elements[lead:]
    part = _Parts()
    parts = [part]
    for element in rest:
        if part.tagged and element.letter == "F" and part.flight:
            part = _Parts()
            parts.append(part)
        elif part.tagged and element.letter in _TAGS and part.own[-1].letter not in _TAGS:
            part = _Parts(route=[*part.route])
            parts.append(part)
        (part.route if not part.tagged and element.letter in _ROUTE else part.own).append(element)
    return shared, parts


def _plates(element: Element) -> Iterator[Tag]:
    status, digits = ("", element.get(0)) if element.letter == "N" else (element.get(0), element.get(1))
    match = _TAG.fullmatch(digits)
    if not match or (element.letter == "B" and not _TYPE_LINE.fullmatch(status)):
        raise Refusal("bad_tag", "a tag is ten digits and a count of three", element.at)
    if not 1 <= int(match[3]) <= MAX_TAGS:
        raise Refusal("bad_tag", "the count of consecutive tags is 001 to 999", element.at)
    # The serial number has six digits; after 999999 an airline starts again at 000000 (RP 1740c).
    return (Tag(f"{match[1]}{(int(match[2]) + i) % 1_000_000:06d}", status) for i in range(int(match[3])))
