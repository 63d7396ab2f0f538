"""The bridge: messages of plain Kafka topics become CloudEvents on raw.<source>, named by their position; at least once.

Reads:  the topics of conf [bridge], as consumer group `paxtrail-bridge`
Writes: Kafka raw.<source>
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import tenacity
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from paxtrail.adapters import logs, tracing
from paxtrail.adapters.kafka import client
from paxtrail.adapters.producer import Sender
from paxtrail.adapters.programs import begin
from paxtrail.core.decoding import MAX_BODY
from paxtrail.core.records import Record
from paxtrail.core.schemas import LATEST
from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError, Unavailable
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.bridge")
_QUIET = logging.getLogger("paxtrail.bridge.kafka")
_QUIET.setLevel(logging.ERROR)

GROUP = "paxtrail-bridge"
_TOGETHER = 500
_POLL_S = 0.5
_PATIENCE_S = 30.0


def check(settings: Settings) -> None:
    """Nothing if the bridge has topics to follow and none is ours; ConfigurationError else."""
    topics = settings.bridge.topics
    if not topics:
        raise ConfigurationError('the bridge has no topics: name them in conf/base.toml, [bridge] topics = { "legacy.bags" = "baggage" }')
    for topic, source in topics.items():
        if source not in SOURCES:
            raise ConfigurationError(f"[bridge] topics: {topic} is of no source we have ({', '.join(SOURCES)})")
        if topic.startswith(("raw.", "out.", "^")):
            raise ConfigurationError(f"[bridge] topics: {topic} must be a topic of another system, by its whole name")


def enveloped(message: Message, source: str) -> Record:
    """The record of a message: id = topic/partition/offset, source = its topic, time = the broker's, the body as it came.

    A body over 1 MiB is cut one byte after it: the door refuses it all the same, and the whole stands where the id says.
    """
    kind, milliseconds = message.timestamp()
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{message.topic()}/{message.partition()}/{message.offset()}",
        "ce_source": quote(message.topic() or "", safe=""),
        "ce_type": f"paxtrail.{source}.received",
    }
    if kind != TIMESTAMP_NOT_AVAILABLE and 0 <= milliseconds < LATEST // 1000:
        headers["ce_time"] = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return Record(source, headers, (message.value() or b"")[: MAX_BODY + 1], time.time_ns() // 1000)


class Bridge:
    """One bridge: `run` until `stop`. Several share the partitions."""

    def __init__(self, settings: Settings) -> None:
        check(settings)
        self._settings = settings
        self._stopped = threading.Event()
        self._ready = settings.home / "run" / "bridge.ready"

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Follows the topics until stopped; a broker that is away is tried again, from the offsets that were committed."""
        tenacity.Retrying(
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            retry=tenacity.retry_if_exception_type((KafkaException, Unavailable)),
            stop=tenacity.stop_when_event_set(self._stopped),
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=lambda state: log.warning("the bridge waits: %s", logs.told(state.outcome.exception() if state.outcome else None)),
            retry_error_callback=lambda state: None,
        )(self._session)

    def _session(self) -> None:
        sender = Sender(self._settings, patience_s=_PATIENCE_S)
        consumer = Consumer(
            {
                **client(self._settings),
                "group.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            },
            logger=_QUIET,
        )
        try:
            consumer.list_topics(timeout=10)
            consumer.subscribe(list(self._settings.bridge.topics))
            self._ready.parent.mkdir(parents=True, exist_ok=True)
            self._ready.write_text(str(os.getpid()))
            while not self._stopped.is_set():
                self._pass_on(consumer, sender, consumer.consume(_TOGETHER, _POLL_S))
        finally:
            consumer.close()

    def _pass_on(self, consumer: Consumer, sender: Sender, messages: Sequence[Message]) -> None:
        records, ends = [], {}
        for message in messages:
            if error := message.error():
                _judge(error, message.topic())
                continue
            topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
            records.append(enveloped(message, self._settings.bridge.topics[topic]))
            ends[topic, partition] = offset + 1
        if records:
            sender.send(records)
            self._fail_here("after_send")
            # Only now: killed before, the same messages come again, with the same ids, and the door drops them.
            consumer.commit(offsets=[TopicPartition(*at, end) for at, end in ends.items()], asynchronous=False)

    def _fail_here(self, point: str) -> None:
        """Dies at a named point, as a kill test asks for it."""
        if self._settings.bridge.failpoint == point:
            os.kill(os.getpid(), signal.SIGKILL)


def _judge(error: KafkaError, topic: str | None) -> None:
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        log.error("there is no topic %s: make it, or correct [bridge] topics", topic)
    else:
        raise KafkaException(error)


def main() -> int:
    """Runs the bridge of this environment until SIGTERM or SIGINT."""
    bridge = Bridge(begin("bridge"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: bridge.stop())
    bridge.run()
    tracing.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
