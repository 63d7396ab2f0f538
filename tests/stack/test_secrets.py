"""No secret is where others look: command lines, logs, texts of errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from paxtrail.adapters import keyring, postgres, spark
from paxtrail.adapters.rotation import Rotation
from paxtrail.adapters.vault import Vault
from paxtrail.core.records import Identifier
from paxtrail.errors import ConfigurationError
from paxtrail.serving import issuer
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import parts, places
from paxtrail.stack.processes import running

NOW = 1_790_000_000_000_000
"""µs: some moment of 2026."""
_SHORT = 12
"""What is shorter is no secret but a number or a name."""


def secrets_of(settings: Settings) -> set[str]:
    """Every secret text of the files in <home>/secrets."""
    found: set[str] = set()
    for file in settings.secrets.iterdir():
        text = file.read_text()
        found |= set(_texts(json.loads(text)) if file.suffix == ".json" else text.split("\n"))
    return {text.strip() for text in found if len(text.strip()) >= _SHORT and not text.startswith("-----")}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, str):
        yield value


def command_lines() -> set[str]:
    """Of every process that this user can see now."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.add(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def told(secrets: set[str], texts: set[str]) -> list[str]:
    """Beginnings of the texts that hold a secret; of the secret, nothing."""
    return [text[:40] for text in texts if any(secret in text for secret in secrets)]


@pytest.fixture
def place(clean_postgres: Settings) -> Settings:
    """A home in which every secret is made that a program without a JVM needs."""
    keyring.load(clean_postgres)
    keyring.person_keys(clean_postgres, NOW)
    issuer.load(clean_postgres)
    return clean_postgres


def test_running_programs_and_their_logs_hold_no_secret(place: Settings, tmp_path: Path) -> None:
    secrets = secrets_of(place)
    assert len(secrets) > 12
    environment = {**os.environ, **places.environment(place), "PAXTRAIL_API__ISSUER": place.api.issuer}
    address = f"http://127.0.0.1:{place.api.port}/health/ready"

    def problem() -> str:
        try:
            return "" if httpx.get(address, timeout=2).status_code == 200 else "not ready"
        except httpx.HTTPError:
            return "not listening"

    seen: set[str] = set()
    log = tmp_path / "api.log"
    with running([sys.executable, str(ROOT / "api" / "main.py")], problem, log=log, environment=environment):
        command = [sys.executable, "-m", "paxtrail.cli.main", "keys", "rewrap"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
            while program.poll() is None:
                seen |= command_lines()
            said = program.communicate()[0].decode()
        postgres_log = next(place.models.folder.parent.glob("logs/postgres.log"))
    assert any("keys rewrap" in line for line in seen) and any("api/main.py" in line for line in seen) and '"left":0' in said
    assert any(" -D " in line and "postgres" in line for line in seen)
    assert told(secrets, seen | {log.read_text(), postgres_log.read_text(), said}) == []


def test_a_secret_on_a_command_line_would_be_found(place: Settings) -> None:
    planted = postgres.password(place, "stream")
    with subprocess.Popen([sys.executable, "-c", "input()", planted], stdin=subprocess.PIPE) as program:
        assert told(secrets_of(place), command_lines()) != []
        program.communicate(b"\n")


def test_no_part_is_started_with_a_secret(place: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_SPARK_JARS", str(tmp_path))
    secrets = secrets_of(place)
    started = {}
    for part in parts.PARTS:
        with suppress(FileNotFoundError, ConfigurationError):  # its environment is not installed here
            started[part.name] = " ".join([*(part.program(place) if part.program else ()), *part.environment(place).values()])
    assert started.keys() >= {"stream", "relay", "api", "bridge"}  # the command line of postgres is among those that run, above
    # PySpark gives every setting of a session to spark-submit as an argument.
    started["session"] = " ".join(spark.conf(place).values())
    assert told(secrets, set(started.values())) == []
    defaults = spark.write_defaults(place)
    assert (defaults / "spark-defaults.conf").stat().st_mode & 0o077 == 0
    assert str(defaults) not in started["session"]


def broken_keyring(settings: Settings) -> None:
    file = settings.secrets / "keyring.json"
    file.write_text(file.read_text()[:-3])
    keyring.load(settings)


def short_key(settings: Settings) -> None:
    file = settings.secrets / "keyring.json"
    values = json.loads(file.read_text())
    values["generations"]["1"] = values["generations"]["1"][:20]
    file.write_text(json.dumps(values))
    keyring.load(settings)


def open_file(settings: Settings) -> None:
    (settings.secrets / "stream.password").chmod(0o644)
    postgres.dsn(settings)


def other_key(settings: Settings) -> None:
    with closing(Vault(postgres.dsn(settings, "vault"), keyring.load(settings))) as vault:
        [token] = vault.tokens([Identifier("loyalty", "UA|X1")]).values()
    file = settings.secrets / "keyring.json"
    values = json.loads(file.read_text())
    values["generations"]["1"] = values["lookup_secrets"]["1"]
    file.write_text(json.dumps(values))
    with closing(Vault(postgres.dsn(settings, "vault"), keyring.load(settings))) as vault:
        vault.keys([token])


def wrong_password(settings: Settings) -> None:
    shutil.copy(settings.secrets / "api.password", settings.secrets / "stream.password")
    Vault(postgres.dsn(settings, "vault"), keyring.load(settings))


def no_server(settings: Settings) -> None:
    away = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"port": 1})})
    Rotation(away)


def no_such_host(settings: Settings) -> None:
    away = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"host": "no such host"})})
    Rotation(away)


def misplaced(settings: Settings) -> None:
    Settings.load("local", postgres={"port": postgres.password(settings, "stream")})


@pytest.mark.parametrize(
    "fault", [broken_keyring, short_key, open_file, other_key, wrong_password, no_server, no_such_host, misplaced], ids=lambda f: f.__name__
)
def test_errors_carry_no_secret(place: Settings, fault: Callable[[Settings], None]) -> None:
    secrets = secrets_of(place)
    with pytest.raises(Exception) as raised:  # whatever it is: what counts is what it says
        fault(place)
    text = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert told(secrets, {text}) == []


def test_what_holds_secrets_does_not_show_them(place: Settings) -> None:
    ring = keyring.load(place)
    shown = f"{ring!r} {ring.held()!r} {ring.in_force(())!r} {ring} {ring.held()} {place!r}"
    assert told(secrets_of(place), {shown}) == []
    assert all(repr(secret) not in shown for secret in [*ring.held().of["wrapping"].values(), *ring.held().of["lookup"].values()])


READERS: dict[str, Callable[[Settings], object]] = {
    "keyring.json": keyring.load,
    "persons.json": lambda settings: keyring.person_keys(settings, NOW),
    "stream.password": postgres.dsn,
}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
@pytest.mark.parametrize("name", list(READERS))
def test_a_secret_that_is_not_its_owners_alone_is_not_used(place: Settings, name: str, mode: int) -> None:
    (place.secrets / name).chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{name} can be read by others: chmod 600"):
        READERS[name](place)
