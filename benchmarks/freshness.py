"""Freshness: from an event produced to its value readable in the serving store and through the API, at rising rates; stages; the floor.

Example: ./paxtrail exec python benchmarks/freshness.py --probe ../shared/probes/stream_floor.py
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from paxtrail.adapters.postgres import password
from paxtrail.adapters.spark import jars
from paxtrail.benchmark import stopwatch
from paxtrail.benchmark.load import Ledger, Load, fill
from paxtrail.benchmark.probes import METHOD, Probes
from paxtrail.benchmark.results import Result
from paxtrail.benchmark.stacks import Elsewhere, Stack, say, stack, used

GOALS = {400: 0.8, 4_000: 1.2, 10_000: 2.5}
"""Seconds, p95, through the API."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="400,4000", help="records a second, each for --seconds")
    parser.add_argument("--higher", default="6000,8000,10000,12000,15000", help="then these, until one is not sustained")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--warm-up", type=float, default=40, help="seconds at half the highest of --rates")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--stages", type=int, default=4_000, help="rate of a last run under the stopwatch; 0: none")
    parser.add_argument("--probe", type=Path, help="stream_floor.py, the bare probe to run beside")
    given = parser.parse_args()
    rates, higher = ([int(one) for one in text.split(",") if one] for text in (given.rates, given.higher))
    sizes = {"customers": given.customers, "seconds_each": given.seconds, "warm_up_s": given.warm_up, "method": METHOD}
    result = Result("freshness", sizes)
    with result, stack() as place:
        say(f"filling the store with {given.customers:,} customers")
        began = time.monotonic()
        filled = fill(place, customers=given.customers)
        seconds = time.monotonic() - began
        result.figures["filling"] = {**asdict(filled), "seconds": round(seconds, 1)}
        result.add("filling an empty store", f"{filled.received / seconds:,.0f} records/s ({filled.events / seconds:,.0f} events/s)")
        probes = Probes(place.settings)
        measure(place, probes, given.customers, max(rates) / 2, given.warm_up)
        best = 0
        for rate in [*rates, *higher]:
            found = measure(place, probes, given.customers, rate, given.seconds)
            result.figures[f"at_{rate}"] = found
            show(result, rate, found)
            if not found["sustained"] and rate in higher:
                break
            best = rate if found["sustained"] else best
        result.add("highest rate sustained (of those tried)", f"{best:,} records/s", goal="10,000/s", reached=best >= 10_000)
        place.down("stream", "relay", "api")
        if given.stages:
            stages(place, result, given)
        if given.probe:
            floor(place, result, given.probe, rates, given.seconds)
        else:
            result.skipped.append("the bare probe: say where it is with --probe FILE")


def measure(place: Stack, probes: Probes, customers: int, rate: float, seconds: float) -> dict[str, Any]:
    """Figures of one rate, held for so long."""
    say(f"{rate:,.0f} records/s for {seconds:.0f} s")
    with closing(Ledger(place.settings)) as ledger, place.peak() as peak, probes:
        before, cores, probed = ledger.now(), place.core_seconds(), probes.sent
        elsewhere, began = Elsewhere(place), time.monotonic()
        sent = Load(place, customers=customers, rate=rate, seconds=seconds).result()
        ended = time.monotonic()
        drained = ledger.await_(before.received + sent.sent)
        taken = ledger.now().since(before)
        spent, others = used(cores, place.core_seconds()), elsewhere.cores()
        probes.settled(10)
        # The load's interpreter needs a moment before its first record.
        middle, first = (began + ended) / 2, ended - sent.seconds
        store, api = probes.percentiles(first, ended)
        halves = [probes.percentiles(*half)[0].p50 for half in ((first, middle), (middle, ended))]
    total = sum(spent.values())
    kept = sent.sent / sent.seconds >= 0.97 * rate
    return {
        "records": sent.sent,
        "records_per_s": round(sent.sent / sent.seconds, 1),
        "load_kept_the_rate": kept,
        "events": taken.events,
        "events_per_s": round(taken.events / sent.seconds, 1),
        "probes": probes.sent - probed,
        "duplicates": taken.duplicates,
        "refused": taken.refused,
        "store_s": asdict(store),
        "api_s": asdict(api),
        "store_p50_by_half_s": halves,
        "drained_after_s": round(drained, 2),
        "sustained": kept and drained <= 3.0 and halves[1] <= 2 * halves[0] + 0.2,
        "core_seconds": spent,
        "core_seconds_per_1000_events": round(1000 * total / max(1, taken.events), 3),
        "cores_busy": round(total / (sent.seconds + drained), 2),
        "cores_busy_elsewhere": others,
        "memory_peak": {**peak.parts, "together": peak.together},
    }


