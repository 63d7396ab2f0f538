"""`paxtrail rebuild`: a new serving store from Delta and the vault."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import orjson

from paxtrail.cli.batch import leave
from paxtrail.settings import Settings


@click.command()
@click.option("--run", "run_id", help="Id of the run (default: the time of starting). A killed rebuild goes on with its id.")
def rebuild(run_id: str | None) -> None:
    """Fill an empty serving store from Delta and the vault alone: the same documents and ids. The stream must not run.

    \b
    Example: paxtrail rebuild --run after-the-fire
    """
    from paxtrail.adapters.rebuilding import rebuild as fill

    counts = fill(Settings.load(), run_id or datetime.now(UTC).strftime("rebuild-%Y%m%dT%H%M%SZ"))
    click.echo(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
    leave(counts["publication"]["drifted"])
