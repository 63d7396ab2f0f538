"""Files as records with deterministic ids: loading a file twice sends the same CloudEvents and so changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from paxtrail.core.cloudevents import STRUCTURED, is_structured
from paxtrail.core.decoding import MAX_BODY
from paxtrail.core.records import Record
from paxtrail.errors import Refusal

LOADER = "paxtrail/loader"
_BY_LINE = (".jsonl", ".ndjson")
_MEDIA = {".xml": "application/xml", ".json": "application/json", ".jsonl": "application/json", ".ndjson": "application/json"}


@dataclass(frozen=True, slots=True)
class Part:
    """A record of a file, or why it cannot be one; `at` says where it stands ("" in a file that is one record)."""

    at: str
    content: Record | Refusal


def parts(file: Path, source: str, *, arrival: int) -> Iterator[Part]:
    """The records of a file: .jsonl (.ndjson) one a line, anything else one record. At most 1 MiB of it is held at a time.

    The id of a record is the SHA-256 of its bytes and how often the same bytes stood in the file before. A line or .json file that is
    a CloudEvent in structured mode keeps its own envelope. Raises OSError if the file cannot be read.
    """
    media = _MEDIA.get(file.suffix.lower(), "text/plain")
    seen: dict[bytes, int] = {}
    with file.open("rb") as stream:
        for at, body in _bodies(stream, by_line=file.suffix.lower() in _BY_LINE):
            if len(body) > MAX_BODY:
                yield Part(at, Refusal("too_large", "a record has at most 1 MiB"))
            elif not body.strip():
                yield Part(at, Refusal("empty", "the record is empty"))
            else:
                yield Part(at, Record(source, _headers(source, media, body, seen), body, arrival))


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


def _headers(source: str, media: str, body: bytes, seen: dict[bytes, int]) -> dict[str, str]:
    if media == "application/json" and b'"specversion"' in body and _is_cloud_event(body):
        return {"content-type": STRUCTURED}
    digest = hashlib.sha256(body)
    # Half of the digest tells records of one file apart well enough, and a long file has many.
    occurrence = seen.get(digest.digest()[:16], 0)
    seen[digest.digest()[:16]] = occurrence + 1
    return {
        "ce_specversion": "1.0",
        "ce_id": f"{digest.hexdigest()}-{occurrence}",
        "ce_source": LOADER,
        "ce_type": f"paxtrail.{source}.received",
        "content-type": media,
    }


def _is_cloud_event(body: bytes) -> bool:
    try:
        return is_structured(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
