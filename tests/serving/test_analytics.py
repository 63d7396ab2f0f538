"""Questions to Druid through the API: who may ask, what is counted, what is kept back, and what happens while Druid is away."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from confluent_kafka import Producer
from tests.druid_servers import HOUR, Servers, an_hour
from tests.serving.world import Client, World, client

from paxtrail.adapters.druid import TOPIC, Druid
from paxtrail.serving import analytics
from paxtrail.stack.processes import await_ready

AT = an_hour(20)
"""The hour these tests count in; the next ones are theirs too."""


def text(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%dT%H")


def fact(kind: str, hour: int = 0, **more: Any) -> dict[str, Any]:
    return {"time": (AT + hour * HOUR) // 1000, "kind": kind, "airline": "UA", "airport": "EWR", "route": "EWR-LAX", **more}


def flight(kind: str, number: int, minutes: int | None = None, **more: Any) -> dict[str, Any]:
    band: dict[str, Any] = {} if minutes is None else {"delay_minutes": minutes, "band": "on_time" if minutes < 15 else "15_to_59"}
    return fact(kind, thing=f"UA{number}/2026-11-02/EWR", **band, **more)


FACTS = [
    *(flight("departed", n, 10 * n) for n in range(1, 4)),
    flight("departed", 1, 10),  # told again
    flight("arrived", 7, 3, airport="LAX"),
    flight("cancelled", 8),
    flight("delayed", 9, 45, airport="JFK"),
    *(fact("displaced", person=f"{n:032x}") for n in range(12)),
    *(fact("displaced", person=f"{n:032x}", airport="JFK") for n in range(9)),
    *(fact("bag", custody="loaded", thing=f"b{n}") for n in range(3)),
    fact("bag", custody="rushed", thing="b1"),
    *(fact("searched", hour=1, person=f"{n % 10:032x}", channel="web", cabin="Y") for n in range(15)),
    *(fact("searched", hour=1, person=f"{n:032x}", channel="app", cabin="Y") for n in range(9)),
    *(fact("searched", hour=1, person=f"{n % 2:032x}", channel="agency", airport="JFK", route="JFK-SFO") for n in range(4)),
    *(flight("departed", n, 5, hour=2, route=f"EWR-X{n:02X}") for n in range(600)),
]


@pytest.fixture(scope="module")
def counted(druid: Servers) -> Servers:
    """Druid with the facts of this module."""
    producer = Producer({"bootstrap.servers": druid.settings.kafka.brokers})
    for one in FACTS:
        producer.produce(TOPIC, json.dumps(one).encode())
    producer.flush()

    def problem() -> str:
        where = f"__time >= MILLIS_TO_TIMESTAMP({AT // 1000}) AND __time < MILLIS_TO_TIMESTAMP({(AT + 3 * HOUR) // 1000})"
        (row,) = Druid(druid.settings).sql(f"SELECT SUM(facts) AS facts FROM operations WHERE {where}")
        return "" if row["facts"] == len(FACTS) else f"{row['facts']} of {len(FACTS)}"

    await_ready(lambda: _tried(problem), seconds=120)
    return druid


def _tried(problem: Any) -> str:
    try:
        return str(problem())
    except Exception as error:
        return type(error).__name__


@pytest.fixture
async def asking(world: World, counted: Servers) -> AsyncIterator[Client]:
    world.settings = world.settings.model_copy(update={"druid": counted.settings.druid})
    async with client(world) as found:
        yield found


async def rows(asking: Client, question: str, role: str = "operations", **more: str) -> list[dict[str, Any]]:
    parameters = "&".join(f"{name}={value}" for name, value in {"from": text(AT), "to": text(AT + 2 * HOUR), **more}.items())
    answer = await asking.get(f"/v1/analytics/{question}?{parameters}", role)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


async def test_flights_are_counted_once_however_often_they_are_told(asking: Client) -> None:
    found = {row["airport"]: row for row in await rows(asking, "punctuality", "analyst", by="airport")}
    assert found["EWR"] | {"departure_delay_minutes": 0} == {
        "airport": "EWR", "departures": 3, "departures_on_time": 1, "departure_delay_minutes": 0,
        "arrivals": 0, "arrivals_on_time": 0, "arrival_delay_minutes": None,
    }  # fmt: skip
    assert found["EWR"]["departure_delay_minutes"] == pytest.approx((10 + 20 + 30 + 10) / 4)
    assert (found["LAX"]["arrivals"], found["LAX"]["arrivals_on_time"]) == (1, 1)


async def test_few_travellers_are_shown_to_operations_only_and_flights_to_all(asking: Client) -> None:
    for role, few in (("operations", 9), ("analyst", None)):
        found = {row["airport"]: row for row in await rows(asking, "disruptions", role, by="airport")}
        assert (found["EWR"]["cancelled"], found["EWR"]["travellers"]) == (1, 12)
        assert (found["JFK"]["delayed"], found["JFK"]["travellers"]) == (1, few)
    answer = await asking.get(f"/v1/analytics/disruptions?from={text(AT)}&to={text(AT + HOUR)}&by=airport", "analyst")
    assert answer.json()["suppressed"] == 1


async def test_a_small_group_of_searchers_shows_no_number_of_searches_either(asking: Client) -> None:
    found = await rows(asking, "searches", "analyst", by="channel,hour")
    shown = {row["channel"]: (row["searches"], row["persons"]) for row in found}
    assert shown == {"web": (15, 10), "app": (None, None), "agency": (None, None)}
    assert {row["hour"] for row in found} == {datetime.fromtimestamp((AT + HOUR) / 1e6, UTC).strftime("%Y-%m-%dT%H:00:00.000Z")}


async def test_searches_are_counted_by_route_and_small_groups_stand_last_for_analysts(asking: Client) -> None:
    for role, few in (("operations", (4, 2)), ("analyst", (None, None))):
        found = [(row["route"], row["searches"], row["persons"]) for row in await rows(asking, "searches", role, by="route")]
        assert found == [("EWR-LAX", 24, 10), ("JFK-SFO", *few)]
    assert [row["route"] for row in await rows(asking, "searches", by="route", route="EWR-LAX")] == ["EWR-LAX"]


async def test_bags_are_counted_at_each_custody_point_and_filters_hold(asking: Client) -> None:
    found = {row["custody"]: (row["bags"], row["scans"]) for row in await rows(asking, "bags", by="custody", airport="EWR")}
    assert found == {"loaded": (3, 3), "rushed": (1, 1)}
    assert await rows(asking, "bags", by="custody", airport="ORD") == []
    assert len(await rows(asking, "bags", by="custody", limit="1")) == 1


async def test_a_question_of_many_groups_is_answered(asking: Client) -> None:
    found = await rows(asking, "punctuality", by="route,hour", to=text(AT + 3 * HOUR), limit="1000")
    assert len([row for row in found if row["departures"] == row["departures_on_time"] == 1 and row["route"].startswith("EWR-X")]) == 600


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("by=seat", 422),
        ("by=airport,airport", 422),
        ("from=2026-11-22T10&to=2026-11-22T10", 422),
        ("from=2020-01-01T00&to=2026-01-01T00", 422),
        ("from=2026-13-01T00", 422),
        ("airport=EWR'%20OR%201", 422),
        ("limit=5000", 422),
        ("person=1", 422),
    ],
)
async def test_what_may_not_be_asked_is_refused(api: Client, query: str, status: int) -> None:
    assert (await api.get(f"/v1/analytics/bags?{query}", "analyst")).status_code == status
    assert (await api.get("/v1/analytics/customers", "analyst")).status_code == 422


async def test_while_druid_is_away_questions_wait_and_profiles_do_not(api: Client, world: World) -> None:
    answer = await api.get("/v1/analytics/punctuality", "analyst")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert (await api.get(f"/v1/profiles/{world.customer()}")).status_code == 200
    assert (await api.http.get("/health/ready")).status_code == 200


async def test_a_broker_that_never_answers_is_given_up_and_asked_again(world: World) -> None:
    with ExitStack() as held, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(10)
        druid = world.settings.druid.model_copy(update={"broker_port": silent.getsockname()[1], "timeout_ms": 50, "queries": 1})
        world.settings = world.settings.model_copy(update={"druid": druid})
        async with client(world) as asked:
            for _ in range(3):  # one query at once: a thread that still waited for the first answer would ask no second time
                answer = await asked.get("/v1/analytics/punctuality", "analyst")
                assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
                held.enter_context(silent.accept()[0])
            assert (await asked.get(f"/v1/profiles/{world.customer()}")).status_code == 200


@contextmanager
def broker(answer: Callable[[], tuple[int, Any]]) -> Iterator[int]:
    """Port of something that answers every query with this status and body, as Druid's broker would."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answer()
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def old(error: str, said: str) -> dict[str, Any]:
    return {"error": error, "errorMessage": said, "errorClass": "org.apache.druid.query.QueryException", "host": None}


