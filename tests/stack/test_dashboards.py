"""Dashboards over a real Druid, in a real browser: the numbers are Druid's, few persons stay hidden, an analyst changes nothing."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from tests.browser import chromium
from tests.druid_servers import HOUR, an_hour

from paxtrail.adapters.druid import TOPIC, Druid
from paxtrail.adapters.postgres import dsn, secret
from paxtrail.settings import Settings
from paxtrail.stack import places, superset
from paxtrail.stack.processes import await_ready, running

# Signing in to Superset answers 401 now and then on a loaded machine (ADR 24, consequences): the long proof can bear that, CI cannot.
pytestmark = pytest.mark.proof

AT = an_hour(0) - 2 * HOUR
"""Within the hours that the dashboard shows."""
HERE, THERE = "QDA", "QDB"
"""Airports of these tests alone: others count in the same datasource."""


def fact(kind: str, hour: int = 0, airport: str = HERE, **more: Any) -> dict[str, Any]:
    return {"time": (AT + hour * HOUR) // 1000, "kind": kind, "airline": "UA", "airport": airport, **more}


FACTS = [
    *(fact("departed", thing=f"QD{n}", delay_minutes=10 * n, band="on_time" if n < 2 else "15_to_59") for n in range(1, 8)),
    fact("departed", 0, thing="QD1", delay_minutes=10, band="on_time"),  # told again
    fact("departed", 1, THERE, thing="QD50", delay_minutes=2, band="on_time"),
    fact("delayed", 0, THERE, thing="QD60", delay_minutes=45, band="15_to_59"),
    *(fact("cancelled", thing=f"QD{n}") for n in range(70, 73)),
    *(fact("displaced", person=f"d{n:031x}") for n in range(12)),
    *(fact("displaced", 0, THERE, person=f"d{n:031x}") for n in range(9)),
    *(fact("bag", custody="loaded", thing=f"qd{n}") for n in range(5)),
    fact("bag", custody="rushed", thing="qd1"),
]


def send(settings: Settings, facts: list[dict[str, Any]]) -> None:
    """The facts are in Druid's topic, and Druid counts them."""
    before = counted(settings)
    producer = Producer({"bootstrap.servers": settings.kafka.brokers})
    for one in facts:
        producer.produce(TOPIC, json.dumps(one).encode())
    producer.flush()
    await_ready(lambda: "" if counted(settings) == before + len(facts) else "facts are missing", seconds=120)


