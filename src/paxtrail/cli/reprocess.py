"""`paxtrail reprocess`: events decoded again after a decoder was repaired."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import orjson

from paxtrail.settings import Settings

_TIME = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.option("--source", required=True, help="Source whose records are decoded again.")
@click.option("--type", "type_", help="Only records that hold an event of this type.")
@click.option("--since", type=_TIME, help="Only records that arrived at this moment (UTC) or later.")
@click.option("--until", type=_TIME, help="Only records that arrived before this moment (UTC).")
def reprocess(source: str, type_: str | None, since: datetime | None, until: datetime | None) -> None:
    """Decode again what is in bronze, with today's decoder; effective at the next cut, whose run folds in full.

    \b
    Example: paxtrail reprocess --source baggage --since 2026-11-20
    Example: paxtrail reprocess --source flights --type flight.leg_updated && paxtrail batch run
    """
    from paxtrail.adapters.reprocessing import reprocess as decode_again

    counts = decode_again(Settings.load(), source, type_=type_, since=_micros(since), until=_micros(until))
    click.echo(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000
