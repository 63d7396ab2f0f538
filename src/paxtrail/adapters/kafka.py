"""Kafka as the stream reads it: topics of a lane, records of a range, offsets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from paxtrail.core.sources import SOURCES
from paxtrail.errors import NotFound
from paxtrail.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = "topic string, partition int, offset bigint, timestamp timestamp, headers array<struct<key string, value binary>>, value binary"

Ranges = dict[str, dict[str, list[int]]]


def raw_topics(sources: Iterable[str] = SOURCES) -> list[str]:
    """The topics of the door, one per source."""
    return [f"raw.{source}" for source in sources]


def client(settings: Settings) -> dict[str, Any]:
    """How librdkafka reaches the brokers: their addresses, and TLS if there is an authority to check their certificates by."""
    found = {"bootstrap.servers": settings.kafka.brokers}
    if settings.kafka.ca:
        found |= {"security.protocol": "SSL", "ssl.ca.location": settings.kafka.ca, "ssl.endpoint.identification.algorithm": "https"}
    if settings.kafka.certificate:
        found |= {"ssl.certificate.location": settings.kafka.certificate, "ssl.key.location": settings.kafka.certificate}
    return found


def java_client(settings: Settings) -> dict[str, str]:
    """The same for Kafka's own clients (Spark, Druid), which read the same PEM files (KIP-651); the key must be PKCS #8."""
    found = {"bootstrap.servers": settings.kafka.brokers}
    if settings.kafka.ca:
        found |= {"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.location": settings.kafka.ca}
    if settings.kafka.certificate:
        found |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": settings.kafka.certificate}
    return found


def spark_options(settings: Settings) -> dict[str, str]:
    """The same as options of Spark's source and sink."""
    return {f"kafka.{name}": value for name, value in java_client(settings).items()}


def earliest(settings: Settings, topics: Sequence[str]) -> dict[str, dict[str, int]]:
    """First offset that is still there, by topic and partition."""
    return _watermarks(settings, topics, 0)


def latest(settings: Settings, topics: Sequence[str]) -> dict[str, dict[str, int]]:
    """Offset that the next record will have, by topic and partition."""
    return _watermarks(settings, topics, 1)


def _watermarks(settings: Settings, topics: Sequence[str], which: int) -> dict[str, dict[str, int]]:
    consumer = Consumer(client(settings) | {"group.id": "paxtrail-offsets", "enable.auto.commit": False})
    try:
        found: dict[str, dict[str, int]] = {}
        for topic in topics:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            found[topic] = {
                str(p): consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30, cached=False)[which]
                for p in sorted(partitions)
            }
        return found
    finally:
        consumer.close()


def starting(
    settings: Settings, topics: Sequence[str], numbered: Mapping[str, Mapping[str, int]], *, accept_loss: bool = False
) -> dict[str, dict[str, int]]:
    """Where a stream begins: at the end of what was numbered, else at the first record there is.

    NotFound where Kafka has dropped records in between, unless `accept_loss`.
    """
    found = earliest(settings, topics)
    lost = []
    for topic in topics:
        for partition, offset in numbered.get(topic, {}).items():
            first = found[topic].get(partition, 0)
            if first > offset:
                lost.append(f"{topic}/{partition} {offset} to {first - 1}")
            found[topic][partition] = max(first, offset)
    _accepted("records that were never read", lost, accept_loss)
    return found


def left_of(settings: Settings, ranges: Mapping[str, Mapping[str, Sequence[int]]], *, accept_loss: bool = False) -> Ranges:
    """What Kafka still has of these ranges. NotFound where it has dropped records of them, unless `accept_loss`."""
    first = earliest(settings, list(ranges))
    left: Ranges = {}
    lost = []
    for topic, partitions in ranges.items():
        for partition, (since, until) in partitions.items():
            there = min(max(since, first[topic].get(partition, since)), until)
            if there > since:
                lost.append(f"{topic}/{partition} {since} to {there - 1}")
            left.setdefault(topic, {})[partition] = [there, until]
    _accepted("records of micro-batches that Delta or PostgreSQL lacks", lost, accept_loss)
    return left


def _accepted(what: str, lost: Sequence[str], accept_loss: bool) -> None:
    if lost and not accept_loss:
        raise NotFound(f"Kafka has dropped {what}: {', '.join(lost)}; start once with --accept-loss to go on without")


def stream(spark: SparkSession, settings: Settings, topics: Sequence[str], starting: Mapping[str, Mapping[str, int]]) -> DataFrame:
    """The records of these topics as they come, from `starting` on; the checkpoint must be new."""
    return (
        spark.readStream.format("kafka")
        .options(**spark_options(settings))
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", json.dumps(starting))
        .option("maxOffsetsPerTrigger", str(settings.stream.max_offsets_per_trigger))
        .option("includeHeaders", "true")
        # A partition with nothing new must not hold up its task: the broker's default is to wait half a second for more.
        .option("kafka.fetch.max.wait.ms", "10")
        .load()
    )


def records(spark: SparkSession, settings: Settings, ranges: Mapping[str, Mapping[str, Sequence[int]]]) -> DataFrame:
    """Exactly the records of these ranges; fails when some are gone."""
    starting = {topic: {p: r[0] for p, r in partitions.items()} for topic, partitions in ranges.items()}
    ending = {topic: {p: r[1] for p, r in partitions.items()} for topic, partitions in ranges.items()}
    assigned = {topic: [int(p) for p in partitions] for topic, partitions in ranges.items()}
    return (
        spark.read.format("kafka")
        .options(**spark_options(settings))
        # No subscription: the topic may have more partitions since, and Spark wants an offset for each that it subscribes to.
        .option("assign", json.dumps(assigned))
        .option("startingOffsets", json.dumps(starting))
        .option("endingOffsets", json.dumps(ending))
        .option("includeHeaders", "true")
        .load()
    )


def batch_ranges(checkpoint: Path, batch_id: int) -> Ranges:
    """Offsets [from, until) of a micro-batch by topic and partition, as Spark planned it."""
    until = _offsets(checkpoint / "offsets" / str(batch_id))
    before = checkpoint / "offsets" / str(batch_id - 1)
    since = _offsets(before if before.exists() else checkpoint / "sources" / "0" / "0")
    return {
        topic: {p: [int(since.get(topic, {}).get(p, 0)), int(end)] for p, end in partitions.items()} for topic, partitions in until.items()
    }


def size(ranges: Mapping[str, Mapping[str, Sequence[int]]]) -> int:
    """Number of records in the ranges."""
    return sum(r[1] - r[0] for partitions in ranges.values() for r in partitions.values())


def _offsets(file: Path) -> dict[str, dict[str, Any]]:
    """The last line of a file of Spark's offset log."""
    text = file.read_text().strip("\0").strip()
    found: dict[str, dict[str, Any]] = json.loads(text.splitlines()[-1])
    return found
