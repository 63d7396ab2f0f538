"""How old the served data is: last commit per lane, epoch, last publication and its drift; asked once a second, answered from memory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import time
from collections.abc import Collection, Iterator
from math import isinf
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from paxtrail.adapters import scoring
from paxtrail.errors import Unavailable
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.statements import COMMITS, DELAYS, PUBLISHED, RECORDS, WAITING
from paxtrail.serving.store import Store

_EVERY_S = 1.0
_COUNTED = 5
"""Turns from one count for Prometheus to the next, which scrapes less often."""


def instant(micros: int) -> str:
    """RFC 3339 text of a moment in µs UTC."""
    return dt.datetime.fromtimestamp(micros / 1e6, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_us() -> int:
    """The current moment, µs UTC: the one clock of the API."""
    return time.time_ns() // 1000


class Freshness(Collector):
    """The last known state of the stream and of publication; when the store is away, what was last known grows old."""

    def __init__(self, store: Store, metrics: Metrics, lanes: Collection[str], models: Path) -> None:
        self._store = store
        self._running = lanes  # a lane without a stream only grows older, and nothing is missing for it
        self._models = models
        metrics.tell(self)
        self._records: list[dict[str, Any]] = []
        self._delays: dict[str, list[tuple[str, float]]] = {}
        self._waiting = 0
        self._lanes: dict[str, tuple[int, int, int]] = {}
        self._committed: dict[str, str] = {}
        self._oldest = 0
        self._published: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="freshness")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        for turn in itertools.count():
            with contextlib.suppress(Unavailable):
                await self.refresh()
                if turn % _COUNTED == 0:
                    await self.count()
            await asyncio.sleep(_EVERY_S)

    async def refresh(self) -> None:
        """Asks the store now."""
        for row in [row for row in await self._store.fetch(COMMITS) if row["lane"] in self._running]:
            committed = int(row["committed_at"].timestamp() * 1e6)
            self._lanes[row["lane"]] = row["seq"], committed, max(0, (row["minted"] or row["seq"]) - row["seq"])
        self._committed = {lane: instant(committed) for lane, (_, committed, _) in self._lanes.items()}
        self._oldest = min((committed for _, committed, _ in self._lanes.values()), default=0)
        row = await self._store.row(PUBLISHED)
        if row is not None:
            self._published = dict(row)

    def short(self, at: int) -> dict[str, Any]:
        """What every answer says: when each lane last committed, and the age of the oldest of them in seconds."""
        return {"committed": self._committed, "age_s": round(max(0, at - self._oldest) / 1e6, 3) if self._committed else None}

    def full(self, at: int) -> dict[str, Any]:
        """The answer of /health/freshness. `lag_batches`: micro-batches begun and not yet committed. `sentiment`: the
        model that scores, and why if it is not the champion."""
        published = self._published
        finished = published.get("finished_at")
        return {
            "as_of": instant(at),
            "lanes": {
                lane: {"seq": seq, "committed_at": instant(c), "age_s": round(max(0, at - c) / 1e6, 3), "lag_batches": lag}
                for lane, (seq, c, lag) in sorted(self._lanes.items())
            },
            "epoch": published.get("epoch"),
            "publication": None
            if published.get("published") is None
            else {
                "epoch": published["published"],
                "finished_at": None if finished is None else instant(int(finished.timestamp() * 1e6)),
                "drift": int(published["drifted"]),
            },
            "sentiment": scoring.status(self._models),
        }

    async def count(self) -> None:
        """Asks the store now for what only Prometheus is told."""
        self._records = [dict(row) for row in await self._store.fetch(RECORDS)]
        delays: dict[str, list[tuple[str, float]]] = {}
        for row in await self._store.fetch(DELAYS):
            delays.setdefault(row["lane"], []).append(("+Inf" if isinf(row["le"]) else str(row["le"]), row["records"]))
        self._delays = delays
        waiting = await self._store.row(WAITING)
        self._waiting = 0 if waiting is None else waiting["rows"]

    def collect(self) -> Iterator[Metric]:
        """What was last known of stream, relay, publication and connections, as Prometheus takes it."""
        at = now_us()
        age = GaugeMetricFamily("paxtrail_api_freshness_seconds", "Age of the last stream commit.", labels=["lane"])
        lag = GaugeMetricFamily("paxtrail_stream_lag_batches", "Micro-batches begun and not committed.", labels=["lane"])
        for lane, (_, committed, behind) in self._lanes.items():
            age.add_metric([lane], max(0, at - committed) / 1e6)
            lag.add_metric([lane], behind)
        records = CounterMetricFamily("paxtrail_stream_records", "Records by the ledger.", labels=["source", "outcome"])
        for row in self._records:
            for outcome in ("accepted", "duplicate", "refused"):
                records.add_metric([row["source"], outcome], row[outcome])
        delays = HistogramMetricFamily("paxtrail_stream_delay_seconds", "Arrival to commit, by a micro-batch's oldest.", labels=["lane"])
        for lane, buckets in self._delays.items():
            delays.add_metric([lane], buckets, sum_value=None)
        waiting = GaugeMetricFamily("paxtrail_outbox_rows", "Rows not relayed yet, at most 100,000.", value=self._waiting)
        drift = GaugeMetricFamily("paxtrail_api_drifted_documents", "Drifted in the last publication: must be 0.")
        old = GaugeMetricFamily("paxtrail_publication_age_seconds", "Since the run was made that is published.")
        if self._published.get("published") is not None:
            drift.add_metric([], float(self._published["drifted"]))
            if (finished := self._published["finished_at"]) is not None:
                old.add_metric([], max(0, at / 1e6 - finished.timestamp()))
        busy = GaugeMetricFamily("paxtrail_api_pool_busy_ratio", "Connections to the serving store at work, of this process.")
        pool = self._store.pool
        busy.add_metric([], (pool.get_size() - pool.get_idle_size()) / pool.get_max_size())
        yield from (age, lag, records, delays, waiting, drift, old, busy)
