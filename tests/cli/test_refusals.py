"""Commands and programs before there is anything to do: one line says what is wrong, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places

COMMAND = ("-m", "paxtrail.cli.main")
EXPORT = ("--contract", "frequent_travellers")


def _program(name: str) -> str:
    return str(ROOT / "spark_jobs" / f"{name}.py")


def _reindex(since: str) -> tuple[str, ...]:
    return ("--from", since, "--to", "2026-11-22T12")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*COMMAND, "reindex", *_reindex("2026-11-22")), "not an hour"),
        ((_program("reindex"), *_reindex("2026-11-22")), "not an hour"),
        ((*COMMAND, "reindex", *_reindex("2026-11-22T10")), "silver.events has no events of a cut yet: paxtrail batch run"),
        ((_program("reindex"), *_reindex("2026-11-22T10")), "silver.events has no events of a cut yet: paxtrail batch run"),
        ((*COMMAND, "exports", "release", *EXPORT), "no run has passed its gate yet: paxtrail batch run"),
        ((*COMMAND, "exports", "release", "--contract", "nobodys"), "nobodys"),
        ((*COMMAND, "marts", "docs"), "no marts were built yet, so nothing is documented: paxtrail marts build"),
        ((_program("gates"), "--run", "never"), "never"),
        ((_program("exports"), *EXPORT, "--run", "never", "--to", "exports"), "never"),
    ],
    ids=lambda given: " ".join(word.rsplit("/", 1)[-1] for word in given[-6:]) if isinstance(given, tuple) else "",
)
def test_what_cannot_be_done_is_told_in_one_line(clean_postgres: Settings, arguments: tuple[str, ...], told: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **places.environment(clean_postgres)},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert told in line
