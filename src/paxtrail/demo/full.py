"""The tools beside the core, each serving once in the demo: Airflow's schedules, marts, Druid, dashboards, a model, an export."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import psycopg

from paxtrail.adapters import configuration, drafts, landing
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.registry import Registry
from paxtrail.demo import facts, model, story, tables
from paxtrail.demo.batches import Batch, Program, publications
from paxtrail.demo.check import Findings
from paxtrail.demo.desk import Desk
from paxtrail.demo.model import Trained
from paxtrail.demo.pages import Analyst, Charts, full_boards
from paxtrail.demo.screen import Screen
from paxtrail.demo.story import Objector
from paxtrail.errors import PaxtrailError, Unavailable
from paxtrail.settings import ROOT, Settings
from paxtrail.simulator.breakage import BROKEN
from paxtrail.simulator.messages import Message
from paxtrail.simulator.simulation import Simulation, line
from paxtrail.stack.memory import Peak
from paxtrail.stack.parts import AIRFLOW, CORE, DASHBOARDS, DRUID
from paxtrail.stack.schedules import Schedules
from paxtrail.stack.supervision import bring_up

GROUPS = (CORE, DRUID, AIRFLOW)
"""Up before the replay; dashboards, which take longest and are asked last, come up beside it."""
CONTRACT = "frequent_travellers"
LAST = "demo-2"
"""The run that everything else is built on."""
_DAGS = ("states", "marts", "reindex", "files", "models")
_LANDED = "contacts"
_HELD = 25
"""Records that come as a file."""
_SAMPLE = 60
_HOURS = 48
"""What the schedule `reindex` replaces (dags/reindex.py)."""
_RUN_S = 1800.0
"""A run that takes longer is given up."""
_LOOK_S = 5.0
_RENEWED_S = 10.0
"""As the page does (conf/superset/assets/dashboards)."""


class Scheduled:
    """A run of the schedule `states`: the batch layer as production runs it."""

    def __init__(self, settings: Settings, schedules: Schedules, run_id: str, run: str) -> None:
        self.run_id = run_id
        self._settings, self._schedules, self._run = settings, schedules, run
        self._began = self._looked = time.monotonic()
        self._took = 0.0
        self._running = True

    @property
    def running(self) -> bool:
        """Whether it had not ended when it was looked at last; Airflow has other things to do than to tell all the time."""
        if self._running and time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            self._running = not self._schedules.succeeded("states", self._run)
        return self._running

    def result(self) -> dict[str, Any]:
        """What its publication counted, once it has ended; raises with the place of the log if it failed."""
        self._schedules.await_success("states", self._run, seconds=_RUN_S)
        self._running, self._took = False, time.monotonic() - self._began
        newest = publications(self._settings)[-1]
        return {"publication": {"published": newest.published, "healed": newest.healed, "drifted": newest.drifted}}

    def seconds(self) -> float:
        return self._took

    def stop(self) -> None:
        """Nothing to do: Airflow ends with the stack, and the programs it runs with it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the tools answered. `runs`: by schedule, those that ended well with no task skipped; `charts`: what they show at the end,
    `before`: while the replay went on, None if there was nothing yet; `counted`: rows of Druid beside those of silver; `least_k`: what
    the export's contract asks."""

    runs: Mapping[str, int]
    gates_green: int
    marts: Mapping[str, int]
    compared: Findings
    counted: Findings
    charts: Charts
    before: Charts | None
    sentiments: int
    trained: Trained
    landed: int
    export: Mapping[str, Any]
    least_k: int
    agent_page: bool
    objector: Objector | None
    memory_mb: int

    @property
    def refreshed(self) -> bool | None:
        """Whether the dashboards show other numbers than while the replay went on; None if there was nothing to see then."""
        return None if self.before is None else self.charts != self.before

    @property
    def differing(self) -> dict[str, int]:
        """How many differ, by kind and member."""
        return {**self.compared.differing, **self.counted.differing}

    @property
    def good(self) -> bool:
        compared = self.compared.matches and self.counted.matches
        ran = all(self.runs.values()) and self.gates_green == self.runs["states"]
        dashboards = full_boards(self.charts) == len(self.charts) > 0 and self.refreshed is not False
        served = self.sentiments > 0 and self.export["export_k"] >= self.least_k and self.agent_page
        return compared and ran and dashboards and served

    def summary(self) -> dict[str, Any]:
        """Members of the last line of `paxtrail demo --full --exit` that the plain demo does not have."""
        return {
            "dag_runs_ok": sum(self.runs.values()),
            "gates_green": self.gates_green,
            "marts": len(self.marts),
            "mart_rows": dict(self.marts),
            "mart_matches_api": self.compared.matches,
            "druid_matches_lake": self.counted.matches,
            "dashboards": full_boards(self.charts),
            "dashboard_refreshed": self.refreshed,
            "sentiment_scored": self.sentiments,
            **self.trained.summary(),
            "export_rows": self.export["export_rows"],
            "export_k": self.export["export_k"],
            "agent_page": self.agent_page,
            "fields_withheld": len(self.objector.fields) if self.objector else 0,
            "memory_peak_mb": self.memory_mb,
        }


