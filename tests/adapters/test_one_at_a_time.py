"""The batch layer works one program at a time, however it is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paxtrail.adapters import batch, lake, logs, marts, rebuilding, reindexing, reprocessing, silver
from paxtrail.errors import TableLocked, reported
from paxtrail.settings import Settings

STARTED: dict[str, Callable[[Settings], object]] = {
    "batch run": lambda settings: batch.run_batch(settings, "a"),
    "cut open": lambda settings: batch.cut_open(settings, "a"),
    "publish": lambda settings: batch.publish(settings, "a"),
    "a step, an export, retention": lambda settings: silver.opened(settings, "a", "step").__enter__(),
    "reindex": lambda settings: reindexing.opened(settings).__enter__(),
    "marts build": marts.build,
    "rebuild": lambda settings: rebuilding.rebuild(settings, "a"),
    "reprocess": lambda settings: reprocessing.reprocess(settings, "flights"),
}


@pytest.mark.parametrize("started", STARTED.values(), ids=STARTED)
def test_while_one_works_no_other_begins(started: Callable[[Settings], object], tmp_path: Path) -> None:
    settings = Settings.load("local", home=str(tmp_path))
    with lake.locked("batch", settings), pytest.raises(TableLocked, match="batch"):
        started(settings)


def test_its_steps_go_on_under_the_lock_of_the_whole_and_end_with_it(tmp_path: Path) -> None:
    settings = Settings.load("local", home=str(tmp_path))
    with lake.batch_locked(settings):
        with lake.batch_locked(settings), pytest.raises(TableLocked), lake.locked("batch", settings):
            pass
        with pytest.raises(TableLocked), lake.locked("batch", settings):
            pass
    with lake.locked("batch", settings), pytest.raises(TableLocked), lake.batch_locked(settings):
        pass


def test_a_program_that_is_refused_says_why_in_one_line(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    logs.start(settings, "tests")

    def refused() -> int:
        raise TableLocked("batch is being written by process 7; stop it or wait for it")

    assert reported(refused) == 1
    assert capsys.readouterr().err == "error: table_locked: batch is being written by process 7; stop it or wait for it\n"
