"""The gate between a batch run and its publication: Great Expectations suites made from the tables' contracts, results without values."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from paxtrail.adapters import configuration, silver
from paxtrail.adapters.cuts import cuts_between
from paxtrail.adapters.silver import Job
from paxtrail.errors import GateRed, NotFound
from paxtrail.settings import Settings
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import EVENTS, STATES
from paxtrail.transforms import quality

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

COUNTS = "silver.counts"
TABLES = (EVENTS, STATES)
_RESULT: Any = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
"""Counts only: the default keeps samples of what was unexpected, and those are persons' values."""


def pages(settings: Settings) -> Path:
    """The static site with the suites and their results."""
    return settings.home / "quality" / "pages" / "index.html"


def ask(job: Job) -> dict[str, Any]:
    """Counts of the run's gate; raises GateRed naming what failed. What it said is kept with the run: a red one is never published.

    A full run is looked at whole; an incremental one where cuts since the last green gate changed something, so that what a red run
    left behind is looked at again.
    """
    row = job.serving.execute(
        "SELECT r.mode, (SELECT max(c.epoch) FROM batch_runs b JOIN cuts c USING (run_id) WHERE b.gate = 'green' AND c.epoch < %s)"
        " FROM batch_runs r WHERE r.run_id = %s",
        (job.cut.epoch, job.cut.run_id),
    ).fetchone()
    if row is None:
        raise NotFound(f"run {job.cut.run_id} has no states yet: paxtrail batch run --run {job.cut.run_id}")
    mode, green = row
    failed, asked = _validate(job, _frames(job, since=0 if mode == "full" else green or 0))
    verdict = "red" if failed else "green"
    job.serving.execute("UPDATE batch_runs SET gate = %s WHERE run_id = %s", (verdict, job.cut.run_id))
    if failed:
        raise GateRed(
            f"run {job.cut.run_id}: {len(failed)} of {asked} expectations failed ({', '.join(failed)}); see {pages(job.settings)}"
        )
    return {"gate": verdict, "expectations": asked, "mode": mode}


def _frames(job: Job, *, since: int) -> Iterator[tuple[str, DataFrame, list[Expectation]]]:
    """Suite name, rows and what is expected of them."""
    schemas = configuration.schemas(job.settings.conf)
    for table in TABLES:
        rows = quality.judged(silver.read(job, table).where(f"epoch > {since} AND epoch <= {job.cut.epoch}"), table)
        expectations = list(expected(table))
        if table is EVENTS:
            rows = quality.with_unsealed(rows, {type_: schemas.event(type_) for type_ in schemas.types})
            expectations.append(_null(quality.UNSEALED))
        if not rows.isEmpty():  # of no rows, no share is unique
            yield table.name, rows.select(*dict.fromkeys(_column(one) for one in expectations)), expectations
    counts = _counts(job)
    if counts is not None:
        yield COUNTS, job.spark.createDataFrame([counts], "committed bigint, came bigint, kept bigint, there bigint"), _equal_counts()


def expected(table: Table) -> Iterator[Expectation]:
    """What the contract says: nothing missing, values within bounds, keys unique, every check passed."""
    from great_expectations import expectations as gxe

    for column in table.columns:
        if not column.nullable:
            yield gxe.ExpectColumnValuesToNotBeNull(column=column.name)
        if column.allowed:
            yield gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.allowed))
        if column.low is not None or column.high is not None:
            yield gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=column.low, max_value=column.high)
    for check in table.checks:
        yield _null(quality.OFFENCE + check.name)
    yield gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column=quality.KEY, min_value=1, max_value=1)


def _equal_counts() -> list[Expectation]:
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectColumnPairValuesToBeEqual(column_A="committed", column_B="came"),
        gxe.ExpectColumnPairValuesToBeEqual(column_A="kept", column_B="there"),
    ]


def _null(column: str) -> Expectation:
    from great_expectations import expectations as gxe

    return gxe.ExpectColumnValuesToBeNull(column=column)


def _column(expectation: Any) -> str:
    return str(expectation.column)


def _counts(job: Job) -> tuple[int, int, int, int] | None:
    """Events that the stream committed / that came out of bronze / that silver kept / that are there; None where that cannot be told.

    It cannot when a later run took the events in, or a stream of before this count was kept committed some of them.
    """
    about = silver.described(job, EVENTS, "after_epoch")
    if about is None or about["epoch"] != job.cut.epoch:
        return None
    committed = 0
    for cut in cuts_between(job.serving, about["after_epoch"], job.cut.epoch):
        for lane, taken in cut.lanes.items():
            row = job.serving.execute(
                "SELECT coalesce(sum(events), 0)::bigint, count(*) FILTER (WHERE events IS NULL) FROM stream_commit"
                " WHERE lane = %s AND part = -1 AND (seq > %s AND seq <= %s AND NOT seq = ANY(%s::bigint[]) OR seq = ANY(%s::bigint[]))",
                (lane, taken.after, taken.seq, list(taken.holes), list(taken.late)),
            ).fetchone()
            assert row is not None
            if row[1]:
                return None
            committed += row[0]
    there = silver.read(job, EVENTS).where(f"epoch = {job.cut.epoch}").count()
    return committed, about["rows"] - about["revised"], about["new"] + about["replaces"], there


def _validate(job: Job, frames: Iterator[tuple[str, DataFrame, list[Expectation]]]) -> tuple[list[str], int]:
    """Names of the expectations that failed, and how many were asked. Leaves results and pages behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Great Expectations warns of its own deprecations
        context, source = _context(job.settings)
        import great_expectations as gx

        failed, asked = [], 0
        for name, rows, expectations in frames:
            suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
            batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("run")
            definition = context.validation_definitions.add_or_update(gx.ValidationDefinition(name=name, data=batch, suite=suite))
            checkpoint = gx.Checkpoint(
                name=name,
                validation_definitions=[definition],
                actions=[gx.checkpoint.UpdateDataDocsAction(name="pages")],
                result_format=_RESULT,
            )
            checkpoint = context.checkpoints.add_or_update(checkpoint)
            result = checkpoint.run({"dataframe": rows}, run_id=gx.RunIdentifier(run_name=job.cut.run_id))
            for validation in result.run_results.values():
                asked += len(validation.results)
                failed += [_named(name, one) for one in validation.results if not one.success]
        return failed, asked


def _named(suite: str, result: Any) -> str:
    config = result.expectation_config
    column = config.kwargs.get("column") or f"{config.kwargs.get('column_A')}={config.kwargs.get('column_B')}"
    return f"{suite}: {column} {config.type.removeprefix('expect_')}"


def _context(settings: Settings) -> tuple[Any, Any]:
    """The context in <home>/quality, made at first use, and its source of data frames."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # no run calls out
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    folder = settings.home / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.update_data_docs_site(
        "local_site",
        {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(pages(settings).parent)},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    # Not kept: the frames are of this session; and not persisted: a suite is one aggregation over its rows.
    if "silver" in context.data_sources.all():
        context.data_sources.delete("silver")
    return context, context.data_sources.add_spark("silver", persist=False)