class Full:
    """The tools of a stack that is up."""

    def __init__(self, settings: Settings, screen: Screen, simulation: Simulation, peak: Peak) -> None:
        self.settings = settings
        self.screen = screen
        self._peak = peak
        self._schedules = Schedules(settings)
        self._held = _held(simulation)
        self._lines: list[str] = []
        self._sent = threading.Event()
        self._starter = ThreadPoolExecutor(1)
        self._before = self._starter.submit(self._dashboards)

    def close(self) -> None:
        self._sent.set()
        self._starter.shutdown()
        self._schedules.close()

    def _dashboards(self) -> Charts | None:
        """Brings them up; what they show first, looked at as often as the page does, if that is before all is sent."""
        for part, seconds in bring_up(self.settings, (DASHBOARDS,)):
            self.screen.ready(part.name, seconds, part.where(self.settings))
        while not self._sent.is_set():
            # Until there is a first fact, Druid has no table to ask.
            with suppress(Unavailable), Analyst(self.settings) as analyst:
                charts = analyst.charts()
                if not self._sent.is_set() and any(any(sums.values()) for shown in charts.values() for sums in shown.values()):
                    self.screen.say("dashboards: show numbers while the replay goes on")
                    return charts
            self._sent.wait(_RENEWED_S)
        return None

    # -- while the demo plays ---------------------------------------------------------------------------------------------------

    def kept(self, messages: Iterator[Message]) -> Iterator[Message]:
        """The messages without those that come as a file."""
        for message in messages:
            if message.source == _LANDED and message.headers.get("ce_id") in self._held:
                self._lines.append(line(message))
            else:
                yield message
        self._sent.set()

    def batch(self, run_id: str) -> Batch:
        """A run of `states`: the first is that of the last day, which Airflow starts as the schedule is switched on."""
        if run_id != LAST:
            self._schedules.await_known(_DAGS, seconds=180)
            self._schedules.switch("states", on=True)
            return Scheduled(self.settings, self._schedules, run_id, self._schedules.await_started("states", 1, seconds=120))
        # On from here on, so that they follow this run and not also the one before.
        for name in ("marts", "reindex"):
            self._schedules.switch(name, on=True)
        self._schedules.start("states", run_id)
        return Scheduled(self.settings, self._schedules, run_id, run_id)

    def files(self) -> int:
        """Records that came by the landing folder: what was held back, sent by the schedule `files`."""
        place = landing.folder(self.settings) / _LANDED
        place.mkdir(parents=True, exist_ok=True)
        drafts.replace(place / "demo.jsonl", "".join(self._lines).encode())
        self._once("files")
        sent: int = sum(orjson.loads(one.read_bytes())["sent"] for one in (landing.archive(self.settings) / _LANDED).glob("*.json"))
        if sent != len(self._lines):
            raise PaxtrailError(f"{len(self._lines)} records were laid into {place}, {sent} were sent: see {self._logs('files')}")
        self.screen.say(f"files: {sent} records of {_LANDED} came as a file")
        return sent

    def _once(self, name: str) -> None:
        """One run of the schedule, which is off again afterwards: it would go on by the clock."""
        self._schedules.switch(name, on=True)
        self._schedules.start(name, "demo")
        self._schedules.await_success(name, "demo", seconds=_RUN_S)
        self._schedules.switch(name, on=False)

    def _logs(self, name: str) -> Path:
        return self.settings.logs / "airflow" / f"dag_id={name}"

    # -- afterwards -------------------------------------------------------------------------------------------------------------

    def answered(self, expected: Mapping[str, Any]) -> Answered:
        """What the tools say, once the schedules that follow the last publication have ended."""
        for name in ("marts", "reindex"):
            run = self._schedules.await_started(name, 1, seconds=120)
            self._schedules.await_success(name, run, seconds=_RUN_S)
            self.screen.say(f"{name}: followed the publication by itself")
        export = self._program(
            "export", str(ROOT / "spark_jobs" / "exports.py"), "--run", LAST, "--contract", CONTRACT, "--to", str(self._exports)
        )
        self.screen.say(f"export: {export['export_rows']} rows, k = {export['export_k']}")
        lake = self._program("facts", "-m", "paxtrail.demo.facts", LAST, *self._hours)
        with Desk(self.settings, "operations", "disruption") as operations:
            counted = druid_beside_lake(operations, self._hours, lake["rows"])
        with Desk(self.settings) as desk:
            compared = tables.compared(self.settings, desk, _SAMPLE)
            agent_page, objector = desk.page(), story.objector(expected, desk)
        before = self._before.result()
        with Analyst(self.settings) as analyst:
            charts = analyst.charts()
        trained = self._trained()
        runs = {name: sum(self._schedules.done(name, run) for run in self._schedules.runs(name)) for name in _DAGS}
        least_k = configuration.export(self.settings.conf, CONTRACT).contract.limits.k
        return Answered(
            runs, self._gates_green(), tables.published(self.settings), compared, counted, charts, before, lake["sentiments"], trained,
            len(self._lines), export, least_k, agent_page, objector, round(self._peak.together / 1e6),
        )  # fmt: skip

    def _trained(self) -> Trained:
        """The run of `models` that Airflow starts as the schedule is switched on, on texts laid ready. It comes last: a promotion would
        change how a text is scored, and by now all are."""
        texts = model.lay(self.settings)
        self._schedules.switch("models", on=True)
        run = self._schedules.await_started("models", 1, seconds=120)
        self._schedules.await_success("models", run, seconds=_RUN_S)
        self._schedules.switch("models", on=False)
        found = model.trained(Registry(self.settings).versions(), texts)
        self.screen.say(f"models: version {found.version} trained, compared, {'promoted' if found.promoted else 'not promoted'}")
        return found

    @property
    def _exports(self) -> Path:
        return self.settings.home / "exports"

    @cached_property
    def _hours(self) -> tuple[str, str]:
        """First hour that was re-indexed and the one after the last."""
        with psycopg.connect(dsn(self.settings, "serving", "batch")) as connection:
            until = datetime.fromtimestamp(cut_of(connection, LAST).cut_time / 1e6, UTC)
        return f"{until - timedelta(hours=_HOURS):%Y-%m-%dT%H}", f"{until:%Y-%m-%dT%H}"

    def _gates_green(self) -> int:
        with psycopg.connect(dsn(self.settings, "serving", "batch")) as connection:
            return len(connection.execute("SELECT FROM batch_runs WHERE gate = 'green'").fetchall())

    def _program(self, name: str, *arguments: str) -> dict[str, Any]:
        """What a program printed as its last line; PaxtrailError with the end of its log if it failed."""
        program = Program(self.settings, f"demo-{name}", [sys.executable, *arguments])
        try:
            return program.result()
        finally:
            program.stop()  # it has a session of its own, which Ctrl-C does not reach


