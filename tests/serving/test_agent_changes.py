"""The stream of changes that a page listens to: it tells of a change, and ends by itself, with its token or when its reader goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.serving.test_agent import signed_in
from tests.serving.world import Client, World, client

Events = AsyncIterator[tuple[str, str]]
PATIENCE_S = 30.0


@asynccontextmanager
async def listening(api: Client) -> AsyncIterator[Events]:
    """Events (name, data) of the changes of John as they are sent: httpx's own transport hands a body over when it is whole."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    requests = [{"type": "http.request", "body": b"", "more_body": False}]
    gone = asyncio.Event()
    path = f"/agent/customers/{api.world.customer()}/changes"
    cookie = "; ".join(f"{kept.name}={kept.value}" for kept in api.http.cookies.jar)

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def events() -> Events:
        while (message := await sent.get())["type"] == "http.response.start" or message.get("more_body"):
            if body := message.get("body", b"").decode():
                name, data = (line.partition(": ")[2] for line in body.strip().splitlines())
                yield name, data

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "server": ("api", 80),
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": [(b"cookie", cookie.encode())],
    }  # fmt: skip
    call = asyncio.create_task(api.app(scope, receive, sent.put))
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield events()
    finally:
        gone.set()
        async with asyncio.timeout(PATIENCE_S):
            await call


async def newest(events: Events) -> int:
    return await anext(int(data) async for name, data in events if name == "changed")


async def test_a_change_reaches_who_listens_and_who_goes_ends_the_stream(api: Client, world: World) -> None:
    await signed_in(api)
    async with listening(api) as events:
        first = await newest(events)
        assert (await anext(events))[0] == "age"
        world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
        assert await newest(events) > first


async def test_a_stream_ends_by_itself_after_its_limit(world: World) -> None:
    at_once = world.settings.api.model_copy(update={"changes_s": 0})
    world.settings = world.settings.model_copy(update={"api": at_once})
    async with client(world) as api:
        await signed_in(api)
        async with listening(api) as events:
            assert [name async for name, _ in events] == ["changed", "age"]


async def test_a_stream_ends_with_its_token_and_signing_in_is_asked_for(api: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await signed_in(api)
    async with listening(api) as events:
        await newest(events)
        monkeypatch.setattr(api.app.state.gate._verifier, "_clock", lambda: time.time() + 7200)
        assert {name async for name, _ in events} <= {"age"}
    assert (await api.http.get(f"/agent/customers/{world.customer()}/changes")).status_code == 401
    home = (await api.http.get("/agent")).text
    assert 'name="token"' in home and "token expired" in home
