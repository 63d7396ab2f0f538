"""`paxtrail decode`: what the door would make of a file, without sending anything."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import orjson

from paxtrail.adapters import configuration, files
from paxtrail.adapters.scoring import Champion
from paxtrail.cli.keys import check_keys, keyed
from paxtrail.core.decoding import Decoded, event_id
from paxtrail.core.decoding import decode as decode_record
from paxtrail.core.records import Draft, Entity, Identifier, Json
from paxtrail.core.schemas import Field, Schemas
from paxtrail.core.sentiment import scored
from paxtrail.core.sources import SOURCES
from paxtrail.errors import PaxtrailError, Refusal
from paxtrail.settings import Settings

MASK = "•••"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--source", required=True, help=f"One of {', '.join(SOURCES)}.")
@keyed
def decode(file: Path, source: str, keys: tuple[str, ...]) -> None:
    """Show the events or refusals the door would make of FILE; nothing is sent, personal values are masked.

    One line of JSON for each event or refusal. Exit 0: all accepted; 1: something was refused; 2: the file or the source is not there.

    \b
    Example: paxtrail decode tests/core/data/flights/delayed.xml --source flights
    """
    check_keys(file, keys)
    if source not in SOURCES:
        _stop(f"there is no source {source!r}; there are {', '.join(SOURCES)}")
    try:
        settings = Settings.load()
        schemas, champion = configuration.schemas(settings.conf), Champion(settings.models.folder)
        arrival = time.time_ns() // 1000
        refused = False
        for part in files.parts(file, source, arrival=arrival, keys=keys):
            refused |= _show(part, schemas, champion)
    except BrokenPipeError:
        raise  # click ends quietly when the reader of a pipe has gone
    except OSError as error:
        _stop(f"{file}: {error.strerror or 'cannot be read'}")
    except PaxtrailError as error:
        _stop(str(error))
    sys.exit(1 if refused else 0)


def _stop(reason: str) -> None:
    click.echo(f"paxtrail decode: {reason}", err=True)
    sys.exit(2)


def _show(part: files.Part, schemas: Schemas, champion: Champion) -> bool:
    """Prints the outcome of one record; gives whether it was refused."""
    try:
        if isinstance(part.content, Refusal):
            raise part.content
        decoded = scored(decode_record(part.content, schemas), champion)
    except Refusal as refusal:
        at = ": ".join(place for place in (part.at, refusal.at) if place)
        _print({"rejected": {"code": refusal.code, "reason": refusal.reason, "at": at}})
        return True
    for ordinal, draft in enumerate(decoded.drafts):
        _print({"event": _event(decoded, draft, ordinal, schemas)})
    return False


def _print(line: Json) -> None:
    click.echo(orjson.dumps(line))


def _event(decoded: Decoded, draft: Draft, ordinal: int, schemas: Schemas) -> dict[str, Json]:
    return {
        "type": draft.type,
        "event_id": event_id(decoded.record_id, ordinal),
        "event_time": _instant(draft.event_time),
        "subject": _identifier(draft.subject) if draft.subject else None,
        "entities": [_entity(entity) for entity in draft.entities],
        "facts": _masked(draft.facts, schemas.event(draft.type).fields),
    }


def _entity(entity: Entity) -> dict[str, Json]:
    return {"kind": entity.kind, "key": _identifier(entity.key) if isinstance(entity.key, Identifier) else entity.key}


def _identifier(identifier: Identifier) -> str:
    return f"{identifier.namespace}:{MASK}"


def _masked(facts: Mapping[str, Json], fields: Mapping[str, Field]) -> dict[str, Json]:
    return {name: _value(value, fields[name]) for name, value in facts.items()}


def _value(value: Json, field: Field) -> Json:
    if value is None:
        return None
    if field.personal:
        return MASK
    if field.type == "list":
        return [_masked(item, field.fields) for item in value]
    if field.type == "object":
        return _masked(value, field.fields)
    return _instant(value) if field.type == "time" else value


def _instant(microseconds: int) -> str:
    """RFC 3339 in UTC, with a fraction only where there is one."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
