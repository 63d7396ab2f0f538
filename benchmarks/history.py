"""A long history: states in full and incrementally over ten million events, and what the gate adds to the runs it guards.

The first events come through the door; the rest are copies of them in silver.events with other ids and keys, so nothing is published.

Example: ./paxtrail exec python benchmarks/history.py --events 10000000
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from paxtrail.benchmark.batches import timed
from paxtrail.benchmark.load import fill, more, records
from paxtrail.benchmark.results import Result
from paxtrail.benchmark.stacks import Elsewhere, say, stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="about so many, before the increment")
    parser.add_argument("--through-the-door", type=int, default=250_000, help="how many of them are not copies")
    parser.add_argument("--customers", type=int, default=20_000, help="of those that are not copies")
    parser.add_argument("--increment", type=float, default=0.01, help="share of new events for the incremental run")
    given = parser.parse_args()
    result = Result("history", dict(vars(given)))
    with result, stack() as place:
        filled = fill(place, customers=given.customers, records=records(given.through_the_door, customers=given.customers))
        copies = max(1, round(given.events / filled.events))
        events = filled.events * copies
        result.figures |= {"filled": asdict(filled), "copies": copies, "events": events}
        with place.peak(own="batch") as peak:
            elsewhere = Elsewhere(place)
            full = timed(place, "full", full=True, gate=True, copies=copies)
            added = more(place, customers=given.customers, records=records(events * given.increment)).events
            part = timed(place, "increment", full=False, gate=True)
            result.figures["cores_busy_elsewhere_and_in_the_batch"] = elsewhere.cores()
        say(f"full {full}, increment {part}")
        result.figures |= {"full_s": full, "increment_s": part, "added": added}
        result.figures["memory_peak"] = {**peak.parts, "together": peak.together}
        result.add(
            f"states in full of {events:,} events",
            f"{full['states']:.1f} s, {events / full['states']:,.0f} events/s",
            rival=f"all steps {_job(full):.1f} s",
        )
        result.add(
            f"states incrementally, {added:,} events more ({added / events:.1%})",
            f"{part['states']:.1f} s",
            goal="≤ 10 % of full",
            reached=part["states"] <= 0.1 * full["states"],
            rival=f"full {full['states']:.1f} s: {part['states'] / full['states']:.1%}; all steps {_job(part) / _job(full):.1%}",
        )
        for name, run in (("full", full), ("incremental", part)):
            share = run["gate"] / _job(run)
            result.add(
                f"gate of the {name} run",
                f"{run['gate']:.1f} s",
                goal="≤ 20 % of the job",
                reached=share <= 0.2,
                rival=f"the steps it guards {_job(run):.1f} s: {share:.0%}",
            )
        result.add("memory at its peak, all parts and the batch run", f"{peak.together / 1e9:.2f} GB")


def _job(steps: dict[str, float]) -> float:
    """Seconds of all steps but the gate."""
    return sum(seconds for name, seconds in steps.items() if name != "gate")


if __name__ == "__main__":
    main()
