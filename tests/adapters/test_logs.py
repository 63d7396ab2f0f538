"""Logs: one form for every program, and what an exception says of a record or a request is in none of them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from deltalake.exceptions import DeltaError
from tests.serving.world import EMAIL, PASSPORT, PHONE, World, client, contact

from paxtrail.adapters import logs, tracing
from paxtrail.adapters.postgres import dsn
from paxtrail.errors import NotFound
from paxtrail.settings import ROOT, Settings

CANARIES = (EMAIL, PHONE, PASSPORT, "CANARYSON")
log = logging.getLogger("paxtrail.tests")


@pytest.fixture(params=["json", "text"])
def form(request: pytest.FixtureRequest, settings: Settings) -> Iterator[str]:
    chosen = settings.logging.model_copy(update={"format": request.param})
    root = logging.getLogger()
    before = list(root.handlers)
    logs.start(settings.model_copy(update={"logging": chosen}), "tests")
    yield request.param
    root.handlers[:] = before


def lines(form: str, told: str) -> list[dict[str, Any]]:
    """What was logged; every line of JSON is read, and no canary stands in any form."""
    assert [canary for canary in CANARIES if canary in told] == []
    return [json.loads(line) for line in told.splitlines()] if form == "json" else [{"message": line} for line in told.splitlines()]


def test_a_line_says_when_who_what_and_in_which_trace(form: str, capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    with logs.bound(run="2026-W47"), logs.bound(lane="main", seq=7, trace="a" * 32):
        log.warning("finished %d micro-batches", 3)
    [line] = lines(form, capsys.readouterr().err)
    if form == "json":
        assert line.pop("time").endswith("Z")
        assert line == {
            "level": "WARNING", "logger": "paxtrail.tests", "program": "tests", "message": "finished 3 micro-batches",
            "run": "2026-W47", "lane": "main", "seq": 7, "trace": "a" * 32,
        }  # fmt: skip
    else:
        assert line["message"].endswith("WARNING paxtrail.tests finished 3 micro-batches")


def test_a_line_within_a_span_names_its_trace(form: str, capsys: pytest.CaptureFixture[str], settings: Settings, tmp_path: Any) -> None:
    to = settings.tracing.model_copy(update={"folder": str(tmp_path)})
    tracing.start(settings.model_copy(update={"tracing": to}), "tests")
    try:
        with tracing.span("work"):
            log.warning("within")
            expected = tracing.trace_id(tracing.context())
    finally:
        tracing.stop()
    [line] = lines(form, capsys.readouterr().err)
    assert form == "text" or line["trace"] == expected


def test_what_errors_say_of_values_is_not_logged(form: str, capsys: pytest.CaptureFixture[str], clean_postgres: Settings) -> None:
    def fails() -> None:
        with psycopg.connect(dsn(clean_postgres, "serving", "stream")) as connection:
            connection.execute("insert into links values (%s, 'x'), (%s, 'x')", (EMAIL, EMAIL))

    for work in (fails, lambda: json.loads(f'"{PHONE}'), lambda: {"": 0}[PASSPORT], lambda: int("CANARYSON")):
        try:
            try:
                work()
            except Exception as error:
                raise RuntimeError(f"while taking {CANARIES}") from error
        except RuntimeError as error:
            log.exception("failed")
            log.warning("waits: %s", logs.told(error.__cause__))
    found = lines(form, capsys.readouterr().err)
    told = json.dumps(found)
    for known in ("UniqueViolation (23505) at ", "KeyError at test_logs.py:", "ValueError at test_logs.py:", "RuntimeError"):
        assert known in told


def test_what_helps_and_tells_no_value_is_logged() -> None:
    assert logs.told(NotFound("there is no run 7")) == "NotFound (there is no run 7)"
    assert logs.told(OSError(28, "No space left on device", EMAIL)) == "OSError (No space left on device)"
    assert logs.told(DeltaError("Generic LocalFileSystem error: no space")) == "DeltaError (Generic LocalFileSystem error: no space)"
    worker = RuntimeError(f"org.apache.spark.SparkException: … psycopg.errors.AdminShutdown: {EMAIL} … psycopg.OperationalError: {PHONE}")
    assert logs.told(worker) == "RuntimeError (org.apache.spark.SparkException, psycopg.OperationalError)"


async def test_refusals_and_faults_log_no_value(
    form: str, capsys: pytest.CaptureFixture[str], clean_postgres: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(clean_postgres)
    bad = contact(text=PHONE, event=EMAIL)
    with pytest.raises(AssertionError, match="unknown_type"):
        world.feed(bad)

    async def fails(*_: Any) -> None:
        raise RuntimeError(f"bad value {EMAIL}") from ValueError(PASSPORT)

    async with client(world) as api:
        await api.post("/v1/profiles/lookup", {"namespace": "email", "value": EMAIL, PHONE: 1})
        await api.get(f"/v1/profiles/{EMAIL}/360?{PASSPORT}=1")
        monkeypatch.setattr(api.app.state.serving.search, "by_identifier", fails)
        answer = await api.post("/v1/profiles/lookup", {"namespace": "email", "value": EMAIL})
    [line] = lines(form, capsys.readouterr().err)
    assert "unexpected RuntimeError at test_logs.py:" in line["message"] and answer.headers["paxtrail-trace"] in json.dumps(line)


def test_what_ends_a_program_is_logged_without_its_text() -> None:
    program = (
        "import threading\nfrom paxtrail.adapters.programs import begin\nbegin('tests')\n"
        f"thread = threading.Thread(target=lambda: int('CANARYSON'))\nthread.start()\nthread.join()\nraise ValueError({EMAIL!r})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PAXTRAIL_LOGGING__FORMAT": "json", "PYTHONPATH": str(ROOT / "src")},
    )
    found = lines("json", ended.stderr)
    assert ended.returncode == 1
    assert [line["error"][0].split(" at ")[0] for line in found] == ["ValueError", "ValueError"]
