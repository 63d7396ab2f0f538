"""The record of reads as chains: written by several at once, found out when somebody altered it, shortened when its time is over."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from paxtrail.adapters import witnesses
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.read_chains import expire, verify
from paxtrail.errors import Unavailable
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.reads import Read, ReadLog, opened
from paxtrail.serving.store import pool
from paxtrail.settings import Settings

DAY = 86_400_000_000
FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FIRST_US = int(FIRST.timestamp()) * 1_000_000
WHOM = "a" * 32


def read(number: int, *customers: str) -> Read:
    """The read of the day with this number."""
    return Read(FIRST + dt.timedelta(days=number), f"agent-{number}", "desk", "agent", "care", "profiles.read", customers or (WHOM,), "")


@asynccontextmanager
async def writer(settings: Settings) -> AsyncIterator[ReadLog]:
    vault = await pool(dsn(settings, "vault", "api"), 2)
    log = opened(settings, vault, Metrics())
    log.start()
    try:
        yield log
    finally:
        await log.stop()
        vault.terminate()


async def written(settings: Settings, *numbers: int) -> None:
    """Reads recorded by one writer, each in a group of its own."""
    async with writer(settings) as log:
        for number in numbers:
            await log.record(read(number))


def sql(settings: Settings, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    """As who administers the vault."""
    with psycopg.connect(dsn(settings, "vault", "postgres"), autocommit=True) as vault:
        cursor = vault.execute(statement.encode(), arguments)
        return cursor.fetchall() if cursor.description else []


def told(settings: Settings) -> list[tuple[str, int, int]]:
    return [(one.kind, one.first, one.last) for one in verify(settings).breaks]


@contextmanager
def away(settings: Settings) -> Iterator[None]:
    """While nobody is let into the vault."""
    name = settings.postgres.vault_database
    with psycopg.connect(dsn(settings, "postgres", "postgres"), autocommit=True) as server:
        server.execute(f"alter database {name} allow_connections false".encode())
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            yield
        finally:
            server.execute(f"alter database {name} allow_connections true".encode())


async def test_several_writers_at_once_make_a_whole_chain_each(clean_postgres: Settings) -> None:
    async with writer(clean_postgres) as one, writer(clean_postgres) as two, writer(clean_postgres) as three:
        await asyncio.gather(*(log.record(read(number)) for number in range(60) for log in (one, two, three)))
        during = verify(clean_postgres)
    assert (during.chains, during.records, during.breaks) == (3, 180, [])
    assert sql(clean_postgres, "select min(seq), max(seq), count(*) from reads group by chain") == [(1, 60, 60)] * 3
    assert {head.seq for head in witnesses.heads(witnesses.folder(clean_postgres)).values()} == {60}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("update reads set subject = 'nobody' where seq = 3", [("edited", 3, 3)]),
        ("update reads set customers = '{}' where seq = 3", [("edited", 3, 3)]),
        ("update reads set at = at + interval '1 microsecond' where seq = 3", [("edited", 3, 3)]),
        ("delete from reads where seq = 3", [("deleted", 3, 3)]),
        ("delete from reads where seq = 1", [("deleted", 1, 1)]),
        ("update reads a set subject = b.subject, at = b.at from reads b where a.seq + b.seq = 7 and a.seq in (2, 5)", [("swapped", 2, 5)]),
        ("delete from reads where seq > 4", [("truncated", 5, 6)]),
        ("truncate reads", [("truncated", 1, 6)]),
        ("update reads set chain = 'x' where seq = 6", [("truncated", 6, 6), ("deleted", 1, 5), ("unwitnessed", 1, 1)]),
        ("update reads set chain = '' where seq = 6", [("truncated", 6, 6), ("unchained", 0, 1)]),
        (
            "insert into reads (at, subject, client, role, purpose, route, customers, chain, seq, mac)"
            " select at, 'planted', client, role, purpose, route, customers, chain, 7, mac from reads where seq = 6",
            [("edited", 7, 7)],
        ),
        (
            "with gone as (delete from reads where seq <= 2 returning seq, chain, mac)"
            " insert into read_checkpoints select chain, seq, mac, 'forged' from gone where seq = 2",
            [("forged", 1, 2), ("deleted", 1, 2)],
        ),
    ],
)
async def test_what_an_administrator_did_to_the_record_is_found(
    clean_postgres: Settings, statement: str, found: list[tuple[str, int, int]]
) -> None:
    await written(clean_postgres, *range(6))
    assert told(clean_postgres) == []
    sql(clean_postgres, statement)
    assert sorted(told(clean_postgres)) == sorted(found)


async def test_a_chain_whose_head_nobody_told_of_is_named(clean_postgres: Settings) -> None:
    await written(clean_postgres, 0, 1)
    (file,) = witnesses.folder(clean_postgres).iterdir()
    file.unlink()
    assert told(clean_postgres) == [("unwitnessed", 1, 2)]


async def test_no_read_is_answered_before_its_head_is_told(clean_postgres: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = clean_postgres.reads.model_copy(update={"witness": str(tmp_path / "file")})
    async with writer(clean_postgres.model_copy(update={"reads": given})) as log:
        with pytest.raises(Unavailable):
            await log.record(read(0))
    assert sql(clean_postgres, "select count(*) from reads") == [(0,)]


async def test_reads_of_the_journal_are_links_of_a_chain_once_the_vault_is_back(clean_postgres: Settings) -> None:
    async with writer(clean_postgres) as log:
        await log.record(read(0))
        with away(clean_postgres):
            await log.record(read(1, WHOM, "b" * 32), may_spool=True)
            await log.drain()  # to no avail
            await log.record(read(2), may_spool=True)
            with pytest.raises(Unavailable):
                await log.record(read(3))
        await log.drain()
        await log.record(read(4))
    assert told(clean_postgres) == []
    found = sql(clean_postgres, "select subject, cardinality(customers), mac <> '' from reads order by subject")
    assert found == [("agent-0", 1, True), ("agent-1", 2, True), ("agent-2", 1, True), ("agent-4", 1, True)]
    assert list((clean_postgres.home / "spool").iterdir()) == []


async def test_workers_that_share_a_journal_drain_each_read_once(clean_postgres: Settings) -> None:
    async with writer(clean_postgres) as one, writer(clean_postgres) as two:
        with away(clean_postgres):
            await asyncio.gather(*(log.record(read(number), may_spool=True) for number, log in enumerate((one, two))))
        await asyncio.gather(one.drain(), two.drain())
    assert sql(clean_postgres, "select subject from reads order by 1") == [("agent-0",), ("agent-1",)]
    assert told(clean_postgres) == []


async def test_a_torn_line_of_the_journal_takes_no_other_with_it(clean_postgres: Settings) -> None:
    journal = clean_postgres.home / "spool" / "reads.jsonl"
    async with writer(clean_postgres) as log:
        with away(clean_postgres):
            for number in (0, 1):  # at the second one it tries to drain, and not again within two seconds
                await log.record(read(number), may_spool=True)
            with journal.open("a") as file:
                file.write('["2026-01-01T00:00:00+00:00","torn')
            await log.record(read(2), may_spool=True)
        await log.drain()
    assert sql(clean_postgres, "select subject from reads order by 1") == [("agent-0",), ("agent-1",), ("agent-2",)]


async def test_a_group_that_may_or_may_not_have_arrived_ends_its_chain(clean_postgres: Settings) -> None:
    async with writer(clean_postgres) as log:
        await log.record(read(0))
        sql(clean_postgres, "revoke insert on reads from api")
        try:
            with pytest.raises(Unavailable):
                await log.record(read(1))
        finally:
            sql(clean_postgres, "grant insert on reads to api")
        await log.record(read(2))
    assert sql(clean_postgres, "select count(distinct chain), max(seq), count(*) from reads") == [(2, 1, 2)]
    assert told(clean_postgres) == []


async def test_a_text_that_nobody_can_store_fails_alone(clean_postgres: Settings) -> None:
    async with writer(clean_postgres) as log:
        for may_spool in (False, True):
            with pytest.raises(Unavailable):
                await log.record(read(0)._replace(subject="\ud800"), may_spool=may_spool)
        await log.record(read(1))
    assert sql(clean_postgres, "select subject from reads") == [("agent-1",)]


async def test_what_expires_leaves_a_chain_that_still_holds(clean_postgres: Settings) -> None:
    await written(clean_postgres, *range(6))
    assert expire(clean_postgres, FIRST_US + 2 * DAY) == {"deleted": 2, "broken": []}
    assert told(clean_postgres) == []
    assert expire(clean_postgres, FIRST_US + 4 * DAY) == {"deleted": 2, "broken": []}
    assert expire(clean_postgres, FIRST_US + 4 * DAY) == {"deleted": 0, "broken": []}
    assert told(clean_postgres) == []
    sql(clean_postgres, "delete from reads where seq = 5")
    assert told(clean_postgres) == [("deleted", 5, 5)]


async def test_a_chain_that_expired_whole_is_not_missed(clean_postgres: Settings) -> None:
    await written(clean_postgres, *range(3))
    assert expire(clean_postgres, FIRST_US + 9 * DAY)["deleted"] == 3
    assert told(clean_postgres) == []


async def test_retention_destroys_no_traces(clean_postgres: Settings) -> None:
    await written(clean_postgres, *range(4))
    ((chain,),) = sql(clean_postgres, "update reads set subject = 'nobody' where seq = 2 returning chain")
    assert expire(clean_postgres, FIRST_US + 9 * DAY) == {"deleted": 0, "broken": [chain]}
    assert told(clean_postgres) == [("edited", 2, 2)]


async def test_a_late_record_of_a_journal_waits_for_the_links_before_it(clean_postgres: Settings) -> None:
    await written(clean_postgres, 5, 0, 6)
    assert expire(clean_postgres, FIRST_US + 3 * DAY)["deleted"] == 0
    assert expire(clean_postgres, FIRST_US + 6 * DAY)["deleted"] == 2
    assert told(clean_postgres) == []


def test_records_from_before_chains_are_accepted_as_far_as_they_are_known(clean_postgres: Settings) -> None:
    sql(clean_postgres, "insert into reads (at, subject, client, role, purpose, route, customers) values (now(), '', '', '', '', '', '{}')")
    assert told(clean_postgres) == [("unchained", 0, 1)]
    assert verify(clean_postgres, unchained=1).breaks == []
