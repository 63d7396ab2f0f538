"""Marts copied from Delta gold to PostgreSQL, where analysts read them: all of a build change places in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import pyarrow as pa
from deltalake import DeltaTable
from psycopg import sql

from paxtrail.adapters import postgres
from paxtrail.adapters.cuts import Cut
from paxtrail.adapters.migrations import GRANTS
from paxtrail.errors import ConfigurationError, Unavailable
from paxtrail.settings import Settings

_TYPES = {
    pa.string(): "text",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.float64(): "double precision",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}
_LOCK_MS = 10_000


def publish(settings: Settings, cut: Cut, manifest: Mapping[str, Any]) -> dict[str, int]:
    """Rows by mart. What has not changed since it was published is left as it is.

    New tables are filled beside the old ones, which are read meanwhile, and take their names at the end; a query that runs for longer
    than the lock is waited for keeps the old ones in place (Unavailable: build again).
    """
    marts = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model" and node["fqn"][1] == "marts"}
    try:
        with psycopg.connect(postgres.dsn(settings, "marts", "batch")) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(7262603)")
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_MS)))
            changed = [name for name, node in sorted(marts.items()) if _load(connection, settings, cut, node)]
            for name in changed:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
                connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(_next(name), sql.Identifier(name)))
            rows = connection.execute("SELECT mart, rows FROM published_marts WHERE mart = ANY(%s)", (list(marts),)).fetchall()
    except psycopg.errors.LockNotAvailable as error:
        raise Unavailable(f"marts are being read for more than {_LOCK_MS // 1000} s; the old ones stay: build again") from error
    return dict(sorted(rows))


def _next(name: str) -> sql.Identifier:
    return sql.Identifier(f"{name}_next")


def _load(connection: psycopg.Connection[Any], settings: Settings, cut: Cut, node: Mapping[str, Any]) -> bool:
    """Whether the mart differs from what is published; then it stands beside it, filled."""
    name: str = node["name"]
    delta = DeltaTable(f"{settings.lake}/gold/{name}", storage_options=settings.storage.options)
    known = connection.execute("SELECT delta_version FROM published_marts WHERE mart = %s", (name,)).fetchone()
    if known is not None and known[0] == delta.version():
        return False
    dataset = delta.to_pyarrow_dataset()
    _create(connection, node, dataset.schema)
    count = 0
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(_next(name))) as copy:
        for batch in dataset.to_batches():
            count += batch.num_rows
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
    connection.execute(
        "INSERT INTO published_marts VALUES (%s, %s, %s, %s, %s) ON CONFLICT (mart) DO UPDATE SET run_id = excluded.run_id,"
        " epoch = excluded.epoch, delta_version = excluded.delta_version, rows = excluded.rows, published_at = now()",
        (name, cut.run_id, cut.epoch, delta.version(), count),
    )
    return True


def _create(connection: psycopg.Connection[Any], node: Mapping[str, Any], schema: pa.Schema) -> None:
    name, key = node["name"], node["config"]["unique_key"]
    columns = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(f.name), sql.SQL(_type(name, f))) for f in schema)
    keys = sql.SQL(", ").join(map(sql.Identifier, [key] if isinstance(key, str) else key))
    table = _next(name)
    connection.execute(sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(table, columns, keys))
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(node["description"])))
    for column in node["columns"].values():
        target = sql.SQL("{}.{}").format(table, sql.Identifier(column["name"]))
        connection.execute(sql.SQL("COMMENT ON COLUMN {} IS {}").format(target, sql.Literal(column["description"])))
    for role, rights in GRANTS["marts"].items():
        connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights["*"]), table, sql.Identifier(role)))


def _type(mart: str, field: pa.Field) -> str:
    if found := _TYPES.get(field.type):
        return found
    raise ConfigurationError(f"{mart}.{field.name} is of type {field.type}, which marts do not have: see adapters/marts_publication.py")
