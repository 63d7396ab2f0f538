"""Analytics: from an event produced to its fact counted by a Druid query, per event; dashboard queries on many rows, beside PostgreSQL.

Example: ./paxtrail exec python benchmarks/analytics.py
"""

from __future__ import annotations

import argparse
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import psycopg
from confluent_kafka import Producer

from paxtrail.adapters.druid import Druid
from paxtrail.adapters.postgres import dsn
from paxtrail.benchmark.load import Load, fill
from paxtrail.benchmark.results import Percentiles, Result, percentiles
from paxtrail.benchmark.stacks import Elsewhere, Stack, say, stack, used
from paxtrail.errors import Unavailable
from paxtrail.serving.analytics import HOUR, QUESTIONS, Range, statement
from paxtrail.simulator.messages import headers, instant
from paxtrail.stack.parts import CORE, DRUID

DASHBOARD = {
    "departures by airport": ("punctuality", ("airport",)),
    "punctuality by hour": ("punctuality", ("hour",)),
    "disruptions by airport": ("disruptions", ("airport",)),
    "bags by custody point": ("bags", ("custody",)),
    "searches by route": ("searches", ("route",)),
}
_COLUMNS = ("time", "kind", "airline", "airport", "route", "band", "custody", "cabin", "channel", "delay_minutes", "thing", "person")
_PROBE_S = 0.1
_LOOK_S = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=400, help="records a second while probes are timed")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=30)
    parser.add_argument("--rows", type=int, default=2_000_000, help="facts for the dashboard queries")
    parser.add_argument("--rounds", type=int, default=30, help="times each dashboard query is asked")
    given = parser.parse_args()
    method = f"a search every {_PROBE_S} s, from handing it to the producer until a query counts it; asked every {_LOOK_S} s"
    result = Result("analytics", vars(given) | {"method": method})
    with result, stack(CORE, DRUID) as place, place.peak() as peak:
        freshness(place, result, given)
        place.down("stream", "analytics", "relay")
        dashboards(place, result, given)
        result.figures["memory_peak"] = {**peak.parts, "together": peak.together}


def freshness(place: Stack, result: Result, given: argparse.Namespace) -> None:
    """Probe events through the door beside a load, until Druid counts each."""
    say(f"filling the store with {given.customers:,} customers")
    fill(place, customers=given.customers)
    say(f"{given.rate:,.0f} records/s for {given.seconds:.0f} s")
    load = Load(place, customers=given.customers, rate=given.rate, seconds=given.warm_up + given.seconds)
    try:
        Probes(place, "warm").run(given.warm_up)
        before, elsewhere = place.core_seconds(), Elsewhere(place)
        found = Probes(place, "probe").run(given.seconds)
        spent = used(before, place.core_seconds())
        result.figures["freshness"] = {"s": asdict(found), "core_seconds": spent, "cores_busy_elsewhere": elsewhere.cores()}
        load.result()
    finally:
        load.stop()
    result.add(
        f"produced → counted by Druid at {given.rate:,.0f} records/s, {found.count} events",
        f"p50 {found.p50:.2f}  p95 {found.p95:.2f}  p99 {found.p99:.2f} s",
        goal="p95 ≤ 5 s",
        reached=found.p95 <= 5,
    )


