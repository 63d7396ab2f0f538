"""The option --key of commands that make records of files."""

from __future__ import annotations

from pathlib import Path

import click

from paxtrail.adapters.files import is_json
from paxtrail.core.naming import KEY

keyed = click.option(
    "--key", "keys", multiple=True, help="A member of the JSON that names a record ($.id), instead of its bytes. Repeatable."
)


def check_keys(file: Path, keys: tuple[str, ...]) -> None:
    """Nothing if the keys can name records of this file; else a usage error that says why."""
    if wrong := next((key for key in keys if not KEY.fullmatch(key)), None):
        raise click.UsageError(f"--key {wrong}: a member is written $.id or $.booking.locator")
    if keys and not is_json(file):
        raise click.UsageError("--key names members of JSON: the file must be .json, .jsonl or .ndjson")
