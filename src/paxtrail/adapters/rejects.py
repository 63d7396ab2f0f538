"""Refused records: listed by reason, opened with the quarantine key of their day, sent again."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from paxtrail.adapters import keyring, lake, lanes
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.vault import Vault
from paxtrail.core.records import Record
from paxtrail.core.sealing import open_bytes
from paxtrail.errors import NotFound
from paxtrail.settings import Settings
from paxtrail.tables import bronze


@dataclass(frozen=True, slots=True)
class Reject:
    """What may be shown of a refused record."""

    reject_id: str
    source: str
    code: str
    reason: str
    at: str
    arrival_time: int
    topic: str
    partition: int
    offset: int


_SHOWN = list(Reject.__dataclass_fields__)


def rejects(settings: Settings, *, source: str | None = None, code: str | None = None, day: str | None = None) -> list[Reject]:
    """Refused records, newest first."""
    rows = _rows(settings, [*_SHOWN, "day"])
    for name, value in (("source", source), ("code", code), ("day", day)):
        if value is not None:
            rows = rows.filter(pc.equal(rows[name], value))
    rows = rows.sort_by([("arrival_time", "descending"), ("reject_id", "ascending")])
    return [Reject(**row) for row in rows.select(_SHOWN).to_pylist()]


def opened(settings: Settings, reject_ids: list[str]) -> Iterator[tuple[str, Record]]:
    """The records as received; NotFound for an id that is not there or whose day's key was deleted."""
    rows = {row["reject_id"]: row for row in _rows(settings, [*_SHOWN, "day", "record"]).to_pylist()}
    with closing(Vault(dsn(settings, "vault", "stream"), keyring.load(settings))) as vault:
        for reject_id in reject_ids:
            row = rows.get(reject_id)
            if row is None:
                raise NotFound(f"no refused record {reject_id}: `paxtrail rejects list` names them")
            yield reject_id, _record(vault, row)


def _record(vault: Vault, row: dict[str, Any]) -> Record:
    try:
        key = vault.quarantine_key(row["day"])
    except KeyError:
        raise NotFound(f"the key of {row['day']} was deleted: its refused records can no longer be read") from None
    raw = json.loads(open_bytes(key, row["reject_id"], row["record"]))
    return Record(row["source"], raw["headers"], b64decode(raw["body"]), row["arrival_time"])


def _rows(settings: Settings, columns: list[str]) -> pa.Table:
    found = [lake.opened(table, settings).to_pyarrow_table(columns=columns) for table in lanes.tables(bronze.REJECTS, settings).values()]
    return pa.concat_tables(found) if found else pa.table({name: pa.array([], pa.string()) for name in columns})
