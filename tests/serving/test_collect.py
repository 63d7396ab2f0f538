"""The collect API: every mode of CloudEvents over HTTP and native bodies, through the real broker; what is refused, and why."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serving.world import BAG, EMAIL, LEG_PATH, Client, World, account, client
from tests.topics import Topic

from paxtrail.adapters import files
from paxtrail.adapters.producer import send
from paxtrail.core.records import Record
from paxtrail.errors import Refusal
from paxtrail.serving import collect
from paxtrail.settings import Settings

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


@pytest.fixture
async def api(world: World, kafka: Settings) -> AsyncIterator[Client]:
    world.settings = world.settings.model_copy(update={"kafka": kafka.kafka})
    async with client(world) as found:
        yield found


@pytest.fixture
def topics(kafka: Settings) -> Iterator[dict[str, Topic]]:
    found = {source: Topic(kafka, f"raw.{source}") for source in ("baggage", "loyalty")}
    yield found
    for topic in found.values():
        topic.close()


def unique(number: str) -> dict[str, Any]:
    """A loyalty account that no other test sends."""
    return account(number, sequence=time.time_ns() // 1000)


def event(id_: str, data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "/crm/eu", "type": "account.updated", "data": data}


async def post(api: Client, source: str, content: Any, media: str | None, **headers: str) -> httpx.Response:
    sent = {**api.world.headers("source"), **{name.replace("_", "-"): value for name, value in headers.items()}}
    if media is not None:
        sent["content-type"] = media
    body = content if isinstance(content, (bytes, str)) else json.dumps(content)
    return await api.http.post(f"/v1/collect/{source}", content=body, headers=sent)


# -- the modes ---------------------------------------------------------------------------------------------------------


async def test_binary_mode_becomes_a_record_of_the_kafka_binding(api: Client, topics: dict[str, Topic]) -> None:
    body = json.dumps(unique("BIN1"))
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "a%20b%C3%A9",
        "ce_source": '"/crm/\\"eu"',
        "ce_type": "account.updated",
        "ce_sequence": "7",
    }
    answer = await post(api, "loyalty", body, "application/json; charset=utf-8", **headers)
    assert (answer.status_code, answer.json()) == (
        202, {"accepted": 1, "kept": 0, "refused": 0, "records": [{"record": 0, "outcome": "accepted"}]}
    )  # fmt: skip
    ((_, found, sent),) = topics["loyalty"].new()
    assert sent == body.encode()
    assert found == {
        "ce_specversion": "1.0", "ce_id": "a bé", "ce_source": '/crm/"eu', "ce_type": "account.updated", "ce_sequence": "7",
        "content-type": "application/json; charset=utf-8",
    }  # fmt: skip


async def test_structured_mode_is_sent_as_it_came(api: Client, topics: dict[str, Topic]) -> None:
    body = json.dumps(event("s1", unique("STR1")))
    answer = await post(api, "loyalty", body, f"{STRUCTURED}; charset=utf-8")
    assert answer.status_code == 202
    ((_, headers, sent),) = topics["loyalty"].new()
    assert (headers, sent) == ({"content-type": STRUCTURED}, body.encode())


async def test_a_batch_is_one_record_an_event_and_each_has_its_outcome(api: Client, topics: dict[str, Topic]) -> None:
    events = [
        event("b1", unique("BAT1")),
        event("", unique("BAT2")),
        event("b3", {"event": "account_updated"}),
        event("b4", unique("BAT4")),
    ]
    answer = await post(api, "loyalty", events, BATCH)
    assert answer.status_code == 207
    told = answer.json()
    assert {k: told[k] for k in ("accepted", "kept", "refused")} == {"accepted": 2, "kept": 0, "refused": 2}
    assert [(r["record"], r["outcome"], r.get("code")) for r in told["records"]] == [
        (0, "accepted", None), (1, "refused", "missing_id"), (2, "refused", "missing_field"), (3, "accepted", None)
    ]  # fmt: skip
    assert sorted(json.loads(body)["id"] for _, _, body in topics["loyalty"].new()) == ["b1", "b4"]


async def test_an_empty_batch_is_taken(api: Client) -> None:
    answer = await post(api, "loyalty", [], BATCH)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "kept": 0, "refused": 0, "records": []})


async def test_native_lines_become_the_records_that_a_file_of_them_gives(api: Client, topics: dict[str, Topic], tmp_path: Path) -> None:
    line, other = json.dumps(unique("NAT1")), json.dumps(event("own", unique("NAT2")))
    text = f"{line}\n{other}\n{line}\n\n"
    answer = await post(api, "loyalty", text, "application/x-ndjson")
    assert answer.status_code == 207
    assert answer.json()["records"][3] == {
        "record": 3, "outcome": "refused", "code": "empty", "reason": "the record is empty", "at": "line 4"
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(text)
    made = [p.content for p in files.parts(tmp_path / "a.jsonl", "loyalty", arrival=0) if isinstance(p.content, Record)]
    by_content = sorted((json.dumps(dict(r.headers), sort_keys=True), r.body) for r in made)
    assert sorted((json.dumps(headers, sort_keys=True), body) for _, headers, body in topics["loyalty"].new()) == by_content


async def test_type_b_comes_as_plain_text_and_a_retry_keeps_its_id(api: Client, topics: dict[str, Topic]) -> None:
    for _ in range(2):
        assert (await post(api, "baggage", BAG, "text/plain; charset=us-ascii")).status_code == 202
    first, second = topics["baggage"].new()
    assert first == second and first[1]["ce_id"].endswith("-0") and first[1]["ce_source"] == "paxtrail/loader"


async def test_members_named_by_the_sender_make_the_id(api: Client, topics: dict[str, Topic]) -> None:
    one = unique("KEY1")
    for changed in (one, {**one, "balance": 1}):
        answer = await post(api, "loyalty", changed, "application/json", paxtrail_key="$.account.number, $.sequence")
        assert answer.status_code == 202
    first, second = topics["loyalty"].new()
    assert first[1]["ce_id"] == second[1]["ce_id"] and first[0] == second[0] and first[2] != second[2]
    answer = await post(api, "loyalty", one, "application/json", paxtrail_key="$.nothing")
    assert (answer.status_code, answer.json()["records"][0]["code"], answer.json()["records"][0]["at"]) == (422, "missing_key", "$.nothing")
    for wrong in ("id", "$.a..b", ",".join(["$.a"] * 9)):
        assert (await post(api, "loyalty", one, "application/json", paxtrail_key=wrong)).json()["code"] == "invalid"
    assert (await post(api, "baggage", BAG, "text/plain", paxtrail_key="$.a")).json()["code"] == "invalid"


async def test_one_id_goes_to_one_partition_in_every_mode_and_from_a_file(api: Client, topics: dict[str, Topic], kafka: Settings) -> None:
    data = unique("PART")
    headers = {"ce_specversion": "1.0", "ce_id": "same", "ce_source": "/crm/eu", "ce_type": "account.updated"}
    assert (await post(api, "loyalty", data, "application/json", **headers)).status_code == 202
    assert (await post(api, "loyalty", event("same", data), STRUCTURED)).status_code == 202
    send(kafka, [Record("loyalty", {"content-type": STRUCTURED}, json.dumps(event("same", {**data, "balance": 2})).encode(), 0)])
    assert len({key for key, _, _ in topics["loyalty"].new()}) == 1


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_what_is_refused_is_told_and_not_sent_and_shows_no_value(api: Client, topics: dict[str, Topic]) -> None:
    answer = await post(api, "loyalty", {"event": EMAIL, "account": {"number": EMAIL}}, "application/json")
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["code"], told["accepted"], told["refused"], told["records"][0]["outcome"]) == ("refused", 0, 1, "refused")
    assert EMAIL not in answer.text
    assert topics["loyalty"].new() == []
    metrics = (await api.http.get("/metrics")).text
    assert f'paxtrail_api_collected_records_total{{outcome="{told["records"][0]["code"]}",source="loyalty"}} 1.0' in metrics


async def test_a_fault_of_ours_is_sent_so_that_the_door_keeps_it(
    api: Client, topics: dict[str, Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise Refusal("decoder_fault", "the decoder of loyalty failed with KeyError")

    monkeypatch.setattr(collect, "decode", broken)
    answer = await post(api, "loyalty", unique("OURS"), "application/json")
    assert (answer.status_code, answer.json()["kept"], answer.json()["records"][0]["code"]) == (202, 1, "decoder_fault")
    assert len(topics["loyalty"].new()) == 1


@pytest.mark.parametrize(
    ("media", "headers", "status", "code"),
    [
        (None, {}, 415, "media_type"),
        ("application/pdf", {}, 415, "media_type"),
        ("application/cloudevents+xml", {}, 415, "media_type"),
        ("application/cloudevents-batch+xml", {}, 415, "media_type"),
        ("application/json", {"content_encoding": "gzip"}, 415, "media_type"),
        (BATCH, {}, 400, "malformed"),
        (STRUCTURED, {}, 422, "refused"),
        ("application/json", {"ce_id": "1", "ce_specversion": "0.3", "ce_source": "s", "ce_type": "t"}, 422, "refused"),
        ("application/json", {"ce_id": "%C3%28", "ce_specversion": "1.0", "ce_source": "s", "ce_type": "t"}, 422, "refused"),
    ],
)
async def test_a_request_is_refused(api: Client, media: str | None, headers: dict[str, str], status: int, code: str) -> None:
    answer = await post(api, "loyalty", b"{}", media, **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_attribute_given_twice_is_refused(api: Client) -> None:
    headers = [*api.world.headers("source").items(), ("ce-id", "1"), ("ce-id", "2"), ("ce-specversion", "1.0")]
    answer = await api.http.post("/v1/collect/loyalty", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["records"][0]["code"]) == (422, "bad_envelope")


async def test_limits_of_a_record_and_of_a_request(api: Client, topics: dict[str, Topic]) -> None:
    large = b" " * (1024 * 1024 + 1)
    for media in ("application/json", STRUCTURED, "text/plain"):
        assert (await post(api, "loyalty", large, media)).status_code == 413
    line = json.dumps(unique("LIM1")).encode()
    answer = await post(api, "loyalty", large + b"\n" + line, "application/x-ndjson")
    assert (answer.status_code, [r.get("code") for r in answer.json()["records"]]) == (207, ["too_large", None])
    assert len(topics["loyalty"].new()) == 1
    assert (await post(api, "loyalty", b"{}\n" * 1001, "application/x-ndjson")).status_code == 413
    assert (await post(api, "loyalty", b" " * (4 * 1024 * 1024 + 1), "application/x-ndjson")).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    sent = {**api.world.headers("source"), "content-type": "application/x-ndjson"}
    answer = await api.http.post("/v1/collect/loyalty", content=endless(), headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert topics["loyalty"].new() == []


async def test_a_stranger_is_turned_away_before_the_body_is_read(api: Client) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await api.http.post("/v1/collect/loyalty", content=unread(), headers={"content-type": "text/plain"})
    assert answer.status_code == 401


async def test_a_token_bound_to_sources_sends_for_no_other(api: Client, world: World) -> None:
    def headers(*sources: str, **claims: Any) -> dict[str, str]:
        return {**world.headers("source", sources=sources), "content-type": "text/plain"}

    async def status(source: str, sent: dict[str, str]) -> tuple[int, str]:
        answer = await api.http.post(f"/v1/collect/{source}", content="x", headers=sent)
        return answer.status_code, answer.json()["code"]

    assert await status("baggage", headers("baggage", "flights")) == (422, "refused")
    assert await status("loyalty", headers("baggage", "flights")) == (403, "source_refused")
    assert await status("parcels", headers()) == (404, "not_found")
    assert await status("parcels", headers("baggage")) == (403, "source_refused")


# -- when Kafka is away ------------------------------------------------------------------------------------------------


async def test_without_kafka_reads_go_on_and_sources_are_told_to_try_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "PATIENCE_S", 0.5)
    away = world.settings.kafka.model_copy(update={"brokers": "127.0.0.1:1"})
    world.settings = world.settings.model_copy(update={"kafka": away})
    async with client(world) as api:
        answer = await post(api, "loyalty", unique("AWAY"), "application/json")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
        assert (await api.get(LEG_PATH)).status_code == 200
        assert (await api.http.get("/health/ready")).status_code == 200
        assert (await post(api, "loyalty", [], BATCH)).status_code == 202


async def test_more_requests_at_once_than_there_is_room_for_are_put_off(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "MAX_UNDER_WAY", 0)
    answer = await post(api, "loyalty", unique("MANY"), "application/json")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
