"""No personal value stands in the clear in lake or stores (invariant 6): each one sent is searched for in columns and raw bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from tests.lane import Lane, Sent
from tests.parity.stories import history

from paxtrail.adapters import configuration
from paxtrail.adapters.postgres import Database, dsn
from paxtrail.core.decoding import decode
from paxtrail.core.records import Record
from paxtrail.core.schemas import Field
from paxtrail.errors import Refusal
from paxtrail.settings import Settings

SHORTEST = 6
"""Shorter values would be found by accident in base64."""


def canaries(settings: Settings, sent: list[Sent]) -> set[str]:
    """Every personal text that these records carry."""
    schemas = configuration.schemas(settings.conf)
    found: set[str] = set()
    for one in sent:
        try:
            drafts = decode(Record(one.source, one.headers, one.body, one.arrival), schemas).drafts
        except Refusal:
            continue
        for draft in drafts:
            found |= set(personal(draft.facts, schemas.event(draft.type).fields))
    return {value for value in found if len(value) >= SHORTEST}


def personal(facts: dict[str, Any], fields: dict[str, Field]) -> Iterator[str]:
    """Texts of the fields of a personal class."""
    for name, value in facts.items():
        field = fields[name]
        if field.personal:
            yield from (v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str))
        elif isinstance(value, list) and field.fields:
            for item in value:
                yield from personal(item, field.fields)
        elif isinstance(value, dict):
            yield from personal(value, field.fields)


def at_rest(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Everything that is kept: files as they are, Parquet decoded too, every row of both databases."""
    for file in sorted(path for path in settings.lake.rglob("*") if path.is_file()):
        yield str(file.relative_to(settings.lake)), file.read_bytes()
        if file.suffix == ".parquet":
            yield f"{file.name} decoded", repr(pq.read_table(file).to_pylist()).encode()
    databases: tuple[Database, ...] = ("serving", "vault")
    for database in databases:
        with psycopg.connect(dsn(settings, database, "postgres")) as connection:
            tables = connection.execute(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            )
            for (table,) in tables.fetchall():
                for (row,) in connection.execute(f'select t::text from "{table}" t').fetchall():
                    yield table, row.encode()


def leaks(settings: Settings, values: set[str]) -> set[str]:
    """Places (never values) where one of the values stands in the clear."""
    raw = [value.encode() for value in values]
    return {place for place, data in at_rest(settings) if any(value in data for value in raw)}


def told(settings: Settings, spark: SparkSession) -> list[Sent]:
    sent = history(7, flights=2)
    lane = Lane(settings, spark)
    lane.batch(sent)
    lane.close()
    return sent


def test_no_personal_value_stands_in_the_clear(clean_postgres: Settings, spark: SparkSession) -> None:
    values = canaries(clean_postgres, told(clean_postgres, spark))
    assert len(values) > 30
    assert leaks(clean_postgres, values) == set()


def test_one_field_left_unsealed_would_be_found(clean_postgres: Settings, spark: SparkSession, tmp_path: Path) -> None:
    conf = shutil.copytree(clean_postgres.conf, tmp_path / "conf")
    schema = conf / "schemas" / "loyalty.toml"
    text = schema.read_text()
    assert 'class = "email"' in text
    schema.write_text(text.replace('class = "email"', 'class = "internal"'))
    sent = told(clean_postgres.model_copy(update={"conf": conf}), spark)
    assert leaks(clean_postgres, canaries(clean_postgres, sent))
