"""Outbox to Kafka: sends what transactions left in `outbox`, in id order, deletes it once delivered; at least once, one active relay."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import tenacity
from confluent_kafka import KafkaException, Producer
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from paxtrail.adapters import tracing
from paxtrail.adapters.kafka import client
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.programs import begin
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.relay")

LOCK = 7262602
"""Advisory lock that makes one relay active; the others stand by."""
_DELIVERY_S = 30.0


class Relay:
    """One relay: `run` until `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopped = threading.Event()
        self.registry = CollectorRegistry()
        self._sent = Counter("paxtrail_relay_delivered", "Rows delivered.", ("topic",), registry=self.registry)
        self._failed = Counter("paxtrail_relay_failures", "Rounds that failed and were tried again.", registry=self.registry)
        self._active = Gauge("paxtrail_relay_active", "1 on the relay that holds the lock.", registry=self.registry)
        self._waiting = Gauge(
            "paxtrail_relay_waiting_rows", "Rows found in the last round (bounded by the batch size).", registry=self.registry
        )

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Relays until stopped; whatever is away (database, broker) is tried again, 0.1 to 5 s apart."""
        tenacity.Retrying(
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            retry=tenacity.retry_if_exception_type((psycopg.Error, KafkaException, Unavailable)),
            stop=tenacity.stop_when_event_set(self._stopped),
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=self._note,
            retry_error_callback=lambda state: None,
        )(self._session)

    def _note(self, state: tenacity.RetryCallState) -> None:
        self._failed.inc()
        self._active.set(0)
        error = state.outcome.exception() if state.outcome else None
        log.warning("relay waits: %s", type(error).__name__)

    def _session(self) -> None:
        settings = self._settings
        producer = Producer(
            {
                **client(settings),
                "client.id": "paxtrail-relay",
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "message.timeout.ms": int(_DELIVERY_S * 1000),
                "compression.type": "lz4",
            },
            logger=_QUIET,
        )
        try:
            with psycopg.connect(dsn(settings, "serving", "relay"), autocommit=True, connect_timeout=5) as connection:
                while not self._stopped.is_set() and not self._lock(connection):
                    self._stopped.wait(1.0)
                while not self._stopped.is_set():
                    self._active.set(1)
                    if not self._round(connection, producer):
                        self._stopped.wait(settings.relay.poll_ms / 1000)
        finally:
            # A new producer for each session: after a failed delivery this one must not send later what is sent again.
            producer.purge()
            producer.flush(1)
            self._active.set(0)

    @staticmethod
    def _lock(connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        return bool(row and row[0])

    def _round(self, connection: psycopg.Connection[Any], producer: Producer) -> bool:
        """Sends one batch and deletes it once all of it is delivered; whether there may be more."""
        rows = connection.execute(
            "select id, topic, key, payload, traceparent from outbox order by id limit %s", (self._settings.relay.batch,)
        ).fetchall()
        self._waiting.set(len(rows))
        if not rows:
            return False
        links = {row[4]: None for row in rows if row[4]} if tracing.on() else {}
        with tracing.span("relay", "producer", links=links, rows=len(rows)):
            delivered = self._deliver(producer, rows)
        connection.execute("delete from outbox where id = any(%s)", (delivered,))
        for topic in {row[1] for row in rows}:
            self._sent.labels(topic).inc(sum(row[1] == topic for row in rows))
        return len(rows) == self._settings.relay.batch

    @staticmethod
    def _deliver(producer: Producer, rows: Sequence[tuple[Any, ...]]) -> list[int]:
        """Ids of the rows, all of them delivered; Unavailable else."""
        delivered: list[int] = []
        failed: list[str] = []
        for number, topic, key, payload, context in rows:
            # The trace goes on as that of the record which made this version, not as that of a round of the relay.
            headers = {"outbox_id": str(number)} | ({"traceparent": context} if context else {})
            producer.produce(topic, value=payload, key=key, headers=headers, on_delivery=_outcome(number, delivered, failed))
            producer.poll(0)
        left = producer.flush(_DELIVERY_S + 5)
        if left or failed or len(delivered) != len(rows):
            # The whole batch is sent again: at least once, and the order per key holds.
            raise Unavailable(f"{len(rows) - len(delivered)} of {len(rows)} rows not delivered")
        return delivered


def _outcome(number: int, delivered: list[int], failed: list[str]) -> Callable[[Any, Any], None]:
    def note(error: Any, message: Any) -> None:
        if error is None:
            delivered.append(number)
        else:
            failed.append(error.name())

    return note


_QUIET = logging.getLogger("paxtrail.relay.kafka")
_QUIET.setLevel(logging.ERROR)


def main() -> int:
    """Runs the relay of this environment until SIGTERM or SIGINT."""
    settings = begin("relay")
    relay = Relay(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    server, thread = start_http_server(settings.relay.metrics_port, addr=settings.relay.metrics_host, registry=relay.registry)
    try:
        relay.run()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        tracing.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
