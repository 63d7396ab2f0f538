"""The outbox relay: delivered at least once and in order, whatever was away; nothing deleted that was not delivered."""

from __future__ import annotations

import json
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import tenacity
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry

from paxtrail.adapters.postgres import dsn
from paxtrail.serving.relay import LOCK, Relay, main
from paxtrail.settings import Settings
from paxtrail.stack import broker
from paxtrail.stack.processes import free_ports, running

TOPIC = broker.OUT_PROFILES


def put(settings: Settings, *numbers: int) -> None:
    with psycopg.connect(dsn(settings, "serving", "stream")) as connection:
        for number in numbers:
            payload = json.dumps({"id": f"c{number % 3}", "version": number})
            connection.execute("insert into outbox (topic, key, payload) values (%s, %s, %s)", (TOPIC, f"c{number % 3}", payload))


def left(settings: Settings) -> int:
    with psycopg.connect(dsn(settings, "serving", "postgres")) as connection:
        row = connection.execute("select count(*) from outbox").fetchone()
        return int(row[0]) if row else -1


def emptied(settings: Settings) -> bool:
    """Whether the outbox gets empty within 30 s; asked of the server, which knows when a row goes."""
    gone = threading.Event()
    for _ in range(300):
        if left(settings) == 0:
            return True
        gone.wait(0.1)
    return False


@contextmanager
def relaying(settings: Settings) -> Iterator[Relay]:
    relay = Relay(settings)
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(60)
        assert not thread.is_alive()


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(KafkaException), wait=tenacity.wait_fixed(0.2), stop=tenacity.stop_after_delay(30), reraise=True
)
def ends(settings: Settings) -> dict[int, int]:
    # A topic made a moment ago may not have its leaders yet.
    consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "tests"})
    try:
        partitions = consumer.list_topics(TOPIC, timeout=20).topics[TOPIC].partitions
        return {p: consumer.get_watermark_offsets(TopicPartition(TOPIC, p), timeout=20, cached=False)[1] for p in partitions}
    finally:
        consumer.close()


def delivered(settings: Settings, since: dict[int, int]) -> list[tuple[str, int]]:
    """(key, version) of every message after these offsets, in order per partition."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.brokers, "group.id": "tests", "enable.auto.commit": False})
    found = []
    try:
        until = ends(settings)
        for partition, start in since.items():
            consumer.assign([TopicPartition(TOPIC, partition, start)])
            for _ in range(until[partition] - start):
                message = consumer.poll(20)
                assert message is not None and not message.error()
                found.append(((message.key() or b"").decode(), json.loads(message.value() or b"")["version"]))
        return found
    finally:
        consumer.close()


def value(registry: CollectorRegistry, name: str) -> float:
    return registry.get_sample_value(name) or 0.0


def test_rows_are_delivered_in_order_per_key_and_then_deleted(clean_postgres: Settings, kafka: Settings) -> None:
    since = ends(kafka)
    put(clean_postgres, *range(1, 1201))
    with relaying(clean_postgres) as relay:
        assert emptied(clean_postgres)
    found = delivered(kafka, since)
    for key in ("c0", "c1", "c2"):
        versions = [version for k, version in found if k == key]
        assert versions == sorted(versions) and len(set(versions)) == 400
    assert relay.registry.get_sample_value("paxtrail_relay_delivered_total", {"topic": TOPIC}) == 1200


def test_only_one_relay_is_active(clean_postgres: Settings, kafka: Settings) -> None:
    with psycopg.connect(dsn(clean_postgres, "serving", "relay"), autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (LOCK,))
        put(clean_postgres, 1)
        with relaying(clean_postgres) as relay:
            threading.Event().wait(1.5)
            assert left(clean_postgres) == 1 and value(relay.registry, "paxtrail_relay_active") == 0
            other.execute("select pg_advisory_unlock(%s)", (LOCK,))
            assert emptied(clean_postgres)


def test_a_lost_connection_is_opened_again(clean_postgres: Settings, kafka: Settings) -> None:
    with relaying(clean_postgres) as relay:
        put(clean_postgres, 1)
        assert emptied(clean_postgres)
        with psycopg.connect(dsn(clean_postgres, "postgres", "postgres"), autocommit=True) as server:
            server.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        put(clean_postgres, 2)
        assert emptied(clean_postgres)
        assert value(relay.registry, "paxtrail_relay_failures_total") >= 1


def test_what_is_written_while_the_broker_is_away_is_delivered_once_it_returns(
    clean_postgres: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.conftest import settings_for

    home = tmp_path_factory.mktemp("relay-broker")
    own = settings_for(home)
    mine = clean_postgres.model_copy(update={"kafka": own.kafka})
    put(mine, 1, 2, 3)
    with relaying(mine) as relay:
        relay_failed = threading.Event()
        for _ in range(100):
            if value(relay.registry, "paxtrail_relay_waiting_rows") == 3:
                break
            relay_failed.wait(0.1)
        assert left(mine) == 3
        broker.prepare(own)
        with running(broker.command(own), lambda: broker.problem(own), log=home / "kafka.log", stop=signal.SIGTERM):
            broker.make_topics(own)
            assert emptied(mine)
            assert {version for _, version in delivered(mine, dict.fromkeys(ends(mine), 0))} == {1, 2, 3}


def test_metrics_are_served_at_the_configured_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    monkeypatch.setenv("PAXTRAIL_RELAY__METRICS_HOST", "127.0.0.2")
    monkeypatch.setenv("PAXTRAIL_RELAY__METRICS_PORT", str(port))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    found = []

    def ask(_relay: Relay) -> None:
        with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=10) as answer:
            found.append(answer.read().decode())
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=10)

    monkeypatch.setattr(Relay, "run", ask)
    assert main() == 0
    assert "paxtrail_relay_active" in found[0]
