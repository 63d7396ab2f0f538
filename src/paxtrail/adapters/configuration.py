"""Event schemas, attribute tables and retention, read from the configuration folder and checked against each other."""

from __future__ import annotations

import csv
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from paxtrail.core import anonymity, consent_rules
from paxtrail.core import attributes as core_attributes
from paxtrail.core import exports as core_exports
from paxtrail.core import retention as core_retention
from paxtrail.core.anonymity import Hierarchy
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.consent_rules import Rules
from paxtrail.core.records import Json
from paxtrail.core.retention import Retention
from paxtrail.core.schemas import Schemas
from paxtrail.errors import ConfigurationError

ENTITIES = ("bag", "flight", "journey", "order", "profile")


def schemas(conf: Path) -> Schemas:
    """The event schemas of every source in `conf`/schemas; raises ConfigurationError naming file and key."""
    folder = conf / "schemas"
    tables = {file.stem: _read(file) for file in _files(folder)}
    try:
        return Schemas.from_tables(tables)
    except ConfigurationError as error:
        raise ConfigurationError(f"{folder}: {error}") from error


def attributes(conf: Path) -> dict[str, AttributeTable]:
    """The attribute table of every entity, from `conf`/attributes; raises ConfigurationError naming file and attribute."""
    folder, declared = conf / "attributes", schemas(conf)
    tables: dict[str, AttributeTable] = {}
    for file in _files(folder):
        if file.stem not in ENTITIES:
            raise ConfigurationError(f"{file}: {file.stem} is no entity; there are {', '.join(ENTITIES)}")
        try:
            tables[file.stem] = core_attributes.table(file.stem, _read(file), declared)
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: {error}") from error
    missing = sorted(set(ENTITIES) - set(tables))
    if missing:
        raise ConfigurationError(f"{folder / missing[0]}.toml is missing; every entity needs an attribute table")
    return tables


def retention(conf: Path) -> Retention:
    """How long things are kept, from `conf`/retention.toml; raises ConfigurationError naming file and key."""
    file = conf / "retention.toml"
    if not file.is_file():
        raise ConfigurationError(f"{file} is missing; it says how long things are kept")
    try:
        return core_retention.retention(_read(file), schemas(conf).sources)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def consent(conf: Path) -> Rules:
    """The rules in `conf`/consent.toml; raises ConfigurationError that names what is wrong, as a field that no entity has."""
    file = conf / "consent.toml"
    try:
        found = consent_rules.rules(_read(file))
        known = {entity: set(table.attributes) for entity, table in attributes(conf).items()}
        for entity, fields in found.fields.items():
            if unknown := sorted(set(fields) - known.get(entity, set())):
                raise ConfigurationError(f"fields.{entity}: {unknown[0]} is no attribute of conf/attributes/{entity}.toml")
        if unknown := sorted(set(found.events) - set(schemas(conf).types)):
            raise ConfigurationError(f"events: {unknown[0]} is declared in no schema")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; PAXTRAIL_CONF must name the configuration folder") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    return found


@dataclass(frozen=True, slots=True)
class Export:
    """A contract with all it names. `hierarchies`: by column; `digest`: of the contract's file and of its hierarchies."""

    name: str
    contract: core_exports.Contract
    hierarchies: dict[str, Hierarchy]
    licence: bytes
    digest: str


def export(conf: Path, name: str) -> Export:
    """The contract in `conf`/exports/`name`.toml, with its hierarchies and licence; ConfigurationError names file and key."""
    folder = conf / "exports"
    file = folder / f"{name}.toml"
    if not file.is_file():
        known = ", ".join(sorted(one.stem for one in folder.glob("*.toml"))) or "none"
        raise ConfigurationError(f"{file} is missing; contracts in {folder}: {known}")
    digest = hashlib.sha256(file.read_bytes())
    try:
        found = core_exports.contract(_read(file), frozenset(attributes(conf)["profile"].attributes))
        purpose = consent(conf).purposes.get(found.purpose)
        if purpose is None or purpose.basis != "consent":
            raise ConfigurationError(f"purpose: {found.purpose} is none that conf/consent.toml binds to consent")
        hierarchies: dict[str, Hierarchy] = {}
        for column in found.named("quasi"):
            source = folder / "hierarchies" / f"{found.columns[column].hierarchy}.csv"
            digest.update(source.read_bytes())
            with source.open(encoding="utf-8", newline="") as lines:
                hierarchies[column] = anonymity.hierarchy(source.name, [line for line in csv.reader(lines, delimiter=";") if line])
            core_exports.from_level(hierarchies[column], found.columns[column].least)
        licence = (folder / found.licence).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.filename}: {error.strerror}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    return Export(name, found, hierarchies, licence, digest.hexdigest())


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder; PAXTRAIL_CONF must name the configuration folder")
    return sorted(folder.glob("*.toml"))


def _read(file: Path) -> dict[str, Json]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not valid TOML: {error}") from error