def counted(settings: Settings) -> int:
    try:
        (row,) = Druid(settings).sql("SELECT SUM(facts) AS n FROM operations WHERE airport IN (?, ?)", HERE, THERE)
    except Exception:  # before the first fact there is no datasource
        return 0
    return int(row["n"] or 0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def dashboards(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Superset as the stack starts it, over Druid with the facts of this module. Without a browser nothing is started."""
    settings: Settings = request.getfixturevalue("postgres")
    request.getfixturevalue("druid")
    send(settings, FACTS)
    superset.prepare(settings)
    values = {**places.environment(settings), **superset.environment(settings)}
    log = settings.logs / "superset.log"
    with running(superset.command(settings), lambda: superset.problem(settings), log=log, seconds=180, environment=values):
        yield settings


@pytest.fixture(scope="module")
def signed_in(browser: Browser, dashboards: Settings) -> Iterator[BrowserContext]:
    """A browser in which an analyst has signed in."""
    context = browser.new_context(base_url=superset.url(dashboards), viewport={"width": 1400, "height": 1800})
    context.set_default_timeout(90_000)
    expect.set_options(timeout=90_000)
    page = context.new_page()
    page.goto("/login/")
    page.locator("#username").fill("analyst")
    page.locator("#password").fill(secret(dashboards, "superset_analyst"))
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url, wait_until="commit")
    yield context
    expect.set_options(timeout=5_000)
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    """A page at the dashboard."""
    page = signed_in.new_page()
    page.goto("/superset/dashboard/operations-now/", wait_until="domcontentloaded")
    yield page
    page.close()


def chart(page: Page, name: str) -> Locator:
    return page.locator(f'[data-test-chart-name="{name}"]')


def number(page: Page, name: str) -> Locator:
    return chart(page, name).locator(".header-line")


def test_the_page_renews_itself(page: Page, dashboards: Settings) -> None:
    before = int(number(page, "Cancellations").inner_text().replace(",", ""))
    send(dashboards, [fact("cancelled", thing=f"later{time.time_ns()}")])
    expect(number(page, "Cancellations")).to_have_text(f"{before + 1:,}")


def test_an_analyst_can_ask_a_dataset_for_no_person_and_nothing_beside_it(page: Page, dashboards: Settings) -> None:
    with psycopg.connect(dsn(dashboards, "superset", "superset")) as connection:
        ids: dict[str, int] = dict(connection.execute("SELECT table_name, id FROM tables").fetchall())

    def ask(dataset: str, sql: str) -> tuple[int, str]:
        metric = {"expressionType": "SQL", "sqlExpression": sql, "label": "n"}
        query = {"datasource": {"id": ids[dataset], "type": "table"}, "queries": [{"columns": [], "metrics": [metric]}]}
        answer = page.request.post("/api/v1/chart/data", data=query)
        return answer.status, answer.text()

    status, text = ask("movements", "COUNT(*)")
    assert status == 200, text
    for dataset, sql in (
        ("movements", "APPROX_COUNT_DISTINCT_DS_THETA(persons)"),
        ("movements", "SUM(facts) FILTER (WHERE kind = 'searched') + (SELECT COUNT(*) FROM druid.operations)"),
        ("travellers", "(SELECT APPROX_COUNT_DISTINCT_DS_THETA(persons) FROM druid.operations)"),
        ("travellers", "APPROX_COUNT_DISTINCT_DS_THETA(persons)"),
    ):
        status, text = ask(dataset, sql)
        assert status >= 400, text
    status, text = ask("travellers", f"MIN(travellers) FILTER (WHERE airport = '{THERE}')")
    assert json.loads(text)["result"][0]["data"] == [{"n": None}]


@pytest.mark.parametrize("path", ["/users/list/", "/roles/list/", "/sqllab/", "/databaseview/list/", "/explore/", "/api/v1/database/"])
def test_pages_of_engineers_are_closed_to_an_analyst(page: Page, path: str) -> None:
    assert page.request.get(path, max_redirects=0).status == 403


def test_an_analyst_runs_no_sql_and_changes_no_chart(page: Page) -> None:
    headers = {"X-CSRFToken": page.locator("#csrf_token").get_attribute("value") or "", "Referer": page.url}
    sql = {"database_id": 1, "sql": "SELECT 1"}
    assert page.request.post("/api/v1/sqllab/execute/", data=sql, headers=headers).status == 403
    assert page.request.put("/api/v1/chart/1", data={"slice_name": "mine"}, headers=headers).status == 403
    assert page.request.delete("/api/v1/dashboard/1", headers=headers).status == 403


def test_nobody_looks_without_signing_in_and_no_pixel_of_others_is_fetched(page: Page, dashboards: Settings) -> None:
    address = superset.url(dashboards)
    with urllib.request.urlopen(f"{address}/superset/dashboard/operations-now/") as answer:
        assert "/login/" in answer.url
        assert "img-src 'self' blob: data:;" in answer.headers["Content-Security-Policy"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/v1/chart/1")
    foreign: list[str] = []
    page.on("response", lambda response: None if response.url.startswith((address, "data:", "blob:")) else foreign.append(response.url))
    page.reload()
    number(page, "Departures").wait_for()
    assert foreign == []


def test_provisioning_again_puts_back_what_was_changed_and_adds_nothing(dashboards: Settings) -> None:
    def kept(connection: psycopg.Connection) -> list[Any]:
        queries = (
            "SELECT id, uuid, database_name, sqlalchemy_uri FROM dbs",
            "SELECT id, uuid, table_name, sql, perm FROM tables",
            "SELECT table_id, metric_name, expression FROM sql_metrics",
            "SELECT table_id, column_name, verbose_name FROM table_columns",
            "SELECT id, uuid, slice_name, viz_type, params::jsonb FROM slices",
            "SELECT id, uuid, dashboard_title, position_json::jsonb FROM dashboards",
            "SELECT dashboard_id, slice_id FROM dashboard_slices",
            "SELECT permission_view_id, role_id FROM ab_permission_view_role",
            "SELECT id, username, password FROM ab_user",
            "SELECT user_id, role_id FROM ab_user_role",
        )
        return [sorted(map(str, connection.execute(query).fetchall())) for query in queries]

    with psycopg.connect(dsn(dashboards, "superset", "superset"), autocommit=True) as connection:
        before = kept(connection)
        connection.execute("UPDATE dashboards SET dashboard_title = 'mine'")
        connection.execute("UPDATE sql_metrics SET expression = 'COUNT(*)'")
        connection.execute(
            "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id) SELECT nextval('ab_permission_view_role_id_seq'), "
            "(SELECT pv.id FROM ab_permission_view pv JOIN ab_permission p ON p.id = pv.permission_id "
            "JOIN ab_view_menu v ON v.id = pv.view_menu_id WHERE p.name = 'can_execute_sql_query'), "
            "(SELECT id FROM ab_role WHERE name = 'Analyst')"
        )
        assert kept(connection) != before
        superset.prepare(dashboards)
        assert kept(connection) == before
