"""The landing folder: a file is sent once, whatever comes twice or dies, and its manifest accounts for every line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_produce import ids

from paxtrail.adapters import landing
from paxtrail.core.retention import BACKLOG_DAYS, DAY
from paxtrail.errors import BadRequest, TableLocked, Unavailable
from paxtrail.settings import Settings

NOW = 1_800_000_000_000_000


@pytest.fixture
def home(kafka: Settings, tmp_path: Path) -> Settings:
    settings = kafka.model_copy(update={"home": tmp_path / "home"})
    (landing.folder(settings) / "booking").mkdir(parents=True)
    return settings


def land(settings: Settings, name: str, *lines: dict[str, Any] | str) -> Path:
    file = landing.folder(settings) / "booking" / name
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return file


def landed(settings: Settings, pattern: str) -> list[Path]:
    return sorted((landing.archive(settings) / "booking").glob(pattern))


def test_a_file_is_sent_listed_and_archived(home: Settings) -> None:
    file = land(home, "night.jsonl", {"mark": "landing-1", "n": 1}, "", {"mark": "landing-1", "n": 2})
    assert landing.take(home, now=NOW) == {"files": 1, "again": 0, "expired": 0, "sent": 2, "not_sent": 1}
    (manifest,) = landed(home, "*.json")
    about = json.loads(manifest.read_text())
    assert {name: about[name] for name in ("name", "sent", "not_sent")} == {"name": "night.jsonl", "sent": 2, "not_sent": {"empty": 1}}
    assert manifest.stem == about["sha256"]
    assert [content.stem for content in landed(home, "*.jsonl")] == [about["sha256"]]
    assert not file.exists()
    assert len(ids(home, "landing-1")) == 2


def test_a_file_that_comes_twice_is_sent_once(home: Settings) -> None:
    for name in ("first.jsonl", "again.ndjson"):
        land(home, name, {"mark": "landing-2"})
        landing.take(home, now=NOW)
    land(home, "third.jsonl", {"mark": "landing-2"})
    assert landing.take(home, now=NOW)["again"] == 1
    assert len(ids(home, "landing-2")) == 1


def test_a_run_that_died_before_the_manifest_sends_the_same_records_again(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file = land(home, "night.jsonl", {"mark": "landing-3"})
    with monkeypatch.context() as patch:
        patch.setattr("paxtrail.adapters.landing.orjson.dumps", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            landing.take(home, now=NOW)
    assert file.exists()
    assert landing.take(home, now=NOW)["sent"] == 1
    found = ids(home, "landing-3")
    assert len(found) == 2 and len(set(found)) == 1


def test_without_a_broker_the_file_stays(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file = land(home, "night.jsonl", {"mark": "landing-4"})
    away = home.model_copy(update={"kafka": home.kafka.model_copy(update={"brokers": "127.0.0.1:9"})})
    monkeypatch.setattr(landing, "send", lambda settings, records: _send_impatiently(settings, records))
    with pytest.raises(Unavailable):
        landing.take(away, now=NOW)
    assert file.exists() and not landed(home, "*.json")


def _send_impatiently(settings: Settings, records: Any) -> int:
    from paxtrail.adapters.producer import send

    return send(settings, records, timeout=1.0)


def test_what_is_being_written_and_what_is_no_json_lines_stays(home: Settings) -> None:
    for name in (".night.jsonl", "night.jsonl.part", "night.csv"):
        land(home, name, {"mark": "landing-5"})
    assert landing.take(home, now=NOW)["files"] == 0
    assert len(list((landing.folder(home) / "booking").iterdir())) == 3


def test_contents_are_deleted_after_a_week_and_manifests_stay(home: Settings) -> None:
    land(home, "night.jsonl", {"mark": "landing-6"})
    landing.take(home, now=NOW)
    assert landing.take(home, now=NOW + BACKLOG_DAYS * DAY)["expired"] == 0
    assert landing.take(home, now=NOW + BACKLOG_DAYS * DAY + 1)["expired"] == 1
    assert [file.suffix for file in landed(home, "*")] == [".json"]


def test_a_folder_that_is_no_sources_is_named_once_the_others_are_done(home: Settings) -> None:
    (landing.folder(home) / "bookings").mkdir()
    land(home, "night.jsonl", {"mark": "landing-7"})
    with pytest.raises(BadRequest, match="bookings"):
        landing.take(home, now=NOW)
    assert len(landed(home, "*.json")) == 1


def test_two_at_once_are_one(home: Settings) -> None:
    from paxtrail.adapters import lake

    with lake.locked("landing", home), pytest.raises(TableLocked):
        landing.take(home, now=NOW)
