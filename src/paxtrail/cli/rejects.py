"""`paxtrail rejects`: what the door refused, why, and sending it again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from paxtrail.adapters import rejects as store
from paxtrail.adapters.producer import send
from paxtrail.settings import Settings


@click.group()
def rejects() -> None:
    """Refused records: list, show, replay."""


@rejects.command("list")
@click.option("--source", help="Only this source.")
@click.option("--code", help="Only this reason code.")
@click.option("--day", help="Only this day of arrival, YYYY-MM-DD.")
@click.option("--limit", default=50, show_default=True)
def list_(source: str | None, code: str | None, day: str | None, limit: int) -> None:
    """One line of JSON per refused record, newest first; no personal values.

    \b
    Example: paxtrail rejects list --source baggage --code truncated
    """
    for reject in store.rejects(Settings.load(), source=source, code=code, day=day)[:limit]:
        click.echo(json.dumps(_shown(reject)))


@rejects.command()
@click.argument("reject_id")
@click.option("--reveal", is_flag=True, help="Print the record as received, personal values included.")
def show(reject_id: str, reveal: bool) -> None:
    """Why a record was refused, and with --reveal the record itself.

    \b
    Example: paxtrail rejects show 6d1f… --reveal
    """
    settings = Settings.load()
    for _, record in store.opened(settings, [reject_id]):
        [found] = [r for r in store.rejects(settings) if r.reject_id == reject_id]
        click.echo(json.dumps(_shown(found) | {"bytes": len(record.body)}))
        if reveal:
            click.echo(json.dumps(dict(record.headers)))
            click.echo(record.body.decode("utf-8", "backslashreplace"))


@rejects.command()
@click.argument("reject_ids", nargs=-1)
@click.option("--source", help="Every refused record of this source …")
@click.option("--code", help="… with this reason code.")
def replay(reject_ids: tuple[str, ...], source: str | None, code: str | None) -> None:
    """Send refused records to the door again, as they came: after a decoder was mended. What is still refused stays refused.

    \b
    Example: paxtrail rejects replay --source flights --code bad_xml
    """
    settings = Settings.load()
    chosen = list(reject_ids)
    if source or code:
        chosen += [r.reject_id for r in store.rejects(settings, source=source, code=code) if r.code != "conflict"]
    if not chosen:
        raise click.UsageError("name records by id, or choose them by --source and --code")
    sent = send(settings, (record for _, record in store.opened(settings, chosen)))
    click.echo(json.dumps({"sent": sent}))


def _shown(reject: store.Reject) -> dict[str, object]:
    arrived = datetime.fromtimestamp(reject.arrival_time / 1e6, UTC).isoformat()
    return {
        "id": reject.reject_id,
        "source": reject.source,
        "code": reject.code,
        "reason": reject.reason,
        "at": reject.at,
        "arrived": arrived,
        "position": f"{reject.topic}/{reject.partition}/{reject.offset}",
    }
