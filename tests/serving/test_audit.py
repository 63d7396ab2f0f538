"""Who read whom, and who read unusually much: what the office of data protection is told, and that its asking is recorded too."""

from __future__ import annotations

import getpass
import json
import logging
from typing import Any

import pytest
from click.testing import CliRunner
from tests.serving.test_reads import sql
from tests.serving.world import TAG, Client, World

from paxtrail.adapters.read_chains import verify
from paxtrail.cli.main import main
from paxtrail.settings import Settings

OTHER = ("passenger", "BR0WNX|2013-01-20|BROWN/ANN")


def others(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def planted(world: World, subject: str, count: int, *, role: str = "agent", minutes_ago: int = 5, times: int = 1) -> None:
    """Reads of so many customers by a caller, each `times`, as the table has them."""
    for _ in range(times):
        world.sql(
            "insert into reads (at, subject, client, role, purpose, route, customers)"
            " select now() - %s * interval '1 minute', %s, 'desk', %s, 'care', 'profiles.read', array[c] from unnest(%s::text[]) c",
            *(minutes_ago, subject, role, others(count)),
            database="vault",
        )


async def test_the_office_is_told_who_read_a_customer_and_its_asking_is_recorded(api: Client, world: World) -> None:
    customer, other = world.customer(), world.customer(*OTHER)
    await api.get(f"/v1/profiles/{customer}/360", subject="agent-7")
    await api.get(f"/v1/profiles/{other}", subject="agent-8")
    await api.get(f"/v1/bags/{TAG}", "operations", subject="station-1", purpose="baggage")
    await api.post("/v1/profiles/batch", {"ids": [customer, other]}, "supervisor", subject="head-1")
    body = (await api.get(f"/v1/profiles/{customer}/reads", "dpo", subject="officer")).json()
    shown = [(one["subject"], one["role"], one["purpose"], one["route"], one["others"]) for one in body["items"]]
    assert shown == [
        ("head-1", "supervisor", "care", "profiles.batch", 1),
        ("station-1", "operations", "baggage", "bags.read", 0),
        ("agent-7", "agent", "care", "profiles.view", 0),
    ]
    again = (await api.get(f"/v1/profiles/{customer}/reads", "dpo", subject="officer")).json()
    assert (again["items"][0]["subject"], again["items"][0]["route"]) == ("officer", "profiles.reads")
    assert len(again["items"]) == 4
    assert verify(world.settings).breaks == []


async def test_reads_under_an_id_that_was_merged_away_are_the_customers_too(api: Client, world: World) -> None:
    mine, other = world.customer(), world.customer(*OTHER)
    await api.get(f"/v1/profiles/{other}", subject="before")
    world.sql("update links set customer_id = %s where customer_id = %s", mine, other)
    for asked in (mine, other):
        answer = await api.get(f"/v1/profiles/{asked}/reads", "dpo")
        assert answer.json()["customer_id"] == mine
        assert [(one["ids"], one["others"]) for one in answer.json()["items"] if one["subject"] == "before"] == [([other], 0)]


async def test_every_read_is_on_exactly_one_page(api: Client, world: World) -> None:
    path, subjects = f"/v1/profiles/{world.customer()}", [f"agent-{number}" for number in range(5)]
    for subject in subjects:
        await api.get(path, subject=subject)
    # The same moment for all: pages must not depend on times that differ.
    world.sql("update reads set at = '2026-01-01T00:00:00Z'", database="vault")
    found: list[str] = []
    rest = "?limit=2"
    while rest:
        body = (await api.get(f"{path}/reads{rest}", "dpo")).json()
        found += [one["subject"] for one in body["items"] if one["role"] == "agent"]
        rest = f"?limit=2&cursor={body['next']}" if "next" in body else ""
    assert found == subjects[::-1]


async def test_an_id_that_is_nobodys_is_answered_as_long_as_its_reads_are_kept(api: Client, world: World) -> None:
    customer = world.customer(*OTHER)
    await api.get(f"/v1/profiles/{customer}", subject="agent-7")
    world.sql("delete from links where customer_id = %s", customer)
    assert (await api.get(f"/v1/profiles/{customer}/reads", "dpo")).json()["items"][0]["subject"] == "agent-7"
    assert (await api.get(f"/v1/profiles/{'0' * 32}/reads", "dpo")).status_code == 404


async def test_who_reads_more_customers_than_usual_is_alarmed_about_without_a_name(
    api: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    planted(world, "curious", 61)
    planted(world, "busy", 60)
    planted(world, "thorough", 3, times=30)  # the same customers again and again
    planted(world, "yesterday", 200, minutes_ago=61)
    planted(world, "gate", 500, role="operations")
    planted(world, "unheard", 101, role="new")
    with caplog.at_level(logging.WARNING, "paxtrail.serving"):
        await api.app.state.serving.audit.check()
        await api.app.state.serving.audit.check()
    text = (await api.http.get("/metrics")).text
    assert 'paxtrail_api_unusual_readers{client="desk",role="agent"} 1.0' in text
    assert 'paxtrail_api_unusual_readers{client="desk",role="new"} 1.0' in text
    assert "operations" not in "".join(line for line in text.splitlines() if "unusual" in line)
    warned = [one.getMessage() for one in caplog.records if "unusual volume" in one.getMessage()]
    assert len(warned) == 2  # once each, not at every check
    assert "role=agent client=desk customers=61 limit=60" in warned[1]
    assert not any(name in line for name in ("curious", "unheard", *others(1)) for line in (*warned, text))
    world.sql("delete from reads", database="vault")
    await api.app.state.serving.audit.check()
    text = (await api.http.get("/metrics")).text
    assert 'paxtrail_api_unusual_readers{client="desk",role="agent"} 0.0' in text
    assert 'paxtrail_api_unusual_readers{client="desk",role="new"} 0.0' in text


def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    monkeypatch.setattr(Settings, "load", classmethod(lambda cls, *_, **__: settings))
    result = CliRunner().invoke(main, ["reads", *arguments])
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_the_same_by_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, customer = world.settings, world.customer()
    assert run(settings, monkeypatch, "of", customer) == (0, [])
    code, (own,) = run(settings, monkeypatch, "of", customer)
    assert (code, own["subject"], own["route"], own["ids"]) == (0, getpass.getuser(), "reads.of", [customer])
    planted(world, "curious", 61)
    line = {"subject": "curious", "client": "desk", "role": "agent", "customers": 61, "limit": 60}
    assert run(settings, monkeypatch, "unusual") == (0, [line])
    assert run(settings, monkeypatch, "unusual", "--above", "61") == (0, [])
    sql(settings, "delete from reads where subject = 'curious'")
    assert run(settings, monkeypatch, "verify") == (0, [{"chains": 2, "records": 2, "breaks": 0}])
    sql(settings, "update reads set subject = 'nobody' where subject = %s and chain = (select min(chain) from reads)", getpass.getuser())
    code, lines = run(settings, monkeypatch, "verify")
    assert (code, [one.get("kind") for one in lines]) == (3, ["edited", None])
