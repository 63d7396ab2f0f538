"""Connections of the API to the serving store and the vault: pools, timeouts, one kind of failure."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import asyncpg

from paxtrail.errors import Unavailable
from paxtrail.serving.statements import KEEP

T = TypeVar("T")

CONNECT_S = 2.0
STATEMENT_S = 5.0

# Reads only ever go by key; with stale statistics the planner would scan or hash whole tables (as in the stream's session).
_SESSION = {
    "application_name": "paxtrail-api",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}


class Stored(NamedTuple):
    """One entity as found in one snapshot: its document if current, else its states (batch first, then speed epochs)."""

    entity: str
    key: str
    version: int
    document: str | None
    states: list[str]


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that is not reset on release: nothing here leaves session state, and the reset would be a round trip."""

    def get_reset_query(self) -> str:
        return ""


class Store:
    """The serving store behind a pool. Whatever goes wrong with it is Unavailable, never an empty answer."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def fetch(self, statement: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        """Rows; `timeout` in seconds, if it needs longer than others may."""
        return list(await guarded(self._fetch(statement, arguments, timeout)))

    async def row(self, statement: str, *arguments: Any) -> Any | None:
        rows = await self.fetch(statement, *arguments)
        return rows[0] if rows else None

    async def _fetch(self, statement: str, arguments: tuple[Any, ...], timeout: float | None) -> Any:
        async with self.pool.acquire() as connection:
            return await connection.fetch(statement, *arguments, timeout=timeout)

    async def snapshot(self, *statements: tuple[Any, ...]) -> list[list[Any]]:
        """Rows of several statements (each with its arguments) that all see the same moment."""
        return await guarded(self._snapshot(statements))

    async def _snapshot(self, statements: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
        async with self.pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            return [list(await connection.fetch(*statement)) for statement in statements]

    async def keep(self, documents: Iterable[tuple[str, str, int, str, str]]) -> None:
        """Keeps rendered documents (entity, key, version, digest, text) unless newer ones are there."""
        columns = [list(column) for column in zip(*documents, strict=True)]
        if columns:
            await guarded(self._execute(KEEP, columns))

    async def _execute(self, statement: str, arguments: list[Any]) -> None:
        async with self.pool.acquire() as connection:
            await connection.execute(statement, *arguments)


async def guarded(work: Awaitable[T]) -> T:
    """What `work` gives; Unavailable when the database does not answer or refuses (its message could repeat arguments)."""
    try:
        return await work
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable(type(error).__name__) from None


async def pool(address: str, size: int, *, session: Mapping[str, str] | None = None) -> Any:
    """A pool that connects when first asked, so that the API starts and says 503 while a database is away."""
    return await asyncpg.create_pool(
        address,
        min_size=0,
        max_size=size,
        command_timeout=STATEMENT_S,
        timeout=CONNECT_S,
        max_inactive_connection_lifetime=0,
        connection_class=_Connection,
        server_settings={**_SESSION, **(session or {})},
    )
