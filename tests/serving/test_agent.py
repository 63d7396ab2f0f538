"""The agent's pages: signing in, finding, the 360 view and its changes; no way past the guard."""

from __future__ import annotations

import re

import pytest
from tests.serving.world import EMAIL, PASSPORT, Client, World, contact

FORM = {"content-type": "application/x-www-form-urlencoded"}


async def signed_in(api: Client, role: str = "agent", purpose: str = "care") -> None:
    answer = await api.http.post("/agent/session", content=f"token={api.world.bearer(role)}&purpose={purpose}", headers=FORM)
    assert answer.status_code == 303, answer.text
    assert re.search("HttpOnly.*SameSite=strict", answer.headers["set-cookie"])


async def test_nobody_gets_past_the_guard_without_signing_in(api: Client, world: World) -> None:
    assert 'name="token"' in (await api.http.get("/agent")).text
    for path in ("", "/part", "/changes"):
        answer = await api.http.get(f"/agent/customers/{world.customer()}{path}")
        assert answer.status_code == 401
        assert EMAIL not in answer.text
    assert (await api.http.post("/agent/search", content="kind=pnr&value=K7Q2ZP&surname=Smith", headers=FORM)).status_code == 401


@pytest.mark.parametrize(
    ("role", "purpose"), [("analyst", "analysis"), ("operations", "baggage"), ("agent", "engineering"), ("source", "collection")]
)
async def test_only_roles_that_read_profiles_sign_in(api: Client, role: str, purpose: str) -> None:
    answer = await api.http.post("/agent/session", content=f"token={api.world.bearer(role)}&purpose={purpose}", headers=FORM)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_the_session_opens_pages_and_not_the_api(api: Client, world: World) -> None:
    await signed_in(api)
    assert (await api.http.get(f"/agent/customers/{world.customer()}")).status_code == 200
    assert (await api.http.get(f"/v1/profiles/{world.customer()}")).status_code == 401


@pytest.mark.parametrize(
    "form",
    ["kind=pnr&value=K7Q2ZP&surname=Smith", "kind=loyalty&value=UA%7CAB123456", "kind=email&value=john.smith%40example.org",
     "kind=ticket&value=016-1234567890", "kind=bag_tag&value=0016123456"],
)  # fmt: skip
async def test_a_single_match_is_shown_at_once_with_flight_and_bag(api: Client, world: World, form: str) -> None:
    await signed_in(api)
    found = await api.http.post("/agent/search", content=form, headers=FORM)
    assert (found.status_code, found.headers["location"]) == (303, f"/agent/customers/{world.customer()}")
    text = (await api.http.get(found.headers["location"])).text
    for shown in ("John Smith", "GOLD", EMAIL, "UA1545", "30 min late", "Fri 8 Feb 05:45 EST", "0016123456", "accepted", "mobility on"):
        assert shown in text, shown
    assert PASSPORT not in text
    assert "WCHR" not in text


async def page(api: Client, rest: str = "") -> str:
    """The view of John as an agent reads it: its text, with every run of white space and every end of a block one space."""
    text = (await api.http.get(f"/agent/customers/{api.world.customer()}{rest}")).text
    return " ".join(re.sub("<[^>]*>", "", re.sub("</(d[dt]|li|p|h[1-6])>", " ", text)).split())


async def test_contacts_and_mood_are_said_in_words(api: Client, world: World) -> None:
    await signed_in(api)
    text = await page(api)
    assert "The last with a text sounded negative (80 % sure), 2013-02-08 12:00 UTC." in text
    assert "2013-02-08 12:00 UTC chat about baggage, sounded negative (80 % sure), rated 1 of 5" in text
    assert "Of the last 1 with a text, 1 sounded negative." in text and "Trend" not in text
    for raw in ("1360324800000000", "0.8045", "lexicon", "C-77"):
        assert raw not in text, raw
    glad = [contact(name=f"C-8{hour}", at=f"2013-02-08T1{hour}:00:00Z", text="Wonderful crew, thank you!") for hour in range(3, 6)]
    cross = [contact(name=f"C-7{day}", at=f"2013-02-0{day}T12:00:00Z", text="I am very angry.") for day in (3, 4)]
    world.feed(*glad, *cross, contact(name="C-79", at="2013-02-08T16:00:00Z"))
    text = await page(api)
    assert "The last with a text sounded positive" in text
    assert "Of the last 6 with a text, 3 sounded negative, 3 sounded positive. Trend: up (" in text
    assert "2013-02-08 16:00 UTC chat about baggage 2013-02-08 15:00 UTC chat about baggage, sounded positive" in text


async def test_history_and_age_of_the_data_are_told(api: Client) -> None:
    await signed_in(api)
    await api.app.state.serving.freshness.refresh()
    text = await page(api)
    assert "Flights booked 1 Flights flown 0" in text and "Bags checked 1 Bags mishandled 0" in text
    assert re.search(r"data \d+ s old", text)
    assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", text)


async def test_what_nobody_matches_or_cannot_be_is_said(api: Client) -> None:
    await signed_in(api)
    assert "No customers found" in (await api.http.post("/agent/search", content="kind=pnr&value=ZZZZZZ&surname=Nobody", headers=FORM)).text
    wrong = await api.http.post("/agent/search", content="kind=ticket&value=12", headers=FORM)
    assert (wrong.status_code, "cannot be one" in wrong.text) == (422, True)


async def test_a_view_with_its_timeline_is_recorded_as_one_read_with_its_purpose(api: Client, world: World) -> None:
    await signed_in(api)
    await api.http.get(f"/agent/customers/{world.customer()}/part")
    assert world.sql("select route, purpose, customers from reads", database="vault") == [("agent.part", "care", [world.customer()])]


async def test_a_form_of_another_site_is_refused(api: Client) -> None:
    await signed_in(api)
    answer = await api.http.post(
        "/agent/search", content="kind=pnr&value=K7Q2ZP&surname=Smith", headers={**FORM, "sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 400


async def test_pages_allow_only_what_is_theirs(api: Client) -> None:
    for path in ("/agent", "/agent/static/agent.js", "/agent/static/agent.css"):
        assert (await api.http.get(path)).status_code == 200
    policy = (await api.http.get("/agent")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (await api.http.get("/agent/static/agent.html")).status_code == 422


async def test_signing_out_ends_the_session(api: Client, world: World) -> None:
    await signed_in(api)
    await api.http.post("/agent/session/end", content="", headers=FORM)
    assert (await api.http.get(f"/agent/customers/{world.customer()}")).status_code == 401


async def test_the_newest_version_grows_with_anything_in_the_view(api: Client, world: World) -> None:
    await signed_in(api)

    async def newest() -> int:
        text = (await api.http.get(f"/agent/customers/{world.customer()}/part")).text
        return int(re.search(r'data-newest="(\d+)"', text)[1])  # type: ignore[index]  # it must be there

    first = await newest()
    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
    second = await newest()
    assert second > first
    assert second == await newest()
