"""Delta without a JVM: the newest commit after the power went."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from paxtrail.adapters import lake
from paxtrail.settings import Settings
from paxtrail.tables import bronze

TABLE = bronze.REJECTS.of("main")


@pytest.fixture
def log(settings: Settings, tmp_path: Path) -> tuple[Settings, Path]:
    """Settings of a lake whose table has three commits of rows, and the folder of its log."""
    own = settings.model_copy(update={"home": tmp_path})
    lake.ensure(TABLE, own)
    for seq in range(3):
        row = {c.name: 0 if c.type in ("bigint", "int") else b"" if c.type == "binary" else "" for c in TABLE.columns} | {"seq": seq}
        lake.append(TABLE, own, pa.Table.from_pylist([row], schema=lake.arrow_schema(TABLE)), app="app", version=seq)
    return own, Path(TABLE.path(own.lake).removeprefix("file://")) / "_delta_log"


def test_a_commit_that_is_whole_stays(log: tuple[Settings, Path]) -> None:
    settings, folder = log
    assert not lake.mend(TABLE, settings)
    assert len(list(folder.glob("*.json"))) == 4
    lake.opened(TABLE, settings).optimize.compact()
    assert not lake.mend(TABLE, settings)


def test_a_commit_cut_anywhere_is_none_and_what_it_held_is_appended_again_once(log: tuple[Settings, Path]) -> None:
    settings, folder = log
    newest = max(folder.glob("*.json"))
    text, rows = newest.read_bytes(), lake.opened(TABLE, settings).to_pyarrow_table().filter(pa.compute.field("seq") == 2)
    # Without its last line end it lacks nothing.
    for length in range(0, len(text.rstrip(b"\n")), 7):
        newest.write_bytes(text[:length])
        assert lake.mend(TABLE, settings), length
        assert lake.last_transaction(TABLE, settings, "app") == 1
    lake.append(TABLE, settings, rows, app="app", version=2)
    assert sorted(lake.opened(TABLE, settings).to_pyarrow_table()["seq"].to_pylist()) == [0, 1, 2]


def test_a_commit_whose_file_is_torn_is_none(log: tuple[Settings, Path]) -> None:
    settings, folder = log
    (added,) = set(DeltaTable(str(folder.parent)).file_uris()) - set(DeltaTable(str(folder.parent), version=2).file_uris())
    file = Path(added.removeprefix("file://"))
    file.write_bytes(file.read_bytes()[:-1])
    assert lake.mend(TABLE, settings)
    assert lake.opened(TABLE, settings).to_pyarrow_table().num_rows == 2


def test_a_compaction_cut_between_its_lines_is_none(log: tuple[Settings, Path]) -> None:
    settings, folder = log
    lake.opened(TABLE, settings).optimize.compact()
    newest = max(folder.glob("*.json"))
    newest.write_bytes(b"\n".join(newest.read_bytes().splitlines()[:-1]) + b"\n")
    assert lake.mend(TABLE, settings)
    assert lake.opened(TABLE, settings).to_pyarrow_table().num_rows == 3
