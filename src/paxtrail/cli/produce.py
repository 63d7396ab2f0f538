"""`paxtrail produce`: a file's records to the door."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from paxtrail.adapters import files
from paxtrail.adapters.producer import send
from paxtrail.cli.keys import check_keys, keyed
from paxtrail.core.records import Record
from paxtrail.core.sources import SOURCES
from paxtrail.errors import Refusal
from paxtrail.settings import Settings


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", required=True, type=click.Choice(sorted(SOURCES)), help="Whose message this is.")
@keyed
def produce(file: Path, source: str, keys: tuple[str, ...]) -> None:
    """Send FILE's records to the topic of SOURCE. Sending a file twice changes nothing: the records keep their ids.

    With --key a record is named by members of its JSON: sent again with other content it is a conflict, and the first stays. What lacks
    such a member is not sent. Without --key a changed line is another record.

    \b
    Example: paxtrail produce movements.xml --source flights
    Example: paxtrail produce accounts.jsonl --source loyalty --key '$.account.number' --key '$.sequence'
    """
    check_keys(file, keys)
    unsendable: list[dict[str, str]] = []

    def records() -> Iterator[Record]:
        for part in files.parts(file, source, arrival=time.time_ns() // 1000, keys=keys):
            if isinstance(part.content, Refusal):
                at = ": ".join(place for place in (part.at, part.content.at) if place)
                unsendable.append({"code": part.content.code, "reason": part.content.reason, "at": at})
            else:
                yield part.content

    sent = send(Settings.load(), records())
    for refusal in unsendable:
        click.echo(json.dumps({"rejected": refusal}))
    click.echo(json.dumps({"sent": sent, "topic": f"raw.{source}", "not_sent": len(unsendable)}))
    sys.exit(1 if unsendable else 0)
