"""`paxtrail docs`: the generated dictionary."""

from __future__ import annotations

from pathlib import Path

import click

from paxtrail.cli.dictionary import dictionary
from paxtrail.settings import ROOT, Settings

DICTIONARY = ROOT / "docs" / "dictionary.md"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file is not up to date.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), default=DICTIONARY, help="Where to [default: docs/dictionary.md]."
)
def docs(check: bool, output: Path) -> None:
    """Write the dictionary of tables, events, attributes and rights, made from the contracts in the code and in conf/.

    \b
    Example: paxtrail docs
    Example: paxtrail docs --check
    """
    text = dictionary(Settings.load().conf)
    if check:
        if not output.exists() or output.read_text(encoding="utf-8") != text:
            raise click.ClickException(f"{output} is not up to date: run paxtrail docs")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        click.echo(f"wrote {output}")
