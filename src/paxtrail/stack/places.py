"""Where a copy of the local stack lives: its home folder and its ports, chosen by option, by environment or by what it was started with."""

from __future__ import annotations

import json
import os
from pathlib import Path

from paxtrail.settings import Settings

_REMEMBERED = "ports.json"


def choose(home: Path | None, port_base: int | None) -> None:
    """Sets the PAXTRAIL_… variables of this process, so that Settings.load and every program it starts agree.

    Ports named nowhere else are those that the stack of that home was last started with.
    """
    if home is not None:
        os.environ["PAXTRAIL_HOME"] = str(home.absolute())
    if port_base is not None:
        os.environ.update(ports(port_base))
    file = Settings.load().home / "run" / _REMEMBERED
    if file.exists():
        for name, value in json.loads(file.read_text()).items():
            os.environ.setdefault(name, value)


def ports(base: int) -> dict[str, str]:
    """The variables that put the parts on five ports in a row: broker, controller, PostgreSQL, API, metrics of the relay."""
    return {
        "PAXTRAIL_KAFKA__BROKERS": f"127.0.0.1:{base}",
        "PAXTRAIL_KAFKA__CONTROLLER_PORT": str(base + 1),
        "PAXTRAIL_POSTGRES__PORT": str(base + 2),
        "PAXTRAIL_API__PORT": str(base + 3),
        "PAXTRAIL_API__ISSUER": f"http://127.0.0.1:{base + 3}/dev",
        "PAXTRAIL_RELAY__METRICS_PORT": str(base + 4),
    }


def environment(settings: Settings) -> dict[str, str]:
    """The variables that make another process load the same home and ports."""
    return {
        "PAXTRAIL_ENV": settings.env,
        "PAXTRAIL_CONF": str(settings.conf),
        "PAXTRAIL_HOME": str(settings.home),
        **_ports_of(settings),
    }


def remember(settings: Settings) -> None:
    """`paxtrail --home X status` finds the ports that `paxtrail --home X --port-base N up` was given."""
    folder = settings.home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _REMEMBERED).write_text(json.dumps(_ports_of(settings), indent=1) + "\n")


def _ports_of(settings: Settings) -> dict[str, str]:
    return {
        "PAXTRAIL_KAFKA__BROKERS": settings.kafka.brokers,
        "PAXTRAIL_KAFKA__CONTROLLER_PORT": str(settings.kafka.controller_port),
        "PAXTRAIL_POSTGRES__PORT": str(settings.postgres.port),
        "PAXTRAIL_API__PORT": str(settings.api.port),
        "PAXTRAIL_API__ISSUER": settings.api.issuer,
        "PAXTRAIL_RELAY__METRICS_PORT": str(settings.relay.metrics_port),
    }
