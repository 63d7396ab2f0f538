"""`paxtrail decode`: what it prints, how it ends, and that it neither shows personal values nor a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.core.every_source import PERSONAL, SAMPLES
from tests.core.samples import DATA, acceptance

from paxtrail.cli.decode import decode
from paxtrail.core.sources import SOURCES
from paxtrail.settings import ROOT


def run(*arguments: str) -> Result:
    return CliRunner().invoke(decode, list(arguments))


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def written(folder: Path, name: str, content: bytes | str) -> str:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


def test_a_flight_is_one_line_with_readable_times() -> None:
    result = run(str(DATA / "flights" / "delayed.xml"), "--source", "flights")
    (line,) = lines(result)
    assert (result.exit_code, list(line)) == (0, ["event"])
    event = line["event"]
    assert (event["type"], event["event_time"], event["subject"]) == ("flight.leg_updated", "2013-02-08T10:02:00Z", None)
    assert event["entities"] == [{"kind": "flight", "key": "UA15A/2013-02-08/EWR"}]
    assert len(event["event_id"]) == 36
    assert event["facts"]["off_block_estimated"] == "2013-02-08T14:55:00Z"
    assert event["facts"]["boarding_start_actual"] == "2013-02-08T10:01:30.500000Z"
    assert event["facts"]["off_block_actual"] is None
    assert event["facts"]["delays"] == [{"code": "93", "minutes": 65}, {"code": "75", "minutes": 20}]


def test_names_and_identifiers_of_persons_are_masked_and_bags_are_not(tmp_path: Path) -> None:
    result = run(str(DATA / "baggage" / "groups.txt"), "--source", "baggage")
    events = [line["event"] for line in lines(result)]
    assert [event["facts"]["tag"] for event in events][:2] == ["0085111111", "0085111112"]
    assert events[3]["facts"]["surname"] == "•••"
    assert events[3]["facts"]["others"] == [{"surname": "•••", "given": "•••"}]
    assert events[0]["entities"][:2] == [{"kind": "bag", "key": "0085111111"}, {"kind": "journey", "key": "journey:•••"}]
    assert events[3]["entities"] == [{"kind": "bag", "key": "2085333333"}], "a rushed bag flies alone"
    assert not any(name in result.output for name in ("SMITH", "BROWN", "WHITE", "XY1C3P", "SAB4KP"))


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_decodes_and_shows_no_personal_value(tmp_path: Path, source: str) -> None:
    result = run(written(tmp_path, "sample.json", SAMPLES[source]), "--source", source)
    assert result.exit_code == 0
    assert lines(result)
    assert not any(value in result.output.upper() for value in PERSONAL)


def test_the_same_file_gives_the_same_event_ids(tmp_path: Path) -> None:
    file = str(DATA / "baggage" / "life.txt")
    first, second = (run(file, "--source", "baggage") for _ in range(2))
    ids = [line["event"]["event_id"] for line in lines(first)]
    assert ids == [line["event"]["event_id"] for line in lines(second)]
    assert len(set(ids)) == len(ids)


def test_a_refusal_says_where_and_ends_with_one(tmp_path: Path) -> None:
    good, bad = json.dumps({"text": SAMPLES["baggage"].decode()}), json.dumps({"text": "BSM\n.V/1LEWR\n.N/0016123456001"})
    result = run(written(tmp_path, "bags.jsonl", f"{good}\n{bad}\n\n"), "--source", "baggage")
    told = lines(result)
    assert result.exit_code == 1
    assert [list(line) for line in told] == [["event"], ["event"], ["rejected"], ["rejected"]]
    assert [line["rejected"]["code"] for line in told[2:]] == ["truncated", "empty"]
    assert told[2]["rejected"]["at"] == "line 2: line 3"
    assert set(told[2]["rejected"]) == {"code", "reason", "at"}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"{" * 200_000, b"\0" * 10, b"x" * 2_000_000]
)
@pytest.mark.parametrize("source", SOURCES)
def test_rubbish_is_refused_in_one_line(tmp_path: Path, source: str, content: bytes) -> None:
    result = run(written(tmp_path, "rubbish", content), "--source", source)
    assert result.exit_code == 1
    (line,) = lines(result)
    assert line["rejected"]["reason"]
    assert line["rejected"]["code"] != "decoder_fault"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such/file.xml", "--source", "flights"), "No such file"),
        ((str(DATA), "--source", "flights"), "Is a directory"),
        ((str(DATA / "flights" / "delayed.xml"), "--source", "parcels"), "there is no source 'parcels'"),
    ],
)
def test_a_missing_file_or_source_is_one_line_and_ends_with_two(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_acceptance_files_are_all_accepted() -> None:
    folder = acceptance("messages")
    for file in [*(folder / "aidx").glob("*.xml")]:
        assert run(str(file), "--source", "flights").exit_code == 0
    assert run(str(folder / "bsm" / "messages.jsonl"), "--source", "baggage").exit_code == 0


def test_the_command_starts_without_spark_and_writes_utf8_whatever_the_locale() -> None:
    program = (
        "import sys; from paxtrail.cli.main import main\ntry: main()\nfinally: assert not {'pyspark', 'delta', 'pandas'} & set(sys.modules)"
    )
    file = str(DATA / "baggage" / "accepted.txt")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "decode", file, "--source", "baggage"],
        env={"PYTHONPATH": str(ROOT / "src"), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "•••" in done.stdout.decode("utf-8")
