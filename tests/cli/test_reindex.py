"""`paxtrail reindex` and its program before there is anything to do: one line says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places

WAYS = (("-m", "paxtrail.cli.main", "reindex"), (str(ROOT / "spark_jobs" / "reindex.py"),))


@pytest.mark.parametrize("way", WAYS, ids=["command", "program"])
@pytest.mark.parametrize(
    ("since", "told"), [("2026-11-22", "not an hour"), ("2026-11-22T10", "silver.events has no events of a cut yet: paxtrail batch run")]
)
def test_what_cannot_be_done_is_told_in_one_line(clean_postgres: Settings, way: tuple[str, ...], since: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, *way, "--from", since, "--to", "2026-11-22T12"],
        env={**os.environ, **places.environment(clean_postgres)},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert told in line
