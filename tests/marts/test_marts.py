"""Marts on real Spark, Delta, dbt and PostgreSQL: they say what the API says, however they were built, to analysts only.

Between the two cuts that they are built of, what was told of persons is past its time and leaves silver: no mart forgets it.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.rows import dict_row
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.sql import SparkSession
from tests.conftest import emptied
from tests.lane import Sent
from tests.parity.stories import Story, history
from tests.parity.test_canaries import canaries, leaks

from paxtrail.adapters import configuration, marts, silver_retention
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.silver import Job
from paxtrail.core import outcomes, views
from paxtrail.core.retention import Limit
from paxtrail.errors import ChecksFailed
from paxtrail.settings import ROOT, Settings
from paxtrail.tables.silver import DOCUMENTS

pytestmark = [pytest.mark.tools, pytest.mark.timeout(1800)]  # five builds by dbt: a minute each, on a machine that others use too much more
KEYS = {
    "fct_flight_legs": ("leg",),
    "fct_bag_journeys": ("bag_journey_id",),
    "mart_punctuality": ("origin_date", "airline", "departure"),
    "dim_customers": ("customer_id",),
}
CONSENTS = configuration.attributes(ROOT / "conf")["profile"].attributes["consents"].slot
Rows = dict[tuple[Any, ...], dict[str, Any]]


def built(settings: Settings, *, full: bool) -> dict[str, Any]:
    """The build; what Spark raises holds its connection, which no process can send to another."""
    try:
        return marts.build(settings, full=full)
    except CapturedException as error:
        raise RuntimeError(str(error)) from None


class World:
    """A lane with its batch layer, and marts built of it as the histories grow."""

    def __init__(self, settings: Settings, story: Story, told: list[Sent], pool: Pool) -> None:
        self.settings, self.story, self.told, self.pool = settings, story, told, pool
        self.first: Rows = {}
        """dim_customers as it was built first."""

    def build(self, *, full: bool = False) -> dict[str, Any]:
        # In a process of its own, as `paxtrail marts build` is: dbt turns ANSI mode off, and a JVM has one catalogue.
        return self.pool.apply(built, (self.settings,), {"full": full})

    def expire(self, *sources: str) -> None:
        """Events of these sources leave silver, all that there are."""
        job = Job(self.settings, self.story.spark, self.story.serving, cut_of(self.story.serving, self.story.runs[-1]))
        assert silver_retention.expire(job, [Limit(source, "", 2**62) for source in sources])["events"]

    def rows(self, mart: str) -> Rows:
        """The mart as an analyst reads it."""
        with psycopg.connect(dsn(self.settings, "marts", "analyst"), row_factory=dict_row) as connection:
            found = connection.execute(f"SELECT * FROM {mart}".encode()).fetchall()
        return {tuple(row[column] for column in KEYS[mart]): row for row in found}

    def all_rows(self) -> dict[str, Rows]:
        return {mart: self.rows(mart) for mart in KEYS}


def acts(told: list[Sent]) -> tuple[list[Sent], list[Sent]]:
    """What members of `told` say of their data, first and later: one that nothing is to be done with them, and takes it back; one that, and
    stays with it; one that no analysis is."""
    accounts: dict[str, tuple[Sent, dict[str, Any]]] = {}
    for sent in told:
        with suppress(orjson.JSONDecodeError):
            if sent.source == "loyalty" and (body := orjson.loads(sent.body)).get("event") == "account_updated":
                accounts[body["account"]["number"]] = sent, body["account"]
    lifts, restricts, objects = (accounts[number] for number in sorted(accounts)[:3])

    def act(member: tuple[Sent, dict[str, Any]], day: int, **said: str) -> Sent:
        sent, account = member
        body = {
            "event": "consent_changed",
            "account": {"airline": account["airline"], "number": account["number"]},
            "at": f"2026-02-0{day}T10:00:00Z",
            "consents": [said],
        }
        return sent._replace(body=orjson.dumps(body), headers={**sent.headers, "ce_id": f"{account['number']}-{day}"})

    return (
        [act(lifts, 1, purpose="all", status="restricted"), act(restricts, 1, purpose="all", status="restricted")],
        [act(lifts, 2, purpose="all", status="restriction_lifted"), act(objects, 2, purpose="analysis", status="objected")],
    )


@pytest.fixture(scope="module")
def world(postgres: Settings, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = emptied(postgres, tmp_path_factory.mktemp("marts") / "home")
    story = Story(settings, spark, 3)
    told = history(3, flights=4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        made = World(settings, story, told, pool)
        half = len(told) // 2
        first, second = acts(told[:half])
        for number, part in enumerate((told[:half] + first, told[half:] + second)):
            for start in range(0, len(part), 300):
                story.lane.batch(part[start : start + 300])
            story.run_batch(full=not number)
            made.build()
            if not number:
                made.first = made.rows("dim_customers")
                made.expire("loyalty", "booking", "reservations", "checkin", "contacts")
        yield made
    story.close()


def test_an_incremental_build_gives_what_a_full_one_gives(world: World) -> None:
    grown = world.all_rows()
    assert all(grown.values())
    counts = world.build(full=True)
    assert world.all_rows() == grown
    assert counts["rows"] == {mart: len(rows) for mart, rows in grown.items()}
    assert counts["tests"] > 20


def test_no_personal_value_stands_in_gold_or_in_what_analysts_read(world: World) -> None:
    values = canaries(world.settings, world.told)
    assert len(values) > 60
    assert leaks(world.settings, values, "marts") == set()
    name = next(iter(world.rows("fct_flight_legs")))[0]  # that the search looks where the marts are: a leg is there in the clear
    assert {"fct_flight_legs"} <= leaks(world.settings, {name}, "marts")


def documents(world: World, entity: str) -> dict[str, dict[str, Any]]:
    """What the API answers, worked out of the served states."""
    tables = world.story.truth.tables
    served = {key: state for (kind, key), state in world.story.truth.served().items() if kind == entity}
    return {key: views.document(entity, key, state, tables[entity]) for key, state in served.items()}


def micros(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def test_flights_are_those_the_api_answers(world: World) -> None:
    flights, rows = documents(world, "flight"), world.rows("fct_flight_legs")
    assert {leg for (leg,) in rows} == flights.keys()
    for leg, flight in flights.items():
        row = rows[(leg,)]
        plain = ("airline", "number", "departure", "arrival", "diverted_to", "status", "departure_delay", "arrival_delay")
        assert {name: row[name] for name in plain} == {name: flight.get(name) for name in plain}
        assert row["origin_date"].isoformat() == flight["origin_date"]
        for end in ("off_block", "on_block"):
            for part in ("scheduled", "actual"):
                assert micros(row[f"{end}_{part}"]) == flight.get(end, {}).get(part)


def test_punctuality_counts_what_the_api_answers(world: World) -> None:
    expected: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for flight in documents(world, "flight").values():
        group = expected[flight["origin_date"], flight["airline"], flight["departure"]]
        group["flights"] += 1
        group[flight["status"]] += 1
        for end, name in (("off_block", "departed"), ("on_block", "arrived")):
            delay = flight.get("departure_delay" if name == "departed" else "arrival_delay")
            if flight.get(end, {}).get("actual") is not None and delay is not None:
                group["left" if name == "departed" else "landed"] += 1
                group[f"{name}_on_time"] += delay < 15
                group[f"{name}_minutes"] += max(delay, 0)
    rows = world.rows("mart_punctuality")
    names = {"flights": "flights", "cancelled": "cancelled", "diverted": "diverted", "departed": "left", "arrived": "landed"}
    names |= {"departed_on_time": "departed_on_time", "arrived_on_time": "arrived_on_time"}
    names |= {"departure_delay_minutes": "departed_minutes", "arrival_delay_minutes": "arrived_minutes"}
    found = {(date.isoformat(), *rest): {name: row[name] for name in names} for (date, *rest), row in rows.items()}
    assert found == {at: {name: group[of] for name, of in names.items()} for at, group in expected.items()}
    assert sum(row["cancelled"] for row in rows.values()) > 0


def test_bag_journeys_are_the_episodes_the_api_answers(world: World) -> None:
    expected = {(f"{tag}/{e['started']}",): e for tag, bag in documents(world, "bag").items() for e in bag["episodes"]}
    rows = world.rows("fct_bag_journeys")
    assert rows.keys() == expected.keys()
    for key, episode in expected.items():
        row = rows[key]
        plain = ("custody", "station", "mishandled", "first_leg", "destination", "weight_kg", "pieces")
        assert {name: row[name] for name in plain} == {name: episode.get(name) for name in plain}
        assert (row["reasons"] or "") == ",".join(episode.get("reasons", ()))
        assert row["scans"] == len(episode["scans"])


def said(state: dict[str, Any]) -> set[str]:
    """Keys of what a token said of its data, as `all/any/restricted/subject`."""
    return {entry["k"] for entry in state.get(CONSENTS, ()) if entry["v"] != "null"}


def refuses(state: dict[str, Any]) -> bool:
    acts = said(state)
    restricted = "all/any/restricted/subject" in acts and "all/any/restriction_lifted/subject" not in acts
    return restricted or "analysis/any/objected/subject" in acts


def test_who_had_processing_restricted_is_in_no_mart_until_it_is_lifted(world: World) -> None:
    profiles = {key: state for (kind, key), state in world.story.truth.served().items() if kind == "profile"}
    links = dict(world.story.truth.sql("select token, customer_id from links"))
    lifted = {links[token] for token, state in profiles.items() if "all/any/restriction_lifted/subject" in said(state)}
    assert len(lifted) == 1
    assert [(customer,) in world.first for customer in lifted] == [False]
    assert [(customer,) in world.rows("dim_customers") for customer in lifted] == [True]


def test_customers_have_the_history_the_api_answers(world: World) -> None:
    truth = world.story.truth
    profiles = {key: state for (kind, key), state in truth.served().items() if kind == "profile"}
    histories = {key: orjson.loads(text) for key, text in truth.sql("select key, state from states where entity = 'history'")}
    tokens: dict[str, list[str]] = defaultdict(list)
    for token, customer in truth.sql("select token, customer_id from links"):
        tokens[customer].append(token)
    rows = world.rows("dim_customers")
    withheld = {customer for customer, own in tokens.items() if any(refuses(profiles.get(token, {})) for token in own)}
    assert len(withheld) == 2
    assert {customer for (customer,) in rows} == tokens.keys() - withheld
    names = (
        "flights_booked",
        "flights_flown",
        "flights_cancelled",
        "no_shows",
        "delays",
        "delay_minutes",
        "bags_checked",
        "bags_mishandled",
    )
    for (customer,), row in rows.items():
        own = tokens[customer]
        states = {token: profiles.get(token, {}) for token in own}
        known = views.customer_document(customer, states, truth.tables["profile"], journeys=(), orders=())["attributes"]
        total = outcomes.unite(histories[token] for token in own if histories.get(token))
        assert {name: row[name] for name in names} == {name: total[name] for name in names}
        assert (row["tokens"], row["tier"]) == (len(own), known.get("tier"))
        assert row["searches"] == sum(known.get("searches", {}).values())
        assert (row["member_since"] and row["member_since"].isoformat()) == known.get("member_since")
    assert sum(row["flights_booked"] for row in rows.values()) > 0


@pytest.mark.parametrize("statement", ["SELECT * FROM published_marts", "SELECT count(*) FROM mart_punctuality"])
def test_an_analyst_reads_the_marts(world: World, statement: str) -> None:
    with psycopg.connect(dsn(world.settings, "marts", "analyst")) as connection:
        assert connection.execute(statement.encode()).fetchall()


@pytest.mark.parametrize("statement", ["DELETE FROM mart_punctuality", "CREATE TABLE more (a int)", "DROP TABLE dim_customers"])
def test_an_analyst_changes_nothing(world: World, statement: str) -> None:
    with psycopg.connect(dsn(world.settings, "marts", "analyst")) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_descriptions_of_the_models_stand_at_the_columns(world: World) -> None:
    with psycopg.connect(dsn(world.settings, "marts", "analyst")) as connection:
        bare = connection.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c WHERE c.table_schema = 'public'"
            " AND c.table_name = ANY(%s) AND col_description(c.table_name::regclass, c.ordinal_position) IS NULL",
            (list(KEYS),),
        ).fetchall()
    assert bare == []


def test_a_build_documents_every_mart_with_its_columns_as_they_are_and_who_uses_it(world: World) -> None:
    page = marts.documentation(world.settings).read_text(encoding="utf-8")
    # Once in the manifest, which the models declare, and once in the catalogue, which knows the tables.
    assert {mart: page.count(f'"unique_id": "model.paxtrail.{mart}"') >= 2 for mart in KEYS} == dict.fromkeys(KEYS, True)
    assert "exposure.paxtrail.questions_in_sql" in page


def plant_status(world: World, path: str) -> Callable[[], object]:
    """A flight with a status that does not exist; gives back how to take it away."""
    spark = world.story.lane.spark
    spark.sql(
        f"INSERT INTO delta.`{path}` SELECT entity, 'XX1/2026-02-08/EWR', 1000000,"
        ' parse_json(replace(to_json(document), \'"status":"\', \'"status":"not_\')) FROM'
        f" (SELECT * FROM delta.`{path}` WHERE entity = 'flight' LIMIT 1)"
    )
    return lambda: spark.sql(f"DELETE FROM delta.`{path}` WHERE epoch = 1000000")


def test_a_red_check_publishes_nothing(world: World) -> None:
    before = world.all_rows()
    take_away = plant_status(world, DOCUMENTS.path(world.settings.lake))
    try:
        with pytest.raises(ChecksFailed, match="accepted_values_fct_flight_legs_status"):
            world.build()
        assert world.all_rows() == before
    finally:
        take_away()


def test_built_twice_at_one_cut_the_rows_are_the_same_and_documented_anew(world: World) -> None:
    before = world.all_rows()
    marts.documentation(world.settings).unlink()
    world.build()
    assert world.all_rows() == before
    assert marts.documentation(world.settings).exists()


def test_every_event_type_has_a_model_of_its_own_that_says_nothing_personal() -> None:
    types = configuration.schemas(ROOT / "conf").types
    models = {file.stem: file.read_text() for file in (marts.PROJECT / "models" / "staging" / "events").glob("*.sql")}
    assert models == {f"stg_{type_.replace('.', '_')}": f"{{{{ staged('{type_}') }}}}\n" for type_ in types}
    facts = marts.declared(Settings.load("local"))["facts"]
    common = {"event_id", "epoch", "token", "entities", "told_at", "arrived_at"}
    assert [type_ for type_ in types if not facts[type_] or common & facts[type_].keys()] == []
    assert facts["loyalty.miles_posted"]["miles"] == "bigint"
    assert "surname" not in facts["loyalty.account_updated"] and "document" not in facts["checkin.accepted"]


def test_the_catalogue_holds_each_name_once_and_its_password_is_its_owners(world: World) -> None:
    with psycopg.connect(dsn(world.settings, "catalog", "catalog")) as connection:
        unique = connection.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'paxtrail%' AND indexdef LIKE 'CREATE UNIQUE%'")
        assert unique.fetchone() == (3,)
    file: Path = world.settings.home / "spark" / "conf" / "spark-defaults.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any("password" in line.lower() for line in (world.settings.logs / "dbt" / "dbt.log").read_text().splitlines())
