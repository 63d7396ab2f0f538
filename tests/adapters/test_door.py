"""The door as a worker runs it: Kafka's rows in, outcomes out, on a real vault and real claims."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

from paxtrail.adapters import keyring, speed_layer
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.vault import Vault
from paxtrail.core.sealing import open_bytes
from paxtrail.settings import Settings

BODY = b'{"search": 1}'
ARRIVAL = 1_790_000_000_000_000
KAFKA = pa.schema(
    {
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "headers": pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()})),
        "value": pa.binary(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
)


def _through(settings: Settings, ids: list[bytes]) -> list[dict[str, Any]]:
    rows = []
    for offset, ce_id in enumerate(ids):
        attributes = {"ce_specversion": b"1.0", "ce_id": ce_id, "ce_source": b"web", "ce_type": b"paxtrail.booking.received"}
        headers = [{"key": name, "value": value} for name, value in attributes.items()]
        rows.append(
            {"topic": "raw.booking", "partition": 0, "offset": offset, "headers": headers, "value": BODY, "timestamp": ARRIVAL + offset}
        )
    batch = pa.RecordBatch.from_pylist(rows, schema=KAFKA)
    [found] = speed_layer.through_the_door(settings)(iter([batch]))
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


@pytest.fixture(autouse=True)
def _own_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The worker's connections are to this test's databases, and end with it."""
    doors: dict[Any, Any] = {}
    monkeypatch.setattr(speed_layer, "_WORKER", doors)
    yield
    for door in doors.values():
        door._vault.close()
        door._claims.close()


def test_ids_that_are_no_utf_8_are_refused_each_for_itself_and_kept_byte_by_byte(clean_postgres: Settings) -> None:
    ids = [b"id-\xe8", b"id-\xe9"]
    found = _through(clean_postgres, ids)
    assert [(row["outcome"], row["code"], row["at"]) for row in found] == [("refused", "bad_envelope", "id")] * 2
    with closing(Vault(dsn(clean_postgres, "vault", "stream"), keyring.load(clean_postgres))) as vault:
        for row, sent in zip(found, ids, strict=True):
            raw = json.loads(open_bytes(vault.quarantine_key(row["day"]), row["reject_id"], row["record"]))
            assert raw["headers"]["ce_id"].encode("utf-8", "surrogateescape") == sent
            assert b64decode(raw["body"]) == BODY
