"""The model of the demo: the texts it lays ready can be trained on, and the registry's words become those of the summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from paxtrail.adapters.registry import Version
from paxtrail.core.sentiment import LABELS
from paxtrail.demo import model
from paxtrail.errors import PaxtrailError
from paxtrail.ml import labelled
from paxtrail.settings import Settings

LEXICON = Version(1, "lexicon", 0, {}, {}, ("champion",))
COMPARED = {"compared_with": "1", "difference": "0.0312", "lower": "-0.0100", "upper": "0.0700"}


def test_the_texts_laid_ready_are_enough_to_train_and_to_compare(tmp_path: Path) -> None:
    count = model.lay(Settings.load().model_copy(update={"home": tmp_path}))
    found = labelled.read(tmp_path / "training" / "sentiment.csv", "text", "label")
    assert len(set(found.texts)) == len(found.texts) == count
    for side in found.split():
        assert {*side.labels} == {*LABELS}


def test_what_a_training_came_to_is_told_from_the_newest_version_that_was_compared() -> None:
    versions = [Version(3, "svm", 0, {"macro_f1": 0.5}, {}, ()), Version(2, "svm", 0, {"macro_f1": 0.91}, COMPARED, ()), LEXICON]
    found = model.trained(versions, 339)
    assert found == (2, 339, 0.91, 0.0312, -0.01, False)
    assert found.summary() == {"model_version": 2, "model_macro_f1": 0.91, "model_promoted": False}
    assert "not promoted" in str(found)
    promoted = model.trained([versions[1]._replace(aliases=("champion",)), LEXICON._replace(aliases=("previous",))], 339)
    assert promoted.promoted


def test_a_run_that_compared_nothing_is_no_training() -> None:
    with pytest.raises(PaxtrailError, match="no version"):
        model.trained([LEXICON], 339)
