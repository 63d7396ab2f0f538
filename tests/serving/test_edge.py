"""Limits and errors at the edge, health, metrics, and the published contract."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from click.testing import CliRunner
from tests.serving.world import EMAIL, LEG_PATH, Client, World

from paxtrail.cli.openapi import CONTRACT, openapi
from paxtrail.cli.token import token
from paxtrail.serving import shapes
from paxtrail.settings import Settings

LOOKUP = "/v1/profiles/lookup"


@pytest.mark.parametrize(
    ("content", "media", "status", "code"),
    [
        (b"{", "application/json", 422, "invalid"),
        (b"[" * 60_000, "application/json", 400, "malformed"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "application/json", 400, "malformed"),
        (b"\xff\xfe", "application/json", 422, "invalid"),
        (b'{"bag_tag":"0016123456"}', "text/plain", 422, "invalid"),
        (b" " * (64 * 1024 + 1), "application/json", 413, "too_large"),
    ],
)
async def test_a_body_is_refused(api: Client, world: World, content: bytes, media: str, status: int, code: str) -> None:
    answer = await api.http.post(LOOKUP, content=content, headers={**world.headers(), "content-type": media})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_does_not_say_its_length_is_bounded_too(api: Client, world: World) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 4096

    answer = await api.http.post(LOOKUP, content=endless(), headers={**world.headers(), "content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_large_headers_and_addresses_are_refused(api: Client, world: World) -> None:
    assert (await api.get(LEG_PATH, headers={"x-flood": "x" * 20_000})).status_code == 431
    assert (await api.get(f"{LEG_PATH}/timeline?cursor={'x' * 5000}")).status_code == 431


async def test_a_method_that_is_not_there_is_a_problem_too(api: Client) -> None:
    answer = await api.http.delete(LEG_PATH)
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", "GET")


async def test_an_error_of_ours_shows_and_logs_nothing_of_the_request(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError(f"bad value {EMAIL}")

    monkeypatch.setattr(api.app.state.serving.search, "by_identifier", broken)
    with caplog.at_level(logging.DEBUG, logger="paxtrail"):
        answer = await api.post(LOOKUP, {"namespace": "email", "value": EMAIL})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert EMAIL not in answer.text and EMAIL not in caplog.text
    assert "RuntimeError at test_edge.py:" in caplog.text


async def test_every_answer_may_be_kept_by_its_caller_only(api: Client) -> None:
    answer = await api.get(LEG_PATH)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_health_is_open_and_tells_freshness_epoch_and_drift(api: Client, world: World) -> None:
    assert (await api.http.get("/health/live")).json() == {"status": "live"}
    assert (await api.http.get("/health/ready")).json() == {"status": "ready"}
    world.sql("insert into publications values ('all', 1)")
    world.sql("insert into publication_counts values (1, 'all', 'flight', 10, 2, 0, 3)")
    await api.app.state.serving.freshness.refresh()
    body = (await api.http.get("/health/freshness")).json()
    assert body["lanes"]["main"]["seq"] == 1 and body["lanes"]["main"]["age_s"] >= 0
    assert body["epoch"] == 1 and body["publication"]["drift"] == 3
    assert body["sentiment"] == {"model": "lexicon/1", "problem": ""}


async def test_metrics_count_requests_by_route_and_hold_no_ids(api: Client, world: World) -> None:
    customer = world.customer()
    await api.get(f"/v1/profiles/{customer}")
    text = (await api.http.get("/metrics")).text
    assert 'paxtrail_api_request_seconds_count{route="profiles.read",status="200"} 1.0' in text
    assert 'paxtrail_api_documents_rendered_total{entity="customer"} 1.0' in text
    assert "paxtrail_api_reads_recorded_total 1.0" in text and 'paxtrail_api_freshness_seconds{lane="main"}' in text
    assert customer not in text


async def test_the_development_key_set_is_public_and_holds_no_private_part(api: Client) -> None:
    (key,) = (await api.http.get("/dev/jwks.json")).json()["keys"]
    assert key["kty"] == "EC" and "d" not in key


def test_the_published_contract_is_up_to_date() -> None:
    assert CONTRACT.read_text() == shapes.contract(Settings.load())
    assert CliRunner().invoke(openapi, ["--check"]).exit_code == 0


def test_the_token_command_prints_a_token(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_HOME", str(settings.home))
    result = CliRunner().invoke(token, ["--role", "agent", "--purpose", "care"])
    assert result.exit_code == 0 and result.output.count(".") == 2
