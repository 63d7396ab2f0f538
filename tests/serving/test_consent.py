"""The subject's side of reads: over roles, purposes and what the person said, exactly what may leave does, and the rest is named."""

from __future__ import annotations

from typing import Any

import pytest
from tests.serving.test_agent import FORM, page, signed_in
from tests.serving.world import EMAIL, LEG_PATH, SUBJECT, TAG, Client, World, account, app_search, said, texts

from paxtrail.adapters import configuration
from paxtrail.core import consent
from paxtrail.serving import access
from paxtrail.serving.permits import Permit
from paxtrail.settings import ROOT

TABLE = access.load(ROOT / "conf")
PROFILING = {"searches", "routes", "recent_searches", "sentiment", "contacts_negative"}
MOOD = {"sentiment", "confidence", "model"}
ACTS: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "objection to profiling": [{"purpose": "personalisation", "status": "objected"}],
    "objection to analysis": [{"purpose": "analysis", "status": "objected"}],
    "restriction": [{"purpose": "all", "status": "restricted"}],
    "sensitive data": [{"purpose": "sensitive_data", "status": "given", "mechanism": "opt_in"}],
    "sensitive data that ran out": [
        {"purpose": "sensitive_data", "status": "given", "mechanism": "opt_in", "expiresAt": "2013-02-04T00:00:00Z"}
    ],
}  # fmt: skip
PURPOSES = [(role, purpose) for role, rule in TABLE.roles.items() for purpose in rule.purposes if role != "source"]
WHOLE = ("self_service", "data_protection")


def speak(world: World, acts: list[dict[str, Any]]) -> None:
    """John lives in Germany, likes a kosher meal, has searched, and says this."""
    member = account(sequence=2, residence="DE", birthDate="1970-01-02") | {"at": "2013-02-02T00:00:00Z"}
    world.feed(("loyalty", member | {"preferences": {"meal": "KSML"}}), *([said(*acts)] if acts else []))


def refusal(state: str, purpose: str) -> str:
    """Why nothing at all may leave."""
    if purpose in WHOLE:
        return ""
    return "restricted" if state == "restriction" else "objection" if (state, purpose) == ("objection to analysis", "analysis") else ""


async def ask(api: Client, world: World, path: str, role: str, purpose: str) -> dict[str, Any]:
    answer = await api.http.get(path, headers=world.headers(role, purpose, subject=SUBJECT))
    assert answer.status_code in (200, 403), answer.text
    body: dict[str, Any] = answer.json()
    return body if answer.status_code == 200 else {}


@pytest.mark.parametrize("state", ACTS)
async def test_exactly_what_the_person_allows_leaves_for_each_role_and_purpose(api: Client, world: World, state: str) -> None:
    """Expectations are written out here, not taken from the rules: John is a European adult."""
    speak(world, ACTS[state])
    customer = world.customer()
    journey = world.journey(customer)
    paths = {"profile": f"/v1/profiles/{customer}", "journey": f"/v1/journeys/{journey}", "bag": f"/v1/bags/{TAG}"}
    for role, purpose in PURPOSES:
        found = {name: await ask(api, world, path, role, purpose) for name, path in paths.items()}
        if refused := refusal(state, purpose):
            for body in (found["profile"], found["journey"].get("journey"), found["bag"]):
                if body:
                    assert [line["reason"] for line in body["withheld"]] == [refused], (role, purpose)
                    assert set(body) <= {"entity", "customer_id", "key", "bag", "version", "withheld", "as_of", "freshness"}
            assert found["journey"].get("flights", []) == found["journey"].get("bags", []) == []
            continue
        assert found["journey"]["journey"]["status"] and found["bag"]["custody"], (role, purpose)
        if not found["profile"]:
            continue
        attributes, withheld = found["profile"]["attributes"], found["profile"].get("withheld", [])
        profiling = state != "objection to profiling" or purpose in WHOLE
        sensitive = state == "sensitive data" or purpose in (*WHOLE, "care", "disruption")
        expected = {} if profiling else dict.fromkeys((*PROFILING, *(f"contacts.{one}" for one in MOOD), "interactions"), "objection")
        if not sensitive:
            reason = "expired" if state.endswith("ran out") else "default:opt_in"
            expected |= dict.fromkeys(("meal_preference", "care_requests"), reason)
        assert {line["field"]: line["reason"] for line in withheld} == expected, (role, purpose)
        assert not set(expected) - {"interactions"} & set(attributes)
        seen = {entry["what"] for entry in attributes.get("interactions", ())}
        assert ("search.performed" in seen) == (profiling and role != "channel"), (role, purpose)
        if TABLE.roles[role].classes.get("internal") == "show":
            assert PROFILING & set(attributes) == (PROFILING if profiling else set()), (role, purpose)
            [contact] = attributes["contacts"]
            assert MOOD & set(contact) == (MOOD if profiling else set()), (role, purpose)


