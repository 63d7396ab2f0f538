"""The dictionary of tables, events, attributes and rights as Markdown, made from the contracts the programs themselves read."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from paxtrail.adapters import configuration, migrations
from paxtrail.adapters.postgres import Database
from paxtrail.core.attributes import Attribute, AttributeTable
from paxtrail.core.schemas import Field, Schemas
from paxtrail.serving import access
from paxtrail.serving.access import CLASSES, Access
from paxtrail.tables import bronze, silver
from paxtrail.tables.contracts import Table

DELTA: tuple[Table, ...] = (
    bronze.EVENTS,
    bronze.REVISIONS,
    bronze.REJECTS,
    silver.EVENTS,
    silver.CORRECTIONS,
    silver.FROZEN,
    silver.EXPIRED,
    silver.STATES,
    silver.DOCUMENTS,
    silver.WITHHELD,
    silver.EDGES,
    silver.LINKS,
    silver.RELATIONS,
)

_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \(")
_PARTITIONED = re.compile(r"\) PARTITION BY HASH \((\w+)\);")
_KEY = re.compile(r"PRIMARY KEY \(([^)]*)\)")

_HEAD = """# Dictionary

Made by `paxtrail docs` from the contracts in the code and `conf/`; do not edit it. Times are µs UTC, tokens 32 hex digits.

