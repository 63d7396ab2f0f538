"""Claims: the first position of a record id wins it; what comes later is a duplicate, and with other content a conflict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg

from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

_HOUR = 3_600_000_000


class Claim(NamedTuple):
    """A record's id, position and content digest, and when it arrived (µs)."""

    record_id: bytes
    topic: str
    partition: int
    offset: int
    body: bytes
    arrival: int


class Claims:
    """One connection that claims record ids in the serving store."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn)
        self._connection.execute(
            'create temp table claim (record_id bytea, topic text, partition int, "offset" bigint, body bytea, arrival bigint)'
            " on commit delete rows"
        )
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()

    def lost(self, claims: Iterable[Claim]) -> dict[tuple[str, int, int], bytes]:
        """Positions that are not the first of their record id, with the first one's content digest.

        A position that asks again (a replay of its micro-batch) finds itself and is not lost, so replays agree.
        """
        asked = sorted(claims)  # in the order of ids: workers that claim the same ones wait instead of deadlocking
        if not asked:
            return {}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            with cursor.copy("copy claim from stdin (format binary)") as copy:
                copy.set_types(["bytea", "text", "int4", "int8", "bytea", "int8"])
                for claim in asked:
                    copy.write_row(claim)
            cursor.execute(
                'insert into seen select * from claim order by record_id, topic, partition, "offset" on conflict (record_id) do nothing'
            )
            if cursor.rowcount == len(asked):
                return {}
            cursor.execute(
                'select c.topic, c.partition, c."offset", s.body from claim c join seen s using (record_id)'
                ' where (s.topic, s.partition, s."offset") is distinct from (c.topic, c.partition, c."offset")'
            )
            return {(topic, partition, offset): bytes(body) for topic, partition, offset, body in cursor.fetchall()}


def horizons(settings: Settings) -> dict[str, int]:
    """How long a claim counts, in µs, by source. ConfigurationError where a source is named that there is not."""
    hours = settings.stream.claim_horizon_hours
    if unknown := sorted(hours.keys() - {"default", *SOURCES}):
        raise ConfigurationError(f"stream.claim_horizon_hours: there is no source {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    if "default" not in hours:
        raise ConfigurationError("stream.claim_horizon_hours has no `default`: give it the hours of the sources that it does not name")
    return {source: hours.get(source, hours["default"]) * _HOUR for source in SOURCES}


def forget(connection: psycopg.Connection[Any], horizon: Mapping[str, int]) -> int:
    """Deletes the claims that came longer before the newest of all than their source's horizon (µs); their number."""
    with connection.transaction(), connection.cursor() as cursor:
        newest = cursor.execute("select max(arrival) from seen").fetchone()
        if newest is None or newest[0] is None:
            return 0
        gone = 0
        for span in sorted(set(horizon.values())):
            topics = [f"raw.{source}" for source, own in horizon.items() if own == span]
            gone += cursor.execute("delete from seen where arrival < %s and topic = any(%s)", (newest[0] - span, topics)).rowcount
        return gone
