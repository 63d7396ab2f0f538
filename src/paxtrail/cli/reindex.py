"""`paxtrail reindex`: closed hours of Druid made exact."""

from __future__ import annotations

import sys

import click
import orjson

from paxtrail.settings import Settings

MISSING = 3
"""Exit code of a re-index whose facts queries do not all find."""


@click.command()
@click.option("--from", "since", required=True, help="First hour, UTC: 2026-11-22T10.")
@click.option("--to", "until", required=True, help="The hour after the last one; over at the newest cut.")
def reindex(since: str, until: str) -> None:
    """Replace hours of Druid by the facts of silver; prints counts as one line of JSON. Exit 3 if queries do not find them all.

    \b
    Example: paxtrail reindex --from 2026-11-22T10 --to 2026-11-22T12
    """
    from paxtrail.adapters.reindexing import run

    counts = run(Settings.load(), since, until)
    click.echo(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
    if counts["served"] < counts["facts"]:
        click.echo(f"error: missing: queries find {counts['served']} of {counts['facts']} facts; run it again", err=True)
        sys.exit(MISSING)
