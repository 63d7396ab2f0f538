"""A Kafka broker of our own, one KRaft node from Maven jars: formatted, started, its topics made, checked."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # the stubs do not export it

from paxtrail.adapters.java import java
from paxtrail.adapters.kafka import client, raw_topics
from paxtrail.errors import ConfigurationError, Unavailable
from paxtrail.settings import Settings
from paxtrail.stack.jars import jar_folder

OUT_PROFILES = "out.profiles"
ANALYTICS = "analytics.events"


def topics(settings: Settings) -> list[NewTopic]:
    """Every topic with its settings. Raw topics carry the broker's time: the deduplication horizon runs on arrival."""
    week = str(7 * 24 * 3600 * 1000)
    raw = {"message.timestamp.type": "LogAppendTime", "retention.ms": week, "max.message.bytes": str(8 * 1024 * 1024)}
    replicas = 1 if settings.env == "local" else 3
    return [
        *(NewTopic(topic, settings.kafka.partitions, replicas, config=raw) for topic in raw_topics()),
        NewTopic(OUT_PROFILES, settings.kafka.partitions, replicas, config={"retention.ms": week}),
        NewTopic(ANALYTICS, settings.kafka.partitions, replicas, config={"retention.ms": week}),
    ]


def folder(settings: Settings) -> Path:
    return settings.home / "kafka"


def prepare(settings: Settings) -> None:
    """The folder is formatted and holds the configuration with this copy's ports; repeating it changes nothing."""
    place = folder(settings)
    data = place / "data"
    data.mkdir(parents=True, exist_ok=True)
    listener = f"PLAINTEXT://{settings.kafka.brokers}"
    controller = f"127.0.0.1:{settings.kafka.controller_port}"
    own = {
        "listeners": f"{listener},CONTROLLER://{controller}",
        "advertised.listeners": listener,
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": str(data),
        "num.partitions": str(settings.kafka.partitions),
    }
    template = (settings.conf / "kafka" / "server.properties").read_text()
    # The last value of a key counts.
    (place / "server.properties").write_text(template + "".join(f"{key}={value}\n" for key, value in own.items()))
    if not (data / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(b"P" + os.urandom(15)).decode().rstrip("=")
        arguments = ["format", "-t", cluster, "-c", str(place / "server.properties"), "--ignore-formatted"]
        done = subprocess.run([*_java("-Xmx128m"), "kafka.tools.StorageTool", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigurationError(f"the broker's folder could not be formatted: {(done.stdout + done.stderr).strip()[-500:]}")


def command(settings: Settings) -> list[str]:
    """Program and arguments of the broker in the foreground; `prepare` must have run."""
    return [*_java("-Xms256m", "-Xmx512m"), "kafka.Kafka", str(folder(settings) / "server.properties")]


def _java(*options: str) -> list[str]:
    return [java(), *options, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jar_folder('kafka')}/*"]


def problem(settings: Settings) -> str:
    """Why the broker cannot be used yet; empty = it answers."""
    try:
        _admin(settings).list_topics(timeout=3)
    except KafkaException as error:
        return f"does not answer: {error.args[0].name()}"
    return ""


def topics_problem(settings: Settings) -> str:
    """Which topics are missing; empty = none."""
    try:
        known = _admin(settings).list_topics(timeout=3).topics
    except KafkaException:
        return "the broker does not answer"
    missing = [topic.topic for topic in topics(settings) if topic.topic not in known]
    return f"missing: {', '.join(missing)}" if missing else ""


def make_topics(settings: Settings) -> None:
    """All topics exist; those that did are left as they are."""
    admin = _admin(settings)
    known = admin.list_topics(timeout=10).topics
    wanted = [topic for topic in topics(settings) if topic.topic not in known]
    for name, made in admin.create_topics(wanted).items() if wanted else ():
        try:
            made.result(timeout=30)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise Unavailable(f"the topic {name} could not be made: {error.args[0].name()}") from error


def _admin(settings: Settings) -> AdminClient:
    # librdkafka would write every refused connection to stderr while the broker starts.
    return AdminClient(client(settings) | {"log_level": 0})