LISTED = {
    "batch": {"supervisor", "dpo"},
    "customers": {"supervisor", "operations"},
    "timeline": {role for role in TABLE.roles if role != "source"},
}


@pytest.mark.parametrize("state", ["nothing", "objection to profiling", "objection to analysis", "restriction"])
async def test_lists_and_timelines_of_bags_hold_what_the_person_allows(api: Client, world: World, state: str) -> None:
    speak(world, ACTS[state])
    customer = world.customer()
    answered: set[tuple[str, str]] = set()
    for role, purpose in PURPOSES:
        refused = refusal(state, purpose)
        body = {"ids": [customer], "identifiers": [{"namespace": "email", "value": EMAIL}]}
        batch = await api.http.post("/v1/profiles/batch", json=body, headers=world.headers(role, purpose, subject=SUBJECT))
        assert batch.status_code in (200, 403), batch.text
        listed = await ask(api, world, f"{LEG_PATH}/customers", role, purpose)
        timeline = await ask(api, world, f"/v1/bags/{TAG}/timeline", role, purpose)
        profiles = []
        if batch.status_code == 200:
            answered.add(("batch", role))
            for item in batch.json()["items"]:
                assert [match["customer_id"] for match in item["matches"]] == ([] if refused else [customer]), (role, purpose)
                assert item.get("problem") == ("not_found" if refused else None)
                profiles += item["matches"]
        if listed:
            answered.add(("customers", role))
            assert "BROWN" in set(texts(listed["items"]))
            mine = [item for item in listed["items"] if item["customer_id"] == customer]
            assert len(mine) == (0 if refused else 1), (role, purpose)
            assert [(line["field"], line["reason"]) for line in listed.get("withheld", ())] == ([("items", refused)] if refused else [])
            profiles += [item["profile"] for item in mine]
        if timeline:
            answered.add(("timeline", role))
            assert [item["type"] for item in timeline["items"]] == ([] if refused else ["bag.sourced"]), (role, purpose)
            assert [line["reason"] for line in timeline.get("withheld", ())] == ([refused] if refused else [])
        profiling = state != "objection to profiling" or purpose in WHOLE
        for profile in profiles:
            assert PROFILING & set(profile["attributes"]) == (PROFILING if profiling else set()), (role, purpose)
            assert MOOD & set(profile["attributes"]["contacts"][0]) == (MOOD if profiling else set()), (role, purpose)
            reasons = {line["field"]: line["reason"] for line in profile.get("withheld", ())}
            assert [reasons.get(name) for name in sorted(PROFILING)] == [None if profiling else "objection"] * len(PROFILING)
    assert answered == {(route, role) for route, roles in LISTED.items() for role in roles}


PAGE = {
    "nothing": (("John Smith", "sounded negative", "search performed"), ("Not shown",)),
    "objection to profiling": (
        ("John Smith", "UA1545", "chat about baggage, rated 1 of 5", "Not shown:", "sentiment (objection)"),
        ("sounded", "search performed"),
    ),
    "restriction": (
        ("Not shown: everything (restricted)",),
        ("Smith", "GOLD", EMAIL, "UA1545", "K7Q2ZP", TAG, "mobility", "sounded", "chat", "Flights booked", "received", "search performed"),
    ),
}


@pytest.mark.parametrize("state", PAGE)
async def test_the_page_for_agents_shows_what_the_person_allows(api: Client, world: World, state: str) -> None:
    speak(world, ACTS[state])
    await signed_in(api)
    shown, hidden = PAGE[state]
    for text in (await page(api), await page(api, "/part")):
        assert [one for one in shown if one not in text] == []
        assert [one for one in hidden if one in text] == []
    for form in ("kind=pnr&value=K7Q2ZP&surname=Smith", f"kind=bag_tag&value={TAG}", "kind=loyalty&value=UA%7CAB123456"):
        found = await api.http.post("/agent/search", content=form, headers=FORM)
        assert found.status_code == (200 if state == "restriction" else 303)
        assert ("No customers found" in found.text) == (state == "restriction")


