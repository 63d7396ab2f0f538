"""One run of the simulator: the disturbed stream of messages, the expected answer, and both as files."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paxtrail.simulator.airline import build
from paxtrail.simulator.breakage import BROKEN
from paxtrail.simulator.messages import SOURCES, Message, instant
from paxtrail.simulator.noise import Ledger, Noise, disturb
from paxtrail.simulator.world import Options, World

SAMPLES = 8
"""Plain native files written per source beside the jsonl."""


@dataclass(slots=True)
class Simulation:
    """A world and its noise. `messages()` gives the same bytes each time it is called."""

    options: Options
    noise: Noise
    world: World = field(init=False)
    _ledger: Ledger | None = None

    def __post_init__(self) -> None:
        self.world = build(self.options)

    def messages(self) -> Iterator[Message]:
        """Every message in the order it is sent, noise included."""
        ledger = Ledger()
        yield from disturb(self.world.messages(), self.noise, self.options.seed, self.world.schedule.closes, ledger)
        self._ledger = ledger

    def count(self) -> int:
        """How many messages `messages()` gives."""
        return sum(line["received"] for line in self._counted().expected().values())

    def _counted(self) -> Ledger:
        if self._ledger is None:
            for _ in self.messages():
                pass
        assert self._ledger is not None
        return self._ledger

    def expected(self) -> dict[str, Any]:
        """What the platform has to answer once everything was sent (members: see `answers`)."""
        ledger = self._counted().expected()
        answer = self.world.answers.expected()
        answer["totals"] |= {
            "received": sum(line["received"] for line in ledger.values()),
            "accepted": sum(line["accepted"] for line in ledger.values()),
            "duplicates": sum(line["duplicates"] for line in ledger.values()),
            "conflicts": sum(line["conflicts"] for line in ledger.values()),
            "refused": sum(sum(line["refused"].values()) for line in ledger.values()),
        }
        window = {"opens": instant(self.world.schedule.opens), "closes": instant(self.world.schedule.closes)}
        return {"seed": self.options.seed, "window": window, "ledger": ledger} | answer


def write(simulation: Simulation, folder: Path) -> dict[str, int]:
    """Messages written per source: `<source>.jsonl` (a CloudEvent in structured mode a line), `samples/` as native, `expected.json`."""
    samples = folder / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(SOURCES, 0)
    with ExitStack() as stack:
        files = {source: stack.enter_context((folder / f"{source}.jsonl").open("w", encoding="utf-8")) for source in SOURCES}
        for message in simulation.messages():
            files[message.source].write(line(message))
            counts[message.source] += 1
            whole = not message.headers.get("ce_id", BROKEN).endswith(BROKEN)
            if whole and (counts[message.source] - 1) % 97 == 0 and counts[message.source] < 97 * SAMPLES:
                name = f"{message.source}-{counts[message.source]:05d}{_suffix(message.source)}"
                (samples / name).write_bytes(message.body)
    text = json.dumps(simulation.expected(), ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    return counts


def _suffix(source: str) -> str:
    return {"flights": ".xml", "baggage": ".txt"}.get(source, ".json")


def line(message: Message) -> str:
    """The message as a CloudEvent in structured mode: the same id and content wherever it is loaded from."""
    attributes = {name.removeprefix("ce_"): value for name, value in message.headers.items() if name != "content-type"}
    attributes |= {"datacontenttype": message.headers["content-type"], "partitionkey": message.key}
    head = json.dumps(attributes, separators=(",", ":"))[:-1]
    return f"{head},{_data(message)}}}\n"


def _data(message: Message) -> str:
    """The body as it is if it is JSON, as a text if it is one, else as base64."""
    try:
        text = message.body.decode("utf-8")
        if message.headers["content-type"] != "application/json":
            return f'"data":{json.dumps(text, ensure_ascii=False)}'
        json.loads(text)
    except ValueError:
        return f'"data_base64":"{base64.b64encode(message.body).decode()}"'
    return f'"data":{text}'
