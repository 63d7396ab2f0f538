"""Opaque cursors: where the next page of a keyset-ordered list starts, bound to the list they came from."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

import orjson

from paxtrail.errors import BadRequest

MAX_CURSOR_CHARS = 400


def encode(of: str, *position: str | int) -> str:
    """The cursor after `position` in the list `of`."""
    return urlsafe_b64encode(orjson.dumps([_list(of), *position])).rstrip(b"=").decode()


def decode(of: str, cursor: str, *types: type) -> list[str | int]:
    """The position of a cursor made for the same list; BadRequest for any other text."""
    try:
        if len(cursor) > MAX_CURSOR_CHARS:
            raise ValueError
        found = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise BadRequest("cursor_refused") from None
    if not isinstance(found, list) or len(found) != len(types) + 1 or found[0] != _list(of):
        raise BadRequest("cursor_refused")
    for value, type_ in zip(found[1:], types, strict=True):
        # A 64-bit bound, because PostgreSQL's bigint would answer a larger number with an error.
        if type(value) is not type_ or (isinstance(value, int) and not -(2**63) <= value < 2**63) or "\0" in str(value):
            raise BadRequest("cursor_refused")
    return found[1:]


def _list(of: str) -> str:
    return blake2b(of.encode(), digest_size=6).hexdigest()
