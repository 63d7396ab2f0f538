"""`paxtrail environments`: the environments of tools that cannot share the project's own, in this user's cache."""

from __future__ import annotations

import click

from paxtrail.stack.environments import NAMES, program


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME]...")
def environments(names: tuple[str, ...]) -> None:
    """Install the environments of Airflow and Superset (or the NAMEd ones) that are not there yet, by their pins.

    \b
    Example: paxtrail environments
    Example: paxtrail environments airflow
    """
    for name in names or NAMES:
        click.echo(f"{name:9} {program(name, 'python').parents[1]}")
