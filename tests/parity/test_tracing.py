"""One trace id from a producer to a read, through Kafka, the stream, the serving store, the relay and the API."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from tests.lane import Lane, Sent
from tests.serving.world import World, account, client
from tests.spans import Spans, named, trace_ids, traced
from tests.topics import Topic

from paxtrail.adapters.producer import Sender
from paxtrail.core.records import Record
from paxtrail.serving.relay import Relay
from paxtrail.settings import Settings
from paxtrail.stack import broker

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HEADERS = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "tests", "ce_type": "t", "content-type": "application/json"}


@pytest.mark.parametrize("spread", [False, True])
async def test_one_trace_goes_from_the_producer_to_the_relay_and_the_read(
    clean_postgres: Settings, kafka: Settings, spark: SparkSession, tmp_path: Path, spread: bool
) -> None:
    threshold = clean_postgres.stream.model_copy(update={"spread_above_rows": 0 if spread else 1000})
    settings = clean_postgres.model_copy(update={"stream": threshold})
    world, body = World(settings), orjson.dumps(account())
    with traced(settings, tmp_path) as spans:
        with closing(Topic(kafka, "raw.loyalty")) as topic:
            Sender(settings).send([Record("loyalty", HEADERS, body, 0)])
            [(_, headers, received)] = topic.new()
        with closing(Lane(settings, spark)) as lane, closing(Topic(kafka, broker.OUT_PROFILES)) as told:
            lane.batch([Sent("loyalty", headers, received, time.time_ns() // 1000)])
            [(_, message, _)] = relayed(settings, told)
        async with client(world) as api:
            answer = await api.get(f"/v1/profiles/{world.customer()}")
    check(spans, answer.headers["paxtrail-data-trace"], message["traceparent"], linked=not spread)
    [(on_time,)] = world.sql("select records from stream_delays where lane = 'main' and le = 'Infinity'")
    assert on_time == 1


def relayed(settings: Settings, told: Topic) -> list[tuple[bytes | None, dict[str, str], bytes]]:
    """What a relay sends of the outbox; at most 30 s."""
    relay = Relay(settings)
    thread = threading.Thread(target=relay.run)
    thread.start()
    found: list[tuple[bytes | None, dict[str, str], bytes]] = []
    try:
        for _ in range(300):
            if found := told.new():
                return found
            threading.Event().wait(0.1)
        return found
    finally:
        relay.stop()
        thread.join(60)


def check(spans: Spans, answered: str, relayed_as: str, *, linked: bool) -> None:
    """The trace of the one span that sent is that of every other; those of a micro-batch in parts have no links."""
    [sent], [batch], [read] = named(spans, "send"), named(spans, "micro-batch"), named(spans, "profiles.read")
    trace = sent["context"]["trace_id"].removeprefix("0x")
    assert answered == trace == relayed_as.split("-")[1]
    assert trace in trace_ids(read) and (trace in trace_ids(batch)) == linked
    assert any(trace in trace_ids(span) for span in named(spans, "relay"))
