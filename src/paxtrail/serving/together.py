"""Look-ups that are asked for at the same time go to the database together: one statement for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_AT_ONCE = 2
"""Statements under way at the same time; who comes meanwhile waits for the next one. Alone, nobody waits."""
_MOST = 500


class Together(Generic[K, V]):
    """Collects keys while a look-up is under way and asks for all of them in the next. `fetch` answers what it finds."""

    def __init__(self, fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._waiting: list[tuple[tuple[K, ...], asyncio.Future[Mapping[K, V]]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, keys: Iterable[K]) -> Mapping[K, V]:
        """What is found of `keys` (and perhaps of others'); raises what the look-up raised."""
        done: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()
        self._waiting.append((tuple(keys), done))
        if len(self._tasks) < _AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await done

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                found = await self._fetch(list({key for keys, _ in group for key in keys}))
            except Exception as error:
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
                        done.exception()  # a caller that has gone does not ask for it, and that is not worth a warning
                continue
            for _, done in group:
                if not done.done():
                    done.set_result(found)