def show(result: Result, rate: int, found: dict[str, Any]) -> None:
    """Rows of one rate; goals are set for what is readable through the API."""
    events = f"{found['events_per_s']:,.0f} events/s"
    limit = GOALS.get(rate)
    for name, text in (("store", "the serving store"), ("api", "the API")):
        figure = found[f"{name}_s"]
        missing = math.isinf(figure["longest"])
        goal = f"p95 ≤ {limit} s" if limit and name == "api" else ""
        result.add(
            f"{rate:,} records/s ({events}): produced → {text}",
            f"p50 {figure['p50']:.2f}  p95 {figure['p95']:.2f}  p99 {figure['p99']:.2f} s" + (" (some never seen)" if missing else ""),
            goal=goal,
            reached=(found["sustained"] and figure["p95"] <= limit) if limit and goal else None,
        )
    result.add(
        f"{rate:,} records/s: sustained",
        f"{'yes' if found['sustained'] else 'no'}; drained {found['drained_after_s']:.1f} s after the last record;"
        f" {found['core_seconds_per_1000_events']:.2f} core-seconds per 1,000 events;"
        f" other programs used {found['cores_busy_elsewhere']:.1f} cores",
    )


def stages(place: Stack, result: Result, given: argparse.Namespace) -> None:
    """Where a micro-batch spends its time, from a run of the same driver under the stopwatch."""
    say(f"stages of a micro-batch at {given.stages:,} records/s")
    with place.driver("-m", "paxtrail.benchmark.stopwatch"), closing(Ledger(place.settings)) as ledger:
        before = ledger.now()
        warm = Load(place, customers=given.customers, rate=given.stages / 2, seconds=given.warm_up / 2).result()
        ledger.await_(before.received + warm.sent)
        since = time.time()
        sent = Load(place, customers=given.customers, rate=given.stages, seconds=given.seconds / 2).result()
        ledger.await_(before.received + warm.sent + sent.sent)
        time.sleep(6)  # the driver notes Spark's account of its triggers every five seconds
    found = stopwatch.summary(place.settings, since=since)
    result.figures[f"stages_at_{given.stages}"] = found
    mean = found["mean_ms"]
    parts = (
        ("trigger", "trigger.triggerExecution"),
        ("Spark's job with the door", "spark_job"),
        ("of it the door", "task.door"),
        ("decoding", "task.decode"),
        ("claims", "task.claims"),
        ("vault", "task.tokens"),
        ("commit to PostgreSQL, folds and rows included", "commit"),
        ("of it folding", "fold"),
        ("Delta (beside it)", "delta"),
    )
    text = "; ".join(f"{name} {mean.get(key, 0.0):.0f}" for name, key in parts)
    result.add(f"one micro-batch of {found['records_each']:,.0f} records at {given.stages:,}/s, mean ms", text)


def floor(place: Stack, result: Result, probe: Path, rates: list[int], seconds: float) -> None:
    """The bare probe on the same broker and PostgreSQL, the stack's own stream, relay and API being down."""
    if not probe.is_file():
        result.skipped.append(f"the bare probe: there is no {probe.name} at the place given")
        return
    settings = place.settings
    address = f"host={settings.postgres.host} port={settings.postgres.port} user=postgres dbname=postgres"
    variables = {
        "PROBE_KAFKA": settings.kafka.brokers,
        "PROBE_DSN": f"{address} password={password(settings, 'postgres')}",
        "PROBE_JARS": str(jars()),
    }
    for rate in rates:
        say(f"the bare probe at {rate:,}/s")
        folder = settings.home / f"floor-{rate}"
        folder.mkdir()
        command = [sys.executable, str(probe), str(rate), str(seconds), str(folder)]
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        try:
            found = orjson.loads(done.stdout.splitlines()[-1])
        except (IndexError, orjson.JSONDecodeError):
            result.skipped.append(f"the bare probe at {rate:,}/s ended with {done.returncode}")
            continue
        result.figures[f"floor_at_{rate}"] = found
        result.add(
            f"{rate:,} records/s: the bare probe, produced → PostgreSQL",
            f"p50 {found['p50_ms'] / 1000:.2f}  p95 {found['p95_ms'] / 1000:.2f}  p99 {found['p99_ms'] / 1000:.2f} s",
            rival="this is the rival",
        )


if __name__ == "__main__":
    main()
