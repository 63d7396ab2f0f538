"""Broken records: each way of breaking is refused with its own code, and each contradiction is accepted by the decoder."""

from __future__ import annotations

import pytest
from tests.simulator.platform_in_memory import SCHEMAS

from paxtrail.core.decoding import decode
from paxtrail.core.records import Record
from paxtrail.errors import Refusal
from paxtrail.simulator import breakage
from paxtrail.simulator.messages import SOURCES, Message
from paxtrail.simulator.noise import SILENCE
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options

END = 1_795_348_800_000_000


@pytest.fixture(scope="module")
def spread() -> dict[str, list[Message]]:
    """Up to thirty messages of each source, spread over the replay."""
    found: dict[str, list[Message]] = {source: [] for source in SOURCES}
    for message in Simulation(Options(END, limit=15), SILENCE).messages():
        found[message.source].append(message)
    return {source: messages[:: max(1, len(messages) // 30)] for source, messages in found.items()}


def code_of(message: Message) -> str:
    try:
        decode(Record(message.source, message.headers, message.body, message.at_us), SCHEMAS)
    except Refusal as refusal:
        return refusal.code
    return "accepted"


@pytest.mark.parametrize("source", SOURCES)
def test_each_way_of_breaking_has_the_code_it_names(source: str, spread: dict[str, list[Message]]) -> None:
    for message in spread[source]:
        for code, wreck in breakage.ways(source):
            assert code_of(wreck(message)) == code


@pytest.mark.parametrize("source", SOURCES)
def test_a_contradiction_is_valid_and_different(source: str, spread: dict[str, list[Message]]) -> None:
    for message in spread[source]:
        other = message._replace(body=breakage.contradicted(message.body, source))
        assert other.body != message.body
        assert code_of(other) == code_of(message) == "accepted"
