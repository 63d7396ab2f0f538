"""The stream of facts: bronze rows of one lane as de-identified facts in `analytics.events`, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.adapters import drafts, kafka, keyring, lake
from paxtrail.adapters.druid import TOPIC
from paxtrail.adapters.lanes import lanes as named
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.transforms import analytics


def lanes(settings: Settings) -> dict[str, str]:
    """Path of the table of events of each lane, created empty where it is not there."""
    return {lane: lake.ensure(bronze.EVENTS.of(lane), settings).path(settings.lake) for lane in named(settings)}


def checkpoint(settings: Settings, lane: str) -> Path:
    return settings.home / "checkpoints" / f"analytics.{lane}"


def to_kafka(settings: Settings, lane: str, clock: Callable[[], int]) -> Callable[[DataFrame, int], None]:
    """What Spark calls with each micro-batch. Sent at least once: a micro-batch that was cut off is sent again, whole.

    `clock` gives µs UTC: it decides which quarters' keys are alive.
    """
    progress = checkpoint(settings, lane) / "progress.json"

    def batch(rows: DataFrame, batch_id: int) -> None:
        found = analytics.facts(analytics.bronze(rows), keyring.person_keys(settings, clock()))
        (analytics.messages(found).write.format("kafka").options(**kafka.spark_options(settings)).option("topic", TOPIC).save())
        # Not by an Observation: it never ends where the sink is Kafka's.
        ((seq,),) = rows.agg(F.max("seq")).collect()
        before = orjson.loads(progress.read_bytes()) if progress.exists() else {"seq": -1}
        drafts.replace(progress, orjson.dumps({"batch": batch_id, "seq": max(before["seq"], -1 if seq is None else seq)}))

    return batch


def reached(settings: Settings, lane: str) -> int:
    """Newest micro-batch (seq) of the lane that was sent for good; -1 while the newest one could still be sent again."""
    place = checkpoint(settings, lane)
    if not (place / "progress.json").exists():
        return -1
    progress = orjson.loads((place / "progress.json").read_bytes())
    return int(progress["seq"]) if (place / "commits" / str(progress["batch"])).exists() else -1
