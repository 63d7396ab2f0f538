"""The demo with every tool as a program: a few real flights through schedules, marts, Druid, dashboards, model and export."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.demonstration import Demonstrated

# The first of them waits for the whole demo.
pytestmark = [pytest.mark.tools, pytest.mark.timeout(3600)]

MEMORY_MB = 9000


@pytest.fixture(scope="module")
def demonstrated() -> Iterator[Demonstrated]:
    home = Path(tempfile.mkdtemp(prefix="paxtrail-full-"))
    home.chmod(0o711)  # the user PostgreSQL runs as must be able to enter
    yield Demonstrated(home, "--full", "--flights", "8", "--passengers", "60", "--speed-up", "20000")
    shutil.rmtree(home, ignore_errors=True)


def test_every_answer_is_the_one_known_beforehand_also_what_came_as_a_file(demonstrated: Demonstrated) -> None:
    assert demonstrated.code == 0, f"{demonstrated.said[-6000:]}\n{demonstrated.complained[-3000:]}"
    found = demonstrated.summary
    assert found["matches_expected"] is True
    assert found["drift"] == 0
    (manifest,) = (demonstrated.home / "landed" / "contacts").glob("*.json")
    assert json.loads(manifest.read_text())["sent"] == 25


def test_schedules_ran_the_batch_layer_and_what_follows_it_by_itself(demonstrated: Demonstrated) -> None:
    found = demonstrated.summary
    assert found["dag_runs_ok"] >= 6  # states twice, marts, reindex, files, models
    assert found["gates_green"] == found["publications"] == 2


def test_marts_and_druid_say_what_api_and_lake_say(demonstrated: Demonstrated) -> None:
    found = demonstrated.summary
    assert found["marts"] == 4
    assert min(found["mart_rows"].values()) > 0
    assert found["mart_matches_api"] is True
    assert found["druid_matches_lake"] is True


def test_every_chart_of_the_dashboard_shows_numbers(demonstrated: Demonstrated) -> None:
    assert demonstrated.summary["dashboards"] == 1


def test_the_dashboard_renews_itself_where_it_was_up_while_the_replay_went_on(demonstrated: Demonstrated) -> None:
    assert demonstrated.summary["dashboard_refreshed"] in (True, None)


def test_contacts_are_scored(demonstrated: Demonstrated) -> None:
    assert demonstrated.summary["sentiment_scored"] > 50


def test_a_version_of_the_model_is_trained_and_compared(demonstrated: Demonstrated) -> None:
    found = demonstrated.summary
    assert found["model_version"] == 2  # the lexicon is the first
    assert 0.6 < found["model_macro_f1"] <= 1
    assert isinstance(found["model_promoted"], bool)


def test_the_export_keeps_the_limits_of_its_contract(demonstrated: Demonstrated) -> None:
    found = demonstrated.summary
    assert found["export_rows"] >= found["export_k"] >= 10
    (release,) = (demonstrated.home / "exports").iterdir()
    with (release / "data.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == found["export_rows"]


def test_an_agent_is_let_in_and_not_shown_what_a_traveller_objected_to(demonstrated: Demonstrated) -> None:
    assert demonstrated.summary["agent_page"] is True
    assert demonstrated.summary["fields_withheld"] > 0


def test_all_of_it_fits_into_memory(demonstrated: Demonstrated) -> None:
    assert 2000 < demonstrated.summary["memory_peak_mb"] <= MEMORY_MB


def test_nothing_is_left_running(demonstrated: Demonstrated) -> None:
    assert not demonstrated.left
