"""No personal value stands in the clear in lake or stores (invariant 6): each one sent is searched for in columns and raw bytes.

So is what the stream of facts sends, all that Druid gets; gold and the database of the marts: `tests/marts`. Codes of four letters,
which tell of health or belief, are planted, and searched for in what is decoded, with sealed texts taken out.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from tests.lane import Sent, cloud_event
from tests.parity.stories import Story, history
from tests.serving.world import SEGMENT, account, passenger, reservation

from paxtrail.adapters import analytics, configuration, keyring
from paxtrail.adapters.postgres import Database, dsn
from paxtrail.core.decoding import decode
from paxtrail.core.records import Record
from paxtrail.core.schemas import Field
from paxtrail.errors import Refusal
from paxtrail.settings import Settings
from paxtrail.transforms import analytics as transform

END = 1_800_000_000_000_000
"""The end of every story (µs)."""
SHORTEST = 6
"""Shorter values would be found by accident in base64."""
CODES = {"WCHR", "BLND", "MEDA", "KSML", "MOML", "DBML"}
"""Codes and meals that are planted: as a passenger's request, as one of nobody in particular, as a member's preference."""
SEALED = re.compile(rb"sealed:[a-z_]+:[0-9a-f]{32}:[A-Za-z0-9_-]+")


def planted() -> list[Sent]:
    """A reservation and an account with every one of the codes, asked for and given back."""
    at = 1_799_000_000_000_000
    ssrs: list[dict[str, Any]] = [
        *({"code": code, "passenger": 1, "segment": 1, "status": "HK", "text": "CALL DR JONES"} for code in ("WCHR", "BLND", "KSML")),
        {"code": "MEDA", "status": "HK", "text": "OXYGEN BOTTLE"},
    ]
    member = passenger(1, "CANARYSON", "TWEETY", loyalty={"airline": "UA", "number": "CAN4RY77"})
    # The second time nobody is named by a membership: the same requests under another token.
    told = [
        reservation("CANARY", version=version, passengers=[person], segments=[SEGMENT], ssrs=[ssr | {"status": status} for ssr in ssrs])
        for version, person, status in ((1, member, "HK"), (2, passenger(1, "CANARYSON", "TWEETY"), "XX"))
    ]
    preferring = account("CAN4RY77") | {"preferences": {"meal": "DBML"}}
    meal = reservation("CANARZ", passengers=[member], ssrs=[{"code": "MOML", "passenger": 1, "segment": 1, "status": "HK"}])
    bodies = [("reservations", told[0]), ("reservations", told[1]), ("reservations", meal), ("loyalty", preferring)]
    return [cloud_event(source, f"canary-{n}", json.dumps(body).encode(), arrival=at + n) for n, (source, body) in enumerate(bodies)]


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


def at_rest(settings: Settings, *more: Database) -> Iterator[tuple[str, bytes]]:
    """Everything that is kept: files of the lake as they are, Parquet decoded too, every row of serving store, vault and `more`."""
    for file in sorted(path for path in Path(settings.lake).rglob("*") if path.is_file()):
        yield str(file.relative_to(settings.lake)), file.read_bytes()
        if file.suffix == ".parquet":
            yield f"{file.name} decoded", repr(pq.read_table(file).to_pylist()).encode()
    databases: tuple[Database, ...] = ("serving", "vault", *more)
    for database in databases:
        with psycopg.connect(dsn(settings, database, "postgres")) as connection:
            tables = connection.execute(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            )
            for (table,) in tables.fetchall():
                for (row,) in connection.execute(f'select t::text from "{table}" t').fetchall():
                    yield table, row.encode()


def leaks(settings: Settings, values: set[str], *more: Database) -> set[str]:
    """Places (never values) where one of the values stands in the clear."""
    raw, codes = [value.encode() for value in values], [code.encode() for code in CODES]
    found = set()
    for place, data in at_rest(settings, *more):
        if any(value in data for value in raw):
            found.add(place)
        elif not place.endswith(".parquet") and any(code in data for code in codes):
            clear = SEALED.sub(b"", data)
            found |= {place for code in codes if code in clear}
    return found


def sent_to_druid(settings: Settings, spark: SparkSession) -> bytes:
    """What the stream of facts writes to `analytics.events`, from bronze as it is."""
    rows = transform.bronze(spark.read.format("delta").load(analytics.lanes(settings)["main"]))
    keys = keyring.person_keys(settings, END)
    return b"\n".join(row.value.encode() for row in transform.messages(transform.facts(rows, keys)).collect())


def told(settings: Settings, spark: SparkSession) -> list[Sent]:
    """What was sent; bronze, the serving store and, after a run of the batch layer, silver have it."""
    sent = [*history(7, flights=2), *planted()]
    story = Story(settings, spark, seed=7)
    story.lane.batch(sent)
    story.run_batch(full=True)
    story.close()
    return sent


def test_no_personal_value_stands_in_the_clear(clean_postgres: Settings, spark: SparkSession) -> None:
    values = canaries(clean_postgres, told(clean_postgres, spark))
    assert len(values) > 30
    assert any(value.count(" ") > 4 for value in values), "nobody wrote to the contact centre: take another seed"
    with psycopg.connect(dsn(clean_postgres, "serving", "postgres")) as connection:
        kinds = connection.execute("select distinct entity from states where state like '%sealed:care:%' order by 1").fetchall()
        tokens = {token for (token,) in connection.execute("select token from links").fetchall()}
    assert kinds == [("journey",), ("order",), ("profile",)]  # the planted ones were taken in
    assert leaks(clean_postgres, values) == set()
    facts = sent_to_druid(clean_postgres, spark)
    assert b'"person":"' in facts and b'"kind":"bag"' in facts and len(tokens) > 5
    assert sum(value.encode() in facts for value in values | tokens | CODES) == 0


def test_one_field_left_unsealed_would_be_found(clean_postgres: Settings, spark: SparkSession, tmp_path: Path) -> None:
    conf = shutil.copytree(clean_postgres.conf, tmp_path / "conf")
    schema = conf / "schemas" / "loyalty.toml"
    text = schema.read_text()
    assert 'class = "email"' in text
    schema.write_text(text.replace('class = "email"', 'class = "internal"'))
    sent = told(clean_postgres.model_copy(update={"conf": conf}), spark)
    assert leaks(clean_postgres, canaries(clean_postgres, sent))


def test_a_code_left_unsealed_would_be_found(clean_postgres: Settings, spark: SparkSession, tmp_path: Path) -> None:
    conf = shutil.copytree(clean_postgres.conf, tmp_path / "conf")
    schema = conf / "schemas" / "reservations.toml"
    request = 'request = { type = "string", class = "health"'
    assert request in schema.read_text()
    schema.write_text(schema.read_text().replace(request, 'request = { type = "string"'))
    settings = clean_postgres.model_copy(update={"conf": conf})
    told(settings, spark)
    places = leaks(settings, set())
    assert {"states"} <= places and any(place.endswith("decoded") for place in places)
