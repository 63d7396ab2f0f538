"""The run of the demo: stack up, history as fast as the stream takes it, two days live with a batch beside it, everything compared."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from paxtrail.adapters import lake
from paxtrail.adapters.rejects import rejects
from paxtrail.demo import check, report, story
from paxtrail.demo.batches import Batch, BatchRun, publications
from paxtrail.demo.desk import Desk
from paxtrail.demo.feed import Feed, Watch
from paxtrail.demo.full import GROUPS, LAST, Full, full
from paxtrail.demo.report import Measured, Outcome
from paxtrail.demo.screen import Bar, Screen
from paxtrail.demo.served import Served
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings, jar_cache
from paxtrail.simulator.messages import Message, instant
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.replay import Progress, producer, replay
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options
from paxtrail.stack import environments, jars
from paxtrail.stack.memory import Peak, memory
from paxtrail.stack.parts import DRUID
from paxtrail.stack.supervision import Supervisor, bring_up, take_down

_MARK = ".paxtrail-demo"
_WINDOW = 12_000
"""Records under way while history is sent: a little more than one micro-batch."""
_SAMPLE = 120
_CUT_AT = 0.2
"""Share of the two days after which the first batch run begins: a day's flights before its cut, the rest beside and after it."""
HISTORY, LIVE, BESIDE = "history", "live", "live beside a batch"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the demo plays. `flights`: a day's flights at most; `speed_up`: seconds of the two days in one; `full`: with all tools."""

    passengers: int
    seed: int
    flights: int | None
    speed_up: float
    full: bool = False


@contextmanager
def stack(settings: Settings, screen: Screen, groups: tuple[str, ...] = ()) -> Iterator[None]:
    """The stack on an empty home, with these groups of parts (none: its core), down again at the end.

    What a killed demo left behind is taken down first.
    """
    home = settings.home
    home.parent.mkdir(parents=True, exist_ok=True)
    with lake.locked("demo", settings.model_copy(update={"home": home.parent})):
        if home.exists():
            _clear(settings)
        home.mkdir()
        (home / _MARK).touch()
        try:
            for part, seconds in bring_up(settings, groups):
                screen.ready(part.name, seconds, part.where(settings))
            yield
        finally:
            # A second Ctrl-C must not leave half of it running.
            before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
            stopped = take_down(settings, ())
            screen.say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
            for number, handler in before.items():
                signal.signal(number, handler)


def _clear(settings: Settings) -> None:
    home = settings.home
    if any(home.iterdir()) and not (home / _MARK).exists():
        raise ConfigurationError(f"{home} was not made by the demo: choose another --home")
    supervisor = Supervisor(settings)
    if supervisor.running or supervisor.orphans():
        take_down(settings, ())
    shutil.rmtree(home)


