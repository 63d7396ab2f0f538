"""Dashboards over a real Druid, in a real browser: the numbers are Druid's, few persons stay hidden, an analyst changes nothing."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from tests.browser import chromium
from tests.druid_servers import HOUR, an_hour

from paxtrail.adapters.druid import TOPIC, Druid
from paxtrail.adapters.postgres import dsn, secret
from paxtrail.demo.pages import Analyst
from paxtrail.settings import Settings
from paxtrail.stack import places, superset
from paxtrail.stack.processes import await_ready, running

pytestmark = pytest.mark.tools

AT = an_hour(0) - 2 * HOUR
"""Within the hours that the dashboard shows."""
HERE, THERE, LATER = "QDA", "QDB", "QDC"
"""Airports of these tests alone: others count in the same datasource."""
DAY = "__time >= TIME_SHIFT(CURRENT_TIMESTAMP, 'P1D', -1)"
THINGS = "APPROX_COUNT_DISTINCT_DS_THETA(things) FILTER (WHERE {})"
DELAYED = "kind = 'delayed' OR (kind = 'departed' AND band <> 'on_time')"


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
        (row,) = Druid(settings).sql("SELECT SUM(facts) AS n FROM operations WHERE airport IN (?, ?, ?)", HERE, THERE, LATER)
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


def rows(page: Page, name: str) -> list[tuple[str, ...]]:
    """Cells of a table's rows at the airports of these tests, sorted; all read at once, because the page renews itself."""
    found: list[tuple[str, ...]] = []

    def problem() -> str:
        cells = chart(page, name).locator("tbody tr").evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText))")
        found[:] = [tuple(row) for row in cells if HERE in row or THERE in row]
        return "" if found else f"{name} shows nothing"

    await_ready(problem, seconds=90)
    return sorted(found)


def asked(settings: Settings, columns: str, more: str = "", by: str = "") -> list[tuple[str, ...]]:
    """The same of Druid directly, as the page writes it."""
    where = f"{DAY} AND airport IN ('{HERE}', '{THERE}') {more}"
    found = Druid(settings).sql(f"SELECT {columns} FROM operations WHERE {where} {f'GROUP BY {by}' if by else ''}")
    return sorted(tuple("N/A" if value is None else str(value) for value in row.values()) for row in found)


def test_the_page_shows_the_numbers_that_druid_gives(page: Page, dashboards: Settings) -> None:
    flights = ", ".join(THINGS.format(where) for where in ("kind = 'departed'", DELAYED, "kind = 'cancelled'"))
    hour = "TIME_FORMAT(TIME_FLOOR(__time, 'PT1H'), 'yyyy-MM-dd HH:mm')"
    kinds = "AND kind IN ('departed', 'delayed', 'cancelled')"
    shown = rows(page, "Flights by hour and airport")
    assert [row[1:] for row in shown] == [(HERE, "7", "6", "3"), (THERE, "0", "1", "0"), (THERE, "1", "0", "0")]
    assert shown == asked(dashboards, f"{hour} AS h, airport, {flights}", kinds, "1, 2")
    shown = rows(page, "Bags by custody point")
    assert shown == [(HERE, "loaded", "5", "5"), (HERE, "rushed", "1", "1")]
    bags = "airport, custody, APPROX_COUNT_DISTINCT_DS_THETA(things) AS bags, SUM(facts) AS scans"
    assert shown == asked(dashboards, bags, "AND kind = 'bag'", "1, 2")
    for name, where in (("Departures", "kind = 'departed'"), ("Delays", DELAYED), ("Cancellations", "kind = 'cancelled'")):
        (row,) = Druid(dashboards).sql(f"SELECT {THINGS.format(where)} AS n FROM operations WHERE {DAY}")
        expect(number(page, name)).to_have_text(f"{row['n']:,}")
    (row,) = Druid(dashboards).sql(
        f"SELECT APPROX_COUNT_DISTINCT_DS_THETA(persons) AS n FROM operations WHERE kind = 'displaced' AND {DAY}"
    )
    expect(number(page, "Travellers affected in the last 24 hours")).to_have_text(f"{row['n']:,}")
    expect(chart(page, "Flights by hour").locator("canvas")).to_be_visible()


