"""Files, and bodies like them, as records with deterministic ids: loading one twice sends the same CloudEvents and so changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from paxtrail.core.decoding import MAX_BODY
from paxtrail.core.naming import JSON, Namer
from paxtrail.core.records import Record
from paxtrail.errors import Refusal

_BY_LINE = (".jsonl", ".ndjson")
_MEDIA = {".xml": "application/xml", ".json": JSON, ".jsonl": JSON, ".ndjson": JSON}


@dataclass(frozen=True, slots=True)
class Part:
    """A record of a file, or why it cannot be one; `at` says where it stands ("" in a file that is one record)."""

    at: str
    content: Record | Refusal


def is_json(file: Path) -> bool:
    """Whether the file's records are read as JSON, by its name."""
    return _MEDIA.get(file.suffix.lower()) == JSON


def parts(file: Path, source: str, *, arrival: int, keys: Sequence[str] = ()) -> Iterator[Part]:
    """The records of a file: .jsonl (.ndjson) one a line, anything else one record. At most 1 MiB of it is held at a time.

    The id of a record is the SHA-256 of its bytes and how often the same bytes stood in the file before, or follows from the members
    `keys` (core/naming.py). A line or .json file that is a CloudEvent in structured mode keeps its own envelope. Raises OSError if the
    file cannot be read.
    """
    suffix = file.suffix.lower()
    with file.open("rb") as stream:
        yield from cut(stream, source, _MEDIA.get(suffix, "text/plain"), by_line=suffix in _BY_LINE, arrival=arrival, keys=keys)


def cut(stream: BinaryIO, source: str, media: str, *, by_line: bool, arrival: int, keys: Sequence[str] = ()) -> Iterator[Part]:
    """The records of anything that reads like a file of that media type: one a line, or the whole as one."""
    namer = Namer(source, media, keys)
    for at, body in _bodies(stream, by_line=by_line):
        if len(body) > MAX_BODY:
            yield Part(at, Refusal("too_large", "a record has at most 1 MiB"))
        elif not body.strip():
            yield Part(at, Refusal("empty", "the record is empty"))
        else:
            try:
                yield Part(at, Record(source, namer.headers(body), body, arrival))
            except Refusal as refusal:
                yield Part(at, refusal)


def _bodies(stream: BinaryIO, *, by_line: bool) -> Iterator[tuple[str, bytes]]:
    """Where and what; a body over the limit is cut one byte after it and the rest skipped."""
    if not by_line:
        yield "", stream.read(MAX_BODY + 1)
        return
    number = 0
    while line := stream.readline(MAX_BODY + 2):
        number += 1
        ended = line.endswith(b"\n")
        yield f"line {number}", line.rstrip(b"\r\n")
        while not ended and (rest := stream.readline(MAX_BODY)):
            ended = rest.endswith(b"\n")
    if not number:
        yield "", b""
