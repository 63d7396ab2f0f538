"""`paxtrail cut`: what a batch run covers."""

from __future__ import annotations

import click
import orjson

from paxtrail.settings import Settings


@click.group()
def cut() -> None:
    """Cuts: which events a batch run covers."""


@cut.command("open")
@click.option("--run", "run_id", required=True, help="Id of the batch run; the same id gives the same cut.")
@click.option("--cut-time", type=int, help="Moment of the cut in µs UTC (default: the database's clock).")
def open_(run_id: str, cut_time: int | None) -> None:
    """Close the current epoch for a run; prints the cut as one line of JSON.

    \b
    Example: paxtrail cut open --run 2026-11-22
    """
    from paxtrail.adapters.batch import cut_open

    click.echo(orjson.dumps(cut_open(Settings.load(), run_id, cut_time=cut_time), option=orjson.OPT_SORT_KEYS))
