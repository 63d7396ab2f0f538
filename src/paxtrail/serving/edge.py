"""The outermost layer of the API: limits on what comes in, headers on what goes out, one figure per request, no stray exception."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import anyio
from opentelemetry.trace import Span, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paxtrail.adapters import logs, tracing
from paxtrail.core.cloudevents import traceparent
from paxtrail.serving import problems
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.sightings import reading

log = logging.getLogger("paxtrail.serving")

MAX_BODY_BYTES = 64 * 1024
COLLECT = "/v1/collect/"
MAX_COLLECT_BYTES = 4 * 1024 * 1024
"""What sources send at once. It is read by its route, behind the guard, and not here: strangers do not fill the memory."""
MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 4096
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BODY_SECONDS = 10.0
COLLECT_SECONDS = 30.0
_HEADERS = [(b"cache-control", b"private, no-cache"), (b"x-content-type-options", b"nosniff")]


class TooLarge(Exception):
    """Raised into the reader of a body that is longer than allowed, or slower."""


class Edge:
    """ASGI middleware; sets `scope["trace"]` to the caller's trace id (W3C Trace Context) or a fresh one.

    An answer names its own trace (`paxtrail-trace`) and that of the record which made the version it shows (`paxtrail-data-trace`).
    """

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
        caller: str | None = None
        length, size = None, 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"traceparent":
                caller = traceparent(value.decode("latin-1"))
            elif name == b"content-length":
                length = value
        collects = scope["path"].startswith(COLLECT)
        limit = MAX_COLLECT_BYTES if collects else MAX_BODY_BYTES
        read: list[str] = []

        async def answer(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                own = [(b"paxtrail-trace", scope["trace"].encode())]
                if read:
                    own.append((b"paxtrail-data-trace", tracing.trace_id(read[0]).encode()))
                message["headers"] = [*message["headers"], *_HEADERS, *own]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        with tracing.span(method, "server", parent=caller) as span, reading(read), logs.bound(trace=_trace(scope, span, caller)):
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
                log.error("unexpected %s, trace %s", logs.told(error), scope["trace"])
                if begun:
                    raise
                await problems.problem("internal")(scope, receive, answer)
            finally:
                route: Any = scope.get("route")
                self._metrics.answered(getattr(route, "name", "none"), status, time.perf_counter() - started)
                if span.is_recording():
                    self._describe(span, scope, status, read)

    @staticmethod
    def _describe(span: Span, scope: Scope, status: int, read: Sequence[str]) -> None:
        """Names the span by its route, never by an address, and links it to the record whose version was read."""
        route: Any = scope.get("route")
        if name := getattr(route, "name", ""):
            span.update_name(name)
            span.set_attribute("http.route", getattr(route, "path", ""))
        span.set_attribute("http.response.status_code", status)
        tracing.link(read[:1])
        if status >= 500:
            span.set_status(StatusCode.ERROR)


def _trace(scope: Scope, span: Span, caller: str | None) -> str:
    """The trace id of a request: of its span, else its caller's, else a fresh one; from here on the scope has it."""
    found = scope["trace"] = tracing.trace_id(tracing.context(span) or caller) or os.urandom(16).hex()
    return found


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
