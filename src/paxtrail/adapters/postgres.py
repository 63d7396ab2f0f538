"""Addresses of the databases, per role; passwords come from the environment or from files only their owner can read."""

from __future__ import annotations

import os
import secrets
from typing import Literal
from urllib.parse import quote

from paxtrail.adapters import drafts
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

Role = Literal[
    "stream", "batch", "api", "relay", "catalog", "analyst", "airflow", "export", "superset", "custodian", "auditor", "retention",
    "postgres",
]  # fmt: skip
Database = Literal["serving", "vault", "catalog", "marts", "airflow", "superset", "postgres"]
ROLES: tuple[Role, ...] = (
    "stream", "batch", "api", "relay", "catalog", "analyst", "airflow", "export", "superset", "custodian", "auditor", "retention",
)  # fmt: skip


def dsn(settings: Settings, database: Database = "serving", role: Role = "stream") -> str:
    """URL of a database for a role, as psycopg and asyncpg take it. It holds the password: never log it."""
    name = database_name(settings, database)
    where = settings.postgres
    return f"postgresql://{role}:{quote(password(settings, role), safe='')}@{where.host}:{where.port}/{name}?{tls(settings)}"


def tls(settings: Settings) -> str:
    """How a connection is protected, as the end of an address: libpq, asyncpg and JDBC call it the same."""
    where = settings.postgres
    return f"sslmode={where.sslmode}" + (f"&sslrootcert={quote(where.sslrootcert, safe='/')}" if where.sslrootcert else "")


def database_name(settings: Settings, database: Database) -> str:
    """What the server calls the database."""
    return database if database == "postgres" else str(getattr(settings.postgres, f"{database}_database"))


def password(settings: Settings, role: Role) -> str:
    """Password of a role: PAXTRAIL_PASSWORD_<ROLE>, else <home>/secrets/<role>.password, made at first use (local only)."""
    return secret(settings, role)


def secret(settings: Settings, name: str) -> str:
    """As `password`, for whatever else has one: a key, a user of pages."""
    variable = f"PAXTRAIL_PASSWORD_{name.upper()}"
    if given := os.environ.get(variable):
        return given
    file = settings.secrets / f"{name}.password"
    if not file.exists():
        if settings.env != "local":
            raise ConfigurationError(f"no password for {name}: set {variable} or write {file}")
        drafts.once(file, secrets.token_urlsafe(24))
    return drafts.private(file).strip()
