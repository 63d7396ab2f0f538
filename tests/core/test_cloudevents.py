"""Records opened as CloudEvents: the conformance cases, both modes, and envelopes that are none."""

from __future__ import annotations

import json
import re
import tarfile
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.core.samples import ARRIVAL, BINARY, acceptance, record

from paxtrail.core.cloudevents import open_record, sequence
from paxtrail.core.records import Envelope, Record
from paxtrail.errors import Refusal

STRUCTURED = {"content-type": "application/cloudevents+json"}
EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}}


def opened(record_: Record) -> tuple[Envelope, bytes]:
    return open_record(record_)


def structured(event: Any, **headers: str) -> tuple[Envelope, bytes]:
    body = event if isinstance(event, (bytes, str)) else json.dumps(event)
    return open_record(record("booking", body, headers=STRUCTURED | headers))


def code(record_: Record) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        open_record(record_)
    return caught.value.code, caught.value.at


def attributes(envelope: Envelope) -> dict[str, str]:
    time = {} if envelope.time is None else {"time": datetime.fromtimestamp(envelope.time / 1e6, UTC).isoformat().replace("+00:00", "Z")}
    return {"id": envelope.id, "source": envelope.source, "type": envelope.type, "specversion": "1.0"} | time | dict(envelope.extra)


# --- conformance -----------------------------------------------------------------------------------------------------------------------


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def scenarios(feature: Path) -> list[tuple[dict[str, str], str, dict[str, str], Any]]:
    """(headers, payload, expected attributes, expected data) of every scenario and example of a Gherkin file."""
    found = []
    for scenario in re.split(r"Scenario(?: Outline)?:", feature.read_text(encoding="utf-8"))[1:]:
        blocks = [block.strip() for block in scenario.split('"""')]
        tables = re.findall(r"((?:^ *\|.*\| *(?:\n|\Z))+)", scenario, re.MULTILINE)
        examples = [cells(row)[0] for row in tables[-1].strip().splitlines()[1:]] if "Examples:" in scenario else [""]
        for example in examples:
            if "Kafka headers" in scenario:
                headers = dict(cells(row.replace("<contentType>", example)) for row in tables[0].strip().splitlines()[1:])
                payload, expected = blocks[1], tables[1]
            else:
                head, _, payload = blocks[1].replace("<contentType>", example).partition("\n\n")
                headers = {name.lower().strip(): value.strip() for name, _, value in (row.partition(":") for row in head.splitlines()[1:])}
                expected = tables[0]
            wanted = dict(cells(row.replace("<contentType>", example)) for row in expected.strip().splitlines()[1:])
            found.append((headers, payload, wanted, json.loads(blocks[3])))
    return found


@pytest.mark.parametrize(("feature", "cases"), [("kafka-protocol-binding", 3), ("http-protocol-binding", 4)])
def test_the_scenarios_of_the_conformance_suite_are_read_as_expected(feature: str, cases: int) -> None:
    found = scenarios(acceptance("cloudevents") / "conformance" / "features" / f"{feature}.feature")
    assert len(found) == cases
    for headers, payload, wanted, data in found:
        envelope, body = opened(record("booking", payload, headers=headers))
        assert attributes(envelope) == wanted
        assert json.loads(body) == data


def conformance_events() -> list[dict[str, Any]]:
    files = sorted((acceptance("cloudevents") / "conformance" / "yaml").rglob("*.yaml"))
    return [case for file in files for case in yaml.load_all(file.read_text(encoding="utf-8"), yaml.BaseLoader) if case]


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_every_event_of_the_conformance_suite_is_opened_in_both_modes_and_other_versions_refused(mode: str) -> None:
    cases = conformance_events()
    assert len(cases) == 15
    for case in cases:
        context = dict(case["ContextAttributes"])
        context |= context.pop("Extensions", {})
        # A header or JSON text with a line break in an attribute is no CloudEvent 1.0; the suite's own one is folded here.
        context = {name: value.strip() for name, value in context.items()}
        data = case["Data"]
        if mode == "binary":
            headers = {f"ce_{name}": value for name, value in context.items() if name != "datacontenttype"}
            if media := context.get("datacontenttype"):
                headers["content-type"] = media
            made = record("booking", data, headers=headers)
        else:
            is_json = "json" in context.get("datacontenttype", "json")
            made = record("booking", json.dumps(context | {"data": json.loads(data) if is_json else data}), headers=STRUCTURED)
        if context["specversion"] == "0.3":
            assert code(made) == ("bad_envelope", "specversion")
            continue
        envelope, body = opened(made)
        assert attributes(envelope) == context
        if "json" in context.get("datacontenttype", "json"):
            assert json.loads(body) == json.loads(data)
        else:
            assert body.decode() == data


