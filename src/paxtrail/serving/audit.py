"""Questions to the record of reads: who read whom, and who reads unusually much. Asked under a role that can read the record only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections import Counter
from typing import Any, NamedTuple

from paxtrail.adapters.postgres import dsn
from paxtrail.errors import NotFound, Unavailable
from paxtrail.serving import paging
from paxtrail.serving.freshness import instant, now_us
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.reads import Read, ReadLog
from paxtrail.serving.statements import CUSTOMER_ID, READS_OF, TOKENS, VOLUMES
from paxtrail.serving.store import Store, pool
from paxtrail.settings import Reads, Settings

log = logging.getLogger("paxtrail.serving")

_CONNECTIONS = 2
_VOLUMES_S = 60.0
"""A window of a busy hour is millions of rows."""
_LAST = (2**52, 2**63 - 1)
"""Where a list begins: after any moment (µs) and any number."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Volume(NamedTuple):
    """How many distinct customers a caller read in a window, and how many are usual for the role."""

    subject: str
    client: str
    role: str
    customers: int
    limit: int


class Audit:
    """The record of reads, as the office of data protection asks it."""

    def __init__(self, vault: Any, store: Store, reads: ReadLog, limits: Reads, metrics: Metrics) -> None:
        self._record = Store(vault)
        self._store = store
        self._reads = reads
        self._limits = limits
        self._metrics = metrics
        self._alarmed: set[tuple[str, str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="volumes of reads")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._record.pool.terminate()

    async def of(self, by: Read, token: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """One page of who read the customer of this id, under any id that belongs to it now; newest first, `next` absent on the last page.

        `by`: the read that this is, recorded before it is answered. NotFound if the id is nobody's and nobody ever read it.
        """
        current = await self._store.row(CUSTOMER_ID, token)
        customer = token if current is None else current["customer_id"]
        ids = {token, customer, *(row["token"] for row in await self._store.fetch(TOKENS, customer))}
        of = f"reads/{customer}"
        at, number = _LAST if cursor is None else paging.decode(of, cursor, int, int)
        rows = await self._record.fetch(READS_OF, sorted(ids), _EPOCH + dt.timedelta(microseconds=int(at)), number, limit + 1)
        if current is None and cursor is None and not rows:
            raise NotFound("customer")
        page: dict[str, Any] = {"customer_id": customer, "items": [_item(row, ids) for row in rows[:limit]]}
        if len(rows) > limit:
            page["next"] = paging.encode(of, _micros(rows[limit - 1]["at"]), rows[limit - 1]["id"])
        await self._reads.record(by._replace(customers=(customer,)))
        return page

    async def volumes(self, minutes: int, above: int | None = None) -> list[Volume]:
        """Callers who read more distinct customers in the last `minutes` than is usual for their role, or than `above`; the most first."""
        limits = self._limits.unusual_above
        since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)
        least = min(limits.values()) if above is None else above
        rows = await self._record.fetch(VOLUMES, since, least, timeout=_VOLUMES_S)
        found = [
            Volume(row["subject"], row["client"], row["role"], row["customers"], limits.get(row["role"], limits["default"])) for row in rows
        ]
        return [one for one in found if above is not None or one.customers > one.limit]

    async def check(self) -> None:
        """Tells metrics and, once per caller, the log who reads unusually much; neither names the caller: `paxtrail reads unusual` does."""
        found = await self.volumes(self._limits.window_minutes)
        counts = Counter((one.role, one.client) for one in found)
        self._told |= counts.keys()
        for labels in self._told:  # those that are none any more too
            self._metrics.unusual.labels(*labels).set(counts[labels])
        for one in found:
            if (one.subject, one.client, one.role) not in self._alarmed:
                log.warning(
                    "unusual volume of reads: role=%s client=%s customers=%d limit=%d minutes=%d; see `paxtrail reads unusual`",
                    *(one.role, one.client, one.customers, one.limit, self._limits.window_minutes),
                )
        self._alarmed = {(one.subject, one.client, one.role) for one in found}
        self._metrics.unusual_checked.set(now_us() / 1e6)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            with contextlib.suppress(Unavailable):
                await self.check()
            # A window of many records is counted less often, so that counting never takes more than a twentieth of the time.
            await asyncio.sleep(max(self._limits.check_s, 20 * (loop.time() - begun)))


async def opened(settings: Settings, store: Store, reads: ReadLog, metrics: Metrics) -> Audit:
    """The record of reads of these settings; connects when first asked."""
    return Audit(await pool(dsn(settings, "vault", "auditor"), _CONNECTIONS), store, reads, settings.reads, metrics)


def _item(row: Any, ids: set[str]) -> dict[str, Any]:
    whom = set(row["customers"])
    said = {name: row[name] for name in ("subject", "client", "role", "purpose", "route", "trace")}
    return {"at": instant(_micros(row["at"])), **said, "ids": sorted(whom & ids), "others": len(whom - ids)}


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
