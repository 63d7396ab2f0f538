"""The bridge: plain topics become records with the position as their id; killed or started twice, every event counts once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # the stubs do not export it
from tests.lane import Lane, Sent
from tests.parity.truth import Truth

from paxtrail.adapters import bridge
from paxtrail.adapters.postgres import dsn
from paxtrail.core.decoding import MAX_BODY
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings
from paxtrail.stack.parts import chosen
from paxtrail.stack.places import environment
from paxtrail.stack.processes import running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BAG = "BSM\n.V/1LEWR\n.F/UA1545/08FEB/IAH/Y\n.N/{tag}001\n.P/SMITH/JOHNMR\n.L/K7Q2ZP\nENDBSM\n"


@pytest.fixture
def bridged(clean_postgres: Settings, kafka: Settings) -> Iterator[Settings]:
    """Settings with an inbound topic of this test's own for baggage; what comes to raw.baggage from here on is the bridge's."""
    topic = f"legacy.bags-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.kafka.brokers})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    own = clean_postgres.bridge.model_copy(update={"topics": {topic: "baggage"}})
    yield clean_postgres.model_copy(update={"kafka": kafka.kafka, "bridge": own})
    admin.delete_topics([topic])[topic].result(30)


def inbound(settings: Settings) -> str:
    (topic,) = settings.bridge.topics
    return topic


def write(settings: Settings, *bodies: bytes | None) -> None:
    """The legacy system writes: no headers, no envelope."""
    producer = Producer({"bootstrap.servers": settings.kafka.brokers})
    for body in bodies:
        producer.produce(inbound(settings), value=body)
    assert producer.flush(30) == 0


class Reader:
    """What the bridge wrote of this test's inbound topic, one partition of raw.baggage after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "tests", "enable.auto.commit": False})

    def written(self) -> list[Sent]:
        found = []
        topic = "raw.baggage"
        for partition in self._consumer.list_topics(topic, timeout=20).topics[topic].partitions:
            start, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20, cached=False)
            self._consumer.assign([TopicPartition(topic, partition, start)])
            for _ in range(end - start):
                message = self._consumer.poll(20)
                assert message is not None and message.error() is None
                headers = {name: value.decode() for name, value in cast(list[tuple[str, bytes]], message.headers() or [])}
                if headers.get("ce_source") == inbound(self._settings):
                    found.append(Sent("baggage", headers, message.value() or b"", message.timestamp()[1] * 1000))
        return found

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def reader(bridged: Settings) -> Iterator[Reader]:
    found = Reader(bridged)
    yield found
    found.close()


def variables(settings: Settings, **more: str) -> dict[str, str]:
    return {**environment(settings), "PAXTRAIL_BRIDGE__TOPICS": f'{{"{inbound(settings)}": "baggage"}}', **more}


COMMAND = [sys.executable, "-m", "paxtrail.adapters.bridge"]


@contextmanager
def bridging(settings: Settings, reader: Reader, count: int) -> Iterator[None]:
    """The program, once `count` records are written."""

    def problem() -> str:
        found = len(reader.written())
        return "" if found >= count else f"{found} of {count} records"

    with running(COMMAND, problem, log=settings.logs / "bridge.log", environment=variables(settings)):
        yield


def test_a_message_gets_an_envelope_named_by_its_position(bridged: Settings, reader: Reader) -> None:
    body = BAG.format(tag="0016000001").encode()
    write(bridged, body)
    with bridging(bridged, reader, 1):
        (sent,) = reader.written()
    assert sent.body == body
    time = sent.headers.pop("ce_time")
    assert time.endswith("+00:00")
    partition = sent.headers["ce_id"].split("/")[1]
    assert sent.headers == {
        "ce_specversion": "1.0",
        "ce_id": f"{inbound(bridged)}/{partition}/0",
        "ce_source": inbound(bridged),
        "ce_type": "paxtrail.baggage.received",
    }


