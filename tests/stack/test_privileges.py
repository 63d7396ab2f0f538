"""Every role × database × table × privilege of the migrated server, as PostgreSQL itself decides it, against what GRANTS lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import psycopg
import pytest
from psycopg import sql

from paxtrail.adapters.migrations import GRANTS, migrate
from paxtrail.adapters.postgres import ROLES, Database, Role, database_name, dsn
from paxtrail.settings import Settings

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
COLUMN_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
DATABASES: tuple[Database, ...] = tuple(GRANTS)

# Written out by hand, so that a slip in GRANTS is seen here.
MAY_CONNECT: dict[Role, set[Database]] = {
    "stream": {"serving", "vault"},
    "batch": {"serving", "marts"},
    "api": {"serving", "vault"},
    "relay": {"serving"},
    "export": {"vault"},
    "catalog": {"catalog"},
    "analyst": {"marts"},
    "airflow": {"airflow"},
    "superset": {"superset"},
    "custodian": {"vault"},
    "auditor": {"vault"},
    "retention": {"vault"},
}
VAULT: dict[Role, dict[str, set[str]]] = {
    "stream": {"identifier": {"SELECT", "INSERT"}, "subject_key": {"SELECT", "INSERT"}, "quarantine_key": {"SELECT", "INSERT"},
               "key_deletion": {"SELECT"}, "key_generation": {"SELECT"}, "identifier.digest": {"UPDATE"}, "identifier.lookup": {"UPDATE"},
               "quarantine_key.wrapped": {"UPDATE"}},
    "api": {"identifier": {"SELECT"}, "subject_key": {"SELECT"}, "key_deletion": {"SELECT"}, "key_generation": {"SELECT"},
            "reads": {"INSERT"}},
    "custodian": {"identifier": {"SELECT"}, "identifier.digest": {"UPDATE"}, "identifier.lookup": {"UPDATE"},
                  "subject_key": {"SELECT"}, "subject_key.wrapped": {"UPDATE"}, "subject_key.generation": {"UPDATE"},
                  "quarantine_key": {"SELECT"}, "quarantine_key.wrapped": {"UPDATE"}, "quarantine_key.generation": {"UPDATE"},
                  "key_generation": {"SELECT", "INSERT"}, "key_generation.ended_at": {"UPDATE"}},
    "auditor": {"reads": {"SELECT"}, "read_checkpoints": {"SELECT"}},
    "retention": {"reads": {"SELECT", "DELETE"}, "read_checkpoints": {"SELECT", "INSERT", "UPDATE"}},
    "export": {"subject_key": {"SELECT"}, "key_deletion": {"SELECT"}, "releases": {"SELECT", "INSERT"}, "refusals": {"SELECT", "INSERT"}},
}  # fmt: skip
MAY_MAKE_TABLES = {("catalog", "catalog"), ("marts", "batch"), ("airflow", "airflow"), ("superset", "superset")}

Held = set[tuple[str, str, str]]
"""(role, table or table.column, privilege)"""


@contextmanager
def superuser(settings: Settings, database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn(settings, database, "postgres"), autocommit=True) as connection:
        yield connection


def held(connection: psycopg.Connection) -> Held:
    """What each role may do to each table or view outside PostgreSQL's own schemas, by whatever way: granted, public, inherited, owned."""
    relations = (
        "pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'f')"
        " and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'"
    )
    tables = connection.execute(
        f"select role, c.relname, p from {relations.replace(' where ', ', unnest(%s::text[]) role, unnest(%s::text[]) p where ')}"
        " and has_table_privilege(role, c.oid, p)",
        (list(ROLES), list(PRIVILEGES)),
    ).fetchall()
    columns = connection.execute(
        "select role, c.relname || '.' || a.attname, p"
        f" from {relations.replace(' where ', ', pg_attribute a, unnest(%s::text[]) role, unnest(%s::text[]) p where ')}"
        " and a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " and has_column_privilege(role, c.oid, a.attnum, p) and not has_table_privilege(role, c.oid, p)",
        (list(ROLES), list(COLUMN_PRIVILEGES)),
    ).fetchall()
    return {(str(role), str(what), str(privilege)) for role, what, privilege in (*tables, *columns)}


