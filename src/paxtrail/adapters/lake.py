"""Delta tables without a JVM (delta-rs): created by contract, appended with an application transaction, one writer each."""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from paxtrail.errors import TableLocked
from paxtrail.settings import Settings
from paxtrail.tables.contracts import ENTITIES, IDENTIFIERS, RELATIONS, Table

_AT_WORK: ContextVar[Path | None] = ContextVar("batch layer at work", default=None)
_TYPES = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    ENTITIES: pa.list_(pa.struct([("kind", pa.string()), ("key", pa.string())])),
    IDENTIFIERS: pa.list_(pa.struct([("namespace", pa.string()), ("token", pa.string())])),
    RELATIONS: pa.list_(pa.struct([(name, pa.string()) for name in ("from_kind", "from_key", "kind", "to_kind", "to_key")])),
}


def arrow_schema(table: Table) -> pa.Schema:
    """Arrow schema of a contract (tables with VARIANT are Spark's alone)."""
    return pa.schema([pa.field(c.name, arrow_type(c.type), c.nullable) for c in table.columns])


def arrow_type(spark_type: str) -> pa.DataType:
    """Arrow type of a Spark SQL type of a contract."""
    return _TYPES[spark_type]


def exists(table: Table, settings: Settings) -> bool:
    """Whether the table was created."""
    return DeltaTable.is_deltatable(table.path(settings.lake), settings.storage.options)


def transaction_of(lane: str) -> str:
    """Application transaction under which a lane's stream appends its micro-batches, by their seq."""
    return f"paxtrail-{lane}"


def opened(table: Table, settings: Settings, version: int | None = None) -> DeltaTable:
    """The table now, or as it was at a Delta version."""
    return DeltaTable(table.path(settings.lake), version=version, storage_options=settings.storage.options)


def version(table: Table, settings: Settings) -> int:
    """Newest Delta version of the table; -1 where it does not exist yet."""
    return int(opened(table, settings).version()) if exists(table, settings) else -1


def create(table: Table, settings: Settings, configuration: Mapping[str, str | None]) -> None:
    """An empty table, if it is not there."""
    DeltaTable.create(
        table.path(settings.lake),
        arrow_schema(table),
        mode="ignore",
        partition_by=list(table.partitioned_by),
        configuration=configuration,
        storage_options=settings.storage.options,
    )


def ensure(table: Table, settings: Settings) -> Table:
    """The table, created empty if it is not there; statistics on the contract's columns only (invariant 6)."""
    if not exists(table, settings):
        configuration = {
            "delta.dataSkippingStatsColumns": table.stats_columns,
            "delta.logRetentionDuration": "interval 1 days",
            "delta.deletedFileRetentionDuration": "interval 1 days",
            "delta.checkpointInterval": "100000",  # the writer checkpoints between micro-batches, never within one
        }
        create(table, settings, configuration)
    return table


def last_transaction(table: Table, settings: Settings, app: str, version: int | None = None) -> int:
    """Newest application transaction `app` in the table now, or as it was at a Delta version; -1 if there is none."""
    if not exists(table, settings):
        return -1
    found = opened(table, settings, version).transaction_version(app)
    return -1 if found is None else int(found)


def mend(table: Table, settings: Settings) -> bool:
    """Whether the newest commit was torn, and is none any more: the power went before the disk had it, or the files it names, whole.

    For a table on a disk; an object store has an object whole or not at all. Only the table's writer calls this, and appends again what
    the commit held. Whole is a commit whose lines are JSON and that has what it says of itself (Delta protocol, `commitInfo`).
    """
    path = table.path(settings.lake).removeprefix("file://")
    commits = sorted((Path(path) / "_delta_log").glob("[0-9]*.json"))
    if not commits or _is_whole(commits[-1]):
        return False
    commits[-1].with_suffix(".crc").unlink(missing_ok=True)
    commits[-1].rename(commits[-1].with_suffix(".torn"))
    return True


def _is_whole(commit: Path) -> bool:
    try:
        lines = [orjson.loads(line) for line in commit.read_bytes().splitlines()]
    except orjson.JSONDecodeError:
        return False
    actions: dict[str, list[Any]] = defaultdict(list)
    for line in lines:
        for kind, action in line.items():
            actions[kind].append(action)
    if not actions["commitInfo"]:
        return False
    about = actions["commitInfo"][0]
    metrics = about.get("operationMetrics", {})
    counted = {"add": ("num_added_files", "numFilesAdded", "numAddedFiles"), "remove": ("num_removed_files", "numFilesRemoved")}
    told = all(int(metrics[name]) == len(actions[kind]) for kind, names in counted.items() for name in names if name in metrics)
    named = about.get("operation") != "WRITE" or bool(actions["txn"])
    files = (commit.parents[1] / unquote(add["path"]) for add in actions["add"])
    there = all(file.exists() and file.stat().st_size == add["size"] for file, add in zip(files, actions["add"], strict=True))
    return told and named and there


def append(table: Table, settings: Settings, rows: pa.Table | pa.RecordBatchReader, *, app: str, version: int) -> None:
    """One commit with the transaction (app, version). delta-rs records but does not refuse a repeat: the caller checks first."""
    properties = CommitProperties(app_transactions=[Transaction(app, version)])
    path, options = table.path(settings.lake), settings.storage.options
    write_deltalake(path, rows, mode="append", commit_properties=properties, storage_options=options)


def rows_of(table: Table, settings: Settings, seq: int) -> pa.Table:
    """The rows of one micro-batch, as the table of its lane has them."""
    from deltalake import QueryBuilder

    query = QueryBuilder().register("t", opened(table, settings))
    return pa.table(query.execute(f"select * from t where seq = {int(seq)}"))


def maintain(table: Table, settings: Settings) -> None:
    """Compacts small files, checkpoints the log, drops old log entries; only the table's writer calls this."""
    there = opened(table, settings)
    there.optimize.compact()
    there.create_checkpoint()
    there.cleanup_metadata()


@contextmanager
def locked(name: str, settings: Settings) -> Iterator[None]:
    """Holds the writer's lock of `name` (a table, a job); TableLocked names the process that has it. Dies with the process."""
    folder = settings.home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    file = Path(folder / f"{name}.lock")
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
            raise TableLocked(f"{name} is being written by process {holder}; stop it or wait for it") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


@contextmanager
def batch_locked(settings: Settings) -> Iterator[None]:
    """Holds the lock of the batch layer, of which one program works at a time; TableLocked names the other.

    What a program does step by step stays under the lock that it took first.
    """
    held = _AT_WORK.get() == settings.home
    with nullcontext() if held else locked("batch", settings):
        before = _AT_WORK.set(settings.home)
        try:
            yield
        finally:
            _AT_WORK.reset(before)
