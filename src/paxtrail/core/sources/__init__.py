"""One decoder per source: bytes and CloudEvents attributes in; drafts of events, or a refusal, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

from paxtrail.core.records import Draft, Envelope

SOURCES = ("flights", "baggage", "reservations", "checkin", "loyalty", "booking", "contacts")


@dataclass(frozen=True, slots=True)
class Decoder:
    """What a source's module offers. `assemble` puts the native parts of a record's drafts together to a body that decodes to the same."""

    version: int
    decode: Callable[[Envelope, bytes], list[Draft]]
    assemble: Callable[[list[str]], bytes]


@lru_cache(maxsize=len(SOURCES))
def decoder(source: str) -> Decoder:
    """The decoder of a source, its module imported on first use; KeyError if there is no such source."""
    if source not in SOURCES:
        raise KeyError(source)
    module = import_module(f"{__name__}.{source}")
    return Decoder(module.VERSION, module.decode, getattr(module, "assemble", _only_native))


def _only_native(natives: list[str]) -> bytes:
    return natives[0].encode()