def json_suite() -> dict[str, bytes]:
    with tarfile.open(acceptance("json") / "JSONTestSuite.tar.gz") as archive:
        files = {Path(member.name).name: archive.extractfile(member) for member in archive.getmembers() if member.name.endswith(".json")}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_as_data_valid_json_is_handed_on_byte_by_byte_and_invalid_json_refused() -> None:
    head = b'{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"application/json","data":'
    tried = 0
    for name, case in json_suite().items():
        tried += name[:2] in ("y_", "n_")
        made = record("booking", head + case + b"}", headers=STRUCTURED)
        if name.startswith("y_"):
            assert opened(made)[1] == case.strip(), name
        elif name.startswith("n_") and case.strip():
            assert code(made)[0] == "bad_envelope", name
        else:
            try:
                opened(made)
            except Refusal:
                continue
    assert tried > 250


def test_no_file_of_the_json_suite_is_a_cloud_event() -> None:
    for name, case in json_suite().items():
        assert code(record("booking", case, headers=STRUCTURED))[0] in ("missing_id", "bad_envelope"), name


# --- binary mode -----------------------------------------------------------------------------------------------------------------------


def test_binary_mode_takes_attributes_from_headers_and_leaves_the_body_alone() -> None:
    extensions = {
        "ce_time": "2013-02-08T10:00:00.25+01:00",
        "ce_sequence": "7",
        "ce_traceparent": "00-ab-cd-01",
        "content-type": "text/plain",
    }
    envelope, body = opened(record("baggage", b"\xff\0", headers=BINARY | extensions | {"other": "header"}))
    assert body == b"\xff\0"
    assert (envelope.id, envelope.source, envelope.type, envelope.arrival) == ("1", "test", "paxtrail.test.received", ARRIVAL)
    assert envelope.time == 1_360_314_000_250_000
    assert envelope.extra == {"sequence": "7", "traceparent": "00-ab-cd-01", "datacontenttype": "text/plain"}


def test_http_headers_are_percent_decoded() -> None:
    headers = {name.replace("_", "-"): value for name, value in BINARY.items()} | {"ce-note": "Euro%20%E2%82%AC"}
    assert opened(record("booking", "{}", headers=headers))[0].extra["note"] == "Euro €"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ce_id": None}, ("missing_id", "id")),
        ({"ce_id": ""}, ("missing_id", "id")),
        ({"ce_source": None}, ("bad_envelope", "source")),
        ({"ce_type": ""}, ("bad_envelope", "type")),
        ({"ce_specversion": None}, ("bad_envelope", "specversion")),
        ({"ce_specversion": "0.3"}, ("bad_envelope", "specversion")),
        ({"ce_specversion": "2.0"}, ("bad_envelope", "specversion")),
        ({"ce_time": "yesterday"}, ("bad_envelope", "time")),
        ({"ce_time": ""}, ("bad_envelope", "time")),
        ({"ce_time": "2013-02-08T10:00:00"}, ("bad_envelope", "time")),
        ({"ce_time": "1969-12-31T23:59:59Z"}, ("time_range", "time")),
        ({"ce_time": "2101-01-01T00:00:00Z"}, ("time_range", "time")),
        ({"ce_id": "a\0b"}, ("bad_envelope", "id")),
        ({"ce_id": "a\nb"}, ("bad_envelope", "id")),
        ({"ce_id": "\ud800"}, ("bad_envelope", "id")),
        ({"ce_id": "x" * 5000}, ("bad_envelope", "id")),
        ({"ce_Bad-Name": "x"}, ("bad_envelope", "headers")),
        ({"ce-id": "2"}, ("bad_envelope", "id")),
        ({"content-type": "application/cloudevents-batch+json"}, ("bad_envelope", "content-type")),
        ({"content-type": "application/cloudevents+avro"}, ("bad_envelope", "content-type")),
    ],
)
def test_a_binary_envelope_that_is_none_is_refused(changes: dict[str, str | None], expected: tuple[str, str]) -> None:
    headers = {name: value for name, value in (BINARY | changes).items() if value is not None}
    assert code(record("booking", "{}", headers=headers)) == expected