- [Tables in Delta](#tables-in-delta): the lake, bronze and silver
- [Tables in PostgreSQL](#tables-in-postgresql): the serving store, the vault, beside the marts
- [Datasource in Druid](#datasource-in-druid): what analysts count
- [Events](#events): what each source may say, and the class of each field
- [Attributes](#attributes): what is remembered of each entity
- [Who sees what](#who-sees-what): roles, purposes, routes, classes
"""


class SqlColumn(NamedTuple):
    """A column as the SQL file declares it; `about` is the comment behind it."""

    name: str
    type: str
    about: str


class SqlTable(NamedTuple):
    """A table of PostgreSQL; `about` is the comment above it."""

    name: str
    about: str
    columns: tuple[SqlColumn, ...]
    key: str
    hashed_by: str


def dictionary(conf: Path) -> str:
    """The whole dictionary. The same contracts give the same text."""
    schemas = configuration.schemas(conf)
    parts = [
        _HEAD,
        *_delta(),
        *_postgres(),
        *_druid(conf),
        *_events(schemas),
        *_attributes(configuration.attributes(conf), schemas),
        *_rights(access.load(conf)),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _delta() -> Iterator[str]:
    yield (
        "## Tables in Delta\n\nIn `<home>/lake/<layer>/<table>`. One writer per table."
        " Only columns marked † have statistics in the Delta log.\n"
    )
    for table in DELTA:
        yield f"### {table.name}\n\n{_sentence(table.about)}\n"
        yield f"Written by `{table.owner}` · key `{', '.join(table.key)}` · to be kept: {table.retention}\n"
        yield _table(
            ("column", "type", "what it is"),
            (
                (f"`{c.name}`{' †' if c.stats else ''}", f"{_short(c.type)}{', or null' if c.nullable else ''}", c.about)
                for c in table.columns
            ),
        )


def _short(type_: str) -> str:
    """array<struct<kind:string,key:string>> -> list of (kind, key)"""
    if not type_.startswith("array<struct<"):
        return type_
    members = type_.removeprefix("array<struct<").removesuffix(">>").split(",")
    return f"list of ({', '.join(member.partition(':')[0] for member in members)})"


def sql_tables(text: str) -> list[SqlTable]:
    """The tables that an SQL file of `adapters/sql` creates, in its order."""
    tables: list[SqlTable] = []
    above: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("-- "):
            above.append(line.removeprefix("-- "))
        elif match := _CREATE.match(line):
            tables.append(_sql_table(match[1], " ".join(above), lines))
            above = []
        else:
            above = []
    return tables


def _sql_table(name: str, about: str, lines: Iterator[str]) -> SqlTable:
    columns: list[SqlColumn] = []
    key = hashed_by = ""
    for line in lines:
        if line.startswith(")"):
            hashed_by = match[1] if (match := _PARTITIONED.match(line)) else ""
            break
        declaration, _, comment = line.strip().partition("-- ")
        words = declaration.strip().rstrip(",").split()
        if found := _KEY.match(declaration):
            key = found[1]
        elif words and words[0] not in ("UNIQUE", "CHECK", "FOREIGN"):
            nullable = not {"NOT", "PRIMARY", "IDENTITY"} & set(words)
            key = words[0] if "PRIMARY" in words else key
            columns.append(SqlColumn(words[0].strip('"'), words[1] + (", or null" if nullable else ""), comment.strip()))
    return SqlTable(name, about, tuple(columns), key.replace('"', ""), hashed_by)


def _postgres() -> Iterator[str]:
    yield "## Tables in PostgreSQL\n"
    databases: dict[Database, str] = {
        "serving": "The serving store: what the API answers from.",
        "vault": "A database of its own.",
        "marts": "What analysts read: the marts of `dbt/models/marts`, and this table.",
    }
    for database, about in databases.items():
        yield f"### Database `{database}`\n\n{about} Made by `src/paxtrail/adapters/migrations.py` from `adapters/sql/{database}.sql`.\n"
        text = Path(migrations.__file__).with_name("sql").joinpath(f"{database}.sql").read_text(encoding="utf-8")
        for table in sql_tables(text):
            spread = f" · {migrations.PARTITIONS} hash partitions by `{table.hashed_by}`" if table.hashed_by else ""
            yield f"#### {database}.{table.name}\n\n{_sentence(table.about)}\n"
            yield f"Key `{table.key}`{spread} · {_granted(database, table.name)}\n"
            yield _table(("column", "type", "what it is"), ((f"`{c.name}`", c.type, c.about) for c in table.columns))


def _granted(database: Database, table: str) -> str:
    rights = {role: tables.get(table) or tables.get("*") for role, tables in migrations.GRANTS[database].items()}
    given = [f"`{role}` may {right.lower()}" for role, right in rights.items() if right]
    return "; ".join(given) if given else "no role but the superuser may touch it"


_FACTS = {
    "__time": "hour of the event",
    "kind": "departed, arrived, delayed, cancelled, diverted, displaced (a segment the carrier changed), bag, searched",
    "airline": "designator",
    "airport": "where: of departure or arrival, of the scan, where a search starts",
    "route": "EWR-LAX",
    "band": "delay: on_time (under 15 minutes), 15_to_59, 60_to_179, 180_or_more",
    "custody": "custody point of a bag",
    "cabin": "cabin, or class of the segment",
    "channel": "web, app …",
    "facts": "number of facts rolled up",
    "delay_minutes": "sum of the minutes of delay reported",
    "things": "legs; bags, by a keyed hash of the tag",
    "persons": "persons, by a keyed hash of the token whose key lives a quarter",
}


def _druid(conf: Path) -> Iterator[str]:
    schema = json.loads((conf / "druid" / "operations.json").read_text())
    yield (
        f"## Datasource in Druid\n\n`{schema['dataSource']}`, from `conf/druid/operations.json`, rolled up by hour. Facts come by the topic"
        " `analytics.events`; `spark_jobs/reindex.py` makes closed hours exact. It holds no token.\n"
    )
    metrics = ((metric["name"], metric["type"]) for metric in schema["metricsSpec"])
    columns = (("__time", "timestamp"), *((name, "string") for name in schema["dimensionsSpec"]["dimensions"]), *metrics)
    yield _table(("column", "type", "what it is"), ((f"`{name}`", type_, _FACTS[name]) for name, type_ in columns))


def _events(schemas: Schemas) -> Iterator[str]:
    yield (
        "## Events\n\nFrom `conf/schemas/<source>.toml`. A field that a record does not mention is absent; null means said to be empty."
        " Values of the classes `public` and `internal` stay clear, all others are sealed under their owner's key.\n"
    )
    for source in schemas.sources:
        yield f"### {source}\n\nVersion {schemas.version(source)}.\n"
        for type_ in (t for t in schemas.types if schemas.source_of(t) == source):
            event = schemas.event(type_)
            yield f"#### {type_}\n\n{_sentence(event.about)}\n"
            yield _table(("field", "type", "class", "what it is"), _fields(event.fields.values()))


def _fields(fields: Iterable[Field], of: str = "") -> Iterator[tuple[str, str, str, str]]:
    for field in fields:
        type_ = "list of objects" if field.type == "list" else field.type
        yield f"`{of}{field.name}`", type_, "" if field.fields and not field.personal else field.class_, field.about
        if not field.personal:
            yield from _fields(field.fields.values(), f"{of}{field.name}{'[]' if field.type == 'list' else ''}.")


def _attributes(tables: Mapping[str, AttributeTable], schemas: Schemas) -> Iterator[str]:
    yield (
        "## Attributes\n\nFrom `conf/attributes/<entity>.toml`. Each is a fold of events: `latest` and `first` by (rank of source,"
        " event time, source sequence, arrival, event id), `min`, `max`, `sum`, `count`, `days` (a count per day), `recent` (newest by"
        " event time), `set` (most recently seen), `map` (latest by key). *keep* is how many are remembered per token.\n"
    )
    head = ("attribute", "fold", "keep", "value", "from", "class", "what it is")
    for entity, table in sorted(tables.items()):
        yield f"### {entity}\n"
        yield _table(head, (_attribute(attribute, schemas) for attribute in table.attributes.values()))


def _attribute(a: Attribute, schemas: Schemas) -> Sequence[str]:
    return f"`{a.name}`", _fold(a), str(a.keep or ""), _value(a), _from(a, schemas), _class(a, schemas), a.about


def _fold(attribute: Attribute) -> str:
    ranked = ", ".join(f"{source} {rank}" for source, rank in sorted(attribute.rank, key=lambda one: -one[1]))
    return attribute.fold + (f" ({ranked})" if ranked else "")


def _value(attribute: Attribute) -> str:
    found: list[str] = []
    if attribute.each:
        found.append(f"each of `{attribute.each}`:")
    if attribute.key:
        found.append(f"`{attribute.key}` →")
    if isinstance(attribute.value, str):
        found.append(f"`{attribute.value}`")
    elif attribute.value:
        found.append(", ".join(f"`{path}`" if path.endswith(f".{name}") else f"{name} `{path}`" for name, path in attribute.value))
    if attribute.unit:
        found.append(f"by `{attribute.unit}`")
    if attribute.windows:
        found.append(f"read over {', '.join(map(str, attribute.windows))} days")
    found += [f"if {type_} has `{path}`" for type_, path in attribute.requires]
    return " ".join(found)


def _from(attribute: Attribute, schemas: Schemas) -> str:
    """checkin.accepted, checkin.boarded -> checkin.{accepted, boarded}; all of an aggregate -> checkin.*"""
    by_aggregate: defaultdict[str, list[str]] = defaultdict(list)
    for type_ in attribute.types:
        aggregate, _, past = type_.partition(".")
        by_aggregate[aggregate].append(past)
    found = []
    for aggregate, pasts in by_aggregate.items():
        every = sum(type_.startswith(aggregate + ".") for type_ in schemas.types)
        several = "*" if len(pasts) == every else "{" + ", ".join(pasts) + "}"
        found.append(f"{aggregate}.{pasts[0] if len(pasts) == 1 else several}")
    return ", ".join(found)


def _class(attribute: Attribute, schemas: Schemas) -> str:
    """Classes of the sealed values it holds; else the class of its clear ones."""
    paths = [attribute.value] if isinstance(attribute.value, str) else [path for _, path in attribute.value or ()]
    found = {c for type_ in attribute.types for path in paths for c in _sealed(schemas.event(type_).fields, attribute.each, path)}
    return ", ".join(sorted(found)) or attribute.class_


def _sealed(fields: Mapping[str, Field], each: str | None, path: str) -> Iterator[str]:
    field: Field | None = None
    for step in [*(each or "$").split(".")[1:], *path.split(".")[1:]]:
        field = fields.get(step)
        if field is None:
            return
        fields = field.fields
    if field is not None:
        yield from _personal(field)


def _personal(field: Field) -> Iterator[str]:
    if field.personal:
        yield field.class_
    for inner in field.fields.values():
        yield from _personal(inner)


def _rights(table: Access) -> Iterator[str]:
    roles = table.roles
    yield "## Who sees what\n\nFrom `conf/access.toml`; what is not listed is denied.\n\n### Purposes by role\n"
    yield _table(
        ("purpose", *(f"`{role}`" for role in roles)),
        ((purpose, *("✓" if purpose in rule.purposes else "" for rule in roles.values())) for purpose in table.purposes),
    )
    yield "### Routes by role\n\nThe role must hold the route's scope, and the stated purpose must be one that the route takes.\n"
    yield _table(
        ("route", "scope", "purposes", *(f"`{role}`" for role in roles)),
        (
            (name, rule.scope, ", ".join(rule.purposes) or "any", *("✓" if rule.scope in role.scopes else "" for role in roles.values()))
            if not rule.public
            else (name, "none: open to anybody", "", *("" for _ in roles))
            for name, rule in table.routes.items()
        ),
    )
    yield (
        "### Classes by role\n\n`show` the value, `mask` its last three characters, `icon` that there is one; empty: absent."
        f" Lists and search never show {', '.join(table.hidden_in_lists)}. A role with own data only: "
        + (", ".join(f"`{name}`" for name, role in roles.items() if role.own_only) or "none")
        + ".\n"
    )
    yield _table(("class", *(f"`{role}`" for role in roles)), ((c, *(rule.classes.get(c, "") for rule in roles.values())) for c in CLASSES))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
