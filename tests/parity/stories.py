"""Stories for the parity tests: a history of real messages, told to a lane in random pieces, with what can go wrong in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
from tests.lane import Lane, Sent
from tests.parity.truth import Truth

from paxtrail.adapters import batch, lake, lanes, speed_layer
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.kafka import Ranges, raw_topics
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.silver import Job
from paxtrail.settings import Settings
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options
from paxtrail.tables.silver import EDGES, LINKS, RELATIONS, STATES

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

State = dict[str, Any]
END = 1_800_000_000_000_000
"""When the messages of a history end, µs UTC."""
NOISE = Noise(duplicates=0.1, conflicts=0.03, disorder=0.3, late=0.1, broken=0.05)


class Crash(Exception):
    """The process dies here."""


def history(seed: int, *, flights: int = 2) -> list[Sent]:
    """A small world's messages in a random order, duplicates, conflicts, late and broken ones among them."""
    options = Options(end_us=END, seed=seed, limit=flights, passengers=3, history_days=3)
    sent = [Sent(m.source, dict(m.headers), m.body, m.at_us) for m in Simulation(options, NOISE).messages()]
    Random(seed).shuffle(sent)
    return sent


class Story:
    """Lanes with their batch layer, and the answer worked out in one go from what was sent."""

    def __init__(self, settings: Settings, spark: SparkSession, seed: int) -> None:
        self.settings = settings
        self.spark = spark
        self.log: dict[str, list[Sent]] = {topic: [] for topic in raw_topics()}
        self.lanes = self._opened()
        self.truth = Truth(settings, self.log)
        self.random = Random(seed)
        self.serving = psycopg.connect(dsn(settings, "serving", "batch"), autocommit=True)
        self.runs: list[str] = []
        self.versions: dict[tuple[str, str], int] = {}

    def _opened(self) -> dict[str, Lane]:
        return {name: Lane(self.settings, self.spark, name, self.log) for name in lanes.running(self.settings)}

    @property
    def lane(self) -> Lane:
        """The only lane."""
        [lane] = self.lanes.values()
        return lane

    def close(self) -> None:
        self.serving.close()
        for lane in self.lanes.values():
            lane.close()

    def divided(self, records: Sequence[Sent]) -> list[tuple[Lane, list[Sent]]]:
        """The records of each lane that has some, in the order of the records; the lanes in a random one."""
        found = [(lane, [r for r in records if r.source in self.settings.lanes[name]]) for name, lane in self.lanes.items()]
        self.random.shuffle(found)
        return [(lane, own) for lane, own in found if own]

    # -- what happens ---------------------------------------------------------------------------------------------------------

    def tell(self, records: Sequence[Sent]) -> None:
        """These records in micro-batches of random size."""
        at = 0
        while at < len(records):
            size = self.random.choice((1, 20, 60, 150))
            for lane, own in self.divided(records[at : at + size]):
                lane.batch(own)
            at += size
        self.versions_grew()

    @contextmanager
    def telling(self, records: Sequence[Sent]) -> Iterator[None]:
        """The lanes tell these records at the same time, each in micro-batches of its own, beside what the caller does."""

        def tell(lane: Lane, own: list[Sent]) -> None:
            for at in range(0, len(own), 40):
                lane.batch(own[at : at + 40])

        with ThreadPoolExecutor() as pool:
            told = [pool.submit(tell, lane, own) for lane, own in self.divided(records)]
            yield
            for one in told:
                one.result()
        self.versions_grew()

    def restart(self, **sources: tuple[str, ...]) -> None:
        """All streams begin anew, some with other sources; `name=()` retires a lane."""
        for lane in self.lanes.values():
            lane.close()
        self.settings = self.truth.settings = self.settings.model_copy(update={"lanes": self.settings.lanes | sources})
        self.lanes = self._opened()
        for lane in self.lanes.values():
            lane.layer.recover(lane.frame)

    def crash(self, records: Sequence[Sent], point: str, monkeypatch: pytest.MonkeyPatch, *, lose_checkpoint: bool = False) -> None:
        """A micro-batch of each lane dies at `point` (before_append, after_append, after_commit), and a new stream takes over."""
        for lane, own in self.divided(records):
            ranges = self.dies(lane, own, point, monkeypatch)
            lane.restart(lose_checkpoint=lose_checkpoint)
            if not lose_checkpoint:  # Spark plans the same micro-batch again
                lane.batches -= 1
                lane.run(ranges)
        self.versions_grew()

    def dies(self, lane: Lane, records: Sequence[Sent], point: str, monkeypatch: pytest.MonkeyPatch) -> Ranges:
        """The ranges of a micro-batch that died at `point`."""
        ranges = lane.send(records)
        with monkeypatch.context() as patch:
            if point == "before_append":
                patch.setattr(speed_layer.SpeedLayer, "_append", _dies)
            elif point == "after_append":
                patch.setattr("paxtrail.adapters.speed_layer.commit", _commits_not)
            with suppress(Crash):
                lane.run(ranges)
        return ranges

    def run_batch(self, *, full: bool, publish: bool = True, cut_time: int | None = None) -> dict[str, Any]:
        """A cut and a batch run; its publication's counts."""
        run_id = f"run-{len(self.runs)}"
        self.make(run_id, full=full, cut_time=cut_time)
        return self.publish(run_id) if publish else {}

    def make(self, run_id: str, *, full: bool = False, cut_time: int | None = None) -> Job:
        """A cut and a batch run that has asked no gate and published nothing."""
        self.runs.append(run_id)
        batch.cut_open(self.settings, run_id, cut_time=cut_time)
        job = Job(self.settings, self.spark, self.serving, cut_of(self.serving, run_id))
        batch.make(job, full=full)
        return job

    def publish(self, run_id: str) -> dict[str, Any]:
        """Publishes a run, again or late."""
        counts = batch.publish(self.settings, run_id)
        self.versions_grew()
        return counts

    def silver(self) -> dict[str, set[tuple[Any, ...]]]:
        """What the batch layer holds of everybody, without the epoch that last wrote it."""
        found: dict[str, set[tuple[Any, ...]]] = {}
        for table in (STATES, EDGES, LINKS, RELATIONS):
            columns = [name for name in table.names if name != "epoch"]
            rows = lake.opened(table, self.settings).to_pyarrow_table(columns=columns).to_pylist()
            found[table.name] = {tuple(row.values()) for row in rows}
        return found

    def serving_as_owner(self) -> psycopg.Connection[Any]:
        return psycopg.connect(dsn(self.settings, "serving", "postgres"))

    def forget_claims(self) -> None:
        """All claims are older than the horizon now: the next duplicates get through to the speed layer."""
        with self.serving_as_owner() as connection:
            connection.execute("delete from seen")

    def versions_grew(self) -> None:
        """Versions only grow (invariant 10)."""
        now = {(e, k): v for e, k, v in self.truth.sql("select entity, key, version from versions")}
        shrunk = [at for at, version in self.versions.items() if now.get(at, 0) < version]
        assert not shrunk, f"{len(shrunk)} versions shrank or vanished"
        self.versions = now


def _dies(*_: Any, **__: Any) -> None:
    raise Crash


def _commits_not(_connection: Any, _batch: Any, _tables: Any, appended: Any) -> bool:
    appended()
    raise Crash
