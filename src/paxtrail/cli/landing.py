"""`paxtrail landing`: files that arrive in folders."""

from __future__ import annotations

import time

import click
import orjson

from paxtrail.settings import Settings


@click.group()
def landing() -> None:
    """Files of JSON lines in <home>/landing/<source>."""


@landing.command()
def take() -> None:
    """Send what lies there to the door and archive it; prints counts as one line of JSON. Repeating it changes nothing.

    A writer gives a file its name (.jsonl) when it is whole. <home>/landed/<source> has a manifest of each file: name, SHA-256, records
    sent and not sent. Contents are deleted after a week, as in the topics.

    \b
    Example: paxtrail landing take
    """
    from paxtrail.adapters.landing import take as take_files

    click.echo(orjson.dumps(take_files(Settings.load(), now=time.time_ns() // 1000), option=orjson.OPT_SORT_KEYS))
