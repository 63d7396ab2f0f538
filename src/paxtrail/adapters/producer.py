"""Sending records to the door's topics: idempotent, acknowledged by all replicas, keyed by an opaque hash."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

from confluent_kafka import KafkaException, Producer

from paxtrail.adapters import tracing
from paxtrail.adapters.kafka import client
from paxtrail.core.cloudevents import identity, trace_header
from paxtrail.core.records import Record
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings

_TOGETHER = 2000
_QUIET = logging.getLogger("paxtrail.producer.kafka")
_QUIET.setLevel(logging.CRITICAL)


class Sender:
    """One producer that neither loses nor repeats what it is given; many threads may send. Connects when first used."""

    def __init__(self, settings: Settings, *, patience_s: float = 60.0) -> None:
        """`patience_s`: how long the broker may take to acknowledge; what it has not by then is not sent later either."""
        self._client = client(settings)
        self._patience_s = patience_s
        self._producer: Producer | None = None

    def send(self, records: Iterable[Record]) -> int:
        """The records are in raw.<source>; their number. Unavailable if the broker does not have every one: send all of them again."""
        with tracing.span("send", "producer") as span:
            sent = self._sent(records, tracing.context(span))
            span.set_attribute("records", sent)
        return sent

    def _sent(self, records: Iterable[Record], context: str | None) -> int:
        producer = self._connected()
        deadline = time.monotonic() + self._patience_s
        reports: list[Any] = []
        sent = 0
        for record in records:
            self._hand_over(producer, record, reports, deadline, context)
            sent += 1
        while len(reports) < sent and time.monotonic() < deadline + 1:
            # Whichever thread polls is told of everybody's deliveries, so none may sleep long.
            producer.poll(0.02)
        failed = [error for error in reports if error is not None]
        if failed or len(reports) < sent:
            if any(error.fatal() for error in failed):
                self._producer = None
            raise self._away(failed[0].name() if failed else "no answer")
        return sent

    def _hand_over(self, producer: Producer, record: Record, reports: list[Any], deadline: float, context: str | None) -> None:
        headers: list[tuple[str, str | bytes | None]] = []
        headers += [(name, value.encode("utf-8", "surrogateescape")) for name, value in record.headers.items()]
        if context is not None and not {"ce_traceparent", "traceparent"} & record.headers.keys():
            headers.append((trace_header(record), context))
        while True:
            try:
                producer.produce(
                    f"raw.{record.source}",
                    record.body,
                    key=key_of(record),
                    headers=headers,
                    on_delivery=lambda error, _message: reports.append(error),
                )
            except BufferError:
                if time.monotonic() > deadline:
                    raise self._away("its queue is full") from None
                producer.poll(0.1)
            except KafkaException as error:
                raise self._away(error.args[0].name()) from None
            else:
                producer.poll(0)
                return

    def _connected(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    **self._client,
                    "acks": "all",
                    "enable.idempotence": True,
                    "linger.ms": 5,
                    "compression.type": "lz4",
                    "message.max.bytes": 2_097_152,
                    "message.timeout.ms": int(self._patience_s * 1000),
                },
                # What matters of a broker that is away is in the error that the caller gets.
                logger=_QUIET,
            )
        return self._producer

    def _away(self, why: str) -> Unavailable:
        where = self._client["bootstrap.servers"]
        return Unavailable(f"Kafka at {where} did not take every record ({why}): is it up? `./paxtrail status`; send them again")


def key_of(record: Record) -> str:
    """An opaque key: nothing personal may stand in a Kafka key, and one id always goes to one partition."""
    found = identity(record)
    named = record.body if found is None else "\0".join((record.source, *found)).encode()
    return hashlib.blake2b(named, digest_size=8).hexdigest()


def send(settings: Settings, records: Iterable[Record], *, timeout: float = 60.0) -> int:
    """Sends any number of records and waits until the broker has them all; their number. Unavailable if it does not answer."""
    sender = Sender(settings, patience_s=timeout)
    left = iter(records)
    sent = 0
    while together := list(islice(left, _TOGETHER)):
        sent += sender.send(together)
    return sent
