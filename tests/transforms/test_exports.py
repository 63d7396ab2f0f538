"""The frequency table of an export against the simulator's expected answer: the segment, and who of it may be in the file."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import orjson
from tests.simulator.platform_in_memory import TABLES, Platform

from paxtrail.adapters import configuration
from paxtrail.core import folds, identity, outcomes
from paxtrail.settings import ROOT
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options
from paxtrail.transforms.exports import frequencies

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

END = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z


def nothing_is_sealed(sealed: Collection[str]) -> dict[str, Any]:
    raise AssertionError(f"{len(sealed)} sealed values in a platform without a vault")


def test_the_segment_and_who_of_it_consents_are_those_foretold(spark: SparkSession) -> None:
    simulation = Simulation(Options(END, limit=12), Noise())
    platform = Platform().receive(simulation.messages())
    expected = simulation.expected()["customers"].values()
    flights, bags, journeys = platform.documents("flight"), platform.documents("bag"), platform.documents("journey")
    rows = [(kind, key, orjson.dumps(folds.fold(TABLES[kind], events)).decode()) for (kind, key), events in platform.events.items()]
    for key, journey in journeys.items():
        carried = [bags[tag] for tag in platform.relations["carries", key] | set(journey.get("bags", ())) if tag in bags]
        found = outcomes.outcome(journey, flights.get(journey["leg"]), carried, as_of=END)
        if found is not None:
            who = [token for (kind, token) in platform.relations if kind == "travels" and key in platform.relations[kind, token]]
            rows.append(("outcome", key, orjson.dumps({"profiles": who, **found}).decode()))
    states = spark.createDataFrame([(*row, 1) for row in rows], "entity string, key string, state string, epoch bigint")
    customers = identity.customers(platform.edges)
    links = spark.createDataFrame([(one, customers.get(one, one)) for one in platform.tokens], "token string, customer_id string")

    export = configuration.export(ROOT / "conf", "frequent_travellers")
    for least in (1, 2):
        segment = export.contract.segment.model_copy(update={"flights_flown": least})
        of = export.contract.model_copy(update={"segment": segment})
        rules = configuration.consent(ROOT / "conf")
        table = frequencies(states, links, of, rules, TABLES, END, nothing_is_sealed).collect()
        members = [one for one in expected if one["tier"] and one["flights_flown"] >= least]
        sharing = [one for one in members if one["partner_sharing"] == "given"]
        assert (sum(row["travellers"] for row in table), sum(row["consenting"] for row in table)) == (len(members), len(sharing))
        assert least == 2 or 0 < len(sharing) < len(members)
        assert least == 2 or any(one["partner_sharing"] == "default:opt_out" for one in members), "nobody whom only a default would share"
        assert {row["tier"] for row in table} <= {"BASE", "SILVER", "GOLD", "PLATINUM"}
        assert all(row["route_region"].startswith(("America/", "Pacific/")) for row in table)
        assert {row["flights"] for row in table} == {str(one["flights_flown"]) for one in members}
