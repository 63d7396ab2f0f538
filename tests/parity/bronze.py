"""A lane in miniature: invented events written as the stream writes them, Delta first and PostgreSQL last, without Kafka and door."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow as pa
from tests.fold_histories import DEFINITIONS, FIELDS, TYPES

from paxtrail.adapters import lake
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.serving_store import SESSION, Batch, commit, mint_seq
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.folds import DAY, merge
from paxtrail.settings import Settings
from paxtrail.tables import bronze

_EVERYWHERE = ("x_tier", "x_miles")
ENTITIES = ("bag", "flight", "journey", "order", "profile")
Row = dict[str, Any]


def toml(value: Any) -> str:
    """A value as TOML; objects inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {toml(inner)}' for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    return orjson.dumps(value).decode()


def configure(settings: Settings, folder: Path, *, without: Sequence[str] = (), changed: dict[str, Any] | None = None) -> Settings:
    """Settings with invented sources and attribute tables: profiles use every form of every fold, other entities a part of them."""
    for sub in ("schemas", "attributes"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for source in set(TYPES.values()):
        events = {type_: {"about": "said", "fields": FIELDS} for type_, owner in TYPES.items() if owner == source}
        (folder / "schemas" / f"{source}.toml").write_text("\n".join(["version = 1", f"events = {toml(events)}"]))
    # Names of their own: documents and outcomes must find nothing they know in invented states.
    named = [(f"x_{name}", d) for name, d in (DEFINITIONS | (changed or {})).items() if name not in without]
    others = [entity for entity in ENTITIES if entity != "profile"]
    for entity in ENTITIES:
        part = named if entity == "profile" else [*named[others.index(entity) :: len(others)], *(n for n in named if n[0] in _EVERYWHERE)]
        (folder / "attributes" / f"{entity}.toml").write_text("\n".join(f"{name} = {toml(d)}" for name, d in dict(part).items()))
    return settings.model_copy(update={"conf": folder})


# For tests that do not ask what folds do: each attribute more is time for Spark's planner.
few = partial(configure, without=sorted(set(DEFINITIONS) - {"tier", "miles", "last", "ssrs"}))


class Lane:
    """Appends rows as micro-batches of lane `main`. `tables` are the attribute tables the stream runs with."""

    def __init__(self, settings: Settings, tables: dict[str, AttributeTable]) -> None:
        self.settings, self.tables = settings, tables
        self.connection = psycopg.connect(dsn(settings, "serving", "stream"), options=SESSION)
        self.table = lake.ensure(bronze.EVENTS.of("main"), settings)
        self._batch = 0

    def write(self, rows: Sequence[Row], *, committed: bool = True) -> int:
        """The seq under which `rows` are in Delta, and in PostgreSQL unless the stream died just before."""
        self._batch += 1
        seq = mint_seq(self.connection, "main", "checkpoint", self._batch, {})
        numbered = [{**row, "lane": "main", "seq": seq} for row in rows]
        if numbered:
            table = pa.Table.from_pylist(numbered, schema=lake.arrow_schema(bronze.EVENTS))
            lake.append(self.table, self.settings, table, app="paxtrail-main", version=seq)
        if committed:
            commit(self.connection, Batch("main", seq, {}, numbered, ()), self.tables, lambda: None)
        return seq

    def close(self) -> None:
        self.connection.close()


class Events:
    """Makes rows of bronze.events; every record takes the next offset."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self._records = 0

    def record(self, *entities: tuple[str, str], type_: str = "alpha.said", events: int = 1, **members: Any) -> list[Row]:
        """The events of one new record about `entities`."""
        self._records += 1
        payload = members.pop("payload", {"tier": f"T{self._records}", "miles": self._records})
        return [
            {
                "event_id": f"{self._records:032x}{ordinal:04x}",
                "source": TYPES[type_],
                "type": type_,
                "controller": "UA",
                "region": "",
                "event_time": 10 * DAY + self._records,
                "source_sequence": 0,
                "arrival_time": 10 * DAY + self._records,
                "subject": None,
                "entities": [{"kind": kind, "key": key} for kind, key in entities],
                "identifiers": [],
                "relations": [],
                "payload": orjson.dumps(payload).decode(),
                "native": "native",
                "revision": 0,
                "decoder_version": 1,
                "schema_version": 1,
                "topic": "raw.alpha",
                "partition": 0,
                "offset": self._records,
                "traceparent": None,
                **members,
            }
            for ordinal in range(events)
        ]

    def person(self, *identifiers: tuple[str, str], **members: Any) -> list[Row]:
        """A record about a person known by (namespace, token); the first is the subject."""
        seen = [{"namespace": namespace, "token": token} for namespace, token in identifiers]
        return self.record(("profile", identifiers[0][1]), subject=identifiers[0][1], identifiers=seen, **members)

    def again(self, rows: Sequence[Row], *, later: int = 3 * DAY) -> list[Row]:
        """The same record received again at another position, after its claim was forgotten."""
        self._records += 1
        return [{**row, "offset": self._records, "arrival_time": row["arrival_time"] + later} for row in rows]

    def history(self, records: int) -> list[list[Row]]:
        """Random records about few keys of every kind, in random order of event time."""
        rng = self.random
        return [
            self.record(
                *{(kind, f"{kind}-{rng.randrange(6)}") for kind in rng.sample(ENTITIES, rng.randint(1, 3))},
                type_=rng.choice(sorted(TYPES)),
                events=rng.randint(1, 2),
                event_time=rng.randrange(12) * DAY + rng.randrange(3),
                source_sequence=rng.randrange(3),
                payload=self._payload(),
            )
            for _ in range(records)
        ]

    def _payload(self) -> dict[str, Any]:
        rng = self.random
        texts = ["GOLD", "a b", 'q"uo\\te', "é中🛫", "line\nbreak", "\x1b", "sealed:name:0f:x-_", ""]
        facts: dict[str, Any] = {
            "name": rng.choice([*texts, None]),
            "tier": rng.choice([*texts, None]),
            "flag": rng.random() < 0.5,
            "miles": rng.choice([rng.randint(-(10**12), 10**12), None]),
            "at": rng.randrange(3 * 10**15),
            "words": rng.sample(texts, rng.randint(0, 3)),
            "price": rng.choice([{"amount": "12.30", "currency": "EUR"}, {"amount": "-0.05", "currency": "USD"}, None]),
            "ssrs": [
                {"code": rng.choice(["VGML", "WCHR", "BIKE"]), "status": rng.choice(["HK", "HX", None]), "segment": rng.randint(1, 3)}
                for _ in range(rng.randint(0, 3))
            ],
        }
        return {name: facts[name] for name in rng.sample(sorted(facts), rng.randint(0, len(facts)))}


def served(settings: Settings, tables: dict[str, AttributeTable]) -> dict[tuple[str, str], Any]:
    """What readers see: batch ⊕ speed of every entity the stream writes too, as states."""
    with psycopg.connect(dsn(settings, "serving", "batch")) as connection:
        found: dict[tuple[str, str], Any] = {}
        for entity, key, state in connection.execute("SELECT entity, key, state FROM states ORDER BY entity, key, epoch").fetchall():
            if entity in tables:
                found[entity, key] = merge(tables[entity], found.get((entity, key), {}), orjson.loads(state))
    return {at: state for at, state in found.items() if state}
