"""Reads of journeys, flights and bags, the customers on a flight, and timelines."""

from __future__ import annotations

import pytest
from tests.serving.world import LEG, LEG_PATH, SUBJECT, TAG, Client, World, passenger, reservation, texts


async def test_a_flight_is_answered_live(api: Client, world: World) -> None:
    body = (await api.get(LEG_PATH)).json()
    assert (body["key"], body["status"], body["departure_delay"]) == (LEG, "scheduled", 30)
    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
    assert (await api.get(LEG_PATH)).json()["status"] == "cancelled"


async def test_a_flight_is_found_with_leading_zeros_too(api: Client) -> None:
    assert (await api.get("/v1/flights/UA01545/2013-02-08/EWR")).json()["key"] == LEG


@pytest.mark.parametrize(
    "path",
    ["/v1/flights/UA9999/2013-02-08/EWR", "/v1/flights/UA9999/2013-02-08/EWR/timeline", "/v1/flights/UA9999/2013-02-08/EWR/customers",
     "/v1/bags/0016999999", "/v1/bags/0016999999/timeline", f"/v1/journeys/{'0' * 32}", "/v1/nothing", "/v1"],
)  # fmt: skip
async def test_an_unknown_thing_is_not_found(api: Client, path: str) -> None:
    answer = await api.get(path, "supervisor")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    ["/v1/flights/ua1545/2013-02-08/EWR", "/v1/flights/UA1545/2013-02-30/EWR", "/v1/flights/UA1545/2013-02-08/EWRX", "/v1/bags/123",
     "/v1/journeys/SECRET", "/v1/profiles/%00", f"{LEG_PATH}/timeline?limit=0", f"{LEG_PATH}/timeline?limit=201",
     f"{LEG_PATH}/timeline?limit=x", f"{LEG_PATH}?SECRET=1", f"{LEG_PATH}/timeline?limit=1&limit=2"],
)  # fmt: skip
async def test_a_malformed_address_is_refused_without_repeating_it(api: Client, path: str) -> None:
    answer = await api.get(path)
    assert answer.status_code == 422 and "SECRET" not in answer.text


async def test_a_bag_shows_its_custody_and_is_recorded_for_its_owner(api: Client, world: World) -> None:
    body = (await api.get(f"/v1/bags/{TAG}")).json()
    assert (body["custody"], body["episodes"][0]["name"]["surname"]) == ("accepted", "SMITH")
    assert world.sql("select route, customers from reads", database="vault") == [("bags.read", [world.customer()])]


async def test_a_pseudonymous_read_of_a_bag_shows_no_name_and_needs_no_record(api: Client, world: World) -> None:
    body = (await api.get(f"/v1/bags/{TAG}", "analyst")).json()
    assert body["custody"] == "accepted" and "SMITH" not in set(texts(body))
    assert world.sql("select count(*) from reads", database="vault") == [(0,)]


async def test_a_journey_names_its_flight_and_bags_and_is_recorded(api: Client, world: World) -> None:
    key = world.journey(world.customer())
    body = (await api.get(f"/v1/journeys/{key}")).json()
    assert body["journey"]["status"] == "booked"
    assert [flight["key"] for flight in body["flights"]] == [LEG] and [bag["key"] for bag in body["bags"]] == [TAG]
    assert world.sql("select route, customers from reads", database="vault") == [("journeys.read", [world.customer()])]


async def test_a_customer_reads_its_own_journey_and_bag_only(api: Client, world: World) -> None:
    mine = world.journey(world.customer())
    other = world.journey(world.customer("passenger", "BR0WNX|2013-01-20|BROWN/ANN"))
    asked = {f"/v1/journeys/{mine}": 200, f"/v1/bags/{TAG}": 200, f"/v1/bags/{TAG}/timeline": 200, f"/v1/journeys/{other}": 404}
    assert {path: (await api.get(path, "channel", subject=SUBJECT)).status_code for path in asked} == asked
    assert {path: (await api.get(path, "channel", subject="else")).status_code for path in asked} == dict.fromkeys(asked, 404)


async def test_customers_of_a_flight_are_paged_without_gap_or_repetition(api: Client, world: World) -> None:
    party = [passenger(ref, "MILLER", name) for ref, name in enumerate(("EVE", "TOM", "KIM", "LEO", "ZOE"), 1)]
    world.feed(("reservations", reservation("PARTY1", passengers=party)))
    found, query = [], "?limit=3"
    while True:
        page = (await api.get(f"{LEG_PATH}/customers{query}", "operations")).json()
        found += [item["customer_id"] for item in page["items"]]
        if "next" not in page:
            break
        query = f"?limit=3&cursor={page['next']}"
    assert len(found) == len(set(found)) == 7 and found == sorted(found)
    recorded = world.sql("select unnest(customers) from reads where route = 'flights.customers'", database="vault")
    assert sorted(customer for (customer,) in recorded) == found


async def test_customers_of_a_flight_show_names_and_no_contacts_to_operations(api: Client) -> None:
    body = (await api.get(f"{LEG_PATH}/customers", "operations")).json()
    found = set(texts(body))
    assert {"SMITH", "BROWN"} <= found
    assert not any("@" in text or text.startswith("+1") or text == "K7Q2ZP" for text in found)


async def test_customers_of_a_flight_are_not_for_every_purpose(api: Client) -> None:
    answer = await api.get(f"{LEG_PATH}/customers", "operations", purpose="baggage")
    assert (answer.status_code, answer.json()["code"]) == (403, "purpose_refused")


async def test_timelines_of_flights_and_bags_hold_no_personal_value(api: Client, world: World) -> None:
    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
    flight = (await api.get(f"{LEG_PATH}/timeline")).json()
    assert [item["brief"]["status"] for item in flight["items"]] == ["DX", "OP"]
    bag = (await api.get(f"/v1/bags/{TAG}/timeline")).json()
    assert [item["type"] for item in bag["items"]] == ["bag.sourced"]
    assert not any("sealed:" in text or "SMITH" in text for text in texts([flight, bag]))
