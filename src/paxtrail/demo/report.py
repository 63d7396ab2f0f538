"""What the demo found, for people (tables) and for programs (one JSON object)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from paxtrail.adapters import quality
from paxtrail.adapters.rejects import Reject
from paxtrail.demo.batches import Publication
from paxtrail.demo.check import Findings
from paxtrail.demo.feed import METHOD, Freshness
from paxtrail.demo.full import Answered
from paxtrail.demo.pages import has_numbers
from paxtrail.demo.screen import Screen
from paxtrail.demo.served import Served
from paxtrail.demo.story import Objector, Traveller, shown
from paxtrail.settings import Settings
from paxtrail.stack import airflow, superset

_SHOWN_DIFFERENCES = 25
_REFRESHED = {
    True: "other numbers than while the replay went on",
    False: "THE SAME NUMBERS as while the replay went on",
    None: "nothing to see yet while the replay went on",
}
_QUESTION = (
    '  curl -s -H "Authorization: Bearer $({own} token --role operations --purpose disruption)"'
    " '{api}/v1/analytics/punctuality?by=hour,airport'"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Rates and freshness of the replay: history at full speed, then two days live, a batch run `beside` most of them."""

    history: int
    history_s: float
    live: int
    live_s: float
    freshness: Freshness
    beside: Freshness


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was found out."""

    ledger: Mapping[str, Mapping[str, Any]]
    measured: Measured
    publications: Sequence[Publication]
    store: Findings
    api: Findings
    counts: Mapping[str, int]
    tools: Answered | None = None

    @property
    def drift(self) -> int:
        return sum(one.drifted for one in self.publications)

    @property
    def matches(self) -> bool:
        return self.store.matches and self.api.matches

    @property
    def good(self) -> bool:
        return self.matches and not self.drift and (self.tools is None or self.tools.good)

    def summary(self) -> dict[str, Any]:
        """The last line of `paxtrail demo --exit`."""
        measured = self.measured
        tools = self.tools
        differing = {**self.store.differing, **self.api.differing, **(tools.differing if tools else {})}
        return {
            "received": _sum(self.ledger, "received"),
            "accepted": _sum(self.ledger, "accepted"),
            "duplicates": _sum(self.ledger, "duplicates"),
            "refused": _sum(self.ledger, "refused_records"),
            **self.counts,
            "drift": self.drift,
            "publications": len(self.publications),
            "freshness_p50_s": measured.freshness.p50_s,
            "freshness_p95_s": measured.freshness.p95_s,
            "records_per_s": round(measured.history / measured.history_s) if measured.history_s else 0,
            "compared": sum(self.store.compared.values()) + sum(self.api.compared.values()),
            "matches_expected": self.matches,
            **(tools.summary() if tools else {}),
            **({"differing": differing} if differing else {}),
        }


def _sum(ledger: Mapping[str, Mapping[str, Any]], name: str) -> int:
    return sum(int(line[name]) for line in ledger.values())


def counted(served: Served, people: int) -> dict[str, int]:
    """How many of each kind the platform knows; `people`: customers that are more than a browser."""
    flights, bags = served.flights.values(), served.bags.values()
    return {
        "customers": people,
        "journeys": len(served.journeys),
        "orders": len(served.orders),
        "flights": len(served.flights),
        "flights_cancelled": sum(flight["status"] == "cancelled" for flight in flights),
        "bags": len(served.bags),
        "bags_mishandled": sum(bool(bag.get("mishandled")) for bag in bags),
    }


def tell(screen: Screen, outcome: Outcome, found: Traveller | None, refused: Sequence[Reject]) -> None:
    """Shows all of it."""
    _ledger(screen, outcome)
    _speed(screen, outcome.measured)
    _batch(screen, outcome)
    _differences(screen, outcome)
    if outcome.tools:
        _tools(screen, outcome.tools)
    screen.title("One traveller, through the API")
    if found:
        screen.show(shown(found))
    else:
        screen.show("  nobody with a cancelled flight was found")
    screen.title("One refused message")
    for reject in refused[:1]:
        screen.show(f"  {reject.source}: {reject.code}: {reject.reason}" + (f" (at {reject.at})" if reject.at else ""))
        screen.show(f"  record {reject.reject_id}, {reject.topic}/{reject.partition}/{reject.offset}, sealed under its day's key")


def _ledger(screen: Screen, outcome: Outcome) -> None:
    screen.title("Ledger: received = accepted + duplicates + refused")
    table = Table(box=None, pad_edge=False)
    for name in ("source", "received", "accepted", "duplicates", "refused"):
        table.add_column(name, justify="left" if name == "source" else "right")
    table.add_column("refused because")
    for source, line in outcome.ledger.items():
        numbers = (f"{line[name]:,}" for name in ("received", "accepted", "duplicates", "refused_records"))
        table.add_row(source, *numbers, ", ".join(f"{code} {n}" for code, n in line["refused"].items()))
    screen.show(table)


def _speed(screen: Screen, measured: Measured) -> None:
    screen.title("Rate and freshness")
    history_rate, live_rate = (n / s if s else 0 for n, s in ((measured.history, measured.history_s), (measured.live, measured.live_s)))
    screen.show(f"  history: {measured.history:,} records as fast as the stream takes them: {history_rate:,.0f} a second")
    screen.show(f"  live: {measured.live:,} records at {live_rate:,.0f} a second on average, a batch run beside most of them")
    for name, fresh in (("all of the live part", measured.freshness), ("beside the batch run", measured.beside)):
        screen.show(f"  freshness, {name}: p50 {fresh.p50_s:.2f} s, p95 {fresh.p95_s:.2f} s, longest {fresh.longest_s:.2f} s")
    screen.show(f"  measured: {METHOD}")


def _batch(screen: Screen, outcome: Outcome) -> None:
    screen.title(f"Batch and speed layer: drift {outcome.drift}")
    for one in outcome.publications:
        screen.show(
            f"  epoch {one.epoch}: {one.published:,} published, {one.healed:,} healed, {one.redefined:,} redefined, {one.drifted:,} drifted"
        )


def _differences(screen: Screen, outcome: Outcome) -> None:
    screen.title("Answers compared with those known beforehand: " + ("all equal" if outcome.matches else "DIFFERENT"))
    for where, findings in (("in the serving store, all", outcome.store), ("through the API, a sample", outcome.api)):
        counts = ", ".join(f"{n:,} {kind.removeprefix('api.')}" for kind, n in findings.compared.items() if kind != "totals")
        screen.show(f"  {where}: {counts}")
        _differing(screen, findings)


def _differing(screen: Screen, findings: Findings) -> None:
    for name, n in sorted(findings.differing.items()):
        screen.show(f"    {name}: {n} differ")
    for one in findings.differences[:_SHOWN_DIFFERENCES]:
        screen.show(f"    {one.kind} {one.key} {one.member}: expected {one.expected!r}, found {one.found!r}")


def _tools(screen: Screen, tools: Answered) -> None:
    screen.title("Schedules, marts, Druid, dashboards, model, export")
    compared, counted = (sum(found.compared.values()) for found in (tools.compared, tools.counted))
    runs = ", ".join(f"{n} {name}" for name, n in tools.runs.items())
    marts = ", ".join(f"{name} {rows:,}" for name, rows in tools.marts.items())
    verdict = {True: "equal", False: "DIFFERENT"}
    for name, text in (
        ("schedules", f"{sum(tools.runs.values())} runs of Airflow ended well: {runs}; {tools.gates_green} gates green"),
        ("files", f"{tools.landed} records came by the landing folder, and are counted like the others"),
        ("marts", f"rows of {marts}"),
        ("", f"{compared:,} of them compared with the API: {verdict[tools.compared.matches]}"),
        ("Druid", f"{counted:,} groups of closed hours compared with silver, through the API: {verdict[tools.counted.matches]}"),
        ("dashboards", f"{_boards(tools)}; {_REFRESHED[tools.refreshed]}"),
        ("model", f"{tools.sentiments:,} contacts scored by the champion as they came"),
        ("", str(tools.trained)),
        ("export", f"{tools.export['export_rows']} rows, k = {tools.export['export_k']}: {tools.export['folder']}"),
        ("agent page", "signed in, and the search is there" if tools.agent_page else "NOT REACHED by signing in"),
        ("consent", _kept_back(tools.objector)),
        ("memory", f"{tools.memory_mb:,} MB at the peak, of all processes together (PSS)"),
    ):
        screen.show(f"  {name:10} {text}")
    for findings in (tools.compared, tools.counted):
        _differing(screen, findings)


def _kept_back(who: Objector | None) -> str:
    if who is None:
        return "nobody of whom something is kept back was found"
    return f"customer {who.customer_id} objected to {who.purpose}: an agent is not shown {', '.join(who.fields)}"


def _boards(tools: Answered) -> str:
    return "; ".join(
        f"{board}: {sum(map(has_numbers, shown.values()))} of {len(shown)} charts with numbers above 0"
        for board, shown in tools.charts.items()
    )


def addresses(screen: Screen, settings: Settings, found: Traveller | None, tools: Answered | None) -> None:
    """Where to look further, with commands to copy."""
    api = f"http://{settings.api.host}:{settings.api.port}"
    own = f"./paxtrail --home {settings.home}"
    screen.title("Explore")
    screen.show(f"  API {api}   health {api}/health/freshness   metrics {api}/metrics")
    screen.show(f"  agent page {api}/agent   sign in with the token of: {own} token --role agent --purpose care")
    screen.show(f"  Kafka {settings.kafka.brokers}   PostgreSQL {settings.postgres.host}:{settings.postgres.port}   lake {settings.lake}")
    screen.show(f"  logs {settings.logs}   {own} status")
    if tools:
        secrets = settings.secrets
        screen.show(f"  Airflow {airflow.url(settings)}   user {airflow.USER}, password in {airflow.passwords(settings)}")
        screen.show(f"  Superset {superset.url(settings)}   user analyst, password in {secrets / 'superset_analyst.password'}")
        screen.show(f"  marts at PostgreSQL, database marts   user analyst, password in {secrets / 'analyst.password'}")
        screen.show(f"  pages of the gate {quality.pages(settings)}   export {tools.export['folder']}")
    auth = f'-H "Authorization: Bearer $({own} token --role supervisor --purpose care)"'
    customer = found.view["customer_id"] if found else "ID"
    for line in (
        f"  curl -s {auth} {api}/v1/profiles/{customer}/360",
        f"  curl -s {auth} {api}/v1/profiles/{customer}/timeline",
        f'  curl -s {auth} -d \'{{"pnr": "LOCATOR", "surname": "NAME"}}\' -H \'Content-Type: application/json\' {api}/v1/profiles/lookup',
        f"  {own} rejects list --limit 5",
        f"  {own} batch run",
        *((_QUESTION.format(own=own, api=api),) if tools else ()),
    ):
        screen.console.print(line, markup=False, highlight=False, soft_wrap=True)
