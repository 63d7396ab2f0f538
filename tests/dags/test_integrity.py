"""Every DAG as Airflow reads it: no errors, nothing heavy imported, and each says who owns it, how often, how long and what it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from paxtrail.settings import ROOT
from paxtrail.stack import environments

READER = Path(__file__).with_name("read_dags.py")


def _read(folder: Path, home: Path, reader: Path = READER, *more: str) -> Any:
    """What Airflow's own Python makes of the DAGs of a folder."""
    python = environments.program("airflow", "python")
    values = {"AIRFLOW_HOME": str(home), "AIRFLOW_CONFIG": str(ROOT / "conf" / "airflow" / "airflow.cfg"), "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), str(reader), str(folder), *more]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, env={**os.environ, **values})
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def problems(read: Any) -> list[str]:
    """What is wrong with the DAGs, one line each."""
    found = [f"{Path(file).name}: cannot be read" for file in read["errors"]]
    found += [f"imports {name}" for name in read["imported"]]
    for name, dag in read["dags"].items():
        found += [f"{name}: {what}" for what in _of_dag(name, dag)]
        for task, values in dag["tasks"].items():
            found += [f"{name}.{task}: {what}" for what in _of_task(values)]
    return found


def _of_dag(name: str, dag: Any) -> list[str]:
    said = {
        "is not in the file of its name": Path(dag["file"]).stem == name,
        "has no docs": dag["docs"].strip().startswith(f"### {name}"),
        "has no tags": bool(dag["tags"]),
        "catches up": not dag["catchup"],
        "runs beside itself": dag["max_active_runs"] == 1,
        "may run for ever": bool(dag["timeout_s"]),
    }
    return [what for what, fine in said.items() if not fine]


def _of_task(task: Any) -> list[str]:
    programs = re.findall(r"([\w./-]+\.py)", task["command"])
    batch = task["kind"] == "SparkSubmitOperator" or re.search(r"spark_jobs/(?!drifts)|marts build|retention run", task["command"])
    said = {
        "has no owner": task["owner"] not in ("", "airflow"),
        "is never tried again": task["retries"] > 0,
        "may run for ever": bool(task["timeout_s"]),
        "runs beside the batch layer": not batch or task["pool"] == "batch",
        "submits what is not there": all(Path(program).is_file() for program in programs),
    }
    return [what for what, fine in said.items() if not fine]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The DAGs of this repository."""
    return _read(ROOT / "dags", tmp_path_factory.mktemp("airflow"))


def test_every_dag_can_be_read_and_says_what_it_must(read: Any) -> None:
    assert problems(read) == []
    assert set(read["dags"]) == {file.stem for file in (ROOT / "dags").glob("*.py")}


def test_tasks_are_tried_again_as_often_as_the_guide_says(read: Any) -> None:
    tries = {
        f"{name}.{task}": (values["retries"], values["retry_delay_s"])
        for name, dag in read["dags"].items()
        for task, values in dag["tasks"].items()
    }
    assert {name: said for name, said in tries.items() if said != (2, 120)} == {"states.gate": (1, 5), "states.drift": (1, 5)}
    guide = (ROOT / "docs" / "guides" / "schedule-and-repair.md").read_text()
    assert "Twice already, two minutes apart (`gate` and `drift` once, after five seconds)" in guide


def test_what_a_dag_leaves_out_is_found(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(
        "import psycopg2\n"
        "from datetime import datetime\n"
        "from airflow.sdk import DAG\n"
        "from airflow.providers.standard.operators.bash import BashOperator\n"
        "from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator\n"
        "with DAG('other', catchup=True, schedule='@daily', start_date=datetime(2026, 1, 1)) as dag:\n"
        "    SparkSubmitOperator(task_id='job', application='/nowhere/job.py', retries=0)\n"
        "    BashOperator(task_id='delete', bash_command='paxtrail retention run')\n"
    )
    (tmp_path / "broken.py").write_text("from airflow.sdk import DAG\nDAG('broken', schedule=now_and_then)\n")
    assert set(problems(_read(tmp_path, tmp_path))) == {
        "broken.py: cannot be read",
        "imports psycopg2",
        "other: is not in the file of its name",
        "other: has no docs",
        "other: has no tags",
        "other: catches up",
        "other: runs beside itself",
        "other: may run for ever",
        "other.job: has no owner",
        "other.job: is never tried again",
        "other.job: may run for ever",
        "other.job: runs beside the batch layer",
        "other.delete: has no owner",
        "other.delete: is never tried again",
        "other.delete: may run for ever",
        "other.delete: runs beside the batch layer",
        "other.job: submits what is not there",
    }


def test_the_chain_of_states_publishes_only_behind_the_gate(read: Any) -> None:
    tasks = read["dags"]["states"]["tasks"]
    after = {name: task["after"] for name, task in tasks.items()}
    assert after == {
        "cut": [],
        "events": ["cut"],
        "links": ["events"],
        "states": ["links"],
        "outcomes": ["states"],
        "gate": ["outcomes"],
        "publish": ["gate"],
        "drift": ["publish"],
        "announce": ["publish"],
    }
    assert [name for name, task in tasks.items() if task["outlets"] == ["silver_published"]] == ["announce"]


@pytest.mark.parametrize("dag", ["marts", "reindex"])
def test_what_builds_on_silver_waits_for_its_publication(dag: str, read: Any) -> None:
    assert "Asset" in read["dags"][dag]["schedule"]


def test_reindex_gives_its_program_the_hours_asked_for_or_those_before_the_newest_cut(tmp_path: Path) -> None:
    by_hand, quarter_past_two = {"from": "2026-11-20T10", "to": "2026-11-20T12"}, 1_795_313_700_000_000
    cases = [
        {"params": by_hand, "cuts": []},
        {"params": {}, "cuts": [quarter_past_two - 86_400_000_000, quarter_past_two]},
        {"params": {}, "cuts": []},
    ]
    asked = _read(ROOT / "dags", tmp_path, READER.with_name("ask_reindex.py"), json.dumps(cases))
    assert asked[0] == ["--from", "2026-11-20T10", "--to", "2026-11-20T12"]
    assert asked[1] == ["--from", "2026-11-20T02", "--to", "2026-11-22T02"]
    assert "triggered by hand without hours" in asked[2][0]
