"""How often a client may call: 429 with Retry-After, one bucket per client, refused tokens by address, health and metrics never."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.serving import world as worlds
from tests.serving.world import LEG_PATH, Client, World

from paxtrail.errors import ConfigurationError, TooMany
from paxtrail.serving import access, routes
from paxtrail.serving.access import Principal, Rate
from paxtrail.serving.limits import Limits
from paxtrail.settings import ROOT

TABLE = access.load(ROOT / "conf")
EXEMPT = ("/health/live", "/health/ready", "/health/freshness", "/metrics")


def someone(subject: str = "s", client: str = "c", role: str = "agent") -> Principal:
    return Principal("i", subject, client, "user", role, frozenset(), frozenset())


def admitted(limits: Limits, who: Principal) -> int:
    """Calls until the first refusal."""
    for number in range(10_000):
        try:
            limits.call(who)
        except TooMany:
            return number
    raise AssertionError("never refused")


@pytest.mark.parametrize("role", TABLE.roles)
def test_a_bucket_holds_its_burst_and_fills_at_its_rate(role: str) -> None:
    clock, rate = [1000.0], TABLE.roles[role].rate
    limits, who = Limits(TABLE, clock=lambda: clock[0]), someone(role=role)
    assert admitted(limits, who) == rate.burst
    clock[0] += 1.0
    assert admitted(limits, who) == rate.per_second
    clock[0] += 3600
    assert admitted(limits, who) == rate.burst


def test_after_the_seconds_it_says_a_client_is_admitted_again_and_not_before() -> None:
    clock = [0.0]
    slow = access.Access(TABLE._table.model_copy(update={"clients": {"slow": Rate(per_second=0.1, burst=1)}}))
    limits, who = Limits(slow, clock=lambda: clock[0]), someone(client="slow")
    limits.call(who)
    with pytest.raises(TooMany) as caught:
        limits.call(who)
    assert caught.value.after_s == 10
    clock[0] = 9.9
    with pytest.raises(TooMany):
        limits.call(who)
    clock[0] = 10.0
    limits.call(who)


def test_clients_and_subjects_have_buckets_of_their_own_and_a_named_client_its_own_rate() -> None:
    table = access.Access(TABLE._table.model_copy(update={"clients": {"crm": Rate(per_second=1, burst=7)}}))
    limits = Limits(table, clock=lambda: 0.0)
    burst = TABLE.roles["agent"].rate.burst
    assert [admitted(limits, someone()), admitted(limits, someone("other")), admitted(limits, someone(client="d"))] == [burst] * 3
    assert admitted(limits, someone(client="crm")) == 7
    assert admitted(Limits(table, factor=2.0, clock=lambda: 0.0), someone()) == 2 * burst


def test_an_address_is_an_ipv4_address_or_the_net_of_an_ipv6_one() -> None:
    limits = Limits(TABLE, clock=lambda: 0.0)
    for number in range(TABLE.strangers.burst):
        limits.refused(f"2001:db8::{number:x}")
    for again in ("2001:db8::ffff", "2001:db8:0:0:1::"):
        with pytest.raises(TooMany):
            limits.stranger(again)
    for other in ("2001:db8:0:1::", "192.0.2.1", ""):
        limits.stranger(other)


def test_buckets_are_bounded_and_full_ones_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paxtrail.serving.limits._MAX_CLIENTS", 100)
    clock = [0.0]
    limits = Limits(TABLE, clock=lambda: clock[0])
    for number in range(99):
        limits.call(someone(f"early-{number}"))
    clock[0] = 10.0
    busy = someone("busy")
    assert admitted(limits, busy) == TABLE.roles["agent"].rate.burst
    for number in range(50):
        limits.call(someone(f"late-{number}"))
    assert len(limits._full) <= 100
    with pytest.raises(TooMany):
        limits.call(busy)


@pytest.fixture
async def strict(world: World) -> AsyncIterator[Client]:
    """The API as in production: rates as the table has them."""
    world.settings = world.settings.model_copy(update={"api": world.settings.api.model_copy(update={"rate_factor": 1.0})})
    async with worlds.client(world) as found:
        yield found


async def flood(api: Client, headers: dict[str, str], calls: int) -> list[httpx.Response]:
    return [await api.http.get(LEG_PATH, headers=headers) for _ in range(calls)]


async def test_a_client_that_floods_gets_429_with_retry_after_and_others_do_not(
    strict: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict.app.state.gate._limits, "_clock", lambda: 0.0)
    burst = TABLE.roles["channel"].rate.burst
    greedy = {**world.headers("channel"), "user-agent": "one"}
    answers = await flood(strict, greedy, burst + 5)
    assert [a.status_code for a in answers] == [200] * burst + [429] * 5
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_calls" and refused.json()["status"] == 429
    assert int(refused.headers["retry-after"]) >= 1
    # The same subject with another token, purpose or address is the same client; somebody else is not.
    again = {**world.headers("channel", ttl_s=60), "user-agent": "two", "x-forwarded-for": "192.0.2.7"}
    assert (await strict.http.get(LEG_PATH, headers=again)).status_code == 429
    assert (await strict.http.get(LEG_PATH, headers=world.headers("channel", subject="else"))).status_code == 200
    assert [(await strict.http.get(path)).status_code for path in EXEMPT * 20] == [200] * 80


async def test_every_protected_route_counts(strict: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict.app.state.gate._limits, "_clock", lambda: 0.0)
    headers = world.headers("agent")
    await flood(strict, headers, TABLE.roles["agent"].rate.burst)
    values = {"customer_id": "0" * 32, "key": "0" * 32, "tag": "0" * 10, "designator": "UA1", "date": "2013-02-08", "airport": "EWR"}
    for name, method, path, *_ in routes.ROUTES:
        if not TABLE.is_public(name):
            address = path.format(**values, source="baggage", question="bags")
            answer = await strict.http.request(method, address, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_calls"), name


async def test_the_page_says_so_too(strict: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict.app.state.gate._limits, "_clock", lambda: 0.0)
    headers = world.headers("agent")
    await flood(strict, headers, TABLE.roles["agent"].rate.burst)
    answer = await strict.http.get(f"/agent/customers/{world.customer()}", headers=headers)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1 and "text/html" in answer.headers["content-type"]


async def test_a_flood_of_bad_tokens_is_not_verified_and_does_not_hinder_who_was_let_in(
    strict: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict.app.state.gate._limits, "_clock", lambda: 0.0)
    verified: list[str] = []
    verify = strict.app.state.gate._verifier._verify

    async def counted(token: str) -> object:
        verified.append(token)
        return await verify(token)

    monkeypatch.setattr(strict.app.state.gate._verifier, "_verify", counted)
    known = world.headers("agent")
    assert (await strict.http.get(LEG_PATH, headers=known)).status_code == 200
    good = world.bearer("agent")
    bad = {"authorization": f"Bearer {good[:-8]}AAAAAAAA", "paxtrail-purpose": "care"}
    burst = TABLE.strangers.burst
    statuses = [a.status_code for a in await flood(strict, bad, burst + 100)]
    assert statuses == [401] * burst + [429] * 100
    assert len(verified) == 1 + burst
    assert (await strict.http.get(LEG_PATH, headers=known)).status_code == 200
    form = {"token": good[:-8] + "AAAAAAAA", "purpose": "care"}
    assert (await strict.http.post("/agent/session", data=form)).status_code == 429
    assert len(verified) == 1 + burst


def test_a_role_without_a_rate_does_not_start(tmp_path: Path) -> None:
    text = (ROOT / "conf" / "access.toml").read_text()
    rate = next(line for line in text.splitlines() if line.startswith("rate = "))
    (tmp_path / "access.toml").write_text(text.replace(rate + "\n", "", 1))
    with pytest.raises(ConfigurationError, match=r"roles\.agent\.rate"):
        access.load(tmp_path)
