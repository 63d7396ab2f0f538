"""The stream driver with a stopwatch in it: the same program, its steps timed, one line of JSON per micro-batch and per task.

Run as a program in place of streaming/events.py; writes <home>/logs/stages.jsonl. It wraps functions by name and changes none: a name
that is gone fails at the start.
"""

from __future__ import annotations

import functools
import os
import runpy
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from paxtrail.adapters import claims, door, kafka, lake, serving_store, speed_layer, vault
from paxtrail.settings import ROOT, Settings

STREAM = ROOT / "streaming" / "events.py"
_PROGRESS_S = 5.0
_original = speed_layer.through_the_door
_times: defaultdict[str, float] = defaultdict(float)
_wrapped = False


def file(settings: Settings) -> Path:
    return settings.logs / "stages.jsonl"


def summary(settings: Settings, *, since: float = 0.0) -> dict[str, Any]:
    """Mean milliseconds of each step per micro-batch that had records, from `since` (seconds since 1970).

    `task.*` are steps in Spark's Python workers (two tasks at a time): the sum over a micro-batch's tasks divided by two.
    """
    lines = [line for text in file(settings).read_bytes().splitlines() if (line := orjson.loads(text))["at"] >= since]
    batches = [line for line in lines if line["kind"] == "batch" and line["records"]]
    sums: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        if line["kind"] == "task" or (line["kind"] == "batch" and line["records"]):
            for step, seconds in line["steps"].items():
                sums[f"task.{step}" if line["kind"] == "task" else step] += seconds / (2 if line["kind"] == "task" else 1)
    progress = [line for line in lines if line["kind"] == "progress" and line["records"]]
    for line in progress:
        for step, milliseconds in line["steps"].items():
            sums[f"trigger.{step}"] += milliseconds / 1000 * len(batches) / len(progress)
    count = max(1, len(batches))
    found = {step: round(1000 * seconds / count, 1) for step, seconds in sorted(sums.items())}
    found["spark_job"] = round(
        found.get("process", 0.0) - found.get("commit", 0.0) - found.get("ledger", 0.0) - found.get("number", 0.0), 1
    )
    return {"micro_batches": len(batches), "records_each": round(sum(line["records"] for line in batches) / count, 1), "mean_ms": found}


def _note(kind: str, path: Path, **values: Any) -> None:
    line = orjson.dumps({"kind": kind, "at": time.time(), **values}, option=orjson.OPT_APPEND_NEWLINE)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def _timed(owner: Any, name: str, step: str) -> None:
    function: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            _times[step] += time.perf_counter() - began

    static = isinstance(vars(owner).get(name), staticmethod)
    setattr(owner, name, staticmethod(run) if static else run)


def _taken() -> dict[str, float]:
    found = {step: round(seconds, 5) for step, seconds in _times.items()}
    _times.clear()
    return found


def _through_the_door(settings: Settings) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    admit, path = _original(settings), file(settings)

    def timed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return in_worker(admit, batches, path)

    return timed


def in_worker(
    admit: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], batches: Iterator[pa.RecordBatch], path: Path
) -> Iterator[pa.RecordBatch]:
    """One task of the door in a Python worker of Spark, timed."""
    global _wrapped
    if not _wrapped:
        _wrapped = True
        _timed(door, "decode", "decode")
        _timed(claims.Claims, "lost", "claims")
        _timed(vault.Vault, "tokens", "tokens")
        _timed(vault.Vault, "keys", "keys")
        _timed(vault.Vault, "refresh", "refresh")
    records = 0

    def received() -> Iterator[pa.RecordBatch]:
        nonlocal records
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            _times["input"] += time.perf_counter() - began
            if batch is None:
                return
            records += batch.num_rows
            yield batch

    cpu = time.process_time()
    out = admit(received())
    while True:
        began, waited = time.perf_counter(), _times["input"]
        batch = next(out, None)
        _times["door"] += time.perf_counter() - began - (_times["input"] - waited)
        if batch is None:
            break
        yield batch
    _times["processor"] += time.process_time() - cpu
    _note("task", path, records=records, steps=_taken())


def _progress(settings: Settings) -> None:
    """Notes Spark's own account of each trigger."""
    from pyspark.sql import SparkSession

    spark, seen = SparkSession.getActiveSession(), -1
    assert spark is not None

    def run() -> None:
        nonlocal seen
        while True:
            time.sleep(_PROGRESS_S)
            for query in spark.streams.active:
                for one in query.recentProgress:
                    if one["batchId"] > seen:
                        seen = one["batchId"]
                        steps: Mapping[str, int] = one["durationMs"]
                        _note("progress", file(settings), records=one["numInputRows"], steps=dict(steps))

    threading.Thread(target=run, name="progress", daemon=True).start()


def drive() -> None:
    """Runs the stream with everything wrapped."""
    settings = Settings.load()
    layer = speed_layer.SpeedLayer
    for owner, name, step in (
        (kafka, "batch_ranges", "ranges"),
        (speed_layer, "mint_seq", "mint_seq"),
        (speed_layer, "_ledger", "ledger"),
        (layer, "_numbered", "number"),
        (layer, "_append", "delta"),
        (layer, "_commit", "commit"),
        (layer, "process", "process"),
        (layer, "maintain", "maintain"),
        (lake, "append", "delta_rs"),
        (serving_store, "partial_states", "fold"),
        (serving_store, "write_states", "states"),
        (serving_store, "write_relations", "relations"),
        (serving_store, "write_links", "links"),
        (serving_store, "write_timeline", "timeline"),
        (serving_store, "bump", "versions"),
        (serving_store, "apply", "apply"),
    ):
        _timed(owner, name, step)
    speed_layer.through_the_door = _through_the_door
    micro_batch, ready = layer.micro_batch, speed_layer.started

    def timed(self: speed_layer.SpeedLayer, frame: Any, batch_id: int, checkpoint: Path, checkpoint_id: str) -> None:
        began = time.perf_counter()
        micro_batch(self, frame, batch_id, checkpoint, checkpoint_id)
        _times["micro_batch"] += time.perf_counter() - began
        records = kafka.size(kafka.batch_ranges(checkpoint, batch_id))
        _note("batch", file(settings), records=records, steps=_taken())

    def started(settings: Settings, lane: str, now: datetime) -> None:
        _progress(settings)
        ready(settings, lane, now)

    layer.micro_batch = timed  # type: ignore[method-assign]  # the stopwatch goes around it
    speed_layer.started = started
    settings.logs.mkdir(parents=True, exist_ok=True)
    runpy.run_path(str(STREAM), run_name="__main__")


if __name__ == "__main__":
    # By its name, so that Spark's workers import what they are sent and count in one place.
    from paxtrail.benchmark import stopwatch

    stopwatch.drive()
