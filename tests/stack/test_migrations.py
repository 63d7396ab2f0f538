"""The databases as the migration leaves them: partitions, roles that may do exactly what they need, versions that only grow."""

from __future__ import annotations

import time
from typing import get_args

import psycopg
import pytest

from paxtrail.adapters.migrations import PARTITIONS, migrate
from paxtrail.adapters.postgres import ROLES, Database, Role, database_name, dsn
from paxtrail.settings import Settings


def test_every_partitioned_table_has_its_partitions(postgres: Settings) -> None:
    with psycopg.connect(dsn(postgres, "serving", "api")) as connection:
        counts: dict[str, int] = dict(
            connection.execute(
                "SELECT inhparent::regclass::text, count(*) FROM pg_inherits "
                "JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind = 'r' GROUP BY 1"
            ).fetchall()
        )
    assert counts == dict.fromkeys(("states", "versions", "documents", "timeline"), PARTITIONS)


def test_versions_start_at_the_microseconds_of_now_and_a_second_migration_keeps_them(postgres: Settings) -> None:
    with psycopg.connect(dsn(postgres, "serving", "stream"), autocommit=True) as connection:
        first = connection.execute("SELECT nextval('version_seq')").fetchone()
        migrate(postgres)
        second = connection.execute("SELECT nextval('version_seq')").fetchone()
    assert first is not None
    assert second is not None
    assert 0 < time.time_ns() // 1000 - first[0] < 3600 * 1_000_000
    assert second[0] == first[0] + 1


def test_edges_and_relations_of_an_older_store_get_the_open_epoch(clean_postgres: Settings) -> None:
    with psycopg.connect(dsn(clean_postgres, "serving", "postgres"), autocommit=True) as connection:
        connection.execute("UPDATE epochs SET closed_by = 'a'")
        connection.execute("INSERT INTO epochs (epoch) VALUES (2)")
        connection.execute("ALTER TABLE edges DROP COLUMN epoch; ALTER TABLE relations DROP COLUMN epoch")
        connection.execute("INSERT INTO edges VALUES ('loyalty', 'a', 'passenger', 'b')")
        migrate(clean_postgres)
        migrate(clean_postgres)
        assert connection.execute("SELECT epoch FROM edges").fetchall() == [(2,)]
        with pytest.raises(psycopg.errors.NotNullViolation):
            connection.execute("INSERT INTO relations VALUES ('profile', 'a', 'travels', 'journey', 'j')")


