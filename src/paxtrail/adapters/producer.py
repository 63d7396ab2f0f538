"""Sending records to the door's topics: idempotent, acknowledged by all replicas, keyed by an opaque hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from paxtrail.core.records import Record
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings


def producer(settings: Settings) -> Producer:
    """A producer that neither loses nor repeats what it was given."""
    return Producer(
        {
            "bootstrap.servers": settings.kafka.brokers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.max.bytes": 2_097_152,
        }
    )


def key_of(source: str, headers: Mapping[str, str], body: bytes) -> str:
    """An opaque key: nothing personal may stand in a Kafka key, and one id always goes to one partition."""
    named = f"{source}\0{headers.get('ce_source', '')}\0{headers.get('ce_id', '')}".encode()
    return hashlib.blake2b(named if headers.get("ce_id") else body, digest_size=8).hexdigest()


def send(settings: Settings, records: Iterable[Record], *, timeout: float = 60.0) -> int:
    """Sends the records to raw.<source> and waits until the broker has them all; their number. Unavailable if it does not answer."""
    to_broker = producer(settings)
    failed: list[str] = []
    sent = 0

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            failed.append(error.name())

    for record in records:
        headers: list[tuple[str, str | bytes | None]] = [(name, value.encode()) for name, value in record.headers.items()]
        while True:
            try:
                to_broker.produce(
                    f"raw.{record.source}",
                    record.body,
                    key=key_of(record.source, record.headers, record.body),
                    headers=headers,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                to_broker.poll(0.5)
            except KafkaException as error:
                raise Unavailable(f"Kafka at {settings.kafka.brokers}: {error.args[0].name()}") from None
        to_broker.poll(0)
        sent += 1
    if to_broker.flush(timeout) or failed:
        why = failed[0] if failed else "no answer"
        raise Unavailable(
            f"Kafka at {settings.kafka.brokers} did not take every record ({why}): is it up? `./paxtrail status`; send the file again"
        )
    return sent
