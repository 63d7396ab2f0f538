"""A partition of Kafka is whole in one task, in order; what Kafka has dropped before it was read is named."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]  # the stubs do not export it
from pyspark.sql import functions as F
from tests.lane import Lane, cloud_event

from paxtrail.adapters.kafka import Ranges, left_of, records, starting
from paxtrail.adapters.serving_store import mint_seq
from paxtrail.adapters.speed_layer import SpeedLayer
from paxtrail.errors import NotFound
from paxtrail.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RECORDS = 30


@pytest.fixture
def written(kafka: Settings) -> Iterator[Ranges]:
    """A topic of this test's own with three partitions, an odd number for two tasks; what was written to it."""
    topic = f"raw.test-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.kafka.brokers})
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka.kafka.brokers})
    for n in range(3 * RECORDS):
        producer.produce(topic, b"told", partition=n % 3)
    assert producer.flush(30) == 0
    yield {topic: {str(partition): [0, RECORDS] for partition in range(3)}}
    admin.delete_topics([topic])[topic].result(30)


def check_whole(frame: DataFrame, ranges: Ranges) -> None:
    """Every range is in one task and in order, where the speed layer takes two tasks."""
    told = frame.coalesce(2).select("topic", "partition", "offset", F.spark_partition_id().alias("task")).collect()
    tasks: dict[tuple[str, str], set[int]] = defaultdict(set)
    offsets: dict[tuple[str, str], list[int]] = defaultdict(list)
    for topic, partition, offset, task in told:
        tasks[topic, str(partition)].add(task)
        offsets[topic, str(partition)].append(offset)
    assert offsets == {(topic, p): list(range(*r)) for topic, partitions in ranges.items() for p, r in partitions.items()}
    assert [at for at, of in tasks.items() if len(of) > 1] == []
    assert len(set().union(*tasks.values())) == 2


def test_the_door_gets_each_partition_of_kafka_whole_and_in_order(kafka: Settings, spark: SparkSession, written: Ranges) -> None:
    check_whole(records(spark, kafka, written), written)


def test_ranges_are_read_though_their_topic_has_more_partitions_since(kafka: Settings, spark: SparkSession, written: Ranges) -> None:
    [topic] = written
    admin = AdminClient({"bootstrap.servers": kafka.kafka.brokers})
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
    assert records(spark, kafka, written).count() == 3 * RECORDS


def test_the_lane_of_the_tests_divides_its_records_as_kafka_does(settings: Settings, spark: SparkSession, tmp_path: Path) -> None:
    told = [cloud_event(source, str(n), b"", arrival=n) for n in range(RECORDS) for source in ("flights", "baggage", "loyalty")]
    with closing(Lane(settings.model_copy(update={"home": tmp_path}), spark)) as lane:
        ranges = lane.send(told)
        check_whole(lane.frame(ranges), ranges)
        assert lane.frame({}).isEmpty()


def test_a_stream_names_what_kafka_has_dropped_and_goes_on_only_if_that_is_accepted(
    clean_postgres: Settings, kafka: Settings, spark: SparkSession, written: Ranges
) -> None:
    [topic] = written
    gone = TopicPartition(topic, 1, 6)
    admin = AdminClient({"bootstrap.servers": kafka.kafka.brokers})  # the answer is lost if the client is not kept
    admin.delete_records([gone])[gone].result(30)
    numbered = {topic: {"0": 3, "1": 3, "2": 9}}
    with pytest.raises(NotFound, match=f"never read: {topic}/1 3 to 5; start once with --accept-loss"):
        starting(kafka, [topic], numbered)
    assert starting(kafka, [topic], numbered, accept_loss=True) == {topic: {"0": 3, "1": 6, "2": 9}}
    assert starting(kafka, [topic], {topic: {"1": 6}}) == {topic: {"0": 0, "1": 6, "2": 0}}
    assert left_of(kafka, {topic: {"1": [1, 4]}}, accept_loss=True) == {topic: {"1": [4, 4]}}

    # Numbered by a stream that died before it had them in Delta and PostgreSQL.
    begun: Ranges = {topic: {"0": [3, 5], "1": [3, 8], "2": [0, 0]}}
    with closing(SpeedLayer(clean_postgres, spark, "main")) as layer:
        mint_seq(layer.connection, "main", "lost", 0, begun)
        with pytest.raises(NotFound, match=f"that Delta or PostgreSQL lacks: {topic}/1 3 to 5; start once with --accept-loss"):
            layer.recover()
        assert layer.recover(accept_loss=True) == 1
        assert layer.connection.execute("select received, refused from ledger").fetchall() == [(4, 4)]
        assert layer.connection.execute("select offsets from stream_commit").fetchall() == [
            ({topic: {"0": [3, 5], "1": [6, 8], "2": [0, 0]}},)
        ]
        layer.recover()  # started again without the option
        assert layer.connection.execute("select received, refused from ledger").fetchall() == [(4, 4)]
