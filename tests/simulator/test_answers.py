"""The expected answer against what decoders, folds, links and views make of the same messages: two ways to the same truth."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulator.platform_in_memory import Platform

from paxtrail.adapters import configuration
from paxtrail.cli.demo import demo
from paxtrail.core import consent
from paxtrail.settings import ROOT
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options

END = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(Options(END, limit=45, mishandled=0.05), Noise(broken=0.02, conflicts=0.01))


@pytest.fixture(scope="module")
def platform(simulation: Simulation) -> Platform:
    return Platform().receive(simulation.messages())


@pytest.fixture(scope="module")
def expected(simulation: Simulation) -> dict[str, Any]:
    return simulation.expected()


@pytest.fixture(scope="module")
def customers(platform: Platform) -> dict[str, dict[str, Any]]:
    return platform.customers(as_of=END)


def test_every_record_meets_the_fate_foretold(platform: Platform, expected: dict[str, Any]) -> None:
    for source, line in expected["ledger"].items():
        found = {name: platform.ledger[source, name] for name in ("received", "accepted", "duplicates", "conflicts")}
        refused = {code: n for (of, code), n in platform.refused.items() if of == source}
        assert {**found, "refused": refused} == line, source
        assert line["received"] == line["accepted"] + line["duplicates"] + sum(refused.values())


def test_flights_end_as_foretold(platform: Platform, expected: dict[str, Any]) -> None:
    found = {
        leg: {
            "status": flight["status"],
            "status_code": flight["status_code"],
            "cancelled": flight["status"] == "cancelled",
            "departure_delay": flight.get("departure_delay"),
            "arrival_delay": flight.get("arrival_delay"),
            "gate": flight.get("departure_gate"),
        }
        for leg, flight in platform.documents("flight").items()
    }
    assert found == expected["flights"]


def test_bags_end_as_foretold(platform: Platform, expected: dict[str, Any]) -> None:
    found = {tag: {"custody": bag["custody"], "mishandled": bag["mishandled"]} for tag, bag in platform.documents("bag").items()}
    assert found == expected["bags"]
    assert {bag["custody"] for bag in found.values()} >= {"delivered", "cancelled"}
    assert any(bag["mishandled"] for bag in found.values())


def test_customers_are_linked_as_foretold(customers: dict[str, Any], expected: dict[str, Any]) -> None:
    assert customers.keys() == expected["customers"].keys() | expected["devices"].keys()


def test_journeys_end_as_foretold(customers: dict[str, Any], expected: dict[str, Any]) -> None:
    wrong = [key for key, customer in expected["customers"].items() if customers[key]["outcomes"] != sorted(customer["journeys"])]
    assert not wrong, len(wrong)
    results = {result for customer in expected["customers"].values() for _leg, result in customer["journeys"]}
    assert results >= {"flown", "flight_cancelled", "cancelled", "no_show", "booked"}


@pytest.mark.parametrize(
    "name",
    [
        *("tier", "miles", "searches", "ssrs", "flights_flown", "flights_cancelled", "bags_checked", "bags_mishandled"),
        *("contacts", "contacts_negative", "surveys"),
    ],
)
def test_customers_are_known_as_foretold(name: str, customers: dict[str, Any], expected: dict[str, Any]) -> None:
    wrong = {}
    for key, customer in expected["customers"].items():
        attributes, history = customers[key]["attributes"], customers[key]["history"]
        found = {
            "tier": attributes.get("tier"),
            "miles": attributes.get("miles"),
            "searches": sum(attributes.get("searches", {}).values()),
            "ssrs": sorted(
                {
                    request["code"]
                    for requests in ("ssrs", "care_requests")
                    for request in attributes.get(requests, {}).values()
                    if request.get("status") is not None
                }
            ),
            "contacts": len(attributes.get("contacts", [])),
            "contacts_negative": sum(attributes.get("contacts_negative", {}).values()),
            "surveys": len(attributes.get("survey_scores", [])),
        }.get(name, history.get(name))
        if found != customer[name]:
            wrong[key] = (found, customer[name])
    assert not wrong, (len(wrong), sorted(wrong.items())[:3])
    assert any(customer[name] for customer in expected["customers"].values()), "nobody has one"


def test_those_worth_showing_have_a_cancelled_flight_and_a_bag_on_its_way(
    platform: Platform, customers: dict[str, Any], expected: dict[str, Any]
) -> None:
    bags = platform.documents("bag")
    journeys = platform.documents("journey")

    def on_its_way(journey: str) -> bool:
        tags = platform.relations["carries", journey] | set(journeys[journey].get("bags", ()))
        return any(bags[tag]["custody"] not in ("delivered", "cancelled") for tag in tags if tag in bags)

    found = {
        key
        for key, customer in customers.items()
        if customer["history"].get("flights_cancelled") and any(on_its_way(journey) for journey in customer["journeys"])
    }
    assert set(expected["highlights"]) == found
    assert found, "nobody in this world"


def test_the_world_of_the_demo_has_a_traveller_worth_showing() -> None:
    passengers = {option.name: option.default for option in demo.params}["passengers"]
    assert isinstance(passengers, int)
    assert Simulation(Options(END, passengers=passengers), Noise()).expected()["highlights"]


def test_partners_get_whom_they_may_as_foretold(customers: dict[str, Any], expected: dict[str, Any]) -> None:
    rules = configuration.consent(ROOT / "conf")
    found, foretold = {}, {}
    for key, customer in expected["customers"].items():
        if customer["partner_sharing"] is not None:
            document = customers[key]
            who = consent.subject(document["attributes"], document.get("consents", ()), str, END)
            found[key] = consent.decide(rules, who, "partner_sharing", at=END).reason
            foretold[key] = customer["partner_sharing"]
    assert found == foretold
    assert set(found.values()) == {"gpc", "given", "withdrawn", "refused", "default:opt_in", "default:opt_out"}


def test_names_are_those_of_the_account_before_those_of_a_booking(customers: dict[str, Any], expected: dict[str, Any]) -> None:
    wrong = [
        key
        for key, customer in expected["customers"].items()
        if customer["surname"] and customers[key]["attributes"]["display_name"]["surname"] not in customer["surnames"]
    ]
    assert not wrong, len(wrong)
    members = [key for key, customer in expected["customers"].items() if customer["tier"]]
    assert members
    assert all(customers[key]["attributes"]["display_name"]["surname"] == expected["customers"][key]["surname"] for key in members)


def test_a_customer_with_two_accounts_on_one_booking_is_not_merged(expected: dict[str, Any]) -> None:
    assert all(sum(i.startswith("loyalty:") for i in customer["identifiers"]) <= 1 for customer in expected["customers"].values())
    assert any(key.startswith("passenger:") and not customer["journeys"] for key, customer in expected["customers"].items()), (
        "none was made"
    )


def test_the_totals_are_those_of_the_parts(expected: dict[str, Any]) -> None:
    totals = expected["totals"]
    assert totals["flights"] == len(expected["flights"])
    assert totals["flights_cancelled"] == sum(flight["status_code"] == "DX" for flight in expected["flights"].values())
    assert totals["bags_mishandled"] == sum(bag["mishandled"] for bag in expected["bags"].values())
    assert totals["journeys"] == sum(totals["outcomes"].values())
    assert totals["received"] == totals["accepted"] + totals["duplicates"] + totals["refused"]
    assert totals["customers"] == len(expected["customers"])
    assert expected["window"]["closes"] <= "2026-11-22T12:00:00Z"