def listed(connection: psycopg.Connection, database: Database) -> Held:
    """The same, as GRANTS says; a partition has the rights of its table."""
    tables = connection.execute(
        "select c.relname, coalesce(p.relname, c.relname) from pg_class c left join pg_inherits i on i.inhrelid = c.oid"
        " left join pg_class p on p.oid = i.inhparent where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    found: Held = set()
    for role, rights in GRANTS[database].items():
        for table, parent in tables:
            text = rights.get(parent) or rights.get("*") or ""
            for privilege, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", text):
                for one in PRIVILEGES if privilege == "ALL" else (privilege,):
                    found |= {(role, f"{table}.{column}" if column else table, one) for column in columns.split(", ")}
    return found


@pytest.mark.parametrize("database", DATABASES)
def test_every_role_may_do_to_every_table_exactly_what_is_listed(clean_postgres: Settings, database: Database) -> None:
    with superuser(clean_postgres, database) as connection:
        found, wanted = held(connection), listed(connection, database)
    assert found - wanted == set()
    assert wanted - found == set()


def test_in_the_vault_it_is_what_is_written_here(clean_postgres: Settings) -> None:
    with superuser(clean_postgres, "vault") as connection:
        found = held(connection)
    wanted = {(role, table, one) for role, tables in VAULT.items() for table, some in tables.items() for one in some}
    assert found == wanted


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_let_into_exactly_its_databases(postgres: Settings, role: Role) -> None:
    with superuser(postgres, "postgres") as connection:
        names = {str(name) for (name,) in connection.execute("select datname from pg_database where datallowconn")}
    mine = {database_name(postgres, database) for database in MAY_CONNECT[role]}
    assert names > mine
    for name in names - mine:
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(dsn(postgres, "serving", role), dbname=name)
    for name in mine:
        psycopg.connect(dsn(postgres, "serving", role), dbname=name).close()


def test_nobody_but_its_owner_makes_tables_or_schemas_in_a_database(postgres: Settings) -> None:
    makes, schemas = set(), set()
    for database in get_args(Database):
        with superuser(postgres, database) as connection:
            for role in (*ROLES, "public"):
                asked = "select has_schema_privilege(%s, 'public', 'CREATE'), has_database_privilege(%s, current_database(), 'CREATE')"
                ((table, schema),) = connection.execute(asked, (role, role)).fetchall()
                makes |= {(database, role)} if table else set()
                schemas |= {(database, role)} if schema else set()
    assert (makes, schemas) == (MAY_MAKE_TABLES, set())


def test_no_role_is_more_than_a_login(postgres: Settings) -> None:
    with superuser(postgres, "postgres") as connection:
        statement = "select rolname from pg_roles where rolname = any(%s) and rolcanlogin and not (rolsuper or rolcreatedb or rolcreaterole"
        plain = connection.execute(f"{statement} or rolreplication or rolbypassrls)", (list(ROLES),)).fetchall()
        members = connection.execute(
            "select member::regrole::text, roleid::regrole::text from pg_auth_members where member::regrole::text = any(%s)", (list(ROLES),)
        ).fetchall()
        others = connection.execute(
            "select rolname from pg_roles where rolcanlogin and rolname <> all(%s)", ([*ROLES, "postgres"],)
        ).fetchall()
    assert {name for (name,) in plain} == set(ROLES)
    assert members == [] and others == []


@pytest.mark.parametrize("database", DATABASES)
def test_nothing_lends_the_rights_of_who_made_it(postgres: Settings, database: Database) -> None:
    """Functions that run as their owner, and views, would be a way round the table of grants; there are none."""
    with superuser(postgres, database) as connection:
        functions = connection.execute(
            "select proname from pg_proc where prosecdef and pronamespace not in ('pg_catalog'::regnamespace,"
            " 'information_schema'::regnamespace)"
        ).fetchall()
        views = connection.execute("select viewname from pg_views where schemaname not in ('pg_catalog', 'information_schema')").fetchall()
    assert (functions, views) == ([], [])


@pytest.mark.parametrize(
    ("database", "grant", "found"),
    [
        ("vault", "GRANT SELECT ON reads TO api", ("api", "reads", "SELECT")),
        ("vault", "GRANT SELECT (wrapped) ON quarantine_key TO api", ("api", "quarantine_key.wrapped", "SELECT")),
        ("vault", "GRANT SELECT ON releases TO PUBLIC", ("api", "releases", "SELECT")),
        ("serving", "GRANT DELETE ON states_p3 TO api", ("api", "states_p3", "DELETE")),
        ("serving", "GRANT UPDATE ON ledger TO relay", ("relay", "ledger", "UPDATE")),
    ],
)
def test_a_grant_that_is_not_listed_is_found_and_the_next_migration_takes_it_back(
    clean_postgres: Settings, database: Database, grant: str, found: tuple[str, str, str]
) -> None:
    with superuser(clean_postgres, database) as connection:
        assert found not in held(connection)
        try:
            connection.execute(sql.SQL(grant))
            assert found in held(connection) - listed(connection, database)
            migrate(clean_postgres)
            assert held(connection) == listed(connection, database)
        finally:
            connection.execute(sql.SQL(grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")))
