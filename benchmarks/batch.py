"""The batch layer: full recompute beside a plain scan of the same events, incremental against full, publication and reads during it.

Example: ./paxtrail exec python benchmarks/batch.py --events 200000
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from paxtrail.adapters.batch import publish
from paxtrail.adapters.spark import session
from paxtrail.benchmark.batches import timed
from paxtrail.benchmark.callers import members, wish
from paxtrail.benchmark.client import Asking
from paxtrail.benchmark.load import fill, more, records
from paxtrail.benchmark.results import Percentiles, Result
from paxtrail.benchmark.scans import scan_seconds
from paxtrail.benchmark.stacks import Elsewhere, Stack, say, stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000, help="about so many, before the increment")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--increment", type=float, default=0.05, help="share of new events for the incremental run")
    parser.add_argument("--rounds", type=int, default=2, help="alternating rounds of scan and full recompute")
    parser.add_argument("--reads", type=float, default=100, help="profile reads a second around the publication")
    parser.add_argument("--reads-before", type=float, default=12, help="seconds of reads before it")
    given = parser.parse_args()
    result = Result("batch", dict(vars(given)))
    result.skipped.append("10 × the events in ≤ 11 × the time: give --events; 10 million events: history.py")
    with result, stack() as place:
        say(f"filling the store with about {given.events:,} events")
        filled = fill(place, customers=given.customers, records=records(given.events, customers=given.customers))
        result.figures["filled"] = asdict(filled)
        with place.peak(own="batch") as peak:
            elsewhere = Elsewhere(place)
            batch(place, result, given, filled.events)
            # The batch's own JVM, a child that is still running, counts as elsewhere too.
            result.figures["cores_busy_elsewhere_and_in_the_batch"] = elsewhere.cores()
        result.figures["memory_peak"] = {**peak.parts, "together": peak.together}
        result.add(
            "memory at its peak, all parts and the batch run", f"{peak.together / 1e9:.2f} GB", goal="≤ 5 GB", reached=peak.together <= 5e9
        )


def batch(place: Stack, result: Result, given: argparse.Namespace, events: int) -> None:
    first = timed(place, "first", full=False)
    result.figures["first_run_s"] = first
    result.add("first run, everything from bronze, cold JVM", f"{sum(first.values()):.1f} s: {steps(first)}")
    publication(place, result, given, "first")

    scans: list[dict[str, float]] = []
    fulls: list[dict[str, float]] = []
    for number in range(given.rounds):
        scans.append(scan(place))
        fulls.append(timed(place, f"full-{number}", full=True))
        say(f"scan {scans[-1]}, full {fulls[-1]}")
    result.figures["scan_s"], result.figures["full_s"] = scans, fulls
    full, plain = min(fulls, key=lambda one: sum(one.values())), min(scans, key=lambda one: one["bronze"])
    made = sum(full.values()) - full["events"]
    result.add(
        f"full recompute of {events:,} events (links, states, outcomes)",
        f"{made:.1f} s, {events / made:,.0f} events/s: {steps(full)}",
        goal="≥ ¼ of the scan",
        reached=plain["bronze"] / made >= 0.25,
        rival=f"scan with one max_by per key: {plain['bronze']:.1f} s, {events / plain['bronze']:,.0f} events/s"
        f" (from VARIANT {plain['silver']:.1f} s): {plain['bronze'] / made:.0%} of its rate;"
        f" states alone {plain['bronze'] / full['states']:.0%}",
    )

    added = more(place, customers=given.customers, records=records(events * given.increment)).events
    part = timed(place, "increment", full=False)
    result.figures["incremental"] = {"events": added, "steps_s": part}
    part_s = sum(part.values())
    result.add(
        f"incremental run of {added:,} events more ({added / events:.1%})",
        f"{part_s:.1f} s: {steps(part)}",
        goal="≤ 10 % of full",
        reached=part_s <= 0.1 * sum(full.values()),
        rival=f"full {sum(full.values()):.1f} s: {part_s / sum(full.values()):.0%}",
    )
    began = time.perf_counter()
    counts = publish(place.settings, "increment")
    result.figures["incremental"] |= {"publication_s": round(time.perf_counter() - began, 2), "published": counts["published"]}


def scan(place: Stack) -> dict[str, float]:
    """Seconds of the rival, in a session with the same settings."""
    spark = session(place.settings, "rival")
    try:
        return scan_seconds(spark, place.settings)
    finally:
        spark.stop()


def publication(place: Stack, result: Result, given: argparse.Namespace, run_id: str) -> None:
    """Every state of the run into the serving store, while profiles are read."""
    ids = members(place.settings, given.customers)
    reading = Asking(wish(place.settings, ids, seconds=3600, rate=given.reads, connections=32))
    time.sleep(4)  # the first reads find a cold API
    since = time.time()
    time.sleep(given.reads_before)
    began = time.time()
    counts = publish(place.settings, run_id)
    ended = time.time()
    answers = reading.answers(at_once=True)
    before, during = answers.between(since, began), answers.between(began, ended)
    rate = counts["published"] / (ended - began)
    result.figures["publication"] = {
        **{name: counts[name] for name in ("published", "healed", "redefined", "drifted", "ranges")},
        "seconds": round(ended - began, 2),
        "reads_before_ms": asdict(before),
        "reads_during_ms": asdict(during),
        "reads_failed": answers.failed,
    }
    result.add(
        f"publication of {counts['published']:,} documents ({counts['drifted']} drifted)",
        f"{ended - began:.1f} s, {rate:,.0f} documents/s",
        goal="≥ 5,000/s",
        reached=rate >= 5_000,
    )
    result.add(
        f"profile read at {given.reads:,.0f}/s during it",
        f"{shown(during)}; {answers.failed} failed",
        goal="p99 ≤ 2 × before",
        reached=during.p99 <= 2 * before.p99 and not answers.failed,
        rival=f"before: {shown(before)}",
    )


def steps(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())


def shown(times: Percentiles) -> str:
    return f"p50 {times.p50:.1f}  p95 {times.p95:.1f}  p99 {times.p99:.1f} ms"


if __name__ == "__main__":
    main()
