"""Where a copy of the local stack lives: its home folder and its ports, chosen by option, by environment or by what it was started with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from paxtrail.settings import Settings
from paxtrail.stack.processes import free_ports

_REMEMBERED = "ports.json"
_LISTEN = (
    ("kafka", "brokers"),
    ("kafka", "controller_port"),
    ("postgres", "port"),
    ("api", "port"),
    ("relay", "metrics_port"),
    ("druid", "zookeeper_port"),
    ("druid", "derby_port"),
    ("druid", "coordinator_port"),
    ("druid", "historical_port"),
    ("druid", "broker_port"),
    ("druid", "indexer_port"),
    ("airflow", "port"),
    ("superset", "port"),
)
"""Settings that say where a part listens, in the order of --port-base; a new part's ports go to the end."""
PORTS = len(_LISTEN)


def choose(home: Path | None, port_base: int | None) -> None:
    """Sets the PAXTRAIL_… variables of this process, so that Settings.load and every program it starts agree.

    Ports named nowhere else are those that the stack of that home was last started with.
    """
    if home is not None:
        os.environ["PAXTRAIL_HOME"] = str(home.absolute())
    if port_base is not None:
        values = _values(list(range(port_base, port_base + PORTS)))
        os.environ.update({_variable(*name): value for name, value in values.items()})
    file = Settings.load().home / "run" / _REMEMBERED
    if file.exists():
        for name, value in json.loads(file.read_text()).items():
            os.environ.setdefault(name, value)


def apart(home: Path, **overrides: Any) -> Settings:
    """Settings of a copy of its own: this home, ports that are free now."""
    for (part, name), value in _values(free_ports(PORTS)).items():
        overrides.setdefault(part, {}).setdefault(name, value)
    return Settings.load("local", home=str(home), **overrides)


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


def _values(ports: list[int]) -> dict[tuple[str, str], str]:
    values = {name: str(port) for name, port in zip(_LISTEN, ports, strict=True)}
    values["kafka", "brokers"] = f"127.0.0.1:{values['kafka', 'brokers']}"
    values["api", "issuer"] = f"http://127.0.0.1:{values['api', 'port']}/dev"
    return values


def _ports_of(settings: Settings) -> dict[str, str]:
    return {_variable(part, name): str(getattr(getattr(settings, part), name)) for part, name in (*_LISTEN, ("api", "issuer"))}


def _variable(part: str, name: str) -> str:
    return f"PAXTRAIL_{part}__{name}".upper()
