"""A lane, its stream of facts, its silver and Druid, and what each of them counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from tests.druid_servers import HOUR, Servers
from tests.parity.bronze import Events, Lane, Row

from paxtrail.adapters import analytics, batch, configuration, keyring, silver
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.druid import Druid
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_events import take_in
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings
from paxtrail.stack.processes import await_ready
from paxtrail.tables.silver import EVENTS
from paxtrail.transforms import analytics as transform

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COUNTED = """SELECT TIMESTAMP_TO_MILLIS(__time) AS "time", kind, airport, SUM(facts) AS facts, SUM(delay_minutes) AS delay_minutes,
 APPROX_COUNT_DISTINCT_DS_THETA(persons) AS persons, APPROX_COUNT_DISTINCT_DS_THETA(things) AS things FROM operations
 WHERE __time >= MILLIS_TO_TIMESTAMP(?) AND __time < MILLIS_TO_TIMESTAMP(?) GROUP BY 1, 2, 3"""
Counted = dict[tuple[int, str, str], tuple[int, int, int, int]]


def now() -> int:
    return time.time_ns() // 1000


def hour_of(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)


class World:
    """A lane, its stream of facts, its silver and Druid."""

    def __init__(self, settings: Settings, spark: SparkSession, druid: Servers) -> None:
        self.settings = settings.model_copy(update={"kafka": druid.settings.kafka, "druid": druid.settings.druid})
        self.spark, self.druid = spark, Druid(self.settings)
        self.lane = Lane(self.settings, configuration.attributes(self.settings.conf))
        self.events = Events()
        self.serving = psycopg.connect(dsn(self.settings, "serving", "batch"), autocommit=True)

    def search(self, at: int, person: int, *, airport: str = "EWR") -> list[Row]:
        payload = {"origin": airport, "route": f"{airport}-LAX", "channel": "web", "cabin": "Y"}
        return self._record(at, "search.performed", payload, subject=f"{person:032x}")

    def departure(self, at: int, number: int, *, late: int) -> list[Row]:
        leg = {"airline": "UA", "number": str(number), "origin_date": "2026-11-22", "departure": "EWR", "arrival": "LAX"}
        return self._record(at, "flight.leg_updated", {**leg, "off_block_scheduled": at - late * 60_000_000, "off_block_actual": at})

    def _record(self, at: int, type_: str, payload: dict[str, Any], *, subject: str | None = None) -> list[Row]:
        members: dict[str, Any] = {"type": type_, "event_time": at, "arrival_time": at, "subject": subject}
        return self.events.record(("order", "o"), payload=payload, **members)

    def write(self, *records: Sequence[Row]) -> None:
        self.lane.write([row for record in records for row in record])

    def stream(self) -> None:
        """The stream of facts, until everything that is there now is sent."""
        path = analytics.lanes(self.settings)["main"]
        rows = self.spark.readStream.format("delta").option("skipChangeCommits", "true").load(path)
        writer = analytics.needed(rows).writeStream.foreachBatch(analytics.to_kafka(self.settings, now))
        place = str(analytics.checkpoint(self.settings, "main"))
        writer.option("checkpointLocation", place).trigger(availableNow=True).start().awaitTermination()

    def cut(self, run: str) -> Job:
        batch.cut_open(self.settings, run)
        job = Job(self.settings, self.spark, self.serving, cut_of(self.serving, run))
        take_in(job)
        return job

    def counted(self, since: int, hours: int = 1) -> Counted:
        """What Druid counts by hour, kind and airport: facts, minutes, persons, things."""
        rows = self.druid.sql(COUNTED, since // 1000, (since + hours * HOUR) // 1000)
        found: Counted = {}
        for row in rows:
            facts, minutes, persons, things = (int(row[name] or 0) for name in ("facts", "delay_minutes", "persons", "things"))
            found[row["time"], row["kind"], row["airport"]] = (facts, minutes, persons, things)
        return found

    def expected(self, job: Job, since: int, hours: int = 1) -> Counted:
        """The same, counted in Python from the facts of silver."""
        rows = transform.hours(silver.read(job, EVENTS), since, since + hours * HOUR)
        groups: dict[tuple[int, str, str], list[Any]] = {}
        for fact in transform.facts(rows, keyring.person_keys(self.settings, now())).collect():
            groups.setdefault((fact["time"], fact["kind"], fact["airport"]), []).append(fact)
        return {
            at: (
                len(facts),
                sum(fact["delay_minutes"] or 0 for fact in facts),
                len({fact["person"] for fact in facts} - {None}),
                len({fact["thing"] for fact in facts} - {None}),
            )
            for at, facts in groups.items()
        }

    def await_counted(self, facts: int, since: int, hours: int = 1) -> None:
        def problem() -> str:
            try:
                found = sum(one[0] for one in self.counted(since, hours).values())
            except Unavailable as error:
                return str(error)
            return "" if found >= facts else f"{found} of {facts} facts"

        await_ready(problem, seconds=300)

    def close(self) -> None:
        self.lane.close()
        self.serving.close()
