"""Freshness of probe events: one member's balance counts up ten times a second; two watchers note when the store and the API show it."""

from __future__ import annotations

import http.client
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import orjson
import psycopg
from confluent_kafka import Producer

from paxtrail.adapters import configuration
from paxtrail.adapters.postgres import dsn
from paxtrail.benchmark.callers import customer, headers
from paxtrail.benchmark.results import Percentiles, percentiles
from paxtrail.core.folds import unite, view
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings
from paxtrail.simulator.messages import headers as cloud_event
from paxtrail.simulator.messages import instant

ACCOUNT = "PROBE001"
EVERY_S = 0.1
STORE_LOOK_S = 0.01
API_LOOK_S = 0.02
METHOD = (
    f"a probe record every {EVERY_S * 1000:.0f} ms, from handing it to the Kafka producer until a reader sees its value"
    f" (the store is looked at every {STORE_LOOK_S * 1000:.0f} ms, the API every {API_LOOK_S * 1000:.0f} ms)"
)


@dataclass(slots=True)
class Seen:
    """When which count was first visible: (moment, count), in order."""

    marks: list[tuple[float, int]] = field(default_factory=list)

    def note(self, count: int, at: float) -> None:
        if not self.marks or count > self.marks[-1][1]:
            self.marks.append((at, count))

    def at(self, count: int) -> float | None:
        """When this count, or a later one, was visible; None if it never was."""
        index = bisect_left(self.marks, count, key=lambda mark: mark[1])
        return self.marks[index][0] if index < len(self.marks) else None


class Probes:
    """Sends probes for as long as it is entered, and watches for them. The member is made at the first entry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run = f"probe-{time.time_ns():x}"
        self._count = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._producer = Producer(
            {"bootstrap.servers": settings.kafka.brokers, "enable.idempotence": True, "acks": "all", "linger.ms": 2, "log_level": 2}
        )
        self._sent: dict[int, float] = {}
        self._store, self._api = Seen(), Seen()
        self.broken = ""
        self.sent = 0
        """Probe records since the start."""
        self._send()
        self._customer = _await(lambda: customer(settings, ACCOUNT))
        self._path = f"/v1/profiles/{self._customer}"
        self._headers = headers(settings)

    def __enter__(self) -> Probes:
        self._stop.clear()
        self._sent, self._store, self._api = {}, Seen(), Seen()
        self._threads = [threading.Thread(target=self._guarded, args=(one,), daemon=True) for one in (self._feed, self._look, self._ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.broken and kind is None:
            raise Unavailable(f"probing failed: {self.broken}")

    def waits(self, since: float = 0.0, until: float = float("inf")) -> tuple[list[float], list[float]]:
        """Seconds until visible in the store and through the API, of the probes sent in this time (monotonic clock)."""
        found: tuple[list[float], list[float]] = ([], [])
        for count, at in self._sent.items():
            if since <= at < until:
                for waits, seen in zip(found, (self._store, self._api), strict=True):
                    shown = seen.at(count)
                    waits.append(float("inf") if shown is None else shown - at)
        return found

    def percentiles(self, since: float, until: float) -> tuple[Percentiles, Percentiles]:
        """Of the store, of the API."""
        store, api = self.waits(since, until)
        return percentiles(store), percentiles(api)

    def settled(self, seconds: float) -> None:
        """Returns when the newest probe was seen by both watchers, or after so long."""
        end = time.monotonic() + seconds
        newest = self._count
        while time.monotonic() < end and (self._store.at(newest) is None or self._api.at(newest) is None):
            time.sleep(0.02)

    def _guarded(self, watch: Callable[[], None]) -> None:
        try:
            watch()
        except (psycopg.Error, OSError, http.client.HTTPException, Unavailable) as error:
            self.broken = f"{watch.__name__.strip('_')}: {type(error).__name__}"

    def _feed(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._send()
            due += EVERY_S
        self._producer.flush(30)

    def _send(self) -> None:
        self._count += 1
        now = time.time_ns() // 1000
        body = {
            "event": "miles_posted",
            "account": {"airline": "UA", "number": ACCOUNT},
            "at": instant(now),
            "sequence": self._count,
            "posting": f"{self._run}-{self._count}",
            "miles": 1,
            "kind": "flight",
            "balance": self._count,
        }
        head = cloud_event("loyalty", f"{self._run}-{self._count}", now, origin="probe")
        self._sent[self._count] = time.monotonic()
        value = orjson.dumps(body)
        named: list[tuple[str, str | bytes | None]] = [(name, text.encode()) for name, text in head.items()]
        self._producer.produce("raw.loyalty", value=value, key=ACCOUNT.encode(), headers=named)
        self._producer.poll(0)
        self.sent += 1

    def _look(self) -> None:
        statement = "select state from states where entity = 'profile' and key = %s"
        table = configuration.attributes(self._settings.conf)["profile"]
        with psycopg.connect(dsn(self._settings, "serving", "api"), autocommit=True) as connection:
            token = connection.execute(
                "select l.token from links l join states s on s.entity = 'profile' and s.key = l.token where l.customer_id = %s",
                (self._customer,),
            ).fetchone()
            assert token is not None
            while not self._stop.wait(STORE_LOOK_S):
                states = [orjson.loads(state) for (state,) in connection.execute(statement, token).fetchall()]
                self._store.note(int(view(table, unite(table, states)).get("miles") or 0), time.monotonic())

    def _ask(self) -> None:
        api = self._settings.api
        connection = http.client.HTTPConnection(api.host, api.port, timeout=30)
        while not self._stop.wait(API_LOOK_S):
            connection.request("GET", self._path, headers=self._headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise Unavailable(f"the API answers {answer.status}")
            self._api.note(int(orjson.loads(body)["attributes"]["miles"]), time.monotonic())
        connection.close()


def _await(find: Callable[[], str]) -> str:
    end = time.monotonic() + 60
    while True:
        try:
            return find()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
