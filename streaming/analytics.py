"""Facts for analysts, as they come: bronze.events of every lane, de-identified and flat, to Kafka for as long as it runs.

Reads:  Delta bronze.events
Writes: Kafka analytics.events (at least once; spark_jobs/reindex.py makes closed hours exact)
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from typing import Any

from paxtrail.adapters import analytics, lake
from paxtrail.adapters.druid import Druid
from paxtrail.adapters.programs import begin
from paxtrail.adapters.spark import streaming_session
from paxtrail.settings import Settings


def run(settings: Settings, *, once: bool = False, supervise: bool = False) -> None:
    """One query per lane until it is told to stop; with `once`, until everything that is there now is sent."""
    if supervise:
        Druid(settings).supervise()
    with lake.locked("analytics", settings):
        spark = streaming_session(settings, "analytics", settings.druid.driver_memory)
        trigger: dict[str, Any] = {"availableNow": True} if once else {"processingTime": f"{settings.druid.trigger_ms} milliseconds"}
        queries = []
        for lane, path in analytics.lanes(settings).items():
            # Commits that only delete are the end of a retention: what was counted stays counted.
            rows = spark.readStream.format("delta").option("skipChangeCommits", "true").load(path)
            writer = analytics.needed(rows).writeStream.foreachBatch(analytics.to_kafka(settings, lambda: time.time_ns() // 1000))
            writer = writer.option("checkpointLocation", str(analytics.checkpoint(settings, lane))).queryName(f"analytics-{lane}")
            queries.append(writer.trigger(**trigger).start())

        def stop(*_: object) -> None:
            for query in queries:
                query.stop()

        signal.signal(signal.SIGTERM, stop)
        (settings.home / "run" / "analytics.ready").write_text(f"{os.getpid()}\n")
        # The first that ends ends the program, which is then started again; with `once` each is waited for.
        for query in queries if once else ():
            query.awaitTermination()
        if not once:
            spark.streams.awaitAnyTermination()


def main() -> int:
    """Arguments and settings; 0 when it was stopped or had nothing left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="stop when everything that is there now is sent")
    parser.add_argument("--supervise", action="store_true", help="tell Druid first to follow the topic (conf/druid/supervisor.json)")
    arguments = parser.parse_args()
    run(begin("analytics"), once=arguments.once, supervise=arguments.supervise)
    return 0


if __name__ == "__main__":
    sys.exit(main())
