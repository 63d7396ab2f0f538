"""`paxtrail retention`: what is kept for how long, and deleting what is past its time."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import orjson

from paxtrail.settings import Settings

_TIME = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"])
_AS_OF = click.option("--as-of", type=_TIME, help="The moment (UTC) that ages are counted from (default: now).")


@click.group()
def retention() -> None:
    """How long things are kept: show, run."""


@retention.command()
@_AS_OF
def show(as_of: datetime | None) -> None:
    """The moments before which things are past their time, as one line of JSON; deletes nothing.

    \b
    Example: paxtrail retention show --as-of 2027-01-01
    """
    from paxtrail.adapters import configuration
    from paxtrail.core.retention import DAY

    kept, moment = configuration.retention(Settings.load().conf), _micros(as_of)
    shown = {
        "as_of": _text(moment),
        "quarantine_keys": kept.first_key_day(moment),
        "rejects": _text(moment - kept.row_days * DAY),
        "timeline": _text(moment - kept.timeline_days * DAY),
        "training": _text(moment - kept.training_days * DAY),
        "reads": _text(moment - kept.reads_days * DAY),
        "events": {limit.source or f"class {limit.class_}": _text(limit.before) for limit in kept.event_limits(moment)},
        "bronze": {limit.source or f"class {limit.class_}": _text(limit.before) for limit in kept.bronze_limits(moment)},
    }
    click.echo(orjson.dumps(shown))


@retention.command()
@_AS_OF
def run(as_of: datetime | None) -> None:
    """Delete what is past its time; prints counts as one line of JSON. A second run at the same moment finds nothing.

    \b
    Example: paxtrail retention run
    Example: paxtrail retention run --as-of 2027-01-01
    """
    from paxtrail.adapters.retention import run_retention

    click.echo(orjson.dumps(run_retention(Settings.load(), _micros(as_of)), option=orjson.OPT_SORT_KEYS))


def _micros(moment: datetime | None) -> int:
    return int((moment.replace(tzinfo=UTC) if moment else datetime.now(UTC)).timestamp()) * 1_000_000


def _text(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat()
