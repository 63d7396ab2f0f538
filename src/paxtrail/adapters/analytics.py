"""The stream of facts: bronze rows of one lane as de-identified facts in `analytics.events`, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame

from paxtrail.adapters import kafka, keyring, lake
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


def needed(rows: DataFrame) -> DataFrame:
    """What facts are made of, to be left of a stream: what `foreachBatch` gets is no table any more, and has all that was read."""
    return rows.select(*analytics.READ)


def to_kafka(settings: Settings, clock: Callable[[], int]) -> Callable[[DataFrame, int], None]:
    """What Spark calls with each micro-batch. Sent at least once: a micro-batch that was cut off is sent again, whole.

    `clock` gives µs UTC: it decides which quarters' keys are alive.
    """

    def batch(rows: DataFrame, _: int) -> None:
        found = analytics.facts(analytics.bronze(rows), keyring.person_keys(settings, clock()))
        analytics.messages(found).write.format("kafka").options(**kafka.spark_options(settings)).option("topic", TOPIC).save()

    return batch


def reached(settings: Settings, lane: str) -> int:
    """Newest micro-batch (seq) of the lane that was sent for good; -1 if none was.

    Spark notes with each of its own micro-batches how far it read: everything before a version of the table, whose transactions name the
    seq.
    """
    place = checkpoint(settings, lane)
    done = [int(file.name) for file in (place / "commits").glob("*") if file.name.isdigit()]
    if not done:
        return -1
    offset = orjson.loads((place / "offsets" / str(max(done))).read_bytes().splitlines()[-1])
    if offset["isStartingVersion"] or not offset["reservoirVersion"]:
        return -1  # of what was there at first not all is sent
    with suppress(DeltaError):  # a version that the log no longer has: more than a day behind
        return lake.last_transaction(bronze.EVENTS.of(lane), settings, lake.transaction_of(lane), offset["reservoirVersion"] - 1)
    return -1