def test_what_the_door_will_refuse_is_brought_to_it_all_the_same(bridged: Settings, reader: Reader) -> None:
    producer = Producer({"bootstrap.servers": bridged.kafka.brokers, "message.max.bytes": 4 * MAX_BODY, "compression.type": "lz4"})
    producer.produce(inbound(bridged), value=b"x" * (3 * MAX_BODY))
    assert producer.flush(30) == 0
    write(bridged, None, b"\xff\x00")
    with bridging(bridged, reader, 3):
        assert sorted(len(sent.body) for sent in reader.written()) == [0, 2, MAX_BODY + 1]


def test_what_was_committed_is_not_sent_again_by_the_next_bridge(bridged: Settings, reader: Reader) -> None:
    write(bridged, b"one")
    with bridging(bridged, reader, 1):
        pass
    write(bridged, b"two")
    with bridging(bridged, reader, 2):
        pass
    assert sorted(sent.body for sent in reader.written()) == [b"one", b"two"]


def test_killed_between_sending_and_committing_gives_duplicates_and_exact_events(
    bridged: Settings, reader: Reader, spark: SparkSession
) -> None:
    tags = [f"00161{number:05d}" for number in range(20)]
    write(bridged, *(BAG.format(tag=tag).encode() for tag in tags), b"no bag message")
    log = bridged.logs / "bridge.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        env = {**os.environ, **variables(bridged, PAXTRAIL_BRIDGE__FAILPOINT="after_send")}
        died = subprocess.Popen(COMMAND, env=env, stdout=out, stderr=out)
        try:
            assert died.wait(60) == -signal.SIGKILL
        finally:
            died.kill()
    twice = reader.written()
    assert twice, "it died after it had sent"
    with bridging(bridged, reader, len(twice) + len(tags) + 1):
        sent = reader.written()
    assert len({one.headers["ce_id"] for one in sent}) == len(tags) + 1

    lane = Lane(bridged, spark)
    try:
        lane.batch(sent[: len(sent) // 2])
        lane.batch(sent[len(sent) // 2 :])
        Truth(bridged, lane.log).check()
        with psycopg.connect(dsn(bridged, "serving", "postgres")) as connection:
            row = connection.execute("select sum(received), sum(accepted), sum(duplicates), sum(refused) from ledger").fetchone()
    finally:
        lane.close()
    broken = sum(one.body == b"no bag message" for one in sent)
    assert row == (len(sent), len(tags), len(sent) - len(tags) - broken, broken)
    assert len(sent) > len(tags) + 1


def test_a_bridge_waits_for_a_broker_that_is_away_and_ends_when_told(bridged: Settings) -> None:
    away = {**environment(bridged), "PAXTRAIL_KAFKA__BROKERS": "127.0.0.1:1", "PAXTRAIL_BRIDGE__TOPICS": '{"legacy.bags": "baggage"}'}
    log = bridged.logs / "away.log"
    with running(
        COMMAND, lambda: "" if log.exists() and "the bridge waits" in log.read_text() else "silent", log=log, environment=away
    ) as program:
        assert program.poll() is None
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("topics", "says"),
    [
        ({}, "the bridge has no topics"),
        ({"legacy.bags": "parcels"}, "legacy.bags is of no source we have"),
        ({"raw.baggage": "baggage"}, "raw.baggage must be a topic of another system"),
        ({"^legacy.*": "baggage"}, "must be a topic of another system"),
    ],
)
def test_topics_that_cannot_be_followed_are_refused_at_the_start(settings: Settings, topics: dict[str, str], says: str) -> None:
    wrong = settings.model_copy(update={"bridge": settings.bridge.model_copy(update={"topics": topics})})
    with pytest.raises(ConfigurationError, match=says.replace("^", r"\^")):
        bridge.Bridge(wrong)


def test_the_stack_waits_for_the_process_that_runs_now(bridged: Settings) -> None:
    (part,) = chosen(bridged, ("bridge",))
    ready = bridged.home / "run" / "bridge.ready"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.write_text("1")
    log = bridged.logs / "bridge.log"
    with running(COMMAND, lambda: "not ready" if ready.read_text() == "1" else "", log=log, environment=variables(bridged)) as program:
        assert part.problem(bridged, program.pid) == "" and part.problem(bridged, 1) != ""
