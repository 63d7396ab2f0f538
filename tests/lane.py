"""A lane under test: records become micro-batches of any size, through the real door, Spark, Delta and PostgreSQL, without a broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from paxtrail.adapters import kafka
from paxtrail.adapters.serving_store import mint_seq
from paxtrail.adapters.speed_layer import SpeedLayer, patiently
from paxtrail.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class Sent(NamedTuple):
    """One record for a topic: CloudEvents headers, body, arrival in µs."""

    source: str
    headers: dict[str, str]
    body: bytes
    arrival: int


def cloud_event(source: str, id_: str, body: bytes, *, arrival: int, time: str | None = None, type_: str = "test.received") -> Sent:
    """A record in binary mode."""
    headers = {"ce_specversion": "1.0", "ce_id": id_, "ce_source": "tests", "ce_type": type_}
    headers["content-type"] = "application/xml" if source == "flights" else "text/plain" if source == "baggage" else "application/json"
    if time:
        headers["ce_time"] = time
    return Sent(source, headers, body, arrival)


class Lane:
    """Numbers records like a broker with one partition per topic and hands them to the speed layer in micro-batches.

    Several lanes may share a broker: the same `log`.
    """

    def __init__(self, settings: Settings, spark: SparkSession, name: str = "main", log: dict[str, list[Sent]] | None = None) -> None:
        self.settings = settings
        self.spark = spark
        self.name = name
        self.log: dict[str, list[Sent]] = {topic: [] for topic in kafka.raw_topics()} if log is None else log
        self.checkpoint = uuid.uuid4().hex
        self.batches = 0
        self.layer = SpeedLayer(settings, spark, name)

    def restart(self, *, lose_checkpoint: bool = False) -> None:
        """A new stream process; with `lose_checkpoint`, its micro-batches are numbered from 0 again."""
        self.layer.close()
        self.layer = SpeedLayer(self.settings, self.spark, self.name)
        self.layer.recover(self.frame)
        if lose_checkpoint:
            self.checkpoint, self.batches = uuid.uuid4().hex, 0

    def send(self, records: Iterable[Sent]) -> kafka.Ranges:
        """Appends records to their topics; the ranges they got."""
        ranges: kafka.Ranges = {}
        for record in records:
            topic = f"raw.{record.source}"
            offset = len(self.log[topic])
            self.log[topic].append(record)
            ranges.setdefault(topic, {}).setdefault("0", [offset, offset])[1] = offset + 1
        return ranges

    def frame(self, ranges: kafka.Ranges) -> DataFrame:
        """These records as Spark's Kafka source gives them: a topic is one partition of the frame, in the order of its offsets."""
        by_topic = []
        for topic, partitions in ranges.items():
            rows = []
            for offset in range(*partitions["0"]):
                sent = self.log[topic][offset]
                headers = [(name, value.encode()) for name, value in sent.headers.items()]
                rows.append((topic, 0, offset, datetime.fromtimestamp(sent.arrival / 1e6, UTC), headers, sent.body))
            by_topic.append(rows)
        # Not coalesce(1): Spark drops it before the speed layer's coalesce(2), and two copies in one topic race for their claim.
        divided = self.spark.sparkContext.parallelize(by_topic, max(len(by_topic), 1)).flatMap(list)
        return self.spark.createDataFrame(divided, kafka.COLUMNS)

    def batch(self, records: Sequence[Sent]) -> int:
        """One micro-batch of these records; its seq."""
        return self.run(self.send(records))

    def run(self, ranges: kafka.Ranges) -> int:
        """A micro-batch over these ranges under the next batch number."""
        seq = mint_seq(self.layer.connection, self.name, self.checkpoint, self.batches, ranges)
        self.batches += 1
        patiently(lambda: self.layer.process(self.frame(ranges), seq, ranges))
        return seq

    def close(self) -> None:
        self.layer.close()
