"""What goes wrong between a source and the door: repetitions, conflicts, disorder, lateness, broken records, in stated shares."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from paxtrail.simulator.breakage import broken, contradicted
from paxtrail.simulator.messages import HOUR, MINUTE, SECOND, SOURCES, Message


@dataclass(frozen=True, slots=True)
class Noise:
    """Shares of the messages told (0 to 1). `disorder`: up to five minutes behind; `late`: one to twelve hours."""

    duplicates: float = 0.02
    conflicts: float = 0.001
    disorder: float = 0.05
    late: float = 0.01
    broken: float = 0.003


SILENCE = Noise(0, 0, 0, 0, 0)


@dataclass(slots=True)
class Ledger:
    """What was sent and what has to become of it, by source."""

    received: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def expected(self) -> dict[str, Any]:
        """By source: received = accepted + duplicates + refused; conflicts are among the duplicates."""
        lines: dict[str, Any] = {}
        for source in SOURCES:
            codes = {code: n for (of, code), n in sorted(self.refused.items()) if of == source}
            duplicates, refused = self.duplicates[source], sum(codes.values())
            lines[source] = {
                "received": self.received[source],
                "accepted": self.received[source] - duplicates - refused,
                "duplicates": duplicates,
                "conflicts": self.conflicts[source],
                "refused": codes,
            }
        return lines


def disturb(messages: Iterable[Message], noise: Noise, seed: int, closes: int, ledger: Ledger) -> Iterator[Message]:
    """The messages with noise, in order of the time they are sent, none after `closes`; counted in `ledger`.

    A repetition or conflict never overtakes its original and has the same key: the first of them is the one that counts.
    """
    rng = Random(f"{seed}:noise")
    waiting: list[tuple[int, int, Message]] = []
    n = 0
    for message in messages:
        while waiting and waiting[0][0] < message.at_us:
            yield heapq.heappop(waiting)[2]
        for copy in _copies(message, noise, rng, closes, ledger):
            n += 1
            heapq.heappush(waiting, (copy.at_us, n, copy))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _copies(message: Message, noise: Noise, rng: Random, closes: int, ledger: Ledger) -> Iterator[Message]:
    source = message.source
    draw, at = rng.random(), message.at_us
    if draw < noise.late:
        at += rng.randint(60, 720) * MINUTE
    elif draw < noise.late + noise.disorder:
        at += rng.randint(1, 300) * SECOND
    original = message._replace(at_us=min(at, closes))
    ledger.received[source] += 1
    yield original
    draw = rng.random()
    after = min(original.at_us + rng.randint(1, 1800) * SECOND, max(closes, original.at_us))
    if draw < noise.duplicates:
        ledger.received[source] += 1
        ledger.duplicates[source] += 1
        yield original._replace(at_us=after)
    elif draw < noise.duplicates + noise.conflicts:
        ledger.received[source] += 1
        ledger.duplicates[source] += 1
        ledger.conflicts[source] += 1
        yield original._replace(at_us=after, body=contradicted(original.body, source))
    elif draw < noise.duplicates + noise.conflicts + noise.broken:
        code, wreck = broken(original, rng)
        ledger.received[source] += 1
        ledger.refused[source, code] += 1
        yield wreck._replace(at_us=max(message.at_us, original.at_us - HOUR))