@pytest.mark.parametrize(
    ("database", "role", "statement"),
    [
        ("serving", "api", "UPDATE states SET state = ''"),
        ("serving", "api", "INSERT INTO outbox (topic, key, payload) VALUES ('', '', '')"),
        ("serving", "relay", "SELECT * FROM states"),
        ("serving", "relay", "INSERT INTO outbox (topic, key, payload) VALUES ('', '', '')"),
        ("serving", "stream", "DROP TABLE states"),
        ("serving", "stream", "CREATE TABLE more (a int)"),
        ("vault", "api", "SELECT * FROM reads"),
        ("vault", "api", "UPDATE subject_key SET wrapped = NULL"),
        ("vault", "api", "SELECT * FROM quarantine_key"),
        ("vault", "stream", "DELETE FROM identifier"),
        ("vault", "stream", "SELECT * FROM reads"),
        ("vault", "export", "SELECT * FROM identifier"),
        ("vault", "export", "UPDATE releases SET rows = 0"),
        ("vault", "export", "SELECT * FROM reads"),
        ("vault", "custodian", "SELECT * FROM reads"),
        ("vault", "custodian", "DELETE FROM subject_key"),
        ("vault", "custodian", "INSERT INTO identifier (digest, namespace, token) VALUES ('x', '', '')"),
        ("vault", "custodian", "UPDATE identifier SET token = ''"),
        ("vault", "stream", "UPDATE identifier SET token = ''"),
        ("vault", "stream", "INSERT INTO key_generation VALUES ('wrapping', 9)"),
        ("vault", "auditor", "DELETE FROM reads"),
        (
            "vault",
            "auditor",
            "INSERT INTO reads (at) VALUES (now())",
        ),
        ("vault", "auditor", "SELECT * FROM identifier"),
        ("vault", "retention", "UPDATE reads SET subject = ''"),
        ("vault", "retention", "SELECT * FROM subject_key"),
        ("vault", "api", "DELETE FROM reads"),
        ("vault", "api", "INSERT INTO read_checkpoints VALUES ('', 0, '', '')"),
        ("marts", "analyst", "UPDATE published_marts SET rows = 0"),
        ("marts", "analyst", "CREATE TABLE more (a int)"),
    ],
)
def test_a_role_may_not_do_what_it_does_not_need(postgres: Settings, database: Database, role: Role, statement: str) -> None:
    with psycopg.connect(dsn(postgres, database, role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_an_analyst_is_let_into_the_marts_only(postgres: Settings) -> None:
    with psycopg.connect(dsn(postgres, "postgres", "postgres")) as connection:
        found = {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datallowconn")}
    assert found >= {database_name(postgres, database) for database in get_args(Database)} | {"template1"}
    analyst = dsn(postgres, "marts", "analyst")
    for name in found - {database_name(postgres, "marts")}:
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(analyst, dbname=name)
    psycopg.connect(analyst).close()


@pytest.mark.parametrize("role", ["batch", "relay", "catalog"])
def test_the_vault_does_not_let_in_who_has_no_business_there(postgres: Settings, role: Role) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(dsn(postgres, "vault", role))


@pytest.mark.parametrize(
    ("database", "role", "statement"),
    [
        ("serving", "stream", "INSERT INTO states (entity, key, epoch, digest, state) VALUES ('bag', 'x', 1, '', '{}')"),
        ("serving", "stream", "SELECT nextval('version_seq')"),
        ("serving", "stream", "CREATE TEMPORARY TABLE claims (id bytea) ON COMMIT DROP"),
        ("serving", "stream", "INSERT INTO outbox (topic, key, payload) VALUES ('', '', '')"),
        ("serving", "batch", "DELETE FROM states WHERE epoch < 0"),
        ("serving", "batch", "SELECT count(*) FROM states_p3"),
        ("serving", "api", "INSERT INTO documents (entity, key, version, digest, document) VALUES ('bag', 'x', 1, '', '{}')"),
        ("serving", "api", "SELECT * FROM states, links, relations, timeline, ledger"),
        ("serving", "relay", "DELETE FROM outbox WHERE id < 0"),
        ("vault", "stream", "INSERT INTO identifier (digest, namespace, token) VALUES ('x', '', '') ON CONFLICT DO NOTHING"),
        ("vault", "stream", "INSERT INTO quarantine_key (day, generation) VALUES ('', 0) ON CONFLICT DO NOTHING"),
        ("vault", "api", "SELECT * FROM identifier, subject_key, key_deletion"),
        ("vault", "export", "SELECT * FROM subject_key, key_deletion, releases"),
        ("vault", "custodian", "UPDATE subject_key SET wrapped = '', generation = 2 WHERE token = ''"),
        ("vault", "auditor", "SELECT * FROM reads, read_checkpoints"),
        ("vault", "retention", "DELETE FROM reads WHERE id < 0"),
        ("catalog", "catalog", "CREATE TABLE probe (a int)"),
        ("marts", "batch", "CREATE TABLE probe (a int)"),
        ("marts", "analyst", "SELECT * FROM published_marts"),
        (
            "vault",
            "api",
            "INSERT INTO reads (at, subject, client, role, purpose, route, customers) VALUES (now(), '', '', '', '', '', '{}')",
        ),
    ],
)
def test_a_role_may_do_what_it_needs(postgres: Settings, database: Database, role: Role, statement: str) -> None:
    with psycopg.connect(dsn(postgres, database, role)) as connection:
        connection.execute(statement.encode())
        connection.rollback()


def test_a_wrong_password_is_refused(postgres: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_PASSWORD_STREAM", "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn(postgres, "serving", "stream"))


def test_passwords_are_for_their_owner_only(postgres: Settings) -> None:
    files = list(postgres.secrets.glob("*.password"))
    assert {file.name for file in files} >= {f"{role}.password" for role in (*ROLES, "postgres")}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_who_makes_tables_of_its_own_keeps_their_sequences_after_another_migration(postgres: Settings) -> None:
    with psycopg.connect(dsn(postgres, "superset", "superset"), autocommit=True) as connection:
        connection.execute("CREATE TABLE made_by_its_owner (id serial)")
        try:
            migrate(postgres)
            connection.execute("INSERT INTO made_by_its_owner DEFAULT VALUES")
        finally:
            connection.execute("DROP TABLE made_by_its_owner")
