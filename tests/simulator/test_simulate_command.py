"""`paxtrail simulate`: files that load as they are, the expected answer, clear words for wrong options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.simulator.platform_in_memory import SCHEMAS

from paxtrail.adapters import files
from paxtrail.cli.simulate import simulate
from paxtrail.core.decoding import decode
from paxtrail.core.records import Record
from paxtrail.errors import Refusal
from paxtrail.simulator.messages import SOURCES

END = "2026-11-22T12:00:00Z"
ARRIVAL = 1_795_348_800_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("airline")
    result = CliRunner().invoke(simulate, ["--out", str(out), "--flights", "12", "--end", END, "--broken", "0.03"])
    assert result.exit_code == 0, result.output
    totals = json.loads(result.output)
    assert totals["received"] == json.loads((out / "expected.json").read_text())["totals"]["received"]
    return out


def test_the_files_load_with_the_ids_and_refusals_foretold(folder: Path) -> None:
    ledger = json.loads((folder / "expected.json").read_text())["ledger"]
    for source in SOURCES:
        accepted, repeated = set(), 0
        refused: dict[str, int] = {}
        for part in files.parts(folder / f"{source}.jsonl", source, arrival=ARRIVAL):
            assert isinstance(part.content, Record)
            try:
                decoded = decode(part.content, SCHEMAS)
            except Refusal as refusal:
                refused[refusal.code] = refused.get(refusal.code, 0) + 1
                continue
            repeated += decoded.record_id in accepted
            accepted.add(decoded.record_id)
        assert (len(accepted), repeated, refused) == (ledger[source]["accepted"], ledger[source]["duplicates"], ledger[source]["refused"])


def test_the_samples_are_plain_native_messages(folder: Path) -> None:
    samples = sorted((folder / "samples").iterdir())
    assert {sample.name.split("-")[0] for sample in samples} == set(SOURCES)
    for sample in samples:
        for part in files.parts(sample, sample.name.split("-")[0], arrival=ARRIVAL):
            assert isinstance(part.content, Record)
            assert decode(part.content, SCHEMAS).drafts


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "say where to"),
        (["--produce", "--rate", "5", "--speed-up", "2"], "exclude each other"),
        (["--out", "x", "--rate", "5"], "need --produce"),
        (["--out", "x", "--end", "yesterday"], "a time is written like"),
        (["--out", "x", "--end", "2026-11-22T12:00:00"], "a time is written like"),
    ],
)
def test_wrong_options_are_told_in_one_line(options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(simulate, options)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output
