"""`paxtrail publish`: the states of a finished run into the serving store."""

from __future__ import annotations

import click
import orjson

from paxtrail.cli.batch import leave
from paxtrail.settings import Settings


@click.command()
@click.option("--run", "run_id", required=True, help="Id of the batch run whose states are published.")
def publish(run_id: str) -> None:
    """Publish a run, range by range: killed, it resumes; a second time it does nothing. Exit 3 if anything drifted.

    \b
    Example: paxtrail publish --run 2026-11-22
    """
    from paxtrail.adapters.batch import publish as publish_run

    counts = publish_run(Settings.load(), run_id)
    click.echo(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
    leave(counts["drifted"])
