"""Publication of edges, links and relations beside a micro-batch that holds what it wants and wants what it holds."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from paxtrail.adapters import lake, relationships
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.publication import Run
from paxtrail.adapters.serving_store import bump
from paxtrail.settings import Settings
from paxtrail.tables.silver import CORRECTIONS, EDGES, LINKS, RELATIONS

EDGE = {"a_namespace": "loyalty", "a": "t1", "b_namespace": "passenger", "b": "t2", "epoch": 1}
LOCK = "SELECT pg_advisory_xact_lock(hashtext('links'))"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_a_publication_that_loses_a_deadlock_is_made_again_and_counts_once(
    clean_postgres: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = clean_postgres
    for table in (CORRECTIONS, EDGES, LINKS, RELATIONS):
        lake.ensure(table, settings)
    lake.append(EDGES, settings, pa.Table.from_pylist([EDGE], schema=lake.arrow_schema(EDGES)), app="tests", version=1)
    attempts: list[Future[None]] = []
    owner = dsn(settings, "serving", "postgres")
    with psycopg.connect(owner, autocommit=True) as look, psycopg.connect(owner) as stream, ThreadPoolExecutor() as pool:
        look.execute("INSERT INTO links VALUES ('t1', 't1'), ('t2', 't2')")
        look.execute("INSERT INTO versions VALUES ('customer', 't1', 1)")
        stream.execute("SET deadlock_timeout = '1h'")  # it never looks for the deadlock: the publication is who loses
        stream.execute("SELECT 1 FROM versions WHERE key = 't1' FOR UPDATE")

        def ends() -> None:
            stream.execute(LOCK)
            stream.commit()

        def waits_first(*arguments: Any) -> None:
            """The publication has the lock for links, and is about to want what the stream has."""
            if not attempts:
                attempts.append(pool.submit(ends))
                while look.execute(WAITING).fetchone() == (0,):
                    pass
            else:
                attempts[0].result()
            bump(*arguments)

        monkeypatch.setattr(relationships, "bump", waits_first)
        counts = relationships.publish_relationships(settings, Run("run", 1, 0, 0, {1: "full"}, {}))
        assert (counts["edges"].published, counts["edges"].healed) == (1, 1)
        assert look.execute("SELECT token, customer_id FROM links ORDER BY 1").fetchall() == [("t1", "t1"), ("t2", "t1")]
        assert look.execute("SELECT key FROM versions WHERE version > 1 ORDER BY 1").fetchall() == [("t1",), ("t2",)]
