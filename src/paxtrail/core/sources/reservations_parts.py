"""The native text of a reservation cut into the order's part and each passenger's own, and put together again."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

# Lists whose items may belong to one passenger, with the member that says to whom.
_LISTS = {"passengers": "ref", "contacts": "passenger", "ssrs": "passenger", "tickets": "passenger"}


class _Owned(msgspec.Struct):
    of: str = "passenger"
    ref: int | None = None
    passenger: int | None = None


class _Placed(msgspec.Struct, array_like=True):
    index: int
    item: Raw


class _Part(msgspec.Struct, omit_defaults=True):
    record: dict[str, Raw] = {}
    passengers: list[_Placed] = []
    contacts: list[_Placed] = []
    ssrs: list[_Placed] = []
    tickets: list[_Placed] = []


def divide(body: bytes, refs: list[int]) -> dict[int, str]:
    """Native text by passenger ref; under 0 what belongs to no single passenger. Items keep their text and their place.

    The body must have been read as a reservation before. Numbers and unknown members are copied as they were written.
    """
    members = msgspec.json.decode(body, type=dict[str, Raw])
    parts = {ref: _Part() for ref in (0, *refs)}
    for name, member in _LISTS.items():
        if name not in members:
            continue
        for index, item in enumerate(msgspec.json.decode(members[name], type=list[Raw])):
            getattr(parts[_owner(name, member, item)], name).append(_Placed(index, item))
        members[name] = Raw(b"[]")
    parts[0].record = members
    return {ref: msgspec.json.encode(part).decode() for ref, part in parts.items()}


def _owner(name: str, member: str, item: Raw) -> int:
    owned = msgspec.json.decode(item, type=_Owned)
    ref = getattr(owned, member)
    return 0 if ref is None or (name == "contacts" and owned.of != "passenger") else int(ref)


def assemble(natives: list[str]) -> bytes:
    """A body that decodes to the same drafts, from the native texts of a reservation's drafts in any order.

    Without the part of a passenger (their key was deleted) it is the reservation without them.
    """
    parts = [msgspec.json.decode(native, type=_Part) for native in natives if native]
    whole: dict[str, Any] = next(dict(part.record) for part in parts if part.record)
    for name in _LISTS:
        if name in whole:
            placed = sorted((entry for part in parts for entry in getattr(part, name)), key=lambda entry: entry.index)
            whole[name] = [entry.item for entry in placed]
    return msgspec.json.encode(whole)
