"""Stories for the parity tests: a history of real messages, told to a lane in random pieces, with what can go wrong in between."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
from tests.lane import Lane, Sent
from tests.parity.truth import Truth

from paxtrail.adapters import batch, speed_layer
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.silver import Job
from paxtrail.settings import Settings
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

State = dict[str, Any]
NOISE = Noise(duplicates=0.1, conflicts=0.03, disorder=0.3, late=0.1, broken=0.05)


class Crash(Exception):
    """The process dies here."""


def history(seed: int, *, flights: int = 2) -> list[Sent]:
    """A small world's messages in a random order, duplicates, conflicts, late and broken ones among them."""
    options = Options(end_us=1_800_000_000_000_000, seed=seed, limit=flights, passengers=3, history_days=3)
    sent = [Sent(m.source, dict(m.headers), m.body, m.at_us) for m in Simulation(options, NOISE).messages()]
    Random(seed).shuffle(sent)
    return sent


class Story:
    """A lane with its batch layer, and the answer worked out in one go from what was sent."""

    def __init__(self, settings: Settings, spark: SparkSession, seed: int) -> None:
        self.settings = settings
        self.lane = Lane(settings, spark)
        self.truth = Truth(settings, self.lane.log)
        self.random = Random(seed)
        self.serving = psycopg.connect(dsn(settings, "serving", "batch"), autocommit=True)
        self.runs: list[str] = []
        self.versions: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        self.serving.close()
        self.lane.close()

    # -- what happens ---------------------------------------------------------------------------------------------------------

    def tell(self, records: Sequence[Sent]) -> None:
        """These records in micro-batches of random size."""
        at = 0
        while at < len(records):
            size = self.random.choice((1, 20, 60, 150))
            self.lane.batch(records[at : at + size])
            at += size
        self.versions_grew()

    def crash(self, records: Sequence[Sent], point: str, monkeypatch: pytest.MonkeyPatch, *, lose_checkpoint: bool = False) -> None:
        """A micro-batch that dies at `point` (before_append, after_append, after_commit), and a new stream that takes over."""
        ranges = self.lane.send(records)
        with monkeypatch.context() as patch:
            if point == "before_append":
                patch.setattr(speed_layer.SpeedLayer, "_append", _dies)
            elif point == "after_append":
                patch.setattr("paxtrail.adapters.speed_layer.commit", _commits_not)
            try:
                self.lane.run(ranges)
            except Crash:
                pass
        self.lane.restart(lose_checkpoint=lose_checkpoint)
        if not lose_checkpoint:  # Spark plans the same micro-batch again
            self.lane.batches -= 1
            self.lane.run(ranges)
        self.versions_grew()

    def run_batch(self, *, full: bool, publish: bool = True) -> dict[str, Any]:
        """A cut and a batch run; its publication's counts."""
        run_id = f"run-{len(self.runs)}"
        self.runs.append(run_id)
        batch.cut_open(self.settings, run_id)
        batch.make(Job(self.settings, self.lane.spark, self.serving, cut_of(self.serving, run_id)), full=full)
        return self.publish(run_id) if publish else {}

    def publish(self, run_id: str) -> dict[str, Any]:
        """Publishes a run, again or late."""
        counts = batch.publish(self.settings, run_id)
        self.versions_grew()
        return counts

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
