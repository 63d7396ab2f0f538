"""Look-ups: every way to find a customer, what lists never show, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.serving.world import EMAIL, PASSPORT, SUBJECT, TAG, Client, World, account, passenger, reservation, texts

LOOKUP = "/v1/profiles/lookup"


@pytest.mark.parametrize(
    "body",
    [
        {"namespace": "loyalty", "value": "UA|AB123456"},
        {"namespace": "loyalty", "value": "ua|ab 123-456"},
        {"namespace": "email", "value": EMAIL.upper()},
        {"namespace": "phone", "value": "+1 (212) 555-0100"},
        {"namespace": "document", "value": f"US|P|{PASSPORT}"},
        {"pnr": "k7q2zp", "surname": "Smith"},
        {"ticket": "016-1234567890"},
        {"bag_tag": TAG},
        {"bag_tag": TAG, "flight_date": "2013-02-08"},
    ],
)
async def test_a_customer_is_found_by(api: Client, world: World, body: dict[str, Any]) -> None:
    answer = await api.post(LOOKUP, body)
    assert [match["customer_id"] for match in answer.json()["matches"]] == [world.customer()]
    assert world.sql("select route, customers from reads", database="vault") == [("profiles.lookup", [world.customer()])]


async def test_a_signed_in_customer_is_found_by_its_account(api: Client, world: World) -> None:
    answer = await api.post(LOOKUP, {"namespace": "idp", "value": f"{world.settings.api.issuer}|{SUBJECT}"})
    assert [match["customer_id"] for match in answer.json()["matches"]] == [world.customer()]


@pytest.mark.parametrize(
    "body",
    [
        {"namespace": "loyalty", "value": "UA|ZZ999999"},
        {"pnr": "K7Q2ZP", "surname": "Jones"},
        {"ticket": "0169999999999"},
        {"bag_tag": "0016999999"},
        {"bag_tag": TAG, "flight_date": "2013-02-09"},
    ],
)
async def test_nobody_is_found_by(api: Client, body: dict[str, Any]) -> None:
    answer = await api.post(LOOKUP, body)
    assert (answer.status_code, answer.json()["matches"]) == (200, [])


async def test_lists_never_show_documents_or_health_whatever_the_role(api: Client) -> None:
    for role in ("agent", "dpo"):
        found = list(texts((await api.post(LOOKUP, {"pnr": "K7Q2ZP", "surname": "Smith"}, role)).json()))
        assert EMAIL in found
        assert not any(PASSPORT[-3:] in text or "wheelchair" in text or text == "WCHR" for text in found)


async def test_more_than_ten_matches_are_too_many(api: Client, world: World) -> None:
    shared = "the.family@example.org"
    world.feed(*(("loyalty", account(f"FAM{number:03d}", email=shared)) for number in range(10)))
    assert len((await api.post(LOOKUP, {"namespace": "email", "value": shared})).json()["matches"]) == 10
    world.feed(("loyalty", account("FAM010", email=shared)))
    answer = await api.post(LOOKUP, {"namespace": "email", "value": shared})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many")


async def test_a_batch_answers_in_the_order_asked(api: Client, world: World) -> None:
    mine, other = world.customer(), world.customer("passenger", "BR0WNX|2013-01-20|BROWN/ANN")
    body = {
        "ids": [other, "f" * 32, mine],
        "identifiers": [{"namespace": "email", "value": EMAIL}, {"namespace": "email", "value": "no.one@example.org"}],
    }
    items = (await api.post("/v1/profiles/batch", body, "supervisor")).json()["items"]
    assert [[match["customer_id"] for match in item["matches"]] for item in items] == [[other], [], [mine], [mine], []]
    assert [item.get("problem") for item in items] == [None, "not_found", None, None, "not_found"]
    assert [(item.get("id"), item.get("identifier")) for item in items] == [(0, None), (1, None), (2, None), (None, 0), (None, 1)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"ids": []},
        {"ids": ["0" * 32] * 101},
        {"ids": ["0" * 32] * 60, "identifiers": [{"namespace": "email", "value": "a@b.org"}] * 60},
        {"ids": ["short"]},
        {"ids": ["0" * 32], "role": "dpo"},
    ],
)
async def test_a_batch_is_refused_as(api: Client, body: Any) -> None:
    answer = await api.post("/v1/profiles/batch", body, "supervisor")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"namespace": "email"},
        {"namespace": "passenger", "value": "K7Q2ZP|2013-01-20|SMITH/JOHN"},
        {"namespace": "email", "value": "SECRET-not-an-address"},
        {"namespace": "email", "value": EMAIL, "SECRET": True},
        {"namespace": "email", "value": EMAIL, "pnr": "K7Q2ZP"},
        {"namespace": "email", "value": ["SECRET"]},
        {"namespace": "email", "value": "SECRET\u0000@b.org"},
        {"pnr": "SECRET!", "surname": "Smith"},
        {"pnr": "K7Q2ZP", "surname": "SECRET" * 50},
        {"ticket": 1234567890123},
        {"bag_tag": TAG, "flight_date": "SECRET"},
    ],
)
async def test_a_look_up_is_refused_without_repeating_what_was_sent(api: Client, body: Any) -> None:
    answer = await api.post(LOOKUP, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "SECRET" not in answer.text


async def test_two_passengers_of_one_reservation_are_found_by_their_own_names(api: Client, world: World) -> None:
    party = [passenger(1, "MILLER", "EVE"), passenger(2, "MILLER", "TOM"), passenger(3, "STONE", "KAY")]
    world.feed(("reservations", reservation("PARTY1", passengers=party)))
    found = {name: (await api.post(LOOKUP, {"pnr": "PARTY1", "surname": name})).json()["matches"] for name in ("Miller", "Stone")}
    assert (len(found["Miller"]), len(found["Stone"])) == (2, 1)
