"""The speed layer of one lane: raw.<source> topics through the door into bronze and the serving store, for as long as it runs.

Reads:  Kafka raw.<source>; PostgreSQL vault, serving.seqs, serving.stream_commit
Writes: Delta bronze.events, bronze.rejects; PostgreSQL serving (states, links, relations, timeline, versions, outbox, ledger, seen)
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paxtrail.adapters import kafka, lake
from paxtrail.adapters.serving_store import stored_offsets
from paxtrail.adapters.spark import session
from paxtrail.adapters.speed_layer import SpeedLayer, patiently, started
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.stream")


def run(settings: Settings, *, once: bool = False) -> None:
    """Runs the lane until it is told to stop; with `once`, until everything that is there now is committed."""
    topics = kafka.raw_topics()
    with lake.locked(f"bronze.{settings.stream.lane}", settings):
        spark = session(settings, f"events-{settings.stream.lane}")
        layer = SpeedLayer(settings, spark)
        finished = patiently(layer.recover)
        if finished:
            log.warning("finished %d micro-batches of a stream that died", finished)
        checkpoint = Path(settings.home / "checkpoints" / settings.stream.lane)
        starting = {**kafka.earliest(settings, topics)}
        for topic, partitions in stored_offsets(layer.connection, settings.stream.lane).items():
            for partition, offset in partitions.items():
                starting[topic][partition] = max(offset, starting[topic].get(partition, 0))

        def batch(frame, batch_id):  # type: ignore[no-untyped-def]  # called back by Spark
            identity = json.loads((checkpoint / "metadata").read_text())["id"]
            patiently(lambda: layer.micro_batch(frame, batch_id, checkpoint, identity))

        writer = kafka.stream(spark, settings, topics, starting).writeStream.foreachBatch(batch)
        writer = writer.option("checkpointLocation", str(checkpoint)).queryName(f"events-{settings.stream.lane}")
        trigger: dict[str, Any] = {"availableNow": True} if once else {"processingTime": f"{settings.stream.trigger_ms} milliseconds"}
        query = writer.trigger(**trigger).start()
        signal.signal(signal.SIGTERM, lambda *_: query.stop())
        started(settings, datetime.now(UTC))
        query.awaitTermination()


def main() -> int:
    """Arguments and settings; 0 when it was stopped or had nothing left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="stop when everything that is there now is committed")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    run(Settings.load(), once=arguments.once)
    return 0


if __name__ == "__main__":
    sys.exit(main())
