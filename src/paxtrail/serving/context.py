"""What a running API holds: pools, services, background tasks; started and stopped together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from paxtrail.adapters import configuration, keyring
from paxtrail.adapters.lanes import running
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.vault import AsyncVault
from paxtrail.errors import Unauthenticated, Unavailable
from paxtrail.serving import audit as audits
from paxtrail.serving import reads as records
from paxtrail.serving.analytics import Analytics
from paxtrail.serving.audit import Audit
from paxtrail.serving.collect import Collect
from paxtrail.serving.documents import Documents
from paxtrail.serving.entities import Entities
from paxtrail.serving.freshness import Freshness, now_us
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.profiles import Profiles
from paxtrail.serving.reads import ReadLog
from paxtrail.serving.search import Search
from paxtrail.serving.store import Store, guarded, pool
from paxtrail.serving.tokens import Verifier
from paxtrail.serving.viewing import Asked, Viewing
from paxtrail.settings import Settings

_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class Serving:
    """The parts of one API process."""

    store: Store
    vault_pool: Any
    reads: ReadLog
    freshness: Freshness
    metrics: Metrics
    verifier: Verifier
    profiles: Profiles
    search: Search
    entities: Entities
    collect: Collect
    analytics: Analytics
    audit: Audit

    async def missing(self) -> list[str]:
        """Names of the parts that do not answer now."""

        async def probe(pool: Any) -> bool:
            try:
                await guarded(asyncio.wait_for(pool.fetchval("select 1"), _PROBE_S))
            except Unavailable:
                return False
            return True

        store, vault = await asyncio.gather(probe(self.store.pool), probe(self.vault_pool))
        found = {"serving store": store, "vault": vault, "issuer keys": self.verifier.ready or await self.verifier.prepare()}
        return [name for name, answers in found.items() if not answers]

    async def close(self) -> None:
        self.analytics.close()
        await self.freshness.stop()
        await self.audit.stop()
        await self.reads.stop()
        self.store.pool.terminate()
        self.vault_pool.terminate()


async def start(settings: Settings, verifier: Verifier, metrics: Metrics) -> Serving:
    """Everything the routes need, running; connects when first asked."""
    tables = configuration.attributes(settings.conf)
    store = Store(await pool(dsn(settings, "serving", "api"), settings.api.pool_size, session={"synchronous_commit": "off"}))
    vault_pool = await pool(dsn(settings, "vault", "api"), settings.api.pool_size)
    reads = records.opened(settings, vault_pool, metrics)
    freshness = Freshness(store, metrics, running(settings), settings.models.folder)
    documents = Documents(store, tables, metrics)
    vault = AsyncVault(vault_pool, keyring.load(settings))
    viewing = Viewing(store, vault, documents, reads, tables, configuration.consent(settings.conf))
    reads.start()
    freshness.start()
    audit = await audits.opened(settings, store, reads, metrics)
    audit.start()
    return Serving(
        store,
        vault_pool,
        reads,
        freshness,
        metrics,
        verifier,
        Profiles(viewing),
        Search(viewing),
        Entities(viewing),
        Collect(settings, metrics),
        Analytics(settings),
        audit,
    )


def serving(request: Request) -> Serving:
    """The parts that answer this request."""
    found: Serving = request.app.state.serving
    return found


def asked(request: Request) -> Asked:
    """Who asks for what, and when; Unauthenticated where the guard let nobody in."""
    caller = request.state.caller
    if caller is None:
        raise Unauthenticated("token_missing")
    return Asked(caller, request.scope["route"].name, now_us(), request.scope.get("trace", ""))
