"""Chains of the record of reads: the code of each link covers its record and the link before it, so that nobody can alter one unseen.

A code is HMAC-SHA-256 (RFC 2104, FIPS 180-4) over canonical JSON (RFC 8785); what is written are arrays of texts and whole numbers below
2^53 only, for which orjson's output is that form. A whole that only grows and whose head is known elsewhere: RFC 9162 does it with a tree.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import orjson

Kind = Literal["edited", "deleted", "swapped", "truncated", "planted", "unchained", "unwitnessed", "forged"]
START = bytes(32)
"""What the first link of a chain has before it."""
_EXPLAINED = 200
"""Links that do not follow are compared with each other, to tell swapped from edited, up to this many."""


class Record(NamedTuple):
    """A read as its link covers it. `at`: µs UTC; `customers`: tokens of whom it was about."""

    at: int
    subject: str
    client: str
    role: str
    purpose: str
    route: str
    customers: Sequence[str]
    trace: str


class Link(NamedTuple):
    """A record at its place in a chain; the first one is number 1."""

    seq: int
    record: Record
    mac: bytes


class Head(NamedTuple):
    """How far a chain goes: number and code of a link, NOTHING before the first one."""

    seq: int
    mac: bytes


NOTHING = Head(0, START)


class Break(NamedTuple):
    """Links `first` to `last` of a chain are not as they were written. Swapped: each stands where the other belongs."""

    chain: str
    kind: Kind
    first: int
    last: int


def code(key: bytes, chain: str, seq: int, previous: bytes, record: Record) -> bytes:
    """The code of the link `seq` of a chain that follows one with the code `previous`."""
    content = orjson.dumps(["read/1", chain, seq, previous.hex(), *record[:6], list(record.customers), record.trace])
    return hmac.digest(key, content, "sha256")


def seal(key: bytes, chain: str, head: Head) -> bytes:
    """What shows that links up to `head` were deleted in their time by who has the key."""
    return hmac.digest(key, orjson.dumps(["checkpoint/1", chain, head.seq, head.mac.hex()]), "sha256")


def breaks(key: bytes, chain: str, links: Iterable[Link], *, after: Head = NOTHING, head: Head | None = None) -> list[Break]:
    """Where the chain's links, ordered by number, are not as they were written; empty if they all are.

    `after`: the last link that was deleted in its time. `head`: how far the chain went at least, as is known elsewhere. The link after a
    gap cannot be checked, and one after a link that was overwritten with its code counts as edited: the code it was made of is gone.
    """
    found: list[Break] = []
    doubtful: list[tuple[Link, bytes]] = []
    seq: int = after.seq
    previous: bytes | None = after.mac
    for link in links:
        if link.seq <= seq:
            found.append(Break(chain, "planted", link.seq, link.seq))
            continue
        if link.seq > seq + 1:
            found.append(Break(chain, "deleted", seq + 1, link.seq - 1))
            previous = None
        if previous is not None and code(key, chain, link.seq, previous, link.record) != link.mac:
            doubtful.append((link, previous))
        seq, previous = link.seq, link.mac
    found += _explained(key, chain, doubtful)
    if head is not None and head.seq > seq:
        found.append(Break(chain, "truncated", seq + 1, head.seq))
    return sorted(found, key=lambda one: (one.first, one.last))


def _explained(key: bytes, chain: str, doubtful: Sequence[tuple[Link, bytes]]) -> Iterable[Break]:
    """What happened to links that do not follow the one before them; one that was left alone after one that was not is no break."""
    # What the code of a link was when it was written, where that is another than it has now.
    written: dict[int, bytes] = {}
    swapped: set[tuple[int, int]] = set()
    by_seq = {link.seq: link for link, _ in doubtful}
    for link, stored in doubtful:
        previous = written.get(link.seq - 1, stored)
        own = code(key, chain, link.seq, previous, link.record)
        if own == link.mac:
            continue
        if partner := _partner(key, chain, link, previous, doubtful[:_EXPLAINED]):
            other, written[link.seq] = partner
            if (other, link.seq) not in swapped:
                swapped.add((link.seq, other))
                yield Break(chain, "swapped", link.seq, other)
            continue
        yield Break(chain, "edited", link.seq, link.seq)
        if (follower := by_seq.get(link.seq + 1)) and code(key, chain, follower.seq, own, follower.record) == follower.mac:
            written[link.seq] = own  # only its code was overwritten


def _partner(key: bytes, chain: str, link: Link, previous: bytes, doubtful: Iterable[tuple[Link, bytes]]) -> tuple[int, bytes] | None:
    """Number of the link whose record belongs here, which took its code along or not, and that code."""
    for other, _ in doubtful:
        if other.seq != link.seq and (there := code(key, chain, link.seq, previous, other.record)) in (other.mac, link.mac):
            return other.seq, there
    return None
