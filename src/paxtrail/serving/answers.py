"""Answers as bytes: JSON with a strong ETag over everything but the moment of reading, 304 where the caller has it already."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson
from starlette.responses import Response

JSON = "application/json"


def answer(
    request_headers: list[tuple[bytes, bytes]], body: dict[str, Any], moment: dict[str, Any], *, location: str | None = None
) -> Response:
    """`body` and `moment` (as_of, freshness) as one JSON object; the ETag covers `body`, that is version, role and live parts."""
    content = orjson.dumps(body)
    etag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"etag": etag, "vary": "Authorization, Paxtrail-Purpose"}
    if location is not None:
        headers["content-location"] = location
    for name, value in request_headers:
        if name == b"if-none-match" and _matches(value.decode("latin-1"), etag):
            return Response(status_code=304, headers=headers)
    joined = content[:-1] + (b"," if len(content) > 2 else b"") + orjson.dumps(moment)[1:]
    return Response(joined, 200, headers, JSON)


def _matches(given: str, etag: str) -> bool:
    # If-None-Match compares weakly (RFC 9110 §13.1.2).
    return given.strip() == "*" or etag in (part.strip().removeprefix("W/") for part in given.split(","))
