"""Bytes as hostile or broken clients send them, over a socket: endless and trickling heads, slow bodies, trailers, broken HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from paxtrail.serving import edge, wire
from paxtrail.serving.edge import Edge
from paxtrail.serving.metrics import Metrics

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]
GET = b"GET / HTTP/1.1\r\nhost: api\r\n"
POST = b"POST / HTTP/1.1\r\nhost: api\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what arrived; of a GET without reading its body."""
    request = Request(scope, receive)
    body = b"" if request.method == "GET" else await request.body()
    await JSONResponse({"headers": sorted(request.headers), "body": len(body)})(scope, receive, send)


@pytest.fixture
async def connect(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    """Opens connections to the edge behind the wire, with limits of time that a test can wait for."""
    for module, limits in ((wire, ("HEAD_SECONDS", "REQUEST_SECONDS")), (edge, ("BODY_SECONDS", "COLLECT_SECONDS"))):
        for name in limits:
            monkeypatch.setattr(module, name, 1.0 if name == "REQUEST_SECONDS" else 0.3)
    config = uvicorn.Config(Edge(echo, Metrics()), http=wire.Wire, access_log=False, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: wire.Wire(config, state, {}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    opened: list[asyncio.StreamWriter] = []

    async def open_() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        return reader, writer

    yield open_
    for writer in opened:
        writer.close()
    server.close()
    for task in list(state.tasks):
        await asyncio.wait([task], timeout=5)
    await server.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one response."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes the connection without another byte."""
    try:
        return await asyncio.wait_for(reader.read(1), 20) == b""
    except ConnectionError:
        return True


async def refused(streams: Streams) -> tuple[int, str]:
    """The problem that ends this connection."""
    reader, _ = streams
    status, headers, body = await answer(reader)
    assert headers["content-type"] == "application/problem+json" and headers["connection"] == "close"
    problem = orjson.loads(body)
    assert problem["status"] == status
    assert await ended(reader)
    return status, problem["code"]


async def test_connections_serve_many_requests(connect: Connect) -> None:
    reader, writer = await connect()
    for _ in range(3):
        writer.write(GET + b"\r\n" + POST + b"content-length: 3\r\n\r\nabc")
        assert orjson.loads((await answer(reader))[2])["body"] == 0
        assert orjson.loads((await answer(reader))[2])["body"] == 3
    writer.write(b"POST /v1/collect/x HTTP/1.1\r\nhost: api\r\ncontent-length: 300000\r\n\r\n" + b"x" * 300_000)
    assert orjson.loads((await answer(reader))[2])["body"] == 300_000


@pytest.mark.parametrize(
    "endless",
    [b"x-a: " + b"a" * 40_000, b"x-a: b\r\n" * 6_000, b"x-" + b"a" * 40_000],
    ids=["one value", "many fields", "a name"],
)
async def test_an_endless_head_is_refused_before_it_ends(connect: Connect, endless: bytes) -> None:
    streams = await connect()
    streams[1].write(GET + endless)
    assert await refused(streams) == (431, "headers_too_large")


async def test_an_endless_address_is_refused_before_it_ends(connect: Connect) -> None:
    streams = await connect()
    streams[1].write(b"GET /" + b"a" * 40_000)
    assert await refused(streams) == (431, "headers_too_large")


@pytest.mark.parametrize("first", [b"", b"G", GET, GET + b"x-a: "], ids=["nothing", "a letter", "a line", "half a field"])
async def test_a_head_that_does_not_come_ends_the_connection(connect: Connect, first: bytes) -> None:
    streams = await connect()
    streams[1].write(first)
    assert await refused(streams) == (408, "timeout")


async def test_a_trickling_head_ends_the_connection_however_alive_it_is(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(GET + b"\r\n")
    await answer(reader)
    writer.write(GET)
    trickle = asyncio.create_task(_trickle(writer, b"x-a: b\r\n"))
    assert await refused((reader, writer)) == (408, "timeout")
    trickle.cancel()


async def _trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", [b"/", b"/v1/collect/flights"])
@pytest.mark.parametrize("framing", [b"content-length: 60000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"])
async def test_a_slow_body_is_a_timeout(connect: Connect, path: bytes, framing: bytes) -> None:
    reader, writer = await connect()
    writer.write(POST.replace(b" / ", b" " + path + b" ") + framing)
    trickle = asyncio.create_task(_trickle(writer, b"1\r\nx\r\n"))
    assert await refused((reader, writer)) == (408, "timeout")
    trickle.cancel()


async def test_a_body_that_nobody_reads_does_not_hold_the_connection(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(GET + b"content-length: 60000\r\n\r\n")
    trickle = asyncio.create_task(_trickle(writer, b"x"))
    assert (await answer(reader))[0] == 200
    assert await ended(reader)
    trickle.cancel()


async def test_a_trailer_becomes_no_header(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nauthorization: Bearer x\r\n\r\n")
    status, _, body = await answer(reader)
    assert status == 200 and orjson.loads(body) == {"headers": ["host", "transfer-encoding"], "body": 1}


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
        POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        GET + b"x y: z\r\n\r\n",
    ],
    ids=["tls", "latin address", "two lengths", "length and chunks", "negative", "no chunk", "space in a name"],
)
async def test_what_is_no_http_is_refused_and_smuggles_nothing(connect: Connect, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    reader, writer = await connect()
    writer.write(sent + b"GET /second HTTP/1.1\r\nhost: api\r\n\r\n")
    everything = await asyncio.wait_for(reader.read(), 20)
    assert everything.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408")) and b"200 OK" not in everything
