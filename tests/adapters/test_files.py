"""Files become records: what is one record, how it is named, what is refused before it is sent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from paxtrail.adapters.files import Part, parts
from paxtrail.core.cloudevents import STRUCTURED
from paxtrail.core.decoding import MAX_BODY
from paxtrail.core.records import Record
from paxtrail.errors import Refusal

EVENT = '{"specversion":"1.0","id":"7","source":"s","type":"t","data":{}}'


def made(folder: Path, name: str, content: bytes | str, source: str = "checkin") -> list[Part]:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(parts(file, source, arrival=5))


def records(found: list[Part]) -> list[Record]:
    return [part.content for part in found if isinstance(part.content, Record)]


def refusals(found: list[Part]) -> list[tuple[str, str]]:
    return [(part.at, part.content.code) for part in found if isinstance(part.content, Refusal)]


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("a.xml", "application/xml"),
        ("a.json", "application/json"),
        ("a.JSON", "application/json"),
        ("a.txt", "text/plain"),
        ("a.bsm", "text/plain"),
        ("a", "text/plain"),
    ],
)
def test_a_file_is_one_record_as_it_is(tmp_path: Path, name: str, media: str) -> None:
    (part,) = made(tmp_path, name, "one\ntwo\r\n")
    assert isinstance(part.content, Record)
    assert (part.at, part.content.body, part.content.source, part.content.arrival) == ("", b"one\ntwo\r\n", "checkin", 5)
    assert part.content.headers["content-type"] == media


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_of_lines_is_one_record_a_line(tmp_path: Path, ending: str) -> None:
    found = made(tmp_path, "a.jsonl", '{"a":1}\r\n{"b":2}' + ending)
    assert [(part.at, record.body) for part, record in zip(found, records(found), strict=True)] == [
        ("line 1", b'{"a":1}'),
        ("line 2", b'{"b":2}'),
    ]


def test_a_record_is_named_by_its_bytes_and_how_often_they_stood_before(tmp_path: Path) -> None:
    found = records(made(tmp_path, "a.jsonl", '{"a":1}\n{"b":2}\n{"a":1}\n'))
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    assert [record.headers["ce_id"] for record in found][::2] == [f"{digest}-0", f"{digest}-1"]
    assert found[0].headers == {
        "ce_specversion": "1.0",
        "ce_id": f"{digest}-0",
        "ce_source": "paxtrail/loader",
        "ce_type": "paxtrail.checkin.received",
        "content-type": "application/json",
    }


def test_loading_a_file_twice_gives_the_same_records_whatever_its_name(tmp_path: Path) -> None:
    assert records(made(tmp_path, "a.jsonl", '{"a":1}\n{"a":1}\n')) == records(made(tmp_path, "b.jsonl", '{"a":1}\n{"a":1}\n'))


def test_a_cloud_event_keeps_its_own_envelope(tmp_path: Path) -> None:
    lines = records(made(tmp_path, "a.jsonl", f'{EVENT}\n{{"note":"specversion"}}\n'))
    assert [record.headers["content-type"] for record in lines] == [STRUCTURED, "application/json"]
    (whole,) = records(made(tmp_path, "a.json", EVENT))
    assert whole.headers == {"content-type": STRUCTURED}


@pytest.mark.parametrize("body", ['{"specversion": broken', '["specversion"]', '"specversion"'])
def test_what_only_mentions_a_specversion_is_no_cloud_event(tmp_path: Path, body: str) -> None:
    (record,) = records(made(tmp_path, "a.json", body))
    assert record.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["a.xml", "a.json", "a.txt", "a.jsonl"])
@pytest.mark.parametrize("content", ["", " "])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert [code for _, code in refusals(made(tmp_path, name, content))] == ["empty"]


def test_an_empty_line_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    found = made(tmp_path, "a.jsonl", '{"a":1}\n\n  \n{"b":2}\n')
    assert refusals(found) == [("line 2", "empty"), ("line 3", "empty")]
    assert [record.body for record in records(found)] == [b'{"a":1}', b'{"b":2}']


def test_a_file_of_one_mebibyte_is_a_record_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    assert len(records(made(tmp_path, "a.txt", b"x" * MAX_BODY))) == 1
    assert refusals(made(tmp_path, "a.txt", b"x" * (MAX_BODY + 1))) == [("", "too_large")]


@pytest.mark.parametrize("size", [MAX_BODY + 1, MAX_BODY + 2, MAX_BODY + 3, 3 * MAX_BODY])
def test_a_line_over_the_limit_is_refused_and_the_next_one_read(tmp_path: Path, size: int) -> None:
    found = made(tmp_path, "a.jsonl", b"x" * size + b'\n{"b":2}\n' + b"y" * MAX_BODY + b"\r\n")
    assert refusals(found) == [("line 1", "too_large")]
    assert [(part.at, len(part.content.body)) for part in found if isinstance(part.content, Record)] == [
        ("line 2", 7),
        ("line 3", MAX_BODY),
    ]


def test_a_large_file_is_not_loaded_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # a sparse file of one tebibyte
    (part,) = parts(file, "checkin", arrival=5)
    assert isinstance(part.content, Refusal)
    assert part.content.code == "too_large"


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(parts(tmp_path / "none.xml", "flights", arrival=5))


def test_json_lines_of_baggage_keep_their_wrapping(tmp_path: Path) -> None:
    line = json.dumps({"text": "BSM\nENDBSM"})
    (record,) = records(made(tmp_path, "a.jsonl", line, "baggage"))
    assert record.body.decode() == line
