"""The demo as a program: a few real flights through the whole platform, on a home and ports of its own, every answer compared."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.demonstration import Demonstrated

FLIGHTS = 8


@pytest.fixture(scope="module")
def demonstrated() -> Iterator[Demonstrated]:
    home = Path(tempfile.mkdtemp(prefix="paxtrail-demo-"))
    home.chmod(0o711)  # the user PostgreSQL runs as must be able to enter
    yield Demonstrated(home, "--flights", str(FLIGHTS), "--speed-up", "20000")
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.timeout(900)
def test_every_answer_is_the_one_known_beforehand(demonstrated: Demonstrated) -> None:
    assert demonstrated.code == 0, f"{demonstrated.said[-6000:]}\n{demonstrated.complained[-3000:]}"
    assert demonstrated.summary["matches_expected"] is True
    assert demonstrated.summary["compared"] > 300


def test_the_profile_path_needs_no_other_part(demonstrated: Demonstrated) -> None:
    started = set(re.findall(r"(\w+) +ready after", demonstrated.said))
    assert started == {"postgres", "kafka", "topics", "stream", "relay", "api"}, "Druid, Airflow, Superset and MLflow are off here"


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
