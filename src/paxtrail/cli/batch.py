"""`paxtrail batch`: a whole batch run in one process."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click
import orjson

from paxtrail.settings import Settings

DRIFTED = 3
"""Exit code of a publication that found values batch and speed layer disagree on."""


@click.group()
def batch() -> None:
    """The batch layer: the whole history, slow and right."""


@batch.command()
@click.option("--full", is_flag=True, help="Fold all events again instead of adding to the run before.")
@click.option("--run", "run_id", help="Id of the run (default: the time of starting). A killed run goes on with its id.")
def run(full: bool, run_id: str | None) -> None:
    """Cut, take in, link, fold, conclude, pass the gate, publish; prints counts as one line of JSON. Exit 3 if anything drifted.

    \b
    Example: paxtrail batch run
    Example: paxtrail batch run --full --run 2026-W47
    """
    from paxtrail.adapters.batch import run_batch

    counts = run_batch(Settings.load(), run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), full=full)
    click.echo(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
    leave(counts["publication"]["drifted"])


def leave(drifted: int) -> None:
    """Ends with exit 3 and a line that says what to look at, if anything drifted."""
    if drifted:
        click.echo(f"error: drifted: {drifted} values differ between batch and speed layer; see serving.publication_counts", err=True)
        sys.exit(DRIFTED)
