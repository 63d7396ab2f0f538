"""The shared catalogue: which Delta tables there are, by name, for SQL; its database is prepared once, by one process alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from paxtrail.adapters import postgres, silver
from paxtrail.settings import Settings
from paxtrail.tables.contracts import Table

# What the Hive client does not make without autoCreateConstraints (adapters/spark.py): two processes that register one table at once
# would leave two rows of it.
_UNIQUE = {
    "paxtrail_dbs": '"DBS" ("NAME")',
    "paxtrail_tbls": '"TBLS" ("TBL_NAME", "DB_ID")',
    "paxtrail_partitions": '"PARTITIONS" ("PART_NAME", "TBL_ID")',
}
_SCHEMAS = ("silver", "staging", "gold")
_PROBE = "paxtrail_first"


def register(spark: SparkSession, settings: Settings, tables: Iterable[Table]) -> None:
    """Each table is in the catalogue under its name, where it lies in the lake; created empty if need be. Who comes second waits."""
    with psycopg.connect(postgres.dsn(settings, "catalog", "catalog"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(7262602)")
        _prepare(spark, connection)
        known = connection.execute("""SELECT "DESC" FROM "DBS" WHERE "NAME" = 'silver'""").fetchone()
        if known is not None and known[0] != str(settings.lake):
            # The lake has moved. Its tables are nobody's but its own: what is dropped is what the catalogue says of them.
            for schema in _SCHEMAS:
                spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS silver COMMENT '{settings.lake}'")
        for table in tables:
            spark.sql(f"CREATE TABLE IF NOT EXISTS {table.name} USING delta LOCATION '{silver.ensure(spark, table, settings)}'")


def _prepare(spark: SparkSession, connection: psycopg.Connection[Any]) -> None:
    """The catalogue's own tables and unique indexes are there."""
    made = {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'").fetchall()}
    if made >= _UNIQUE.keys():
        return
    # The Hive client makes a table of its own when it first needs it; this needs them all.
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {_PROBE}")
    spark.sql(f"CREATE TABLE IF NOT EXISTS {_PROBE}.t (a int, b int) USING parquet PARTITIONED BY (b)")
    spark.sql(f"ALTER TABLE {_PROBE}.t ADD IF NOT EXISTS PARTITION (b = 1)")
    spark.sql(f"DROP SCHEMA {_PROBE} CASCADE")
    for name, columns in _UNIQUE.items():
        connection.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {columns}".encode())
