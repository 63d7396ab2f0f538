"""`paxtrail models` and the programs of `ml/`, each as a process of its own: from labelled texts to a champion and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.ml.made import file, labelled

from paxtrail.settings import ROOT

MODELS = ("-m", "paxtrail.cli.main", "models")


class Console:
    """One home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        environment = {**os.environ, "PAXTRAIL_HOME": str(self.home)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def said(self, *arguments: str | Path) -> list[Any]:
        """Its lines of JSON."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refused(self, *arguments: str | Path) -> str:
        """Its one line of why not."""
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        [line] = done.stderr.splitlines()
        return line


def program(name: str) -> Path:
    return ROOT / "ml" / f"{name}.py"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "home")


def test_a_model_is_trained_and_promoted_an_equal_one_is_not_and_the_way_back_is_open(console: Console, tmp_path: Path) -> None:
    data = file(tmp_path, labelled(300))
    [first] = console.said(*MODELS, "train", "--data", data)
    assert (first["version"], first["promoted"], first["difference"]["lower"] > 0) == (2, True, True)
    [second] = console.said(program("train"), "--data", data)
    [compared] = console.said(program("evaluate"), "--data", data, "--version", "3")
    [promoted] = console.said(program("promote"), "--version", "3")
    assert (second["version"], compared["mean"], compared["better"], promoted["promoted"]) == (3, 0, False, False)
    assert "not_better: version 3 was not found better" in console.refused(*MODELS, "promote", "3")
    assert console.said(*MODELS, "rollback") == [{"champion": 1, "model": "lexicon/1"}]
    listed = {one["version"]: one["aliases"] for one in console.said(*MODELS, "list")}
    assert listed == {3: [], 2: ["previous"], 1: ["champion"]}


def test_figures_are_told_and_nothing_is_registered(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "named.csv"
    path.write_text(file(tmp_path, labelled(150)).read_text().replace("text,label", "tweet,tone", 1))
    [found] = console.said(*MODELS, "evaluate", "--data", path, "--text", "tweet", "--label", "tone", "--folds", "2")
    assert found["macro_f1"] > 0.9 > found["lexicon"]["macro_f1"]
    assert not (console.home / "mlflow").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*MODELS, "train", "--text", "mood"), "no column 'mood' (--text); it has text, label"),
        ((program("train"), "--label", "mood"), "no column 'mood' (--label); it has text, label"),
        ((program("evaluate"), "--version", "2", "--data", "nowhere.csv"), "nowhere.csv is not there"),
    ],
    ids=["a column, command", "a column, program", "a file"],
)
def test_what_is_missing_is_told_in_one_line(console: Console, tmp_path: Path, arguments: tuple[str | Path, ...], told: str) -> None:
    data = () if "--data" in arguments else ("--data", file(tmp_path, labelled(120)))
    assert told in console.refused(*arguments, *data)


def test_a_store_that_is_not_mlflows_is_told_in_one_line(console: Console) -> None:
    file = console.home / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all\n" * 100)
    assert f"unavailable: the tracking store ([models] tracking, by default {file}) cannot be used" in console.refused(*MODELS, "list")
