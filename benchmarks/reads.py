"""Reads: profile and 360 view through the API under load, one worker's maximum, beside bare look-ups through the same HTTP server.

Example: ./paxtrail exec python benchmarks/reads.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import httpx

from paxtrail.benchmark.callers import members, recorded, wish
from paxtrail.benchmark.client import Answers, ask
from paxtrail.benchmark.load import Load, fill
from paxtrail.benchmark.results import Percentiles, Result
from paxtrail.benchmark.stacks import Elsewhere, Stack, say, stack, used
from paxtrail.stack.processes import free_ports, running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=500, help="profile reads a second while records come in")
    parser.add_argument("--load", type=float, default=400, help="records a second meanwhile")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds of API, bare and 360")
    parser.add_argument("--round-seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    sizes = vars(given)
    result = Result("reads", sizes | {"client": "raw sockets on uvloop in a process of its own (paxtrail.benchmark.client)"})
    result.skipped.append("the Feast Python server on the same PostgreSQL: not measured yet")
    result.skipped.append("reads while a publication runs: see benchmarks/batch.py")
    with result, stack() as place, place.peak() as peak:
        say(f"filling the store with {given.customers:,} customers")
        fill(place, customers=given.customers, records=given.customers)
        ids = members(place.settings, given.customers)
        for part in (under_load, maximum):
            elsewhere = Elsewhere(place)
            part(place, result, ids, given)
            result.figures[f"cores_busy_elsewhere_{part.__name__}"] = elsewhere.cores()
        result.figures["memory_peak"] = {**peak.parts, "together": peak.together}


def under_load(place: Stack, result: Result, ids: list[str], given: argparse.Namespace) -> None:
    """Profile reads at a rate while records come in, after a warm-up of both."""
    say(f"{given.rate:,.0f} reads/s beside {given.load:,.0f} records/s")
    load = Load(place, customers=given.customers, rate=given.load, seconds=given.seconds + 12)
    try:
        ask(wish(place.settings, ids, seconds=8, rate=given.rate / 2))
        before, cores = recorded(place.settings), place.core_seconds()
        found = ask(wish(place.settings, ids, seconds=given.seconds, rate=given.rate, connections=64))
        spent = used(cores, place.core_seconds())
        on_record = recorded(place.settings) - before
        load.result()
    finally:
        load.stop()
    times = found.between()
    result.figures["under_load"] = figures(found) | {"on_record": on_record, "core_seconds": spent}
    good = found.failed == 0 and times.p99 <= 20 and on_record == len(found.times)
    result.add(
        f"profile read at {given.rate:,.0f}/s beside {given.load:,.0f} records/s",
        f"{shown(times)}; {found.failed} failed; {on_record:,} of {len(found.times):,} on record",
        goal="p99 ≤ 20 ms",
        reached=good,
    )


def maximum(place: Stack, result: Result, ids: list[str], given: argparse.Namespace) -> None:
    """One worker as fast as it answers: profile, 360 view and the bare server in turn, nothing coming in."""
    found: dict[str, list[Answers]] = {"profile": [], "360": [], "bare": []}
    profile = wish(place.settings, ids, seconds=given.round_seconds, connections=given.connections)
    view = replace(profile, paths=[f"{path}/360" for path in profile.paths])
    with bare(place) as port:
        for number in range(given.rounds + 1):
            say(f"round {number} of {given.rounds}" if number else "warm-up")
            for name, one in (("profile", profile), ("bare", replace(profile, port=port, headers={})), ("360", view)):
                answers = ask(one if number else replace(one, seconds=4))
                if number:
                    found[name].append(answers)
    for name, rounds in found.items():
        result.figures[name] = [figures(one) for one in rounds]
    rates = {name: statistics.median(one.rate for one in rounds) for name, rounds in found.items()}
    spread = {name: " – ".join(f"{one:,.0f}" for one in (min(r), max(r))) for name, r in _rates(found).items()}
    failed = sum(one.failed for rounds in found.values() for one in rounds)
    share = rates["profile"] / rates["bare"] if rates["bare"] else 0.0
    result.add(
        f"profile reads of one worker, {given.connections} connections",
        f"{rates['profile']:,.0f}/s ({spread['profile']}); {shown(found['profile'][-1].between())}; {failed} failed",
        goal="≥ 50 % of bare look-ups",
        reached=share >= 0.5 and not failed,
        rival=f"bare look-ups {rates['bare']:,.0f}/s ({spread['bare']}): {share:.0%}",
    )
    result.add(
        f"360 views of one worker, {given.connections} connections",
        f"{rates['360']:,.0f}/s ({spread['360']}); {shown(found['360'][-1].between())}",
        goal="≥ 250/s",
        reached=rates["360"] >= 250 and not failed,
    )
    client = max(one.core_seconds / one.seconds for rounds in found.values() for one in rounds)
    result.add("the client's own processor time, at most", f"{client:.0%} of a core (below 100 %: it was not what held the rate back)")


@contextmanager
def bare(place: Stack) -> Iterator[int]:
    """Port of the bare server: uvicorn, uvloop, httptools and asyncpg as the API has them."""
    (port,) = free_ports(1)
    options = ["--factory", "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "paxtrail.benchmark.bare:application", *options]

    def problem() -> str:
        try:
            httpx.get(f"http://127.0.0.1:{port}/none", trust_env=False)
        except httpx.HTTPError as error:
            return type(error).__name__
        return ""

    with running(command, problem, log=place.settings.logs / "bare.log", environment=place.environment()):
        yield port


def figures(found: Answers) -> dict[str, Any]:
    """Without the single times."""
    times = {"ms": asdict(found.between()), "rate": round(found.rate, 1), "failed": found.failed, "statuses": found.statuses}
    return times | {"client_core_seconds": found.core_seconds, "seconds": found.seconds}


def shown(times: Percentiles) -> str:
    return f"p50 {times.p50:.1f}  p95 {times.p95:.1f}  p99 {times.p99:.1f} ms"


def _rates(found: dict[str, list[Answers]]) -> dict[str, list[float]]:
    return {name: [one.rate for one in rounds] for name, rounds in found.items()}


if __name__ == "__main__":
    main()
