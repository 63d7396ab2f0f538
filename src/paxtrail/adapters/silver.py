"""Silver tables as Delta: created by contract, written once per run under an application transaction, read back by Spark."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession

from paxtrail.adapters import lake, logs, postgres
from paxtrail.adapters.cuts import Cut, cut_of
from paxtrail.adapters.programs import begin
from paxtrail.adapters.spark import batch_session, session
from paxtrail.errors import EpochRefused, reported
from paxtrail.settings import Settings
from paxtrail.tables.contracts import Table

_ROWS_EACH = 400_000
"""Events that one task of a full fold takes, in the 1.5 GB of a small machine's driver."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a batch program works with: settings, a session, a connection of the role `batch`, the cut of its run."""

    settings: Settings
    spark: SparkSession
    serving: psycopg.Connection[Any]
    cut: Cut


@contextmanager
def opened(settings: Settings, run_id: str, app: str, start: Callable[[Settings, str], SparkSession] = session) -> Iterator[Job]:
    """The job of a program: its own session and connection, closed after it. The cut of `run_id` must have been opened.

    TableLocked while another program of the batch layer works.
    """
    with lake.batch_locked(settings), psycopg.connect(postgres.dsn(settings, "serving", "batch"), autocommit=True) as serving:
        cut = cut_of(serving, run_id)
        with batch_session(settings, app, start) as spark:
            yield Job(settings, spark, serving, cut)


def run_step(about: str, step: Callable[..., Mapping[str, Any]], *, can_be_full: bool = False) -> int:
    """The whole of a program that is one step of a batch run: arguments, settings, job; prints the step's counts as a line of JSON."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    if can_be_full:
        parser.add_argument("--full", action="store_true", help="from all events, whatever was made before")
    arguments = vars(parser.parse_args())
    run_id = arguments.pop("run")

    def work() -> int:
        with logs.bound(run=run_id), opened(begin(f"batch-{step.__name__}"), run_id, f"{step.__name__}-{run_id}") as job:
            print(orjson.dumps(step(job, **arguments), option=orjson.OPT_SORT_KEYS).decode())
        return 0

    return reported(work)


def ensure(spark: SparkSession, table: Table, settings: Settings) -> str:
    """Path of the table, created empty if need be; statistics on contract columns only, no deletion vectors: delta-rs reads it."""
    path = table.path(settings.lake)
    if not lake.exists(table, settings):
        # What a killed creation left has no commit, so nothing is lost; Spark would take the folder for a table.
        shutil.rmtree(path.removeprefix("file://"), ignore_errors=True)
        # An empty list of columns would be read as the first 32.
        columns = table.stats_columns
        stats = {"delta.dataSkippingStatsColumns": columns} if columns else {"delta.dataSkippingNumIndexedCols": "0"}
        properties = stats | {"delta.enableDeletionVectors": "false", "delta.logRetentionDuration": "interval 7 days"}
        if "variant" in table.ddl:
            listed = ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())
            spark.sql(f"CREATE TABLE IF NOT EXISTS delta.`{path}` ({table.ddl}) USING delta TBLPROPERTIES ({listed})")
        else:
            # What Spark does in seconds is done without it in milliseconds.
            lake.create(table, settings, properties)
    return path


def read(job: Job, table: Table, version: int | None = None) -> DataFrame:
    """The table now, or as it was at a Delta version."""
    path = ensure(job.spark, table, job.settings)
    reader = job.spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(path)


def done(table: Table, settings: Settings, app: str = "") -> int:
    """Epoch of the newest cut that was written to the table (by `app`); -1 = none."""
    return lake.last_transaction(table, settings, app or table.name)


def write(
    job: Job,
    table: Table,
    rows: DataFrame,
    *,
    mode: str,
    where: str | None = None,
    about: Mapping[str, Any] | None = None,
    again: bool = False,
) -> None:
    """Appends or overwrites (what matches `where`) in one commit as transaction (table, epoch): a second time does nothing.

    `about` goes into the commit. `again`: the table has this cut and is written all the same.
    """
    path = ensure(job.spark, table, job.settings)
    writer = rows.select(*table.names).write.format("delta").mode(mode)
    if where is not None:
        writer = writer.option("replaceWhere", where)
    if not again:
        writer = writer.option("txnAppId", table.name).option("txnVersion", str(job.cut.epoch))
    writer.option("userMetadata", _about(job, about)).save(path)


def described(job: Job, table: Table, member: str) -> dict[str, Any] | None:
    """What the newest commit that speaks of `member` says about itself; None if there is none."""
    ensure(job.spark, table, job.settings)
    for commit in lake.opened(table, job.settings).history():
        text = commit.get("userMetadata")
        if text and member in (about := orjson.loads(text)):
            return dict(about)
    return None


def size(table: Table, settings: Settings) -> int:
    """Rows in the table, from the files' footers."""
    return int(lake.opened(table, settings).to_pyarrow_dataset().count_rows())


