"""Batch runs of a benchmark, timed by step, and more history than a stream fills in an hour."""

from __future__ import annotations

import time

from pyspark.sql import Column
from pyspark.sql import functions as F

from paxtrail.adapters import quality, silver
from paxtrail.adapters.batch import cut_open, steps
from paxtrail.adapters.silver import Job
from paxtrail.benchmark.stacks import Stack, say
from paxtrail.tables.silver import EVENTS
from paxtrail.transforms.events import RECORD_DIGITS


def timed(place: Stack, run_id: str, *, full: bool, gate: bool = False, copies: int = 1) -> dict[str, float]:
    """Seconds of each step of a batch run but its publication, in a session of its own.

    `copies`: once its events are taken in, silver.events becomes so many times itself, which is not timed.
    """
    say(f"batch run {run_id}")
    cut_open(place.settings, run_id)
    with silver.opened(place.settings, run_id, f"batch-{run_id}") as job:
        work = steps(job, full=full)
        if gate:
            work["gate"] = lambda: quality.ask(job)
        found = {}
        for name, step in work.items():
            began = time.perf_counter()
            step()
            found[name] = round(time.perf_counter() - began, 2)
            if name == "events" and copies > 1:
                _multiply(job, copies)
        return found


def _multiply(job: Job, copies: int) -> None:
    """The same facts again of other persons, journeys, flights and bags. They count as taken in by the cuts that took in the first."""

    def other(text: Column | str) -> Column:
        return F.md5(F.concat(text, F.lit("/"), F.col("copy").cast("string")))

    def renamed(column: str, *, names: tuple[str, ...], kept: tuple[str, ...]) -> Column:
        def one(item: Column) -> Column:
            return F.struct(*[(other(item[n]) if n in names else item[n]).alias(n) for n in kept])

        return F.transform(column, one)

    rows = silver.read(job, EVENTS).withColumn("copy", F.explode(F.sequence(F.lit(1), F.lit(copies - 1))))
    rows = rows.withColumns(
        {
            "event_id": F.concat(other(F.substring("event_id", 1, RECORD_DIGITS)), F.expr(f"substring(event_id, {RECORD_DIGITS + 1})")),
            "subject": other("subject"),
            "entities": renamed("entities", names=("key",), kept=("kind", "key")),
            "identifiers": renamed("identifiers", names=("token",), kept=("namespace", "token")),
            "relations": renamed("relations", names=("from_key", "to_key"), kept=("from_kind", "from_key", "kind", "to_kind", "to_key")),
        }
    )
    began = time.perf_counter()
    silver.write(job, EVENTS, rows.repartition(16), mode="append", again=True, about=silver.described(job, EVENTS, "after_epoch"))
    say(f"silver.events is {copies} times itself after {time.perf_counter() - began:.0f} s")