def test_without_any_header_the_id_is_missing() -> None:
    assert code(record("booking", "{}", headers={}))[0] == "missing_id"


# --- structured mode -------------------------------------------------------------------------------------------------------------------


def test_structured_data_keeps_every_digit_and_every_blank() -> None:
    data = b'{ "n": 12.300000000000000000001 , "b":123456789012345678901234567890}'
    assert structured(b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":' + data + b"}")[1] == data


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ({"data": "BSM\n…", "datacontenttype": "text/plain"}, "BSM\n…".encode()),
        ({"data": "<x/>", "datacontenttype": "application/xml; charset=utf-8"}, b"<x/>"),
        ({"data": "<x/>"}, b"<x/>"),
        ({"data": "text", "datacontenttype": "application/json"}, b'"text"'),
        ({"data": "text", "datacontenttype": "application/vnd.x+json; charset=utf-8"}, b'"text"'),
        ({"data": None}, b"null"),
        ({"data_base64": b64encode(b"\xff\0bytes").decode()}, b"\xff\0bytes"),
        ({"data_base64": None}, b""),
        ({}, b""),
    ],
)
def test_structured_data_becomes_the_body(more: dict[str, Any], body: bytes) -> None:
    event = {name: value for name, value in EVENT.items() if name != "data"}
    assert structured(event | more)[1] == body


def test_structured_extensions_may_be_numbers_and_booleans_and_null_is_absent() -> None:
    envelope, _ = structured(EVENT | {"sequence": 7, "sampled": True, "region": None, "time": "2013-02-08T10:00:00Z"})
    assert envelope.extra == {"sequence": "7", "sampled": "true"}
    assert envelope.time == 1_360_317_600_000_000


def test_a_byte_order_mark_before_structured_json_is_skipped() -> None:
    assert structured(b"\xef\xbb\xbf" + json.dumps(EVENT).encode())[0].id == "1"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"id": None}, "missing_id"),
        ({"id": ""}, "missing_id"),
        ({"id": 1}, "missing_id"),
        ({"source": 1}, "bad_envelope"),
        ({"type": {}}, "bad_envelope"),
        ({"specversion": 1.0}, "bad_envelope"),
        ({"specversion": "1.1"}, "bad_envelope"),
        ({"time": 1}, "bad_envelope"),
        ({"extension": 1.5}, "bad_envelope"),
        ({"extension": 2**31}, "bad_envelope"),
        ({"extension": []}, "bad_envelope"),
        ({"extension": ""}, "bad_envelope"),
        ({"Extension": "x"}, "bad_envelope"),
        ({"ext_ension": "x"}, "bad_envelope"),
        ({"id": "\ud800"}, "bad_envelope"),
        ({"id": "a\0"}, "bad_envelope"),
        ({"data_base64": "AA=="}, "bad_envelope"),
        ({"data": None, "data_base64": "A"}, "bad_envelope"),
    ],
)
def test_a_structured_envelope_that_is_none_is_refused(event: dict[str, Any], expected: str) -> None:
    assert code(record("booking", json.dumps(EVENT | event), headers=STRUCTURED))[0] == expected


@pytest.mark.parametrize("data", ["not base64!", "AA", "AA=A", "AA==\n", 7, ["AA=="]])
def test_data_that_is_no_base64_is_refused(data: Any) -> None:
    event = {name: value for name, value in EVENT.items() if name != "data"} | {"data_base64": data}
    assert code(record("booking", json.dumps(event), headers=STRUCTURED)) == ("bad_envelope", "data")


@pytest.mark.parametrize(
    "body", ["", "[]", "null", '"x"', "{", "[" * 100_000, '{"data":' * 100_000, b"\xff", json.dumps(EVENT).encode("utf-16")]
)
def test_a_structured_body_that_is_no_json_object_is_refused(body: str | bytes) -> None:
    assert code(record("booking", body, headers=STRUCTURED)) == ("bad_envelope", "body")


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("", 0), ("-1", 0), ("x", 0), ("٣", 0), (str(2**63 - 1), 2**63 - 1), (str(2**63), 0), ("9" * 5000, 0)]
)
def test_the_sequence_extension_is_a_number_or_nothing(text: str, number: int) -> None:
    assert sequence(Envelope("1", "s", "t", extra={"sequence": text})) == number
