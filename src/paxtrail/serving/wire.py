"""HTTP/1.1 as uvicorn reads it, with what it does not bound: bytes and seconds until a request is here.

httptools keeps what it reads of a header, however long, and waits for the rest, however long; by the time that the application is
asked, a flood or a trickle of headers has done its work.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from paxtrail.serving import problems

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers as they arrive; the edge allows half of it once they are parsed."""
HEAD_SECONDS = 10.0
REQUEST_SECONDS = 45.0
"""Head and body together: more than the edge gives any body."""


class Wire(HttpToolsProtocol):
    """One connection. Too large a head is answered 431, too slow a one 408, and a request that is not whole in time loses its
    connection. Fields after a body (trailers) are dropped: RFC 9110, 6.5.1."""

    _began: float | None = None
    """When the request that is arriving began, or the connection before its first one."""
    _head = True
    _size = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # a Transport, as uvicorn says itself
        self._began = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head:
            self._size += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self._began is None:
            return
        if self._head and self._size > MAX_HEAD_BYTES:
            self._refuse("headers_too_large")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._began = self.loop.time() if self._began is None else self._began
        self._head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._rest()
        super().on_message_complete()

    def _rest(self) -> None:
        """Nothing is arriving: uvicorn's own clock for idle connections runs."""
        self._began, self._head, self._size = None, True, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._began is None or self.transport.is_closing():
            return
        left = self._began + REQUEST_SECONDS - self.loop.time()
        if self._head:
            self._refuse("timeout")
        elif left <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(left, self._late)

    def _refuse(self, code: str) -> None:
        """The problem, unless an answer to an earlier request is under way; the connection ends."""
        if self.cycle is None or self.cycle.response_complete:
            answer = problems.problem(code, headers={"connection": "close"})
            fields = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
            status: Any = answer.status_code
            self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (status, fields, answer.body))
        self.transport.close()
