"""Files that a system puts into <home>/landing/<source>: sent to the door once, listed in a manifest, archived and in time deleted.

A file is there when it has its name (`.jsonl` or `.ndjson`): write under another name, then rename. What its records are called follows
from their bytes, so a run that was killed between sending and archiving sends the same records again, and the door drops them.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from paxtrail.adapters import drafts, files, lake
from paxtrail.adapters.producer import send
from paxtrail.core.records import Record
from paxtrail.core.retention import BACKLOG_DAYS, DAY
from paxtrail.core.sources import SOURCES
from paxtrail.errors import BadRequest, Refusal
from paxtrail.settings import Settings

_SUFFIXES = (".jsonl", ".ndjson")


def folder(settings: Settings) -> Path:
    """Where files arrive, by source."""
    return settings.home / "landing"


def archive(settings: Settings) -> Path:
    """Where they go, by source: content and manifest under the content's SHA-256."""
    return settings.home / "landed"


def take(settings: Settings, *, now: int) -> dict[str, int]:
    """Counts of what was done at `now` (µs): files sent, seen before (the same bytes), expired; records sent and not sent.

    Unavailable if the broker does not take every record of a file: it stays. TableLocked if another process is at it. BadRequest, once all
    others are done, for a folder that is no source's.
    """
    counts: Counter[str] = Counter(files=0, again=0, expired=0, sent=0, not_sent=0)
    with lake.locked("landing", settings):
        for source in sorted(SOURCES):
            for file in sorted((folder(settings) / source).glob("*")):
                if file.suffix in _SUFFIXES and not file.name.startswith("."):
                    counts.update(_file(settings, source, file, now))
        counts.update(expired=_expire(settings, now))
    if strange := sorted(place.name for place in folder(settings).glob("*") if place.is_dir() and place.name not in SOURCES):
        raise BadRequest("no_such_source", f"{folder(settings)} holds folders that are no source's: {', '.join(strange)}")
    return dict(counts)


def _file(settings: Settings, source: str, file: Path, now: int) -> dict[str, int]:
    digest = _digest(file)
    place = archive(settings) / source
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest = place / f"{digest}.json"
    if manifest.exists():
        counts = {"again": 1}
    else:
        refused: Counter[str] = Counter()
        sent = send(settings, _records(file, source, refused))
        counts = {"files": 1, "sent": sent, "not_sent": refused.total()}
        about: dict[str, Any] = {"name": file.name, "source": source, "sha256": digest, "bytes": file.stat().st_size, "sent": sent}
        content = orjson.dumps({**about, "not_sent": dict(refused), "sent_at": now}, option=orjson.OPT_APPEND_NEWLINE)
        drafts.replace(manifest, content)
    # The name of the sender's choice is in the manifest alone: names of files hold nothing personal.
    file.replace(place / f"{digest}{file.suffix}")
    return counts


def _records(file: Path, source: str, refused: Counter[str]) -> Iterator[Record]:
    for part in files.parts(file, source, arrival=time.time_ns() // 1000):
        if isinstance(part.content, Refusal):
            refused[part.content.code] += 1
        else:
            yield part.content


def _expire(settings: Settings, now: int) -> int:
    """Deletes contents as old as the raw topics keep theirs: they hold personal values in the clear. Manifests stay."""
    gone = 0
    for manifest in archive(settings).glob("*/*.json"):
        if orjson.loads(manifest.read_bytes())["sent_at"] < now - BACKLOG_DAYS * DAY:
            for suffix in _SUFFIXES:
                content = manifest.with_suffix(suffix)
                gone += content.exists()
                content.unlink(missing_ok=True)
    return gone


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
