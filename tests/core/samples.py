"""Records for tests of the door's decoding: made here, from tests/core/data, or from the shared acceptance data."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from paxtrail.adapters import configuration
from paxtrail.core.decoding import Decoded, decode
from paxtrail.core.records import Record
from paxtrail.core.schemas import Schemas
from paxtrail.errors import Refusal
from paxtrail.settings import ROOT

DATA = Path(__file__).parent / "data"
ARRIVAL = 1_360_350_000_000_000  # 2013-02-08T19:00:00Z
BINARY = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "test", "ce_type": "paxtrail.test.received"}


@cache
def schemas() -> Schemas:
    return configuration.schemas(ROOT / "conf")


def acceptance(name: str) -> Path:
    """A folder of the shared acceptance data; skips where it is not."""
    folder = ROOT.parent / "shared" / "data" / name
    if not folder.exists():
        pytest.skip(f"the shared acceptance data {name} is not beside this checkout")
    return folder


def record(source: str, body: bytes | str, *, arrival: int = ARRIVAL, headers: dict[str, str] | None = None) -> Record:
    return Record(source, BINARY if headers is None else headers, body.encode() if isinstance(body, str) else body, arrival)


def decoded(source: str, body: bytes | str, *, arrival: int = ARRIVAL, headers: dict[str, str] | None = None) -> Decoded:
    return decode(record(source, body, arrival=arrival, headers=headers), schemas())


def refused(source: str, body: bytes | str, *, arrival: int = ARRIVAL, headers: dict[str, str] | None = None) -> Refusal:
    """The refusal of a record that must be refused."""
    with pytest.raises(Refusal) as caught:
        decoded(source, body, arrival=arrival, headers=headers)
    return caught.value


def data(name: str) -> bytes:
    return (DATA / name).read_bytes()