def new(category: str, said: str, **context: str) -> dict[str, Any]:
    about = {"errorCode": "legacyQueryException" if context else "general", "persona": "OPERATOR", "category": category}
    return {"error": "druidException", **about, "errorMessage": said, "context": context}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (504, old("Query timeout", "Query did not complete within configured timeout period."), "query_timeout"),
        (504, new("TIMEOUT", "Query [x] was given up", legacyErrorCode="Query timeout"), "query_timeout"),
        (504, new("TIMEOUT", "given up"), "query_timeout"),
        (400, old("Resource limit exceeded", "Not enough merge buffer memory"), "query_timeout"),
        (429, old("Query capacity exceeded", "Too many concurrent queries; timeout"), "unavailable"),
        (429, new("CAPACITY_EXCEEDED", "no merge buffers"), "unavailable"),
        (400, old("Plan validation failed", "column 'timeout' not found in SELECT timed out FROM secret"), "unavailable"),
        (500, new("UNCATEGORIZED", "resource limit"), "unavailable"),
        (502, "<html>secret timeout</html>", "unavailable"),
        (500, [1], "unavailable"),
        (500, {"error": {"error": "Query timeout"}}, "unavailable"),
        (200, '[{"departures": 1', "unavailable"),
    ],
)
async def test_an_error_of_druid_is_told_by_its_code_whatever_its_text(
    status: int, body: Any, code: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with broker(lambda: (status, body)) as port:
        world.settings = world.settings.model_copy(update={"druid": world.settings.druid.model_copy(update={"broker_port": port})})
        async with client(world) as asked:
            answer = await asked.get("/v1/analytics/punctuality", "analyst")
    wait = {"query_timeout": (504, None), "unavailable": (503, "1")}[code]
    assert (answer.json()["code"], answer.status_code, answer.headers.get("retry-after")) == (code, *wait)
    assert "secret" not in answer.text + caplog.text


async def test_more_queries_than_may_wait_are_told_to_come_back_and_later_ones_are_answered(world: World) -> None:
    held = threading.Event()
    with broker(lambda: (200, [] if held.wait(30) else None)) as port:
        update = {"broker_port": port, "queries": 1, "timeout_ms": 60_000}
        world.settings = world.settings.model_copy(update={"druid": world.settings.druid.model_copy(update=update)})
        async with client(world) as asked:
            waiting = {asyncio.ensure_future(asked.get("/v1/analytics/punctuality", "analyst")) for _ in range(9)}
            try:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                held.set()
            [refused] = [one.result() for one in done]
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 8
            assert (await asked.get("/v1/analytics/punctuality", "analyst")).status_code == 200


def test_a_row_that_lost_its_counts_stands_where_they_cannot_be_told() -> None:
    question = analytics.QUESTIONS["searches"]
    counts = (("EWR-SFO", 90, 9), ("EWR-LAX", 80, 40), ("EWR-BOS", 70, 1), ("EWR-ORD", 60, 10))
    found: list[dict[str, Any]] = [{"route": route, "searches": searches, "persons": persons} for route, searches, persons in counts]
    assert analytics.suppress(question, ("route",), found) == 2
    assert [tuple(row.values()) for row in found] == [
        ("EWR-LAX", 80, 40),
        ("EWR-ORD", 60, 10),
        ("EWR-BOS", None, None),
        ("EWR-SFO", None, None),
    ]


def test_nothing_that_a_caller_sent_stands_in_the_text_of_a_query() -> None:
    for question in analytics.QUESTIONS.values():
        sql, parameters = analytics.statement(question, analytics.Range(0, HOUR, question.by, {"airport": "EWR"}, 7))
        assert "EWR" not in sql and parameters == {"since": 0, "until": 3_600_000, "limit": 7, "airport": "EWR"}
