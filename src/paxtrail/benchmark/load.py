"""Load on a stack from a process of its own, so that making messages and watching their effect do not share an interpreter.

Run as a program it sends and prints one line of JSON: sent, seconds, behind_s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass

import orjson
import psycopg

from paxtrail.adapters.postgres import dsn
from paxtrail.benchmark.stacks import Stack
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings
from paxtrail.simulator.load import EVENTS_PER_RECORD, messages, population
from paxtrail.simulator.replay import producer, replay

SEED = 20130208
_STALLED_S = 60.0
_POPULATION_EVENTS = 4
"""Of one customer: an account, and the three events of a booking."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a load did: records acknowledged by the broker, in how long, and how late the last one was."""

    sent: int
    seconds: float
    behind_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The stack's ledger: records received, events made of them, duplicates and refused records."""

    received: int
    events: int
    duplicates: int
    refused: int

    def since(self, before: Taken) -> Taken:
        return Taken(
            self.received - before.received,
            self.events - before.events,
            self.duplicates - before.duplicates,
            self.refused - before.refused,
        )


class Load:
    """A load that was begun. Records are `rate` a second for `seconds` (rate 0: as fast as it goes), or the population of the store."""

    def __init__(self, stack: Stack, *, customers: int, rate: float = 0, seconds: float = 0, whole: bool = False, seed: int = SEED) -> None:
        options = [f"--customers={customers}", f"--rate={rate}", f"--seconds={seconds}", f"--seed={seed}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paxtrail.benchmark.load", *options, *(["--population"] if whole else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=stack.environment(),
            start_new_session=True,
        )

    def result(self) -> Sent:
        """What was sent, as soon as the broker has all of it; Unavailable if the load failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._process.stdout.close()
        self._process.wait()
        if not line:
            raise Unavailable("the load ended early; see its message above")
        return Sent(**orjson.loads(line))

    def stop(self) -> None:
        """It has ended."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Ledger:
    """The serving store's ledger, asked with the role of the API."""

    def __init__(self, settings: Settings) -> None:
        self._connection = psycopg.connect(dsn(settings, "serving", "api"), autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def now(self) -> Taken:
        row = self._connection.execute(
            "select coalesce(sum(received), 0), coalesce(sum(events), 0), coalesce(sum(duplicates), 0), coalesce(sum(refused), 0)"
            " from ledger"
        ).fetchone()
        assert row is not None
        return Taken(*(int(one) for one in row))

    def await_(self, received: int) -> float:
        """Seconds until so many records are committed; Unavailable if nothing moves for a minute."""
        began = moved = time.monotonic()
        before = -1
        while (now := self.now().received) < received:
            if now > before:
                before, moved = now, time.monotonic()
            elif time.monotonic() - moved > _STALLED_S:
                raise Unavailable(f"the stream committed {now} of {received} records and then nothing for {_STALLED_S:.0f} s")
            time.sleep(0.05)
        return time.monotonic() - began


def records(events: float, *, customers: int = 0) -> int:
    """How many records make about so many events, beyond those of a population of `customers`."""
    return int(max(0.0, events - _POPULATION_EVENTS * customers) / EVENTS_PER_RECORD)


def fill(stack: Stack, *, customers: int, records: int = 0) -> Taken:
    """The ledger once account and booking of every customer, and `records` more, went through the door as fast as it takes them."""
    with closing(Ledger(stack.settings)) as ledger:
        goal = ledger.now().received + Load(stack, customers=customers, whole=True).result().sent
        if not records:
            ledger.await_(goal)
            return ledger.now()
    more(stack, customers=customers, records=records, awaiting=goal)
    with closing(Ledger(stack.settings)) as ledger:
        return ledger.now()


def more(stack: Stack, *, customers: int, records: int, awaiting: int = 0) -> Taken:
    """What the ledger gained by so many records, sent at once and committed."""
    with closing(Ledger(stack.settings)) as ledger:
        before = ledger.now()
        # A second of a rate that nothing here reaches is: as fast as it goes.
        sent = Load(stack, customers=customers, rate=records, seconds=1).result().sent
        ledger.await_(max(awaiting, before.received) + sent)
        return ledger.now().since(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--population", action="store_true")
    given = parser.parse_args()
    now = time.time_ns() // 1000
    if given.population:
        made, pace = population(given.customers, given.seed, at_us=now), None
    else:
        made, pace = messages(given.rate, given.seconds, given.customers, given.seed, start_us=now), given.rate
    done = replay(made, producer(Settings.load().kafka.brokers), rate=pace)
    print(orjson.dumps(asdict(Sent(done.acknowledged, round(done.seconds, 2), round(done.behind_s, 2)))).decode(), flush=True)


if __name__ == "__main__":
    main()
