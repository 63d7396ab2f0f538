"""`paxtrail produce` and `decode` with mapped keys: what names a record, and what is not sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition

from paxtrail.cli.decode import decode
from paxtrail.cli.produce import produce
from paxtrail.settings import Settings


@pytest.fixture
def broker(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PAXTRAIL_KAFKA__BROKERS", kafka.kafka.brokers)
    return kafka


def produced(file: Path, *keys: str) -> tuple[Result, list[dict[str, Any]]]:
    arguments = [str(file), "--source", "booking", *(word for key in keys for word in ("--key", key))]
    result = CliRunner().invoke(produce, arguments)
    return result, [json.loads(line) for line in result.stdout.splitlines()]


def ids(settings: Settings, mark: str) -> list[str]:
    """Ids of the records in raw.booking that hold `mark`, sorted."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "tests", "enable.auto.commit": False})
    found = []
    try:
        for partition in consumer.list_topics("raw.booking", timeout=20).topics["raw.booking"].partitions:
            start, end = consumer.get_watermark_offsets(TopicPartition("raw.booking", partition), timeout=20, cached=False)
            consumer.assign([TopicPartition("raw.booking", partition, start)])
            for _ in range(end - start):
                message = consumer.poll(20)
                assert message is not None and message.error() is None
                if mark.encode() in (message.value() or b""):
                    found.append(dict(cast(list[tuple[str, bytes]], message.headers()))["ce_id"].decode())
    finally:
        consumer.close()
    return sorted(found)


def test_lines_are_named_by_their_keys_and_those_without_are_not_sent(broker: Settings, tmp_path: Path) -> None:
    file = tmp_path / "searches.jsonl"
    lines = [
        {"mark": "keys-1", "a": {"id": "x"}, "n": 1},
        {"mark": "keys-1", "a": {"id": "x"}, "n": 1, "corrected": True},
        {"mark": "keys-1", "a": {"id": "x"}, "n": 2},
        {"mark": "keys-1", "a": {"id": "1"}, "n": 1},
        {"mark": "keys-1", "a": {"id": 1}, "n": 1},
        {"mark": "keys-1", "a": {}, "n": 1},
        {"mark": "keys-1", "a": {"id": ["x"]}, "n": 1},
        {"mark": "keys-1", "a": {"id": None}, "n": 1},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result, told = produced(file, "$.a.id", "$.n")
    assert result.exit_code == 1
    assert [line["rejected"]["at"] for line in told[:-1]] == ["line 6: $.a.id", "line 7: $.a.id", "line 8: $.a.id"]
    assert {line["rejected"]["code"] for line in told[:-1]} == {"missing_key"}
    assert told[-1] == {"sent": 5, "topic": "raw.booking", "not_sent": 3}
    found = ids(broker, "keys-1")
    assert len(found) == 5 and len(set(found)) == 4, "the corrected line has the id of the first"
    assert all(one.startswith("key-") for one in found)


def test_without_keys_the_bytes_name_a_line(broker: Settings, tmp_path: Path) -> None:
    file = tmp_path / "searches.jsonl"
    file.write_text('{"mark": "keys-2"}\n{"mark": "keys-2"}\n')
    assert [produced(file)[0].exit_code for _ in range(2)] == [0, 0]
    found = ids(broker, "keys-2")
    assert len(found) == 4 and len(set(found)) == 2


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [("a.jsonl", "id", "a member is written $.id"), ("a.jsonl", "$.", "a member is written $.id"), ("a.xml", "$.id", "must be .json")],
)
def test_a_key_that_can_name_nothing_is_refused(tmp_path: Path, name: str, key: str, says: str) -> None:
    (tmp_path / name).write_text("{}")
    for command, source in ((produce, "booking"), (decode, "booking")):
        result = CliRunner().invoke(command, [str(tmp_path / name), "--source", source, "--key", key])
        assert result.exit_code == 2 and says in result.stderr


def test_decode_shows_the_event_ids_that_the_keys_give(tmp_path: Path) -> None:
    from tests.core.every_source import SAMPLES

    file = tmp_path / "a.json"
    file.write_bytes(SAMPLES["booking"])
    plain, keyed, other = (
        CliRunner().invoke(decode, [str(file), "--source", "booking", *more]) for more in ([], ["--key", "$.event"], ["--key", "$.session"])
    )
    found = {json.loads(result.stdout.splitlines()[0])["event"]["event_id"] for result in (plain, keyed, other)}
    assert len(found) == 3