class Demo:
    """One demonstration on a stack that is up."""

    def __init__(self, settings: Settings, screen: Screen, simulation: Simulation, speed_up: float, tools: Full | None = None) -> None:
        self.settings = settings
        self.screen = screen
        self.simulation = simulation
        self.speed_up = speed_up
        self.tools = tools
        self._batches: list[Batch] = []

    def play(self) -> Measured:
        """Sends everything, with a batch run beside the second half, and waits until all of it is committed."""
        total, schedule = self.simulation.count(), self.simulation.world.schedule
        cut_at = schedule.opens + int((schedule.closes - schedule.opens) * _CUT_AT)

        def part_of(message: Message) -> str:
            if message.at_us < schedule.opens:
                return HISTORY
            return LIVE if message.at_us < cut_at else BESIDE

        history, live_s = (0, 0.0), 0.0
        try:
            with Watch(self.settings) as watch, self.screen.bar(total) as bar:
                feed = Feed(producer(self.settings.kafka.brokers), watch)
                messages = self.simulation.messages()
                for part, of in groupby(self.tools.kept(messages) if self.tools else messages, key=part_of):
                    if part == BESIDE:
                        self._begin_batch("demo-1")
                    seconds = self._part(feed, bar, part, of)
                    if part == HISTORY:
                        history = feed.sent, seconds
                        self.screen.say(f"history committed: {feed.sent:,} records at {feed.sent / seconds:,.0f} a second")
                    else:
                        live_s += seconds
                watch.settle(feed.sent, lambda committed: bar.at(committed, "waiting for the last commits"))
                self.screen.say(f"all {feed.sent:,} records committed")
                if self.tools:
                    watch.settle(feed.sent + self.tools.files())
            for batch in self._batches:
                self._finish(batch)
            self._finish(self._begin_batch(LAST))
        finally:
            for batch in self._batches:
                batch.stop()
        return Measured(*history, feed.sent - history[0], live_s, feed.freshness(LIVE, BESIDE), feed.freshness(BESIDE))

    def _part(self, feed: Feed, bar: Bar, part: str, messages: Iterator[Message]) -> float:
        """Seconds it took to send a part; history until it is committed, so that what follows meets no backlog."""
        live = part != HISTORY
        feed.part, feed.window = part, None if live else _WINDOW
        before, began = feed.sent, time.monotonic()

        def show(progress: Progress) -> None:
            rate = progress.sent / progress.seconds if progress.seconds else 0.0
            batch = "   batch running" if any(one.running for one in self._batches) else ""
            under_way = feed.sent - feed.watch.committed
            what = f"{'live' if live else part} {instant(progress.at_us)[:16].replace('T', ' ')}"
            text = f"{what}   {rate:,.0f}/s   {under_way:,} under way{batch}"
            bar.at(before + progress.sent, text)

        replay(messages, feed, speed_up=self.speed_up if live else None, on_progress=show)
        if not live:
            feed.watch.settle(feed.sent)
        return time.monotonic() - began

    def _begin_batch(self, run_id: str) -> Batch:
        batch = self.tools.batch(run_id) if self.tools else BatchRun(self.settings, run_id)
        self._batches.append(batch)
        self.screen.say(f"batch {run_id}: cut, fold, publish, while the stream goes on")
        return batch

    def _finish(self, batch: Batch) -> None:
        published = batch.result()["publication"]
        self.screen.say(
            f"batch {batch.run_id}: {published['published']:,} states published, {published['healed']:,} healed,"
            f" {published['drifted']:,} drifted, in {batch.seconds():.0f} s"
        )

    def judge(self, measured: Measured) -> tuple[Outcome, story.Traveller | None]:
        """Compares what is served with the answer known beforehand, asks the tools, and finds a traveller worth showing."""
        expected = self.simulation.expected()
        tools = self.tools.answered(expected) if self.tools else None
        self.screen.say("comparing what is served with the answer known beforehand")
        with closing(Served(self.settings, self.simulation.options.end_us)) as served, Desk(self.settings) as desk:
            found = check.everything(expected, served)
            self.screen.say(f"{sum(found.compared.values()):,} compared in the serving store")
            asked = check.a_sample(expected, desk, _SAMPLE)
            counts = report.counted(served, len(served.customers) - len(expected["devices"]))
            outcome = Outcome(served.ledger(), measured, publications(self.settings), found, asked, counts, tools)
            return outcome, story.traveller(expected, desk)


def demonstrate(settings: Settings, screen: Screen, choices: Choices, stay: Callable[[], Any] | None) -> Outcome:
    """The whole of it; with `stay`, calls it before the stack is taken down."""
    end_us = time.time_ns() // 1000
    options = Options(end_us, seed=choices.seed, passengers=choices.passengers, limit=choices.flights)
    _fetch(screen, every=choices.full)
    supervisor = Supervisor(settings)
    peak = Peak(lambda: {"demo": memory(os.getpid()), "stack": memory(supervisor.pid)})
    with ThreadPoolExecutor(1) as pool, peak if choices.full else nullcontext():
        making = pool.submit(_simulation, options)
        with stack(settings, screen, GROUPS if choices.full else ()), ExitStack() as held:
            simulation = making.result()
            totals = simulation.expected()["totals"]
            screen.say(f"two days: {totals['flights']:,} flights, {totals['customers']:,} customers, {totals['received']:,} records")
            tools = held.enter_context(full(settings, screen, simulation, peak)) if choices.full else None
            demo = Demo(settings, screen, simulation, choices.speed_up, tools)
            outcome, found = demo.judge(demo.play())
            report.tell(screen, outcome, found, _telling(settings))
            if stay:
                report.addresses(screen, settings, found, outcome.tools)
                stay()
    return outcome


def _fetch(screen: Screen, *, every: bool) -> None:
    """What the network is needed for is there, for the core or for `every` part: only the first time does this take long."""
    with ThreadPoolExecutor() as pool:
        fetched = []
        for name in (*jars.CORE, *((DRUID,) if every else ())):
            if not jar_cache(name).is_dir():
                screen.say(f"fetching the Java libraries of {name}, once per user")
                fetched.append(pool.submit(jars.jar_folder, name))
        for name in environments.NAMES if every else ():
            if not environments.there(name):
                screen.say(f"installing {name} into an environment of its own, once per user")
                fetched.append(pool.submit(environments.program, name, "python"))
        for one in fetched:
            one.result()


def _simulation(options: Options) -> Simulation:
    simulation = Simulation(options, Noise())
    simulation.count()
    return simulation


def _telling(settings: Settings) -> list[Any]:
    """Refused records, those of an XML or Type B message first: they tell most."""
    return sorted(
        rejects(settings), key=lambda reject: (reject.code not in ("truncated", "bad_xml", "xml_doctype"), reject.code == "conflict")
    )


def home_of(base: Path) -> Path:
    """The demo's own folder below a home: made anew each time."""
    return base / "demo"
