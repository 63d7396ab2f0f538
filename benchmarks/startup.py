"""Start-up, restart after kill -9 and memory of every part of the stack.

Example: ./paxtrail exec python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from contextlib import closing
from typing import Any

from paxtrail.benchmark.load import Ledger, Load, fill
from paxtrail.benchmark.results import Result
from paxtrail.benchmark.stacks import Stack, say, stack
from paxtrail.simulator.load import messages
from paxtrail.simulator.replay import producer, replay
from paxtrail.stack.parts import parts
from paxtrail.stack.processes import await_ready
from paxtrail.stack.supervision import Supervisor

LIMIT_S = 30.0
_ON_THE_WAY = ("postgres", "kafka", "stream")
"""Parts that a record passes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=5_000, help="in the store that is started again")
    parser.add_argument("--rounds", type=int, default=2, help="warm starts")
    parser.add_argument("--rate", type=float, default=400, help="records a second while memory is measured")
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    result = Result("startup", dict(vars(given)))
    with result, stack() as place:
        first = place.first
        result.figures["first_s"] = first
        result.add("`paxtrail up` on an empty home", f"{sum(first.values()):.1f} s: {steps(first)}")
        fill(place, customers=given.customers)
        starts(place, result, given.rounds)
        memory(place, result, given)
        kills(place, result)


def starts(place: Stack, result: Result, rounds: int) -> None:
    """`up` of a home that has data, everything having been stopped."""
    found = []
    for number in range(rounds):
        say(f"warm start {number + 1} of {rounds}")
        place.down()
        found.append(place.up())
    result.figures["warm_s"] = found
    longest = max(found, key=lambda one: sum(one.values()))
    result.add(
        "`paxtrail up` to ready, warm, the slowest of the rounds",
        f"{sum(longest.values()):.1f} s: {steps(longest)}",
        goal=f"≤ {LIMIT_S:.0f} s",
        reached=sum(longest.values()) <= LIMIT_S,
    )


def memory(place: Stack, result: Result, given: argparse.Namespace) -> None:
    """At its peak while records come in."""
    say("memory under load")
    with place.peak() as peak, closing(Ledger(place.settings)) as ledger:
        before = ledger.now().received
        ledger.await_(before + Load(place, customers=given.customers, rate=given.rate, seconds=given.seconds).result().sent)
    result.figures["memory_bytes"] = {**peak.parts, "together": peak.together}
    parts = ", ".join(f"{name} {size / 1e6:,.0f}" for name, size in peak.parts.items())
    result.add(
        f"memory at its peak at {given.rate:,.0f} records/s",
        f"{peak.together / 1e9:.2f} GB together; MB: {parts}",
        goal="≤ 5 GB",
        reached=peak.together <= 5e9,
    )


def kills(place: Stack, result: Result) -> None:
    """Each part killed; healthy again under its supervisor, and a record sent then is committed."""
    supervisor = Supervisor(place.settings)
    found: dict[str, Any] = {}
    for part in parts(place.settings):
        if part.program is None:
            continue
        say(f"kill -9 of {part.name}")
        pid = supervisor.state(part.name).pid
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)

        def problem(part: Any = part, pid: int = pid) -> str:
            now = supervisor.state(part.name).pid
            return part.problem(place.settings, now) or "" if now and now != pid else "not started yet"

        await_ready(problem, seconds=180)
        healthy = longest = time.perf_counter() - began
        found[part.name] = {"healthy_s": round(healthy, 2)}
        text = f"healthy after {healthy:.1f} s"
        if part.name in _ON_THE_WAY:
            flows(place)
            longest = found[part.name]["record_committed_s"] = round(time.perf_counter() - began, 2)
            text += f", a record sent then is committed after {longest:.1f} s"
        result.add(f"{part.name} after kill -9", text, goal=f"≤ {LIMIT_S:.0f} s", reached=longest <= LIMIT_S)
    result.figures["kills"] = found


def flows(place: Stack) -> None:
    """Returns once a record sent now is committed."""
    with closing(Ledger(place.settings)) as ledger:
        before = ledger.now().received
        now = time.time_ns() // 1000
        sent = replay(messages(10, 0.1, 1, 1, start_us=now), producer(place.settings.kafka.brokers)).acknowledged
        ledger.await_(before + sent)


def steps(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())


if __name__ == "__main__":
    main()
