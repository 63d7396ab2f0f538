"""`paxtrail marts`: tables for analysts, built by dbt and published to PostgreSQL."""

from __future__ import annotations

import click
import orjson

from paxtrail.settings import Settings

_run = click.option("--run", "run_id", help="Id of the batch run whose cut they show (default: the newest that was published).")


@click.group()
def marts() -> None:
    """Tables for analysts: flights, bags, punctuality, customers without names."""


@marts.command()
@_run
@click.option("--full-refresh", "full", is_flag=True, help="From all of silver, whatever was built before.")
def build(run_id: str | None, full: bool) -> None:
    """Build, test and publish the marts; prints counts as one line of JSON. A red test publishes nothing and exits 1.

    \b
    Example: paxtrail marts build
    Example: paxtrail marts build --run 2026-11-22 --full-refresh
    """
    from paxtrail.adapters.marts import build as build_marts

    click.echo(orjson.dumps(build_marts(Settings.load(), run_id, full=full), option=orjson.OPT_SORT_KEYS))


@marts.command()
@_run
def docs(run_id: str | None) -> None:
    """Write the marts' documentation as one static page: models, columns, tests, where each comes from and who uses it.

    \b
    Example: paxtrail marts docs
    """
    from paxtrail.adapters.marts import document

    click.echo(f"wrote {document(Settings.load(), run_id)}")