@pytest.mark.parametrize(
    "read",
    [
        test_exactly_what_the_person_allows_leaves_for_each_role_and_purpose,
        test_lists_and_timelines_of_bags_hold_what_the_person_allows,
        test_the_page_for_agents_shows_what_the_person_allows,
    ],
)
async def test_a_read_that_skips_the_decision_would_be_noticed(
    api: Client, world: World, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    real = consent.decide
    monkeypatch.setattr(consent, "decide", lambda *given, **named: real(*given, **named)._replace(allowed=True))
    with pytest.raises((AssertionError, KeyError)):
        await read(api, world, "restriction")


def test_of_an_entry_only_the_members_that_profile_are_kept_back() -> None:
    act = consent.Record("1", "personalisation", consent.ANY, "objected", 1, 1)
    permit = Permit(configuration.consent(ROOT / "conf"), "care", [consent.Subject(((act,),), "DE")], 2)
    called = {"channel": "phone", "reason": "bag"}
    entry = {"at": 1, "value": {**called, "sentiment": "negative", "confidence": 900, "model": "m"}}
    document, withheld = permit.released("customer", {"attributes": {"contacts": [entry], "sentiment": {"label": "negative"}}})
    assert document == {"attributes": {"contacts": [{"at": 1, "value": called}]}}
    assert {line["field"] for line in withheld} == {"sentiment", "contacts.sentiment", "contacts.confidence", "contacts.model"}


async def test_a_timeline_leaves_out_searches_of_who_objected_and_says_so(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}/timeline"
    assert "search.performed" in set(texts((await api.get(path)).json()["items"]))
    speak(world, ACTS["objection to profiling"])
    body = (await api.get(path)).json()
    assert "search.performed" not in set(texts(body["items"])) and body["items"]
    assert body["withheld"] == [{"field": "items", "purpose": "personalisation", "reason": "objection", "type": "search.performed"}]


async def test_who_had_processing_restricted_is_found_by_the_office_of_data_protection_only(api: Client, world: World) -> None:
    sought = {"namespace": "loyalty", "value": "UA|AB123456"}
    speak(world, ACTS["restriction"])
    assert (await api.post("/v1/profiles/lookup", sought)).json()["matches"] == []
    assert len((await api.post("/v1/profiles/lookup", sought, "dpo")).json()["matches"]) == 1
    view = (await api.get(f"/v1/profiles/{world.customer()}/360")).json()
    assert view["journeys"] == view["orders"] == [] and view["profile"]["withheld"][0]["reason"] == "restricted"


async def test_the_tag_of_an_answer_changes_with_what_the_person_says(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}"
    speak(world, [])
    before = (await api.get(path)).headers["etag"]
    assert (await api.get(path, headers={"if-none-match": before})).status_code == 304
    world.feed(said(*ACTS["objection to profiling"]))
    assert (await api.get(path, headers={"if-none-match": before})).status_code == 200


async def test_decisions_and_acts_are_told_by_purpose_and_channel(api: Client, world: World) -> None:
    given = {"purpose": "marketing", "status": "given", "channel": "email", "mechanism": "opt_in", "noticeVersion": "2013-01"}
    speak(world, [given, {"purpose": "partner_sharing", "status": "refused"}])
    for role in ("agent", "dpo"):
        body = (await api.get(f"/v1/profiles/{world.customer()}/consents", role)).json()
        found = {(one["purpose"], one["channel"]): (one["allowed"], one["reason"]) for one in body["decisions"]}
        assert found["marketing", "email"] == (True, "given") and found["marketing", "sms"] == (False, "default:opt_in")
        assert found["partner_sharing", "any"] == (False, "refused")
        assert found["personalisation", "any"] == (True, "default:legitimate_interest")
        assert [act["purpose"] for act in body["history"]] == ["partner_sharing", "marketing"]
        assert body["history"][1]["notice_version"] == "2013-01" and body["history"][1]["at"] == "2013-02-03T00:00:00.000Z"


async def test_a_signal_under_one_account_counts_for_the_customer_it_is_linked_to(api: Client, world: World) -> None:
    world.feed(("booking", app_search(SUBJECT, world.settings.api.issuer) | {"gpc": True, "at": "2013-02-08T11:00:00Z"}))
    body = (await api.get(f"/v1/profiles/{world.customer()}/consents")).json()
    assert {one["reason"] for one in body["decisions"] if one["purpose"] == "partner_sharing"} == {"gpc"}
