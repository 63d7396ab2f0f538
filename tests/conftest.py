"""What every test may ask for: settings in a temporary home, a real PostgreSQL server, a real broker, one Spark session."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from tests.druid_servers import Servers

from paxtrail.adapters.postgres import Database, dsn
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import broker, places, postgresql
from paxtrail.stack.processes import running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])  # for the Python workers of Spark
for _name in [name for name in os.environ if name.startswith("PAXTRAIL_")]:
    del os.environ[_name]  # a developer's copy of the stack is not what tests run against


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-minutes", type=float, default=40, help="how long tests/chaos lets things go wrong")
    parser.addoption("--chaos-seed", type=int, default=random.randrange(10**6), help="what goes wrong when: a failure names its own")


INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""Plans that Spark does not compile, as it does by default: for a handful of rows that takes a third less. Tests that ask whether Spark
computes what Python does, and the demo's, run compiled."""
# Tests end before a second compiler and parallel collectors would pay for themselves.
_SHORT = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=192m -XX:+UseSerialGC", **INTERPRETED}


def settings_for(home: Path) -> Settings:
    """Settings of a copy of its own, for short programs."""
    return places.apart(home, spark={"conf": _SHORT})


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Settings with a temporary home and free ports; starts nothing."""
    home = Path(tempfile.mkdtemp(prefix="paxtrail-tests-"))
    home.chmod(0o711)  # the user PostgreSQL runs as must be able to enter
    yield settings_for(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(settings: Settings) -> Iterator[Settings]:
    """The same settings, with a migrated PostgreSQL server behind them. Tests share it: see `clean_postgres`."""
    postgresql.prepare(settings)
    command = postgresql.command(settings, "fsync=off", "full_page_writes=off", "synchronous_commit=off")
    with running(command, lambda: postgresql.problem(settings), log=settings.logs / "postgres.log", stop=signal.SIGINT):
        postgresql.settle(settings)
        yield settings


@pytest.fixture
def clean_postgres(postgres: Settings, tmp_path: Path) -> Settings:
    """The server with every table as after the migration, and a home of the test's own (empty lake, same passwords)."""
    return emptied(postgres, tmp_path / "home")


def emptied(postgres: Settings, home: Path) -> Settings:
    """Settings with that home, and serving store and vault as after the migration."""
    databases: tuple[Database, ...] = ("serving", "vault")
    for database in databases:
        with psycopg.connect(dsn(postgres, database, "postgres"), autocommit=True) as connection:
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
            ).fetchall()
            connection.execute(
                sql.SQL("TRUNCATE {} RESTART IDENTITY").format(sql.SQL(", ").join(sql.Identifier(name) for (name,) in tables))
            )
            if database == "serving":
                connection.execute("INSERT INTO epochs (epoch) VALUES (1)")
    shutil.copytree(postgres.secrets, home / "secrets")
    return postgres.model_copy(update={"home": home})


@pytest.fixture(scope="session")
def kafka(settings: Settings) -> Iterator[Settings]:
    """The same settings, with a real broker and its topics behind them."""
    broker.prepare(settings)
    with running(broker.command(settings), lambda: broker.problem(settings), log=settings.logs / "kafka.log"):
        broker.make_topics(settings)
        yield settings


@pytest.fixture(scope="session")
def druid(kafka: Settings) -> Iterator[Servers]:
    """Druid's processes, following the broker. Tests share the datasource: each counts in hours of its own."""
    with ExitStack() as held:
        yield Servers(kafka, held)


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    """One session for all tests: local[2], Delta, two shuffle partitions."""
    from paxtrail.adapters.spark import session

    found = session(settings, "tests")
    yield found
    found.stop()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