class Probes:
    """Searches of one channel of their own, counted by a thread that asks Druid."""

    def __init__(self, place: Stack, name: str) -> None:
        self._druid = Druid(place.settings)
        self._channel = f"{name}{time.time_ns() // 10**9}"
        self._producer = Producer({"bootstrap.servers": place.settings.kafka.brokers, "linger.ms": 2, "log_level": 2})
        self._sent: list[float] = []
        self._seen: list[float] = []
        self._stop = threading.Event()

    def run(self, seconds: float) -> Percentiles:
        """Seconds from sent to counted, of every probe; Unavailable if a minute passes in which no more are counted."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        end = time.monotonic() + seconds
        due = time.monotonic()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            self._send()
            due += _PROBE_S
        self._producer.flush(30)
        counted = -1
        while watcher.is_alive() and len(self._seen) > counted:
            counted = len(self._seen)
            watcher.join(timeout=60)
        self._stop.set()
        if len(self._seen) < len(self._sent):
            raise Unavailable(f"Druid counted {len(self._seen)} of {len(self._sent)} probes")
        return percentiles(seen - sent for sent, seen in zip(self._sent, self._seen, strict=False))

    def _send(self) -> None:
        now, number = time.time_ns() // 1000, len(self._sent)
        body = {
            "event": "search",
            "at": instant(now),
            "origin": "EWR",
            "destination": "LAX",
            "device": self._channel,
            "channel": self._channel,
        }
        head = headers("booking", f"{self._channel}-{number}", now, origin="probe")
        self._sent.append(time.monotonic())
        named: list[tuple[str, str | bytes | None]] = [(name, text.encode()) for name, text in head.items()]
        self._producer.produce("raw.booking", value=orjson.dumps(body), headers=named)
        self._producer.poll(0)

    def _watch(self) -> None:
        """Notes when the count reaches each number: of probes that are alike, the n-th is counted when n are."""
        query = "SELECT SUM(facts) AS facts FROM operations WHERE kind = 'searched' AND channel = ?"
        quiet = 0.0
        while not self._stop.wait(_LOOK_S):
            try:
                (row,) = self._druid.sql(query, self._channel)
            except Unavailable:
                continue  # Druid does not know the datasource before its first fact
            now, more = time.monotonic(), int(row["facts"] or 0) - len(self._seen)
            self._seen += [now] * more
            quiet = now if more else quiet
            if self._seen and len(self._seen) >= len(self._sent) and now - quiet > 2:
                return


def dashboards(place: Stack, result: Result, given: argparse.Namespace) -> None:
    """The questions of a dashboard over the same facts in both stores, each in turn, with ranges that no cache has seen."""
    until = time.time_ns() // 1000 // HOUR * HOUR - 24 * HOUR
    since = until - 48 * HOUR
    say(f"{given.rows:,} facts into Druid and PostgreSQL")
    druid = Druid(place.settings)
    folder = place.settings.home / "druid" / "made"
    _write(folder, given.rows, since, until)
    interval = "/".join(f"{instant(at)[:13]}Z" for at in (since, until))
    began = time.monotonic()
    druid.replace([interval], folder, seconds=3600)
    druid.await_served(interval, seconds=600)
    result.figures["re_index_s"] = round(time.monotonic() - began, 1)
    (row,) = druid.sql("SELECT COUNT(*) AS held, SUM(facts) AS facts FROM operations")
    result.figures["druid_rows"] = row
    with psycopg.connect(dsn(place.settings, "postgres", "postgres"), autocommit=True) as connection:
        _copy(connection, folder)
        shutil.rmtree(folder)
        for title, (name, by) in DASHBOARD.items():
            ours, theirs = _asked(druid, connection, name, by, since, until, given.rounds)
            result.figures[title] = {"druid_ms": asdict(ours), "postgresql_ms": asdict(theirs)}
            result.add(
                f"{title}, {given.rows:,} facts in {row['held']:,} rows",
                f"p50 {ours.p50:.0f}  p95 {ours.p95:.0f} ms",
                goal="p95 ≤ 200 ms",
                reached=ours.p95 <= 200,
                rival=f"PostgreSQL p50 {theirs.p50:.0f}  p95 {theirs.p95:.0f} ms",
            )


def _asked(
    druid: Druid, connection: psycopg.Connection[Any], name: str, by: tuple[str, ...], since: int, until: int, rounds: int
) -> tuple[Percentiles, Percentiles]:
    """Milliseconds of the question in Druid and in PostgreSQL, alternating."""
    rng = random.Random(name)
    ours, theirs = [], []
    for _ in range(rounds):
        begin = since + rng.randrange(24) * HOUR
        wanted = Range(begin, until - rng.randrange(12) * HOUR, by, {}, 100)
        sql, parameters = statement(QUESTIONS[name], wanted)
        ours.append(_timed(lambda sql=sql, parameters=parameters: druid.sql(sql % parameters)))  # type: ignore[misc]  # called at once
        theirs.append(_timed(lambda sql=sql, parameters=parameters: connection.execute(_plain(sql) % parameters).fetchall()))  # type: ignore[misc]  # called at once
    return percentiles(ours), percentiles(theirs)


def _timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - began)


def _plain(sql: str) -> str:
    """The statement as PostgreSQL understands it: distinct counts are exact there."""
    sql = sql.replace("APPROX_COUNT_DISTINCT_DS_THETA(things, 4096)", "COUNT(DISTINCT thing)").replace("SUM(facts)", "COUNT(*)")
    sql = sql.replace("APPROX_COUNT_DISTINCT_DS_THETA(persons, 4096)", "COUNT(DISTINCT person)").replace("__time", "time")
    return sql.replace("MILLIS_TO_TIMESTAMP", "")


def _copy(connection: psycopg.Connection[Any], folder: Path) -> None:
    connection.execute(
        "CREATE TABLE operations (time bigint, kind text, airline text, airport text, route text, band text, custody text, cabin text,"
        " channel text, delay_minutes int, thing text, person text)"
    )
    with connection.cursor() as cursor, cursor.copy(f"COPY operations ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
        for line in (folder / "part-0.json").open("rb"):
            copy.write_row([orjson.loads(line).get(name) for name in _COLUMNS])
    connection.execute("CREATE INDEX ON operations (kind, time)")
    connection.execute("VACUUM ANALYZE operations")


def _write(folder: Path, rows: int, since: int, until: int) -> None:
    folder.mkdir(parents=True)
    with (folder / "part-0.json").open("wb") as file:
        for fact in _facts(rows, since, until):
            file.write(orjson.dumps(fact, option=orjson.OPT_APPEND_NEWLINE))


def _facts(rows: int, since: int, until: int) -> Iterator[dict[str, Any]]:
    """Facts in the proportions of an airline's day: mostly scans of bags and searches."""
    rng = random.Random(20130208)
    airports = [f"{a}{b}{c}" for a in "ABCDEFGH" for b in "KLMNO" for c in "XYZ"]
    airlines = ["UA", "B6", "DL", "EV", "AA", "MQ", "US", "WN", "9E", "VX"]
    for _ in range(rows):
        at, to = rng.choice(airports), rng.choice(airports)
        fact: dict[str, Any] = {"time": rng.randrange(since, until, HOUR) // 1000, "airport": at, "airline": rng.choice(airlines)}
        match rng.choices(("bag", "searched", "departed", "arrived", "delayed", "cancelled", "displaced"), (45, 40, 4, 4, 4, 1, 2))[0]:
            case "bag":
                custody = rng.choice(("accepted", "sorted", "screened", "loaded", "transfer", "arrived", "delivered", "rushed"))
                fact |= {"kind": "bag", "custody": custody, "thing": f"{rng.randrange(rows // 6):032x}"}
            case "searched":
                fact |= {"kind": "searched", "route": f"{at}-{to}", "channel": rng.choice(("web", "app")), "cabin": rng.choice("YJF")}
                fact["person"] = f"{rng.randrange(rows // 10):032x}"
                del fact["airline"]
            case "displaced":
                fact |= {"kind": "displaced", "route": f"{at}-{to}", "person": f"{rng.randrange(rows // 10):032x}", "cabin": "Y"}
            case kind:
                late = int(rng.expovariate(1 / 25))
                band = "on_time" if late < 15 else "15_to_59" if late < 60 else "60_to_179" if late < 180 else "180_or_more"
                fact |= {"kind": kind, "route": f"{at}-{to}", "thing": f"{rng.randrange(rows // 20)}/{at}"}
                fact |= {} if kind == "cancelled" else {"delay_minutes": late, "band": band}
        yield fact


if __name__ == "__main__":
    main()
