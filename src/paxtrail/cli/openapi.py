"""`paxtrail openapi`: the API's published contract."""

from __future__ import annotations

from pathlib import Path

import click

from paxtrail.serving import shapes
from paxtrail.settings import ROOT, Settings

CONTRACT = ROOT / "api" / "openapi.json"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file is not up to date.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=CONTRACT, help="Where to [default: api/openapi.json].")
def openapi(check: bool, output: Path) -> None:
    """Write the OpenAPI document of the API, made from its routes.

    \b
    Example: paxtrail openapi
    Example: paxtrail openapi --check
    """
    text = shapes.contract(Settings.load())
    if check:
        if not output.exists() or output.read_text() != text:
            raise click.ClickException(f"{output} is not up to date: run paxtrail openapi")
        return
    output.write_text(text)
    click.echo(f"wrote {output}")
