"""The champion follows a promotion, its file is plain numbers, and nothing that is wrong with it stops the door."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.core.test_sentiment import MODEL

from paxtrail.adapters.scoring import POINTER, Champion, read, release, status, written
from paxtrail.errors import ConfigurationError


def test_without_a_champion_the_lexicon_scores_and_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    assert Champion(folder).score("Terrible!").model == "lexicon/1"
    assert not folder.exists()
    assert status(folder) == {"model": "lexicon/1", "problem": ""}


def test_a_running_worker_follows_a_promotion_and_a_way_back(tmp_path: Path) -> None:
    worker = Champion(tmp_path)
    release(tmp_path, "sentiment/2", written(MODEL))
    worker.refresh()
    assert worker.score("bad").model == "sentiment/2"
    assert status(tmp_path) == {"model": "sentiment/2", "problem": ""}
    release(tmp_path, "lexicon/1", None)
    worker.refresh()
    assert worker.score("bad").model == "lexicon/1"


def test_a_model_scores_the_same_from_its_file() -> None:
    again = read(written(MODEL), "sentiment/1")
    for text in ("bad, bad food", "good", "", "neither"):
        assert again.probabilities(text).tolist() == pytest.approx(MODEL.probabilities(text).tolist())


def test_a_models_file_holds_no_word_and_no_pickle() -> None:
    content = written(MODEL)
    assert b"bad" not in content and b"good" not in content
    np.savez(pickled := io.BytesIO(), format=np.array([object()], dtype=object))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(pickled.getvalue(), "sentiment/1")


@pytest.mark.parametrize("spoil", ["cut", "changed", "gone", "pointer", "format"])
def test_a_broken_champion_falls_back_to_the_lexicon_and_says_so(spoil: str, tmp_path: Path) -> None:
    release(tmp_path, "sentiment/2", b"no model" if spoil == "format" else written(MODEL))
    file = tmp_path / "sentiment-2.npz"
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif spoil == "changed":
        file.write_bytes(written(replace(MODEL, intercept=np.ones(3))))
    elif spoil == "gone":
        file.unlink()
    elif spoil == "pointer":
        (tmp_path / POINTER).write_text(json.dumps([1]))
    assert Champion(tmp_path).score("bad").model == "lexicon/1"
    told = status(tmp_path)
    assert told["model"] == "lexicon/1" and told["problem"]


def test_a_champion_that_fails_on_a_text_is_not_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faulty = replace(MODEL, calibration=np.zeros((2, 2)))
    release(tmp_path, "sentiment/2", written(faulty))
    worker = Champion(tmp_path)
    assert worker.score("bad SECRET").model == "lexicon/1"
    assert worker.score("bad SECRET").model == "lexicon/1"
    assert "SECRET" not in caplog.text
    assert len(caplog.records) == 1
    assert status(tmp_path)["problem"] == "ValueError"
