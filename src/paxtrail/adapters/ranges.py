"""Ranges of keys a publication handles in one transaction: runs of the first bits of md5(key), few hundred keys each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Self

import psycopg

BITS = 16
"""Bits of md5(key) that silver.states keeps as `bucket`."""
_KEYS = 350
"""Mean keys per range at most: hashing spreads them so evenly that 500 are eight standard deviations away."""


@dataclass(frozen=True, slots=True)
class Range:
    """The keys of `entity` whose hash begins with the `bits` bits of `number`."""

    entity: str
    bits: int
    number: int

    @property
    def id(self) -> str:
        return f"{self.entity}/{self.bits}/{self.number}"

    @property
    def shift(self) -> int:
        return BITS - self.bits

    @property
    def low(self) -> int:
        return self.number << self.shift

    @property
    def high(self) -> int:
        return (self.number + 1) << self.shift


def ranges(entity: str, keys: int) -> list[Range]:
    """All ranges of an entity with so many keys, in order; the same for the same number of keys."""
    bits = min(BITS, ceil(log2(keys / _KEYS))) if keys > _KEYS else 0
    return [Range(entity, bits, number) for number in range(1 << bits)]


@dataclass(frozen=True, slots=True)
class Published:
    """Newest epoch by (bits, number) of one entity; ranges are split as keys grow, so an older, wider one may speak for a newer one."""

    epochs: Mapping[tuple[int, int], int]

    @classmethod
    def load(cls, connection: psycopg.Connection[Any], entity: str) -> Self:
        rows = connection.execute("SELECT range_id, epoch FROM publications WHERE range_id LIKE %s", (entity + "/%",)).fetchall()
        return cls({(int(range_id.split("/")[1]), int(range_id.split("/")[2])): epoch for range_id, epoch in rows})

    def newest(self, one: Range) -> int:
        """Newest epoch that any key of the range is published at, by another range than itself; 0 = none."""
        found = [epoch for (bits, number), epoch in self.epochs.items() if bits != one.bits and _overlap(bits, number, one)]
        return max(found, default=0)

    def oldest(self, one: Range) -> int:
        """Newest epoch that all keys of the range are published at; 0 = never."""
        wider = [epoch for (bits, number), epoch in self.epochs.items() if bits <= one.bits and one.number >> (one.bits - bits) == number]
        deepest = max((bits for bits, _ in self.epochs), default=0)
        return self._oldest(one.bits, one.number, max(wider, default=0), deepest)

    def _oldest(self, bits: int, number: int, inherited: int, deepest: int) -> int:
        mine = max(inherited, self.epochs.get((bits, number), 0))
        if bits >= deepest:
            return mine
        return min(self._oldest(bits + 1, 2 * number + half, mine, deepest) for half in (0, 1))


def _overlap(bits: int, number: int, one: Range) -> bool:
    low, high = number << (BITS - bits), (number + 1) << (BITS - bits)
    return low < one.high and one.low < high
