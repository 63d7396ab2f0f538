"""The making of the world: flights, customers and bags over the replay's window, told in order, with the expected answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from paxtrail.simulator.answers import Answers
from paxtrail.simulator.messages import DAY, HOUR, SOURCES, Message, headers, opaque
from paxtrail.simulator.schedule import Schedule

Body = bytes | Callable[[], bytes]
ORIGINS = {
    "flights": "aodb", "baggage": "bhs", "reservations": "res", "checkin": "dcs", "loyalty": "ffp", "booking": "web", "contacts": "ccc",
}  # fmt: skip
LEAD = 2 * HOUR
"""What happened before the window is sent, in its order, within this time before it: nobody waits three weeks in a demo."""


@dataclass(frozen=True, slots=True)
class Options:
    """What world to make. `end_us`: when the replay ends, µs UTC; `limit`: flights a day (all if None)."""

    end_us: int
    seed: int = 1
    days: int = 2
    passengers: int = 10
    limit: int | None = None
    history_days: int = 21
    mishandled: float = 0.0065
    """Share of bags, in time, that go astray (6.5 per thousand)."""


@dataclass(slots=True)
class World:
    """Collects what happens; the parts (`travel`, `sales`, `accounts`) tell it, `messages` gives it back in order of time."""

    options: Options
    schedule: Schedule
    answers: Answers = field(default_factory=Answers)
    _steps: list[tuple[int, int, str, str, Body]] = field(default_factory=list)

    @property
    def past(self) -> int:
        """The earliest time anything is told of."""
        return self.schedule.opens - self.options.history_days * DAY

    def tell(self, at: int, source: str, key: str, body: Body) -> bool:
        """True if this happens within the replay and will be sent; callers book the answer only then."""
        if at > self.schedule.closes:
            return False
        self._steps.append((at, len(self._steps), source, key, body))
        return True

    def messages(self) -> Iterator[Message]:
        """Every message once, in order of the time it is sent; bodies of scans and flights are written on the way."""
        self._steps.sort(key=lambda step: step[:2])
        world = opaque("world", repr(self.options))[:8]
        for n, (at, _n, source, key, body) in enumerate(self._steps):
            head = headers(source, f"{world}-{n:07x}", at, origin=ORIGINS[source])
            yield Message(self.sent(at), source, head, key, body if isinstance(body, bytes) else body())

    def sent(self, at: int) -> int:
        """When the replay sends what happened at `at`: then, or compressed into the lead if it was before the window."""
        opens = self.schedule.opens
        if at >= opens:
            return at
        age = opens - at
        return opens - LEAD * age // (age + 10 * DAY)

    def counts(self) -> dict[str, int]:
        """Messages told, by source."""
        counted = dict.fromkeys(SOURCES, 0)
        for step in self._steps:
            counted[step[2]] += 1
        return counted
