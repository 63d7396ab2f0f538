"""The outermost layer of the API: limits on what comes in, headers on what goes out, one figure per request, no stray exception."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paxtrail.serving import problems
from paxtrail.serving.metrics import Metrics

log = logging.getLogger("paxtrail.serving")

MAX_BODY_BYTES = 64 * 1024
COLLECT = "/v1/collect/"
MAX_COLLECT_BYTES = 4 * 1024 * 1024
"""What sources send at once. It is read by its route, behind the guard, and not here: strangers do not fill the memory."""
MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 4096
BODY_SECONDS = 10.0
COLLECT_SECONDS = 30.0
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = [(b"cache-control", b"private, no-cache"), (b"x-content-type-options", b"nosniff")]


class TooLarge(Exception):
    """Raised into the reader of a body that is longer than allowed, or slower."""


class Edge:
    """ASGI middleware; sets `scope["trace"]` to the caller's trace id (W3C Trace Context) or a fresh one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        begun = False
        trace, length, size = b"", None, 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"traceparent":
                match = _TRACEPARENT.fullmatch(value)
                trace = match[1] if match else b""
            elif name == b"content-length":
                length = value
        collects = scope["path"].startswith(COLLECT)
        limit = MAX_COLLECT_BYTES if collects else MAX_BODY_BYTES
        scope["trace"] = trace.decode() or os.urandom(16).hex()

        async def answer(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS, (b"paxtrail-trace", scope["trace"].encode())]
            await send(message)

        try:
            if size > MAX_HEADER_BYTES or len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_TARGET_BYTES:
                await problems.problem("headers_too_large")(scope, receive, answer)
            elif length is not None and (not length.isdigit() or int(length) > limit):
                await problems.problem("too_large")(scope, receive, answer)
            elif scope["method"] in ("GET", "HEAD"):
                await self._app(scope, receive, answer)
            elif collects:
                await self._app(scope, _bounded(receive), answer)
            else:
                await self._app(scope, await _whole(receive), answer)
        except _Slow:
            await problems.problem("timeout", headers={"connection": "close"})(scope, receive, answer)
        except TooLarge:
            await problems.problem("too_large", headers={"connection": "close"})(scope, receive, answer)
        except Exception as error:
            # The text of an exception may hold what was asked for; its type and place are enough to find it.
            log.error("unexpected %s at %s, trace %s", type(error).__name__, _place(error), scope["trace"])
            if begun:
                raise
            await problems.problem("internal")(scope, receive, answer)
        finally:
            route: Any = scope.get("route")
            self._metrics.answered(getattr(route, "name", "none"), status, time.perf_counter() - started)


class _Slow(Exception):
    """The body did not arrive in time."""


def _bounded(receive: Receive) -> Receive:
    """The body as it comes, within limits of size and time."""
    size = 0
    deadline = anyio.current_time() + COLLECT_SECONDS

    async def bounded() -> Message:
        nonlocal size
        try:
            with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                message = await receive()
        except TimeoutError:
            raise _Slow from None
        size += len(message.get("body", b""))
        if size > MAX_COLLECT_BYTES:
            raise TooLarge
        return message

    return bounded


async def _whole(receive: Receive) -> Receive:
    """The body read at once, within limits of size and time; handed on as one message."""
    parts: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    break
                size += len(message.get("body", b""))
                if size > MAX_BODY_BYTES:
                    raise TooLarge
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise _Slow from None
    pending: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
