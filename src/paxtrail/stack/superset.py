"""Superset in an environment of its own: what it is told, provisioned from the files of conf/superset, checked."""

from __future__ import annotations

import http.client
import os
import subprocess
import urllib.request
from pathlib import Path

from paxtrail.adapters.postgres import secret
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings
from paxtrail.stack import environments, places

SECRETS = ("superset", "superset_key", "superset_admin", "superset_analyst")
"""Password of its database role, key of its sessions, passwords of its users `admin` and `analyst`."""


def url(settings: Settings) -> str:
    """Where a browser finds it."""
    return f"http://{settings.superset.host}:{settings.superset.port}"


def environment(settings: Settings) -> dict[str, str]:
    """Variables that conf/superset reads beside the ports. None is a secret: those are read from files."""
    return {
        "SUPERSET_CONFIG_PATH": str(settings.conf / "superset" / "superset_config.py"),
        "SUPERSET_HOME": str(settings.home / "superset"),
        "PAXTRAIL_POSTGRES__HOST": settings.postgres.host,
        "PAXTRAIL_POSTGRES__SSLMODE": settings.postgres.sslmode,
        "PAXTRAIL_POSTGRES__SSLROOTCERT": settings.postgres.sslrootcert,
        "PAXTRAIL_POSTGRES__SUPERSET_DATABASE": settings.postgres.superset_database,
        "PAXTRAIL_DRUID__BROKER_HOST": settings.druid.broker_host,
    }


def prepare(settings: Settings) -> None:
    """Environment, secrets, tables, roles, users and dashboards are as the files say; the environment is fetched the first time only."""
    python = environments.program("superset", "python")
    (settings.home / "superset").mkdir(parents=True, exist_ok=True)
    for name in SECRETS:
        secret(settings, name)
    values = {**os.environ, **places.environment(settings), **environment(settings)}
    log = settings.logs / "superset-provision.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        command = [str(python), str(settings.conf / "superset" / "provision.py")]
        done = subprocess.run(command, cwd="/", env=values, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    if done.returncode:
        raise ConfigurationError(f"superset could not be provisioned; {log} ends with:\n{_end(log)}")


def command(settings: Settings) -> list[str]:
    """Program and arguments of the server in the foreground; FileNotFoundError while its environment is not installed."""
    where = f"{settings.superset.host}:{settings.superset.port}"
    options = ["-w", "1", "-k", "gthread", "--threads", "8", "--timeout", "60", "--bind", where]
    return [str(environments.installed("superset", "gunicorn")), *options, "superset.app:create_app()"]


def problem(settings: Settings) -> str:
    """Why nobody can sign in yet; empty = it answers."""
    try:
        with urllib.request.urlopen(f"{url(settings)}/health", timeout=3) as answer:
            return "" if answer.status == 200 else f"/health answers {answer.status}"
    except (OSError, http.client.HTTPException):
        return "does not answer"


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])
