"""`paxtrail demo`: the whole platform on two days of real flights, measured and compared with the answer known beforehand."""

from __future__ import annotations

import os
import signal
import sys

import click
import orjson

from paxtrail.settings import Settings

_PASSENGERS = "Booked on a flight, about: fewer than `simulate` makes, for the demo to end within ten minutes on two cores."


@click.command()
@click.option("--exit", "leave", is_flag=True, help="End after the summary; the last line is one JSON object.")
@click.option("--full", is_flag=True, help="With Airflow, dbt, Druid, Superset, a model and an export: 20 minutes and 9 GB at most.")
@click.option("--passengers", type=click.IntRange(1, 400), default=6, show_default=True, help=_PASSENGERS)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other people and mishaps.")
@click.option("--flights", type=click.IntRange(min=1), help="Keep only so many flights a day (default: all).")
@click.option("--speed-up", type=click.FloatRange(min=1), default=900.0, show_default=True, help="Seconds of the two days played in one.")
def demo(leave: bool, full: bool, passengers: int, seed: int, flights: int | None, speed_up: float) -> None:
    """Start the stack on an empty folder, replay two days around the blizzard of 8 February 2013, run batches, compare what is
    served with the answer known beforehand.

    Everything is written to <home>/demo (default: var/demo), made anew each time. Stays up until Ctrl-C, which stops exactly what was
    started. Exit 1 if an answer differs from the one known beforehand or batch and speed layer disagree.

    \b
    Example: paxtrail demo
    Example: paxtrail demo --full
    Example: paxtrail --home /tmp/second --port-base 24000 demo --exit --flights 30
    """
    from paxtrail.demo.run import Choices, demonstrate, home_of
    from paxtrail.demo.screen import Screen

    os.environ["PAXTRAIL_HOME"] = str(home_of(Settings.load().home))
    settings = Settings.load()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        outcome = demonstrate(settings, Screen(), Choices(passengers, seed, flights, speed_up, full), None if leave else _stay)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    click.echo(orjson.dumps(outcome.summary()))
    sys.exit(0 if outcome.good else 1)


def _stay() -> None:
    try:
        click.echo("\nCtrl-C stops the demo and everything it started.")
        signal.pause()
    except KeyboardInterrupt:
        click.echo("")