@contextmanager
def divided(job: Job, rows: int) -> Iterator[None]:
    """Shuffles meanwhile have as many partitions as `rows` need: what a task sorts or collects at once has to fit into memory."""
    wanted = max(job.settings.spark.shuffle_partitions, -(-rows // _ROWS_EACH))
    job.spark.conf.set("spark.sql.shuffle.partitions", str(wanted))
    try:
        yield
    finally:
        job.spark.conf.set("spark.sql.shuffle.partitions", str(job.settings.spark.shuffle_partitions))


def merge(
    job: Job, table: Table, rows: DataFrame, gone: DataFrame | None = None, *, app: str = "", about: Mapping[str, Any] | None = None
) -> None:
    """Upserts `rows` by the table's key and deletes the keys in `gone`, in one commit as transaction (`app` or table, epoch)."""
    path = ensure(job.spark, table, job.settings)
    source = rows.select(*table.names).selectExpr("*", "false AS gone")
    if gone is not None:
        source = source.unionByName(gone.select(*table.key).selectExpr("*", "true AS gone"), allowMissingColumns=True)
    same = " AND ".join(f"t.{column} = s.{column}" for column in table.key)
    columns: dict[str, str | Column] = {column: f"s.{column}" for column in table.names}
    # Or it would be computed twice: to find the files that are touched, and to write them.
    with _as_transaction(job, app or table.name, about, {"spark.databricks.delta.merge.materializeSource": "all"}):
        (
            DeltaTable.forPath(job.spark, path)
            .alias("t")
            .merge(source.alias("s"), same)
            .whenMatchedDelete("s.gone")
            .whenMatchedUpdate(set=columns)
            .whenNotMatchedInsert("NOT s.gone", values=columns)
            .execute()
        )


def delete(job: Job, table: Table, rows: Column, *, app: str) -> None:
    """Deletes `rows` in one commit as transaction (`app`, epoch): a second time does nothing. The condition stands in the log."""
    path = ensure(job.spark, table, job.settings)
    with _as_transaction(job, app, None, {}):
        DeltaTable.forPath(job.spark, path).delete(rows)


@contextmanager
def _as_transaction(job: Job, app: str, about: Mapping[str, Any] | None, more: Mapping[str, str]) -> Iterator[None]:
    """What is executed meanwhile is one commit as transaction (`app`, epoch)."""
    conf = {
        **more,
        "spark.databricks.delta.write.txnAppId": app,
        "spark.databricks.delta.write.txnVersion": str(job.cut.epoch),
        "spark.databricks.delta.commitInfo.userMetadata": _about(job, about),
    }
    for key, value in conf.items():
        job.spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in conf:
            job.spark.conf.unset(key)


def _about(job: Job, about: Mapping[str, Any] | None) -> str:
    return orjson.dumps({"run": job.cut.run_id, "epoch": job.cut.epoch, "cut_time": job.cut.cut_time, **(about or {})}).decode()


def has_cut(table: Table, job: Job, app: str = "") -> bool:
    """Whether the table has this cut already; raises EpochRefused where it has a newer one (an old run must not turn it back)."""
    newest = done(table, job.settings, app)
    if newest > job.cut.epoch:
        raise EpochRefused(f"{table.name} is at epoch {newest}; run {job.cut.run_id} closed epoch {job.cut.epoch}: nothing to do")
    return newest == job.cut.epoch
