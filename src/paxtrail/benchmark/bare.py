"""The rival of the profile read: an ASGI application that looks a state up by its key with asyncpg and sends it, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import asyncpg

from paxtrail.adapters.postgres import dsn
from paxtrail.settings import Settings

Message = MutableMapping[str, Any]
_LOOK_UP = "select state from states where entity = 'profile' and key = $1 order by epoch limit 1"


class Bare:
    """Same server, same driver, pool of the same size as the API; no token, no vault, no record, no rendering."""

    def __init__(self, settings: Settings) -> None:
        self._address = dsn(settings, "serving", "api")
        self._size = settings.api.pool_size
        self._pool: Any = None

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        found = await self._pool.fetchval(_LOOK_UP, scope["path"].rpartition("/")[2])
        body = (found or "").encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        await receive()
        self._pool = await asyncpg.create_pool(self._address, min_size=self._size, max_size=self._size)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})


def application() -> Bare:
    """The application of $PAXTRAIL_ENV, as uvicorn asks for it."""
    return Bare(Settings.load())
