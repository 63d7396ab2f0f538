"""Airflow in an environment of its own: its configuration, its database, what it keeps secret, the health of its processes."""

from __future__ import annotations

import base64
import http.client
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from paxtrail.adapters import drafts
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.spark import write_defaults
from paxtrail.errors import ConfigurationError
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import environments, places

USER = "engineer"
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "airflow": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),  # logs are read from the folder that all its processes share
    "processor": ("dag-processor",),
}
"""Arguments of each part's program. No triggerer: no task is deferred."""
_COMPONENTS = {"airflow": "metadatabase", "scheduler": "scheduler", "processor": "dag_processor"}


def url(settings: Settings) -> str:
    """Where a browser finds it."""
    return f"http://{settings.airflow.host}:{settings.airflow.port}"


def passwords(settings: Settings) -> Path:
    """File with the password of the one user, as JSON."""
    return settings.secrets / "airflow.passwords.json"


def command(part: str) -> Callable[[Settings], list[str]]:
    """Program and arguments of `part`; FileNotFoundError while its environment is not installed."""
    return lambda _: [str(environments.installed("airflow", "airflow")), *ARGUMENTS[part]]


def environment(settings: Settings) -> dict[str, str]:
    """Variables of every process of Airflow and of the programs it starts. None is a secret: those are read from files."""
    spark = _spark_home()
    own = {
        "AIRFLOW_HOME": str(settings.home / "airflow"),
        "AIRFLOW_CONFIG": str(settings.conf / "airflow" / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url(settings)}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords(settings)),
        "AIRFLOW__API__BASE_URL": url(settings),
        "AIRFLOW__API__HOST": settings.airflow.host,
        "AIRFLOW__API__PORT": str(settings.airflow.port),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.logs / "airflow"),
        # Of two Sparks on this machine, programs of the batch layer run in the project's own.
        "AIRFLOW_CONN_SPARK": f"spark://{quote(settings.spark.master, safe='')}?spark-binary=spark-submit",
        "SPARK_HOME": str(spark),
        "SPARK_CONF_DIR": str(settings.home / "spark" / "conf"),
        "PYSPARK_PYTHON": sys.executable,
        "PATH": os.pathsep.join((str(spark / "bin"), os.environ.get("PATH", os.defpath))),
    }
    read = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "dsn",
        "AIRFLOW__CORE__FERNET_KEY": "fernet",
        "AIRFLOW__API__SECRET_KEY": "session",
        "AIRFLOW__API_AUTH__JWT_SECRET": "jwt",
    }
    # /dev/null at the end, because supervisord takes quotes away from the ends of a value.
    return own | {f"{name}_CMD": f"cat '{_secret(settings, kind)}' /dev/null" for name, kind in read.items()}


def prepare(settings: Settings) -> None:
    """Environment, secrets, database and pools are there; only the first time is the network touched, or time needed."""
    program = environments.program("airflow", "airflow")
    (settings.home / "airflow").mkdir(parents=True, exist_ok=True)
    drafts.once(_secret(settings, "fernet"), base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    for kind in ("session", "jwt"):
        drafts.once(_secret(settings, kind), secrets.token_urlsafe(48))
    drafts.once(passwords(settings), json.dumps({USER: secrets.token_urlsafe(18)}))
    _secret(settings, "dsn").unlink(missing_ok=True)  # ports may have changed
    drafts.once(_secret(settings, "dsn"), dsn(settings, "airflow", "airflow").replace("postgresql:", "postgresql+psycopg2:", 1))
    write_defaults(settings)
    pools = settings.conf / "airflow" / "pools.json"
    made = f"{environments.version('airflow')} {' '.join(pools.read_text().split())}"
    with psycopg.connect(dsn(settings, "airflow", "airflow"), autocommit=True) as connection:
        if connection.execute("SELECT obj_description(to_regclass('slot_pool'))").fetchone() != (made,):
            _run(settings, program, "db", "migrate")
            _run(settings, program, "pools", "import", str(pools))
            connection.execute(sql.SQL("COMMENT ON TABLE slot_pool IS {}").format(sql.Literal(made)))


def problem(part: str) -> Callable[[Settings, int], str]:
    """Why the process of `part` is of no use yet, as Airflow's own health says; empty = it is."""
    component = _COMPONENTS[part]

    def said(settings: Settings, _pid: int) -> str:
        try:
            with urllib.request.urlopen(f"{url(settings)}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (OSError, http.client.HTTPException, ValueError):
            return f"{url(settings)} does not answer"
        status = (health.get(component) or {}).get("status")
        return "" if status == "healthy" else f"{component}: {status or 'has not reported yet'}"

    return said


def variables(settings: Settings) -> dict[str, str]:
    """The whole environment of a command of Airflow for this home."""
    return {**os.environ, **places.environment(settings), **environment(settings), "PYTHONPATH": str(ROOT / "src")}


def _run(settings: Settings, program: Path, *arguments: str) -> None:
    done = subprocess.run(
        [str(program), *arguments], cwd="/", env=variables(settings), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise ConfigurationError(f"airflow {' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()[-600:]}")


def _secret(settings: Settings, kind: str) -> Path:
    return settings.secrets / f"airflow.{kind}"


def _spark_home() -> Path:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("pyspark is not installed in the project's environment")
    return Path(spec.submodule_search_locations[0])