@contextmanager
def full(settings: Settings, screen: Screen, simulation: Simulation, peak: Peak) -> Iterator[Full]:
    """The tools, for the length of a demo."""
    made = Full(settings, screen, simulation, peak)
    try:
        yield made
    finally:
        made.close()


def _held(simulation: Simulation) -> frozenset[str]:
    """Ids of the newest contacts that are sent once and whole."""
    seen = Counter(message.headers.get("ce_id", BROKEN) for message in simulation.messages() if message.source == _LANDED)
    return frozenset([name for name, times in seen.items() if times == 1 and not name.endswith(BROKEN)][-_HELD:])


def druid_beside_lake(desk: Desk, hours: tuple[str, str], lake: Mapping[str, list[dict[str, Any]]]) -> Findings:
    """The questions of analysts over these hours, as the API answers them from Druid, against the rows that silver gives."""
    findings = Findings({f"druid.{question}": 0 for question in lake})
    for question, wanted in lake.items():
        by = facts.BY[question]
        found = {_at(row["hour"], row[by]): row for row in desk.counted(question, *hours, f"hour,{by}")}
        expected = {_at(row.pop("hour"), row.pop(by)): row for row in wanted}
        for key, row in expected.items():
            shown = found.get(key)
            findings.compare(
                f"druid.{question}", key, row, None if shown is None else {name: _near(row[name], shown[name]) for name in row}
            )
        findings.nothing_else(f"druid.{question}", set(expected), set(found))
    return findings


def _at(hour: str | int, value: str | None) -> str:
    moment = datetime.fromtimestamp(hour / 1000, UTC) if isinstance(hour, int) else datetime.fromisoformat(hour)
    return f"{moment:%Y-%m-%dT%H} {value or '-'}"


def _near(wanted: Any, found: Any) -> Any:
    """`found`, or `wanted` where the two are the same mean, added up in another order."""
    return wanted if isinstance(wanted, float) and isinstance(found, float) and math.isclose(wanted, found) else found
