"""What comes to a topic while a test runs."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Consumer, TopicPartition

from paxtrail.settings import Settings


class Topic:
    """What comes to a topic from here on."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "tests", "enable.auto.commit": False})
        partitions = self._consumer.list_topics(name, timeout=20).topics[name].partitions
        ends = {p: self._end(name, p) for p in partitions}
        self._consumer.assign([TopicPartition(name, p, end) for p, end in ends.items()])
        self._name, self._ends = name, ends

    def _end(self, name: str, partition: int) -> int:
        return int(self._consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=20, cached=False)[1])

    def new(self) -> list[tuple[bytes | None, dict[str, str], bytes]]:
        """Key, headers and body of everything that came since the last call; acknowledged records are there at once."""
        ends = {p: self._end(self._name, p) for p in self._ends}
        count, self._ends = sum(ends.values()) - sum(self._ends.values()), ends
        found = []
        for _ in range(count):
            message = self._consumer.poll(20)
            assert message is not None and message.error() is None
            given = cast(list[tuple[str, bytes]], message.headers() or [])
            found.append((message.key(), {name: value.decode() for name, value in given}, message.value() or b""))
        return found

    def close(self) -> None:
        self._consumer.close()
