"""What Prometheus is told to watch: every metric of a rule is there when the programs are scraped, every alert has its runbook."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import promql_parser
import psycopg
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.serving.world import Client, World

from paxtrail.adapters import delays
from paxtrail.adapters.postgres import dsn
from paxtrail.settings import ROOT
from paxtrail.stack import places
from paxtrail.stack.processes import running

RULES = yaml.safe_load((ROOT / "conf" / "prometheus" / "rules.yml").read_text())["groups"]
ALERTS = [rule for group in RULES for rule in group["rules"] if "alert" in rule]
RECORDED = {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}
OF_PROMETHEUS = {"up"}


def selected(expression: Any) -> Iterator[Any]:
    """Every selector of a time series in an expression of PromQL."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (inner := getattr(expression, name, None)) is not None:
            yield from selected(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from selected(argument)


def wanted() -> dict[str, set[str]]:
    """Metrics of the rules by name, with the labels that the rules ask for."""
    found: dict[str, set[str]] = {}
    for group in RULES:
        for rule in group["rules"]:
            for one in selected(promql_parser.parse(rule["expr"])):
                found.setdefault(one.name, set()).update(matcher.name for matcher in one.matchers.matchers)
    return found


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]
    folder = ROOT / "docs" / "runbooks"
    assert {file.stem for file in folder.glob("*.md")} - {"README"} == {rule["alert"] for rule in ALERTS}
    for name in {rule["alert"] for rule in ALERTS}:
        text = (folder / f"{name}.md").read_text()
        assert all(f"\n## {part}\n" in text for part in ("What it means", "Look", "Do"))


def test_what_is_recorded_is_used_and_what_is_used_is_recorded() -> None:
    assert {name for name in wanted() if ":" in name} == RECORDED


def test_the_bound_of_the_objective_is_one_that_is_counted() -> None:
    used = {
        matcher.value
        for group in RULES
        for rule in group["rules"]
        for one in selected(promql_parser.parse(rule["expr"]))
        for matcher in one.matchers.matchers
        if matcher.name == "le"
    }
    assert used == {"5.0", "+Inf"} and 5.0 in delays.BOUNDS


def test_every_metric_of_a_rule_is_scraped_from_the_running_programs(world: World, tmp_path: Any) -> None:
    world.sql("insert into ledger values ('flights', 0, 10, 7, 1, 2, 9)")
    world.sql("insert into stream_delays values ('main', 5, 9), ('main', 'Infinity', 10)")
    world.sql("insert into cuts values ('r', 1, '{}', 0)")
    world.sql("insert into batch_runs values ('r', 'full', null, 0, '{}')")
    world.sql("insert into publications values ('all', 1)")
    settings = world.settings
    address = f"http://127.0.0.1:{settings.api.port}"
    relay = f"http://{settings.relay.metrics_host}:{settings.relay.metrics_port}"
    environment = {**os.environ, **places.environment(settings), "PAXTRAIL_API__WORKERS": "2", "PAXTRAIL_API__ISSUER": settings.api.issuer}

    def away(url: str) -> str:
        try:
            return "" if httpx.get(url, timeout=5).status_code == 200 else "not ready"
        except httpx.HTTPError:
            return "not listening"

    programs = {
        f"{address}/health/ready": [sys.executable, str(ROOT / "api" / "main.py")],
        f"{relay}/metrics": [sys.executable, "-m", "paxtrail.serving.relay"],
    }
    scraped: dict[str, set[str]] = {}
    with ExitStack() as held:
        for number, (url, program) in enumerate(programs.items()):
            log = tmp_path / f"{number}.log"
            held.enter_context(running(program, partial(away, url), log=log, environment=environment))
        for _ in range(8):  # of two processes, each with a connection of its own: both answer
            assert httpx.get(f"{address}/v1/flights/UA1545/2013-02-08/EWR", headers=world.headers()).status_code == 200
        text = httpx.get(f"{address}/metrics").text
        for family in text_string_to_metric_families(text + httpx.get(f"{relay}/metrics").text):
            for sample in family.samples:
                scraped.setdefault(sample.name, set()).update(sample.labels)
    assert 'paxtrail_api_request_seconds_count{route="flights.read",status="200"} 8.0' in text
    missing = {name: labels for name, labels in wanted().items() if ":" not in name and name not in OF_PROMETHEUS}
    assert {name for name, labels in missing.items() if name not in scraped or not labels <= scraped[name]} == set()


async def test_a_scrape_tells_what_the_store_knows(api: Client, world: World) -> None:
    now = int(datetime.now(UTC).timestamp() * 1e6)
    world.sql("insert into ledger values ('flights', 0, 10, 7, 1, 2, 9), ('flights', 3600, 1, 0, 0, 1, 0)")
    with psycopg.connect(dsn(world.settings, "serving", "stream")) as connection, connection.cursor() as cursor:
        delays.count(cursor, "main", 4, now - 1_500_000)
        delays.count(cursor, "main", 3, now - 20_000_000)
    await api.app.state.serving.freshness.refresh()
    await api.app.state.serving.freshness.count()
    found = (await api.http.get("/metrics")).text
    told = {
        (one.name, *sorted(one.labels.items())): one.value for family in text_string_to_metric_families(found) for one in family.samples
    }
    records, delay = "paxtrail_stream_records_total", "paxtrail_stream_delay_seconds_bucket"
    for outcome, count in (("accepted", 7), ("duplicate", 1), ("refused", 3)):
        assert told[records, ("outcome", outcome), ("source", "flights")] == count
    for bound, count in (("1.0", 0), ("2.0", 4), ("5.0", 4), ("30.0", 7), ("+Inf", 7)):
        assert told.get((delay, ("lane", "main"), ("le", bound)), 0) == count
    assert told[("paxtrail_outbox_rows",)] == world.sql("select count(*) from outbox")[0][0] > 0


def test_the_scrape_configuration_names_the_rules_and_both_programs() -> None:
    told = yaml.safe_load((ROOT / "conf" / "prometheus" / "prometheus.yml").read_text())
    assert told["rule_files"] == ["rules.yml"]
    assert [job["job_name"] for job in told["scrape_configs"]] == ["paxtrail-api", "paxtrail-relay"]
