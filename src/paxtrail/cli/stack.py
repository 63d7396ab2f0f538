"""`paxtrail up`, `status` and `down`: the local stack of this home."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import click

from paxtrail.adapters.spark import write_defaults
from paxtrail.settings import Settings
from paxtrail.stack import broker, postgresql
from paxtrail.stack.memory import memory
from paxtrail.stack.parts import CORE
from paxtrail.stack.parts import parts as parts_of
from paxtrail.stack.supervision import Supervisor, bring_up, take_down

_parts = click.argument("parts", nargs=-1, metavar="[PART]...")


@click.command()
@_parts
def up(parts: tuple[str, ...]) -> None:
    """Start the core of the stack, or the PARTs and groups of parts that are named, each once the one before it is healthy.

    What runs already is left alone. `paxtrail status` lists the parts; a log per part is in <home>/logs.

    \b
    Example: paxtrail up
    Example: paxtrail --home /tmp/second --port-base 21000 up postgres kafka topics
    """
    settings = Settings.load()
    for part, seconds in bring_up(settings, parts):
        click.echo(f"{part.name:11} ready after {seconds:5.1f} s   {part.where(settings)}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(as_json: bool) -> None:
    """Show each part's state, process, uptime, memory and health. Exit 1 if a part is not healthy.

    \b
    Example: paxtrail status
    Example: paxtrail status --json
    """
    settings = Settings.load()
    supervisor = Supervisor(settings)
    rows = []
    for part in parts_of(settings):
        state = supervisor.state(part.name)
        if part.group != CORE and not state.pid and state.state == "STOPPED":
            continue  # an optional part that nobody wants now
        problem = part.problem(settings, state.pid) if state.pid or part.program is None else "is not running"
        rows.append(
            {
                "part": part.name,
                "state": state.state.lower() if part.program else ("made" if not problem else "missing"),
                "pid": state.pid or None,
                "uptime_s": int(time.time()) - state.started if state.pid else None,
                "memory_bytes": memory(state.pid) if state.pid else None,
                "healthy": not problem,
                "problem": problem,
                "where": part.where(settings),
            }
        )
    if as_json:
        click.echo(json.dumps({"home": str(settings.home), "parts": rows}))
    else:
        click.echo(f"{'part':11} {'state':9} {'pid':>8} {'uptime':>9} {'memory':>8}  {'where':28} health")
        for row in rows:
            uptime = str(timedelta(seconds=row["uptime_s"])) if row["uptime_s"] is not None else "-"  # type: ignore[arg-type]  # an int here
            size = f"{row['memory_bytes'] / 1e6:.0f} MB" if row["memory_bytes"] else "-"  # type: ignore[operator]  # an int here
            health = row["problem"] or "ok"
            click.echo(f"{row['part']:11} {row['state']:9} {row['pid'] or '-':>8} {uptime:>9} {size:>8}  {row['where']:28} {health}")
    if not all(row["healthy"] for row in rows):
        raise SystemExit(1)


@click.command()
@_parts
def down(parts: tuple[str, ...]) -> None:
    """Stop the stack, or some PARTs of it: exactly what `paxtrail up` started for this home, last started first.

    \b
    Example: paxtrail down
    Example: paxtrail down api relay
    """
    stopped = take_down(Settings.load(), parts)
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@click.command()
def provision() -> None:
    """Make databases, roles, tables and topics on servers that run elsewhere (containers, production), and Spark's defaults.

    Repeating it changes nothing.

    Needs the superuser's password in PAXTRAIL_PASSWORD_POSTGRES.

    \b
    Example: PAXTRAIL_ENV=production paxtrail provision
    """
    settings = Settings.load()
    postgresql.settle(settings)
    broker.make_topics(settings)
    write_defaults(settings)
    click.echo("databases, roles, tables and topics are there")
