"""`paxtrail exports`: files about customers for partners, and the register of what left and what did not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from paxtrail.settings import Settings


@click.group()
def exports() -> None:
    """Files for partners: release, list."""


@exports.command()
@click.option("--contract", required=True, help="Name of a contract in conf/exports.")
@click.option("--run", "run_id", help="Id of the batch run that is released from (default: the newest that passed its gate).")
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), help="Folder the release's own is made in (default: <home>/exports)."
)
def release(contract: str, run_id: str | None, to: Path | None) -> None:
    """Release a contract as a k-anonymous file with its risk report. A limit that does not hold: exit 1, no file, a line in the register.

    \b
    Example: paxtrail exports release --contract frequent_travellers
    """
    from paxtrail.adapters.exports import run

    settings = Settings.load()
    click.echo(orjson.dumps(run(settings, run_id, contract, to or settings.home / "exports"), option=orjson.OPT_SORT_KEYS))


@exports.command("list")
def list_() -> None:
    """One line of JSON per release, and per one that was refused with the reason; newest first.

    \b
    Example: paxtrail exports list
    """
    from paxtrail.adapters.exports import register

    for one in register(Settings.load()):
        as_of = datetime.fromtimestamp(one.pop("cut_time") / 1e6, UTC).isoformat(timespec="seconds")
        known = {name: value for name, value in one.items() if value is not None}
        click.echo(orjson.dumps({**known, "as_of": as_of, "at": one["at"].isoformat(timespec="seconds")}))
