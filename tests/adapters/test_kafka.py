"""A partition of Kafka is whole in one task, in order: of two copies of a record, the lower offset comes first to the door."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # the stubs do not export it
from pyspark.sql import functions as F
from tests.lane import Lane, cloud_event

from paxtrail.adapters.kafka import Ranges, records
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


def test_the_lane_of_the_tests_divides_its_records_as_kafka_does(settings: Settings, spark: SparkSession, tmp_path: Path) -> None:
    told = [cloud_event(source, str(n), b"", arrival=n) for n in range(RECORDS) for source in ("flights", "baggage", "loyalty")]
    with closing(Lane(settings.model_copy(update={"home": tmp_path}), spark)) as lane:
        ranges = lane.send(told)
        check_whole(lane.frame(ranges), ranges)
        assert lane.frame({}).isEmpty()
