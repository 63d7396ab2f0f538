"""`paxtrail airflow`: Airflow's own command line, for this home."""

from __future__ import annotations

import os

import click

from paxtrail.settings import Settings
from paxtrail.stack import airflow as stack
from paxtrail.stack.environments import program


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def airflow(arguments: tuple[str, ...]) -> None:
    """Run Airflow's own command line against this home's Airflow.

    \b
    Example: paxtrail airflow dags list
    Example: paxtrail airflow dags unpause states
    """
    command = str(program("airflow", "airflow"))
    os.execve(command, [command, *arguments], stack.variables(Settings.load()))
