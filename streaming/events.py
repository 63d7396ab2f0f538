"""The speed layer of one lane: raw.<source> topics through the door into bronze and the serving store, for as long as it runs.

Reads:  Kafka raw.<source> of the lane; PostgreSQL vault, serving.numbered, seqs, stream_commit
Writes: Delta bronze.events, bronze.rejects of the lane; PostgreSQL serving (states, links, relations, timeline, versions, outbox,
        ledger, seen, numbered, seqs, stream_commit)
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from paxtrail.adapters import kafka, keyring, lake, lanes, tracing
from paxtrail.adapters.programs import begin
from paxtrail.adapters.serving_store import numbered_until
from paxtrail.adapters.spark import streaming_session
from paxtrail.adapters.speed_layer import SpeedLayer, finish_retired, patiently, started
from paxtrail.errors import reported
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.stream")


def run(settings: Settings, lane: str, *, once: bool = False, accept_loss: bool = False) -> None:
    """Runs the lane until it is told to stop; with `once`, until everything that is there now is committed."""
    topics = kafka.raw_topics(lanes.lanes(settings)[lane])
    keyring.load(settings)  # one that cannot be used is said now and not by a worker
    with lake.locked(f"bronze.{lane}", settings):
        spark = streaming_session(settings, f"events-{lane}", settings.stream.driver_memory)
        layer = SpeedLayer(settings, spark, lane)
        finished = patiently(lambda: layer.recover(accept_loss=accept_loss))
        finished += patiently(lambda: finish_retired(settings, spark, layer.connection, accept_loss=accept_loss))
        if finished:
            log.warning("finished %d micro-batches of a stream that died", finished)
        if not topics:
            return
        starting = kafka.starting(settings, topics, patiently(lambda: numbered_until(layer.connection, topics)), accept_loss=accept_loss)
        # What was numbered is finished, and PostgreSQL knows how far that goes. An older checkpoint knows less: other topics, or another
        # lane's reading of these.
        checkpoint = settings.home / "checkpoints" / lane
        shutil.rmtree(checkpoint, ignore_errors=True)

        def batch(frame, batch_id):  # type: ignore[no-untyped-def]  # called back by Spark
            identity = json.loads((checkpoint / "metadata").read_text())["id"]
            patiently(lambda: layer.micro_batch(frame, batch_id, checkpoint, identity))

        writer = kafka.stream(spark, settings, topics, starting).writeStream.foreachBatch(batch)
        writer = writer.option("checkpointLocation", str(checkpoint)).queryName(f"events-{lane}")
        trigger: dict[str, Any] = {"availableNow": True} if once else {"processingTime": f"{settings.stream.trigger_ms} milliseconds"}
        query = writer.trigger(**trigger).start()
        signal.signal(signal.SIGTERM, lambda *_: query.stop())
        started(settings, lane, datetime.now(UTC))
        query.awaitTermination()


def main() -> int:
    """Arguments and settings; 0 when it was stopped or had nothing left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lane", help="lane of [lanes] (default: the only one); one without sources only finishes what it had begun")
    parser.add_argument("--once", action="store_true", help="stop when everything that is there now is committed")
    parser.add_argument("--accept-loss", action="store_true", help="go on although Kafka has dropped records that were never read")
    given = parser.parse_args()
    return reported(lambda: _run(given))


def _run(given: argparse.Namespace) -> int:
    settings = begin("stream")
    lane = lanes.chosen(settings, given.lane)
    run(settings, lane, once=given.once, accept_loss=given.accept_loss)
    tracing.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
