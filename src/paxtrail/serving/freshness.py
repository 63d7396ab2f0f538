"""How old the served data is: last commit per lane, epoch, last publication and its drift; asked once a second, answered from memory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from paxtrail.adapters import scoring
from paxtrail.errors import Unavailable
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.statements import COMMITS, PUBLISHED
from paxtrail.serving.store import Store

_EVERY_S = 1.0


def instant(micros: int) -> str:
    """RFC 3339 text of a moment in µs UTC."""
    return dt.datetime.fromtimestamp(micros / 1e6, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_us() -> int:
    """The current moment, µs UTC: the one clock of the API."""
    return time.time_ns() // 1000


class Freshness:
    """The last known state of the stream and of publication; when the store is away, what was last known grows old."""

    def __init__(self, store: Store, metrics: Metrics, lanes: Collection[str], models: Path) -> None:
        self._store = store
        self._running = lanes  # a lane without a stream only grows older, and nothing is missing for it
        self._models = models
        self._metrics = metrics
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
        while True:
            with contextlib.suppress(Unavailable):
                await self.refresh()
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
            self._metrics.drift.set(row["drifted"])

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

    def observe(self, at: int) -> None:
        """Sets the gauges; called when metrics are read."""
        for lane, (_, committed, _) in self._lanes.items():
            self._metrics.freshness.labels(lane).set(max(0, at - committed) / 1e6)