def test_an_analyst_who_asks_the_charts_themselves_gets_the_numbers_of_the_page(dashboards: Settings) -> None:
    with Analyst(dashboards) as analyst:
        (shown,) = analyst.charts().values()
    assert len(shown) == 8
    assert min(value for sums in shown.values() for value in sums.values()) > 0
    for name, metric, where in (
        ("Departures", "departures", "kind = 'departed'"),
        ("Cancellations", "cancellations", "kind = 'cancelled'"),
    ):
        (row,) = Druid(dashboards).sql(f"SELECT {THINGS.format(where)} AS n FROM operations WHERE {DAY}")
        assert shown[name] == {metric: row["n"]}
    (row,) = Druid(dashboards).sql(f"SELECT SUM(facts) AS n FROM operations WHERE kind = 'bag' AND {DAY}")
    assert shown["Bags by custody point"]["scans"] == row["n"]


def test_the_page_renews_itself(page: Page, dashboards: Settings) -> None:
    before = int(number(page, "Cancellations").inner_text().replace(",", ""))
    page.evaluate("window.loaded = 'once'")
    send(dashboards, [fact("cancelled", 0, LATER, thing=f"later{time.time_ns()}")])
    expect(number(page, "Cancellations")).to_have_text(f"{before + 1:,}")
    assert page.evaluate("window.loaded") == "once"


def test_fewer_than_ten_travellers_are_not_shown(page: Page) -> None:
    shown = {row[1]: row[2] for row in rows(page, "Travellers affected by hour and airport")}
    assert shown == {HERE: "12", THERE: "N/A"}


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


@pytest.mark.parametrize(
    "path", ["/users/list/", "/roles/list/", "/sqllab/", "/databaseview/list/", "/explore/", "/api/v1/database/", "/api/v1/security/users/"]
)
def test_pages_of_engineers_are_closed_to_an_analyst(page: Page, path: str) -> None:
    assert page.request.get(path, max_redirects=0).status == 403


def test_an_analyst_runs_no_sql_and_changes_no_chart(page: Page) -> None:
    headers = {"X-CSRFToken": page.locator("#csrf_token").get_attribute("value") or "", "Referer": page.url}
    sql = {"database_id": 1, "sql": "SELECT 1"}
    assert page.request.post("/api/v1/sqllab/execute/", data=sql, headers=headers).status == 403
    assert page.request.put("/api/v1/chart/1", data={"slice_name": "mine"}, headers=headers).status == 403
    assert page.request.delete("/api/v1/dashboard/1", headers=headers).status == 403


def test_what_a_stranger_is_answered_takes_the_place_of_no_session(dashboards: Settings) -> None:
    """The sign-in page sends a log entry beside the form: what it is answered may come after the cookie of whoever just signed in."""
    with httpx.Client(base_url=superset.url(dashboards), trust_env=False) as stranger:
        assert "session=" in stranger.get("/login/").headers["set-cookie"]
        for answer in (
            stranger.post("/superset/log/", params={"explode": "events"}, files={"events": (None, "[]")}),
            stranger.get("/superset/dashboard/operations-now/"),
            stranger.get("/api/v1/me/"),
            stranger.get("/login/"),
        ):
            assert "set-cookie" not in answer.headers, answer.url


def test_nobody_looks_without_signing_in_and_no_pixel_of_others_is_fetched(page: Page, dashboards: Settings) -> None:
    address = superset.url(dashboards)
    with urllib.request.urlopen(f"{address}/superset/dashboard/operations-now/") as answer:
        assert "/login/" in answer.url
        assert "img-src 'self' blob: data:;" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in answer.headers
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
