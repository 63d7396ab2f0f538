"""`paxtrail reads`: the record of reads, for the office of data protection: whole, who read whom, who read unusually much."""

from __future__ import annotations

import click
import orjson

from paxtrail.settings import Settings

BROKEN = 3


@click.group()
def reads() -> None:
    """The record of reads: verify, of, unusual."""


@reads.command()
@click.option("--unchained", default=0, show_default=True, help="So many records from before there were chains are accepted.")
def verify(unchained: int) -> None:
    """Check every record against its chain and every chain against its head; one line of JSON per break, and a last one with counts.

    Exit 0: all is as it was written. Exit 3: something was edited, deleted, swapped, truncated, planted or forged.

    \b
    Example: paxtrail reads verify
    """
    from paxtrail.adapters.read_chains import verify as verified

    verdict = verified(Settings.load(), unchained=unchained)
    for one in verdict.breaks:
        click.echo(orjson.dumps(one._asdict()))
    click.echo(orjson.dumps({"chains": verdict.chains, "records": verdict.records, "breaks": len(verdict.breaks)}))
    if verdict.breaks:
        raise SystemExit(BROKEN)
