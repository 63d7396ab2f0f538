"""The demo as a program: a few real flights through the whole platform, on a home and ports of its own, every answer compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from paxtrail.settings import ROOT
from paxtrail.stack import places
from paxtrail.stack.processes import free_row

FLIGHTS = 8


class Demonstrated:
    """What a run of the demo left: exit code, what it said, its last line, the processes of its home that still run."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "paxtrail.cli.main", "--home", str(home), "--port-base", str(free_row(places.PORTS))]
        command += ["demo", "--exit", "--flights", str(FLIGHTS), "--speed-up", "20000"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/", stdin=subprocess.DEVNULL)
        self.code, self.said, self.complained = done.returncode, done.stdout, done.stderr
        self.home = home / "demo"
        self.left = [process.pid for process in psutil.process_iter() if belongs(process, self.home)]

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.said.splitlines()[-1])
        return found


def belongs(process: psutil.Process, home: Path) -> bool:
    """Whether the stack of that home started this process."""
    try:
        return bool(process.environ().get("PAXTRAIL_HOME") == str(home))
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def demonstrated() -> Iterator[Demonstrated]:
    home = Path(tempfile.mkdtemp(prefix="paxtrail-demo-"))
    home.chmod(0o711)  # the user PostgreSQL runs as must be able to enter
    yield Demonstrated(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.timeout(900)
def test_every_answer_is_the_one_known_beforehand(demonstrated: Demonstrated) -> None:
    assert demonstrated.code == 0, f"{demonstrated.said[-6000:]}\n{demonstrated.complained[-3000:]}"
    assert demonstrated.summary["matches_expected"] is True
    assert demonstrated.summary["compared"] > 300


def test_the_ledger_adds_up(demonstrated: Demonstrated) -> None:
    found = demonstrated.summary
    assert found["received"] == found["accepted"] + found["duplicates"] + found["refused"]
    assert found["accepted"] > 500
    assert found["duplicates"] > 0
    assert found["refused"] > 0


def test_two_publications_drift_nothing(demonstrated: Demonstrated) -> None:
    assert demonstrated.summary["publications"] == 2
    assert demonstrated.summary["drift"] == 0


def test_the_summary_counts_what_was_played(demonstrated: Demonstrated) -> None:
    found = demonstrated.summary
    assert found["flights"] == 2 * FLIGHTS
    assert 0 < found["flights_cancelled"] < found["flights"]
    assert found["customers"] > 0
    assert found["journeys"] >= found["customers"] / 2
    assert found["bags"] > found["bags_mishandled"] >= 0
    assert found["freshness_p95_s"] >= found["freshness_p50_s"] > 0


def test_a_traveller_and_a_refused_message_are_shown(demonstrated: Demonstrated) -> None:
    assert "found by PNR" in demonstrated.said
    assert "flight_cancelled" in demonstrated.said
    assert "sealed under its day's key" in demonstrated.said


def test_nothing_is_left_running(demonstrated: Demonstrated) -> None:
    assert not demonstrated.left
