"""`paxtrail simulate`: two days of an airline, as files or into the broker, with the expected answer beside them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from paxtrail.settings import Settings
from paxtrail.simulator.messages import instant, micros
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.replay import Progress, producer, replay
from paxtrail.simulator.simulation import Simulation, write
from paxtrail.simulator.world import Options

_SHARE = click.FloatRange(0, 0.5)


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the messages and expected.json to this folder.")
@click.option("--produce", is_flag=True, help="Send the messages to the broker's raw.<source> topics.")
@click.option("--speed-up", type=click.FloatRange(min=0, min_open=True), help="With --produce: play this many seconds in one.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="With --produce: send this many messages a second.")
@click.option("--expected", type=click.Path(dir_okay=False, path_type=Path), help="Write the expected answer to this file.")
@click.option("--end", metavar="TIME", help="When the replay ends, RFC 3339 with offset (default: now).")
@click.option("--days", type=click.IntRange(1, 300), default=2, show_default=True, help="Days of flights from 8 February 2013.")
@click.option("--passengers", type=click.IntRange(1, 400), default=10, show_default=True, help="Booked on a flight, about.")
@click.option("--flights", type=click.IntRange(min=1), help="Keep only so many flights a day (default: all).")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed and end give the same bytes.")
@click.option("--duplicates", type=_SHARE, default=Noise().duplicates, show_default=True, help="Share of messages sent twice.")
@click.option("--conflicts", type=_SHARE, default=Noise().conflicts, show_default=True, help="Share whose id comes with other content.")
@click.option("--disorder", type=_SHARE, default=Noise().disorder, show_default=True, help="Share up to five minutes behind.")
@click.option("--late", type=_SHARE, default=Noise().late, show_default=True, help="Share one to twelve hours late.")
@click.option("--broken", type=_SHARE, default=Noise().broken, show_default=True, help="Share of broken records beside the good ones.")
def simulate(
    out: Path | None,
    produce: bool,
    speed_up: float | None,
    rate: float | None,
    expected: Path | None,
    end: str | None,
    days: int,
    passengers: int,
    flights: int | None,
    seed: int,
    duplicates: float,
    conflicts: float,
    disorder: float,
    late: float,
    broken: float,
) -> None:
    """Make flights, bookings, check-ins, bags, accounts and searches around the blizzard of 8 February 2013, moved to end now.

    Prints one line of JSON with the totals. The files of --out are CloudEvents, one a line, for `paxtrail produce`.

    \b
    Example: paxtrail simulate --out /tmp/airline --flights 50 --end 2026-11-22T12:00:00Z
    Example: paxtrail simulate --produce --speed-up 720 --expected /tmp/expected.json
    """
    if not (out or produce or expected):
        raise click.UsageError("say where to: --out FOLDER, --produce or --expected FILE")
    if speed_up and rate:
        raise click.UsageError("--speed-up and --rate exclude each other")
    if (speed_up or rate) and not produce:
        raise click.UsageError("--speed-up and --rate need --produce")
    options = Options(end_us=_moment(end), seed=seed, days=days, passengers=passengers, limit=flights)
    simulation = Simulation(options, Noise(duplicates, conflicts, disorder, late, broken))
    if out:
        write(simulation, out)
    if produce:
        _produce(simulation, speed_up, rate)
    answer = simulation.expected()
    if expected:
        expected.write_text(json.dumps(answer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    click.echo(json.dumps({"options": asdict(options), "window": answer["window"], **answer["totals"]}))


def _moment(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1000
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no offset")
    except ValueError:
        raise click.BadParameter("a time is written like 2026-11-22T12:00:00Z", param_hint="--end") from None
    return micros(moment)


def _produce(simulation: Simulation, speed_up: float | None, rate: float | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    brokers = Settings.load().kafka.brokers
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} of {task.total:,}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("replay", total=simulation.count())

        def show(progress: Progress) -> None:
            speed = progress.sent / progress.seconds if progress.seconds else 0.0
            bars.update(task, completed=progress.sent, description=f"{instant(progress.at_us)[:16]}  {speed:,.0f}/s")

        replay(simulation.messages(), producer(brokers), speed_up=speed_up, rate=rate, on_progress=show)
