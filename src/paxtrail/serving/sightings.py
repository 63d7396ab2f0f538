"""Which records an answer goes back to: trace contexts of the versions that a request reads, from the store up to the edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_READ: ContextVar[list[str] | None] = ContextVar("paxtrail_read", default=None)


@contextmanager
def reading(found: list[str]) -> Iterator[None]:
    """Within the block, `note` adds to `found`."""
    token = _READ.set(found)
    try:
        yield
    finally:
        _READ.reset(token)


def note(*contexts: str | None) -> None:
    """These versions are read by the request under way; one that no traced record made says nothing."""
    found = _READ.get()
    if found is not None:
        found.extend(one for one in contexts if one)
