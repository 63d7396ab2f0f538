"""Databases, roles, tables, hash partitions and grants of PostgreSQL; running it again changes nothing."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from paxtrail.adapters.postgres import ROLES, Database, Role, database_name, dsn, password
from paxtrail.settings import Settings

PARTITIONS = 8
_SQL = Path(__file__).with_name("sql")

# Least privilege: what is not listed here is refused by PostgreSQL. "*" = every table of that database.
_READ_WRITE = "SELECT, INSERT, UPDATE, DELETE"
GRANTS: dict[Database, dict[Role, dict[str, str]]] = {
    "serving": {
        "stream": {"*": _READ_WRITE},
        "batch": {"*": _READ_WRITE},
        "api": {"*": "SELECT", "documents": _READ_WRITE},
        "relay": {"outbox": "SELECT, DELETE"},
    },
    "vault": {
        "stream": {
            "identifier": "SELECT, INSERT, UPDATE (digest, lookup)",
            "subject_key": "SELECT, INSERT",
            "quarantine_key": "SELECT, INSERT, UPDATE (wrapped)",
            "key_deletion": "SELECT",
            "key_generation": "SELECT",
        },
        "api": {
            "identifier": "SELECT",
            "subject_key": "SELECT",
            "key_deletion": "SELECT",
            "key_generation": "SELECT",
            "reads": "INSERT",
        },
        "custodian": {
            "identifier": "SELECT, UPDATE (digest, lookup)",
            "subject_key": "SELECT, UPDATE (wrapped, generation)",
            "quarantine_key": "SELECT, UPDATE (wrapped, generation)",
            "key_generation": "SELECT, INSERT, UPDATE (ended_at)",
        },
        "export": {"subject_key": "SELECT", "key_deletion": "SELECT", "releases": "SELECT, INSERT", "refusals": "SELECT, INSERT"},
        # Who reads the record of reads never writes it, and who writes it never reads it.
        "auditor": {"reads": "SELECT", "read_checkpoints": "SELECT"},
        "retention": {"reads": "SELECT, DELETE", "read_checkpoints": "SELECT, INSERT, UPDATE"},
    },
    "catalog": {"catalog": {"*": "ALL"}},
    "marts": {"batch": {"*": "ALL"}, "analyst": {"*": "SELECT"}},
    "airflow": {"airflow": {"*": "ALL"}},
    "superset": {"superset": {"*": "ALL"}},
}
_OWNERS: dict[Database, Role] = {"catalog": "catalog", "marts": "batch", "airflow": "airflow", "superset": "superset"}
"""Who makes tables of its own in a database."""
_ANALYST_SECONDS = 60
_SEQUENCES = {"stream": ("version_seq", "outbox_id_seq"), "batch": ("version_seq", "outbox_id_seq"), "api": ("version_seq",)}


def migrate(settings: Settings) -> None:
    """The databases are as this version of the code wants them. Needs the superuser; safe to repeat and to run twice at once."""
    with psycopg.connect(dsn(settings, "postgres", "postgres"), autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(7262601)")
        for role in ROLES:
            _role(server, role, password(settings, role))
        # Who may look on in none of ours should not find the server's own database open either.
        server.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        server.execute(sql.SQL("ALTER ROLE analyst SET statement_timeout = {}").format(sql.Literal(f"{_ANALYST_SECONDS}s")))
        for database, rights in GRANTS.items():
            _database(server, database_name(settings, database), sorted(rights))
            with psycopg.connect(dsn(settings, database, "postgres")) as connection:
                _tables(connection, database)
                _grants(connection, database)


def _role(server: psycopg.Connection, role: str, secret: str) -> None:
    known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    # Hashed here, so that the password is in no statement and in no log of the server.
    hashed = server.pgconn.encrypt_password(secret.encode(), role.encode(), b"scram-sha-256").decode()
    verb = sql.SQL("ALTER" if known else "CREATE")
    server.execute(sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(verb, sql.Identifier(role), hashed))


def _database(server: psycopg.Connection, name: str, roles: list[str]) -> None:
    database = sql.Identifier(name)
    if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(database))
    server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for role in ROLES:
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, sql.Identifier(role)))
    for allowed in roles:
        server.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(allowed)))


def _tables(connection: psycopg.Connection, database: Database) -> None:
    if (file := _SQL / f"{database}.sql").exists():
        connection.execute(file.read_bytes())
    partitioned = connection.execute("SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace")
    for (table,) in partitioned.fetchall():
        for number in range(PARTITIONS):
            connection.execute(
                sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES WITH (MODULUS {}, REMAINDER {})").format(
                    sql.Identifier(f"{table}_p{number}"), sql.Identifier(table), PARTITIONS, number
                )
            )
    if database == "serving":
        # A rebuilt store must hand out larger versions than the one before it: microseconds grow faster than versions.
        connection.execute(
            "SELECT setval('version_seq', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FROM version_seq WHERE NOT is_called"
        )


def _grants(connection: psycopg.Connection, database: Database) -> None:
    """What the roles may do is exactly GRANTS, whatever an earlier version granted."""
    if owner := _OWNERS.get(database):
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(owner)))
    tables = [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()]
    for kind in ("TABLES", "SEQUENCES"):
        connection.execute(sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA public FROM PUBLIC").format(sql.SQL(kind)))
    for role in ROLES:
        grantee = sql.Identifier(role)
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA public FROM {}").format(sql.SQL(kind), grantee))
        rights = GRANTS[database].get(role, {})
        for table in tables:
            # A partition takes the rights of its table: `TRUNCATE states_p3` and reads of one hash range go straight to it.
            parent = table.rsplit("_p", 1)[0] if table.rsplit("_p", 1)[-1].isdigit() else table
            if right := rights.get(parent) or rights.get("*"):
                connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(right), sql.Identifier(table), grantee))
        if role == owner:
            connection.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(grantee))
        if database == "serving":
            for sequence in _SEQUENCES.get(role, ()):
                connection.execute(sql.SQL("GRANT USAGE, SELECT ON SEQUENCE {} TO {}").format(sql.Identifier(sequence), grantee))
