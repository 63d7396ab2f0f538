"""The broker as the fixtures and `paxtrail up` start it."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]  # not exported by the stubs

from paxtrail.settings import Settings
from paxtrail.stack import broker


def test_every_topic_is_there_with_the_wanted_partitions(kafka: Settings) -> None:
    found = AdminClient({"bootstrap.servers": kafka.kafka.brokers}).list_topics(timeout=10).topics
    wanted = {f"raw.{source}" for source in ("flights", "baggage", "reservations", "checkin", "loyalty", "booking", "contacts")} | {
        "out.profiles"
    }
    assert {name: len(topic.partitions) for name, topic in found.items() if name in wanted} == dict.fromkeys(wanted, kafka.kafka.partitions)
    assert broker.topics_problem(kafka) == ""


def test_raw_topics_carry_the_time_of_the_broker(kafka: Settings) -> None:
    resource = ConfigResource(ResourceType.TOPIC, "raw.flights")
    admin = AdminClient({"bootstrap.servers": kafka.kafka.brokers})  # the answer is lost if the client is not kept
    entries = admin.describe_configs([resource])[resource].result(10)
    assert entries["message.timestamp.type"].value == "LogAppendTime"


def test_a_record_over_the_limit_of_the_door_reaches_the_topic(kafka: Settings) -> None:
    delivered: list[tuple[object, int | None]] = []
    producer = Producer({"bootstrap.servers": kafka.kafka.brokers, "message.max.bytes": 8 * 1024 * 1024})
    body = b"x" * (2 * 1024 * 1024)
    producer.produce("raw.booking", body, partition=0, on_delivery=lambda error, message: delivered.append((error, message.offset())))
    producer.flush(30)
    [(error, offset)] = delivered
    assert error is None and offset is not None
    consumer = Consumer({"bootstrap.servers": kafka.kafka.brokers, "group.id": "test"})
    consumer.assign([TopicPartition("raw.booking", 0, offset)])  # the broker serves other tests too
    message = consumer.poll(30)
    assert message is not None
    assert message.value() == body
    consumer.close()


def test_making_the_topics_again_changes_nothing(kafka: Settings) -> None:
    broker.make_topics(kafka)
    assert broker.topics_problem(kafka) == ""
