"""The marts built by dbt on silver, up to the cut of a run, and published where analysts read; one process, one batch Spark."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg

from paxtrail.adapters import catalog, configuration, drafts, lake, marts_publication, postgres, silver
from paxtrail.adapters.silver import Job
from paxtrail.adapters.silver_documents import render, withhold
from paxtrail.adapters.spark import catalogued
from paxtrail.core.schemas import Field
from paxtrail.errors import ChecksFailed, ConfigurationError, EpochRefused, NotFound
from paxtrail.settings import ROOT, Settings
from paxtrail.tables.silver import DOCUMENTS, EVENTS, LINKS, RELATIONS, STATES, WITHHELD

PROJECT = ROOT / "dbt"
_SQL = {
    **{"string": "string", "integer": "bigint", "boolean": "boolean", "decimal": "decimal(38, 9)", "time": "timestamp", "date": "date"},
    **{"strings": "array<string>", "list": "variant", "object": "variant"},
}
_READ = (EVENTS, DOCUMENTS, STATES, LINKS, RELATIONS, WITHHELD)


def build(settings: Settings, run_id: str | None = None, *, full: bool = False) -> dict[str, Any]:
    """Counts of a build: documents, customers withheld, models and tests that ran, rows published. Again, it changes nothing.

    The documentation is made of what was published, by the same build.

    `run_id`: the batch run whose cut the marts show (default: the newest that was published). `full`: from all of silver, and with the
    models' unit tests: for when a model has changed. A test that fails raises ChecksFailed, and what was published before stays.
    """
    with _opened(settings, run_id) as job:
        made = render(job, full=full) | withhold(job)
        done = _dbt(job, "build", *(["--full-refresh"] if full else ["--exclude-resource-type", "unit_test"]))
        fresh = {str(result.status) for result in _dbt(job, "source", "freshness")}
        counts = Counter(result.node.resource_type for result in done)
        published = marts_publication.publish(settings, job.cut, _manifest(settings))
        _document(job)
    return {
        "run": job.cut.run_id,
        "epoch": job.cut.epoch,
        **made,
        "models": counts["model"],
        "tests": counts["test"] + counts["unit_test"],
        "fresh": fresh == {"pass"},
        "rows": published,
    }


def documentation(settings: Settings) -> Path:
    """The marts' documentation as the last build left it: one page, alone in its folder, that any server of files can show."""
    page = _page(settings)
    if not page.exists():
        raise NotFound("no marts were built yet, so nothing is documented: paxtrail marts build")
    return page


def _page(settings: Settings) -> Path:
    return settings.home / "dbt" / "docs" / "index.html"


def _document(job: Job) -> None:
    """Makes the page, from the models and what the catalogue says of their tables; until it is whole the one before stays."""
    # An incremental build leaves views of no schema in the session, and the catalogue of dbt stumbles over them.
    for view in job.spark.sql("SHOW VIEWS").where("isTemporary").collect():
        job.spark.catalog.dropTempView(view.viewName)
    # The build has compiled and tested the models: once is enough.
    _dbt(job, "docs", "generate", "--static", "--no-compile", undone="the marts are published, their documentation stays as it was")
    page = _page(job.settings)
    page.parent.mkdir(parents=True, exist_ok=True)
    drafts.replace(page, (_target(job.settings) / "static_index.html").read_bytes())


@contextmanager
def _opened(settings: Settings, run_id: str | None) -> Iterator[Job]:
    """The job of a run whose cut was published, with the tables that the models read in the catalogue."""
    with lake.batch_locked(settings):
        run = _published(settings, run_id)
        with silver.opened(settings, run, f"marts-{run}", catalogued) as job:
            if silver.done(STATES, settings) != job.cut.epoch:
                raise EpochRefused(f"the lake is past run {run}: publish the newest run, and build the marts of that")
            catalog.register(job.spark, settings, _READ)
            yield job


def _published(settings: Settings, run_id: str | None) -> str:
    """The run, if its publication has begun: before that, it is not known to be right."""
    with psycopg.connect(postgres.dsn(settings, "serving", "batch")) as connection:
        found = connection.execute(
            "SELECT run_id FROM cuts JOIN batch_runs USING (run_id) WHERE epoch <= (SELECT max(epoch) FROM publications)"
            " AND run_id = coalesce(%s, run_id) ORDER BY epoch DESC LIMIT 1",
            (run_id,),
        ).fetchone()
    if found is None:
        raise NotFound(f"run {run_id} was not published" if run_id else "nothing was published yet: `paxtrail batch run` first")
    return str(found[0])


def _target(settings: Settings) -> Path:
    return settings.home / "dbt" / "target"


def _manifest(settings: Settings) -> dict[str, Any]:
    return dict(orjson.loads((_target(settings) / "manifest.json").read_bytes()))


def declared(settings: Settings) -> dict[str, Any]:
    """What conf/ declares, for the models: SQL types of the `facts` of each event type, personal ones left out; `slots` of a profile."""
    schemas = configuration.schemas(settings.conf)
    events = {type_: schemas.event(type_).fields.values() for type_ in schemas.types}
    facts = {type_: {fact.name: _SQL[fact.type] for fact in fields if not _personal(fact)} for type_, fields in events.items()}
    profile = configuration.attributes(settings.conf)["profile"].attributes
    return {"facts": facts, "slots": {name: attribute.slot for name, attribute in profile.items()}}


def _personal(fact: Field) -> bool:
    return fact.personal or any(map(_personal, fact.fields.values()))


def _dbt(job: Job, *command: str, undone: str = "nothing was published") -> Sequence[Any]:
    """Results of a dbt command, run in the job's session; raises ChecksFailed naming what failed and what is not done therefore."""
    from dbt.cli.main import dbtRunner

    settings = job.settings
    os.environ["DO_NOT_TRACK"] = "1"
    options = {
        "--project-dir": PROJECT,
        "--profiles-dir": PROJECT,
        "--target-path": _target(settings),
        "--log-path": settings.logs / "dbt",
        "--vars": orjson.dumps({"lake": str(settings.lake), "epoch": job.cut.epoch, **declared(settings)}).decode(),
    }
    given = [str(word) for option in options.items() for word in option]
    quiet = ["--quiet", "--no-version-check", "--no-send-anonymous-usage-stats", "--no-use-colors"]
    result = dbtRunner().invoke([*quiet, *command, *given])
    if result.exception is not None:
        raise ConfigurationError(f"dbt {command[0]} could not run: {result.exception}") from result.exception
    found: Sequence[Any] = getattr(result.result, "results", ())
    if not result.success:
        failed = sorted(f"{one.node.name}: {one.status}" for one in found if one.status in ("fail", "error", "runtime error"))
        raise ChecksFailed(f"{undone}. dbt {command[0]}: {', '.join(failed)}; see {settings.logs / 'dbt' / 'dbt.log'}")
    return found
