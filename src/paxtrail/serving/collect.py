"""The collect API: CloudEvents and native messages over HTTP become records on raw.<source>, answered once the broker has them."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from paxtrail.adapters import configuration, files
from paxtrail.adapters.files import Part
from paxtrail.adapters.producer import Sender
from paxtrail.core import cloudevents
from paxtrail.core.decoding import MAX_BODY, OUR_FAULTS, decode
from paxtrail.core.naming import JSON, KEY
from paxtrail.core.records import Record
from paxtrail.core.sources import SOURCES
from paxtrail.errors import BadRequest, Forbidden, NotFound, Refusal, Unavailable
from paxtrail.serving import problems
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.viewing import Asked
from paxtrail.settings import Settings

MAX_RECORDS = 1000
"""Records of one request; its bytes are limited at the edge."""
MAX_UNDER_WAY = 32
"""Requests at once, so that bodies and threads are bounded."""
PATIENCE_S = 5.0
_NATIVE = {
    "application/xml": ("application/xml", False),
    "text/xml": ("application/xml", False),
    "application/json": (JSON, False),
    "application/x-ndjson": (JSON, True),
    "text/plain": ("text/plain", False),
}
MEDIA = (cloudevents.STRUCTURED, cloudevents.BATCH, *_NATIVE)
_Headers = Sequence[tuple[bytes, bytes]]


class Collect:
    """Takes records of sources: decoded here as the door will, sent, answered one by one. Works in threads of its own."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._schemas = configuration.schemas(settings.conf)
        self._sender = Sender(settings, patience_s=PATIENCE_S)
        self._metrics = metrics
        self._under_way = 0
        self._threads = anyio.CapacityLimiter(MAX_UNDER_WAY)
        # One decodes at a time: reads on the event loop share the interpreter with one thread, not with many.
        self._decoding = threading.Lock()

    async def take(self, asked: Asked, source: str, request: Request) -> Response:
        """202: all records sent; 207: some; 422: none. NotFound, Forbidden, BadRequest, Unavailable as their codes say."""
        allowed = asked.caller.principal.sources
        if allowed is not None and source not in allowed:
            raise Forbidden("source_refused", "the token may not send for this source")
        if source not in SOURCES:
            raise NotFound(source)
        if self._under_way >= MAX_UNDER_WAY:
            raise Unavailable("too many requests to collect are under way")
        self._under_way += 1
        try:
            body = await request.body()
            headers: _Headers = request.scope["headers"]
            return await anyio.to_thread.run_sync(self._taken, source, headers, body, asked.at, limiter=self._threads)
        except ClientDisconnect:
            raise BadRequest("malformed", "the body ended early") from None
        finally:
            self._under_way -= 1

    def _taken(self, source: str, headers: _Headers, body: bytes, arrival: int) -> Response:
        with self._decoding:
            outcomes, records = self._judged(cut(source, headers, body, arrival))
        self._sender.send(records)
        for outcome in outcomes:
            self._metrics.collected.labels(source, outcome.get("code", "accepted")).inc()
        counts = {name: sum(o["outcome"] == name for o in outcomes) for name in ("accepted", "kept", "refused")}
        answer = {**counts, "records": outcomes}
        if outcomes and not records:
            return problems.problem("refused", "correct the records and send them again", more=answer)
        return Response(orjson.dumps(answer), 207 if counts["refused"] else 202, media_type=JSON)

    def _judged(self, parts: Iterator[Part]) -> tuple[list[dict[str, Any]], list[Record]]:
        """An outcome for each part, and the records to send: what the sender can mend is not sent, what only we can mend is."""
        outcomes: list[dict[str, Any]] = []
        records: list[Record] = []
        for number, part in enumerate(parts):
            if number == MAX_RECORDS:
                raise BadRequest("too_large", f"a request has at most {MAX_RECORDS} records")
            try:
                if isinstance(part.content, Refusal):
                    raise part.content
                decode(part.content, self._schemas)
                records.append(part.content)
                outcomes.append({"record": number, "outcome": "accepted"})
            except Refusal as refusal:
                ours = refusal.code in OUR_FAULTS and isinstance(part.content, Record)
                if ours:
                    records.append(part.content)  # type: ignore[arg-type]  # a Record, as the line before says
                at = ": ".join(place for place in (part.at, refusal.at) if place)
                outcome = "kept" if ours else "refused"
                outcomes.append({"record": number, "outcome": outcome, "code": refusal.code, "reason": refusal.reason, "at": at})
        return outcomes, records


def cut(source: str, headers: _Headers, body: bytes, arrival: int) -> Iterator[Part]:
    """The records of a request by the CloudEvents HTTP binding 1.0 (binary, structured, batched mode), or of a native body as of a file.

    BadRequest: `media_type`, `too_large` (a request that is one record of more than 1 MiB), `invalid` (Paxtrail-Key), `malformed`.
    """
    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    media = given.get("content-type", "").partition(";")[0].strip().lower()
    if given.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadRequest("media_type", "the body must not be compressed")
    if media == cloudevents.BATCH:
        yield from _batched(source, body, arrival)
        return
    binary = "ce-specversion" in given or "ce-id" in given
    if media != cloudevents.STRUCTURED and (media.startswith("application/cloudevents") or not (binary or media in _NATIVE)):
        raise BadRequest("media_type", f"one of {', '.join(MEDIA)}, or any with the headers of a CloudEvent in binary mode")
    by_line = not binary and _NATIVE.get(media, ("", False))[1]
    if not by_line and len(body) > MAX_BODY:
        raise BadRequest("too_large", "a record has at most 1 MiB")
    if media == cloudevents.STRUCTURED:
        yield Part("", Record(source, {"content-type": media}, body, arrival))
    elif binary:
        try:
            yield Part("", Record(source, cloudevents.from_http(headers), body, arrival))
        except Refusal as refusal:
            yield Part("", refusal)
    else:
        keys = _keys(given.get("paxtrail-key", ""), media)
        yield from files.cut(io.BytesIO(body), source, _NATIVE[media][0], by_line=by_line, arrival=arrival, keys=keys)


def _batched(source: str, body: bytes, arrival: int) -> Iterator[Part]:
    try:
        events = cloudevents.batch(body)
    except Refusal as refusal:
        raise BadRequest("malformed", refusal.reason) from None
    for event in events:
        yield Part("", Record(source, {"content-type": cloudevents.STRUCTURED}, event, arrival))


def _keys(given: str, media: str) -> list[str]:
    keys = [key.strip() for key in given.split(",")] if given else []
    if keys and _NATIVE[media][0] != JSON:
        raise BadRequest("invalid", "Paxtrail-Key names members of JSON: this body is none")
    if len(keys) > 8 or not all(KEY.fullmatch(key) for key in keys):
        raise BadRequest("invalid", "Paxtrail-Key is a list of up to 8 members such as $.id, $.booking.locator")
    return keys
