"""Releases for partners: drawn from silver at a cut, written to a folder of their own, measured again from what was written, registered.

A release stands at <to>/<contract>-<run>, whole or not at all: everything is written beside it and renamed when it has passed.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.rows import dict_row

from paxtrail.adapters import configuration, keyring, postgres, silver
from paxtrail.adapters.configuration import Export
from paxtrail.adapters.silver import Job
from paxtrail.adapters.vault import Vault
from paxtrail.core import anonymity, exports
from paxtrail.core.exports import Release, Told
from paxtrail.core.records import Json
from paxtrail.core.sealing import open_, parts
from paxtrail.errors import ChecksFailed, EpochRefused, GateRed, NotFound
from paxtrail.settings import Settings
from paxtrail.tables.silver import LINKS, STATES
from paxtrail.transforms.exports import frequencies

HOUR = 3_600_000_000


def run(settings: Settings, run_id: str | None, contract: str, to: Path) -> dict[str, Any]:
    """What `release` says, in a session of its own. The contract is checked before anything starts.

    `run_id`: the batch run that is released from (default: the newest that passed its gate).
    """
    export = configuration.export(settings.conf, contract)
    chosen = run_id or _newest(settings)
    with silver.opened(settings, chosen, f"export-{chosen}") as job:
        return release(job, export, to)


def _newest(settings: Settings) -> str:
    with psycopg.connect(postgres.dsn(settings, "serving", "batch")) as serving:
        row = serving.execute(
            "SELECT run_id FROM batch_runs JOIN cuts USING (run_id) WHERE gate = 'green' ORDER BY epoch DESC LIMIT 1"
        ).fetchone()
    if row is None:
        raise NotFound("no run has passed its gate yet: paxtrail batch run")
    return str(row[0])


def register(settings: Settings) -> list[dict[str, Any]]:
    """Releases, and those that a limit did not allow (`refused` says which), newest first."""
    with psycopg.connect(postgres.dsn(settings, "vault", "export"), row_factory=dict_row) as connection:
        return connection.execute(
            "SELECT export, partner, cut_time, rows, officer, manifest, NULL AS refused, released_at AS at FROM releases"
            " UNION ALL SELECT export, partner, cut_time, NULL, NULL, NULL, reason, refused_at FROM refusals ORDER BY at DESC, export"
        ).fetchall()


def release(job: Job, export: Export, to: Path) -> dict[str, Any]:
    """Writes the release of a contract at the job's cut: its id, folder, rows and k. The same run again gives the same bytes.

    ChecksFailed where a limit does not hold, EpochRefused where the cut is not the lake's or too old, GateRed where its run was not passed:
    then nothing stands at the destination. What stands there is in the register `vault.releases`, what a limit kept back in
    `vault.refusals`.
    """
    _refuse(job, export)
    name = f"{export.name}-{job.cut.run_id}"
    try:
        return _released(job, export, name, to)
    except ChecksFailed as error:
        with _registry(job) as connection:
            about = (name, export.name, export.contract.partner, job.cut.cut_time, str(error))
            connection.execute("INSERT INTO refusals (export, contract, partner, cut_time, reason) VALUES (%s, %s, %s, %s, %s)", about)
        raise


def _released(job: Job, export: Export, name: str, to: Path) -> dict[str, Any]:
    place, draft = to / name, to / f".{name}.{os.getpid()}"
    found = _chosen(job, export)
    told = Told(export.contract.released, found.levels, Counter(found.rows))
    before = _apart(job, export, name, told)
    to.mkdir(parents=True, exist_ok=True)
    draft.mkdir()
    try:
        _write_rows(draft, export, found)
        risk = _risk(draft, export, found) | {"earlier_releases": before}
        _write_about(draft, job, export, found, risk)
        _register(job, export, name, draft, told, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"export": name, "folder": str(place), "export_rows": len(found.rows), "export_k": risk["k"], "suppressed": found.suppressed}


def _registry(job: Job) -> psycopg.Connection[Any]:
    return psycopg.connect(postgres.dsn(job.settings, "vault", "export"))


def _apart(job: Job, export: Export, name: str, told: Told) -> dict[str, Any]:
    """How far the release is from earlier ones of its contract: by at least k persons in every class, or not at all; else ChecksFailed."""
    with _registry(job) as connection:
        # Before itself, if it is released again: the same run gives the same bytes.
        rows = connection.execute(
            "SELECT export, told FROM releases WHERE contract = %(contract)s AND export <> %(export)s AND told IS NOT NULL"
            " AND released_at <= coalesce((SELECT released_at FROM releases WHERE export = %(export)s), now())",
            {"contract": export.name, "export": name},
        ).fetchall()
    smallest: list[int] = []
    for other, saved in rows:
        before = Told(tuple(saved["columns"]), saved["levels"], {tuple(values): n for values, n in saved["rows"]})
        differ = exports.differences(told, before, export.hierarchies)
        if few := [n for n in differ if n < export.contract.limits.k]:
            raise ChecksFailed(
                f"nothing is released: {len(few)} classes differ from {other} by {few[0]} to {few[-1]} persons, fewer than k: who has both"
                " files could tell those who came or went; release later, or coarser (`least` in the contract)"
            )
        smallest += differ[:1]
    return {"compared": len(rows), "smallest_difference": min(smallest, default=None)}


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens sealed values in a worker with the keys that the role `export` may read; what has no key is None."""

    settings: Settings

    def __call__(self, sealed: Collection[str]) -> dict[str, Json]:
        vault = _vault(self.settings)
        vault.refresh()
        owners = {one: parts(one).owner for one in sealed}
        keys = vault.keys(owners.values())
        return {one: None if (key := keys[owner]) is None else open_(key, one) for one, owner in owners.items()}


def _vault(settings: Settings) -> Vault:
    """This worker's connection; one for all batches that it works on."""
    dsn = postgres.dsn(settings, "vault", "export")
    if dsn not in _VAULTS:
        _VAULTS[dsn] = Vault(dsn, keyring.load(settings))
    return _VAULTS[dsn]


_VAULTS: dict[str, Vault] = {}


def _refuse(job: Job, export: Export) -> None:
    cut = job.cut
    # Not of the outcomes: where none changed, nothing was written. That they were concluded is what the gate comes after.
    for table in (STATES, LINKS):
        if silver.done(table, job.settings) != cut.epoch:
            raise EpochRefused(f"silver is not at epoch {cut.epoch} of run {cut.run_id}: release from the newest run, or finish this one")
    row = job.serving.execute("SELECT gate FROM batch_runs WHERE run_id = %s", (cut.run_id,)).fetchone()
    if row is None or row[0] != "green":
        raise GateRed(f"run {cut.run_id} has not passed its gate: spark_jobs/gates.py --run {cut.run_id}")
    age = time.time_ns() // 1000 - cut.cut_time
    if age > export.contract.fresh_hours * HOUR:
        raise EpochRefused(
            f"the cut of run {cut.run_id} is {age // HOUR} hours old, at most {export.contract.fresh_hours} may be: who took consent back"
            " since is not known to it; run a batch, and release from that"
        )


def _chosen(job: Job, export: Export) -> Release:
    conf = job.settings.conf
    rules, tables = configuration.consent(conf), configuration.attributes(conf)
    rows = frequencies(
        silver.read(job, STATES), silver.read(job, LINKS), export.contract, rules, tables, job.cut.cut_time, Opener(job.settings)
    ).collect()
    # In an order of its own: what Spark gathers comes in any.
    counted = sorted((tuple(row[name] for name in export.contract.released), row["travellers"], row["consenting"]) for row in rows)
    return exports.release(export.contract, export.hierarchies, counted)


def _write_rows(folder: Path, export: Export, found: Release) -> None:
    names = export.contract.released
    columns = [pa.array([row[n] for row in found.rows], pa.string()) for n in range(len(names))]
    pq.write_table(pa.table(columns, names=list(names)), folder / "data.parquet")
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(found.rows)


def read_rows(folder: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of a release as they were written; ChecksFailed if its two files differ."""
    table = pq.read_table(folder / "data.parquet")
    rows = [tuple(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]
    with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
        names, *lines = [tuple(line) for line in csv.reader(file)]
    if names != tuple(table.column_names) or lines != rows:
        raise ChecksFailed("data.csv and data.parquet differ")
    return names, rows


def _risk(folder: Path, export: Export, found: Release) -> dict[str, Any]:
    """The risk report, measured from the written file; ChecksFailed with every limit that it breaks."""
    of = export.contract
    names, rows = read_rows(folder)
    quasi = [names.index(name) for name in of.named("quasi")]
    classes = [tuple(row[i] for i in quasi) for row in rows]
    sensitive = {name: [row[names.index(name)] for row in rows] for name in of.named("sensitive")}
    risk = anonymity.risk(classes, sensitive, k=of.limits.k, population=found.population, suppressed=found.suppressed)
    reasons = anonymity.broken(risk, of.limits.limits(), found.suppressed)
    if reasons:
        raise ChecksFailed(f"nothing is released: {'; '.join(reasons)}")
    sizes = Counter(Counter(classes).values())
    return {
        "rows": risk.rows,
        "k": risk.k,
        "l": risk.l,
        "t": _rounded(risk.t),
        "alpha": _rounded(risk.alpha),
        "risk": {"prosecutor": risk.prosecutor, "journalist": risk.journalist, "marketer": risk.marketer},
        "population": len(found.population),
        "suppressed": found.suppressed,
        "suppression": found.suppressed / (risk.rows + found.suppressed),
        "quality": {
            "loss_gcp": round(found.loss, 9),
            "discernibility": risk.discernibility,
            "average_class": risk.average_class,
            "classes": risk.classes,
            "class_sizes": {str(size): sizes[size] for size in sorted(sizes)},
        },
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 9) for name, value in values.items()}


def _write_about(folder: Path, job: Job, export: Export, found: Release, risk: Mapping[str, Any]) -> None:
    of = export.contract
    _json(folder / "risk.json", risk)
    _json(
        folder / "schema.json",
        {
            "columns": [{"name": name, "type": "string", **_column(export, found, name)} for name in of.released],
            "left_out": list(of.named("direct")),
            "unknown": anonymity.ANY,
        },
    )
    (folder / "LICENCE.txt").write_bytes(export.licence)
    files = {file.name: _sha256(file.read_bytes()) for file in sorted(folder.iterdir())}
    _json(
        folder / "manifest.json",
        {
            "export": f"{export.name}-{job.cut.run_id}",
            "contract": export.name,
            "contract_sha256": export.digest,
            "about": of.about,
            "partner": of.partner,
            "purpose": of.purpose,
            "as_of": datetime.fromtimestamp(job.cut.cut_time / 1e6, UTC).isoformat(timespec="seconds"),
            "rows": len(found.rows),
            "limits": of.limits.model_dump(),
            "levels": found.levels,
            "sign_off": of.sign_off.model_dump(mode="json"),
            "licence": "LICENCE.txt",
            "files": files,
        },
    )


def _column(export: Export, found: Release, name: str) -> dict[str, Any]:
    column = export.contract.columns[name]
    about: dict[str, Any] = {"role": column.role}
    if name in found.levels:
        return about | {"hierarchy": column.hierarchy, "level": found.levels[name], "levels": export.hierarchies[name].height}
    return about | {"values": list(column.values)}


def _register(job: Job, export: Export, name: str, draft: Path, told: Told, place: Path) -> None:
    """The release is in the register, and stands in its place: the same one again changes neither, another one of its name is refused."""
    manifest = _sha256((draft / "manifest.json").read_bytes())
    saved = {"columns": told.columns, "levels": told.levels, "rows": [*told.rows.items()]}
    with _registry(job) as connection:
        sign = export.contract.sign_off
        connection.execute(
            "INSERT INTO releases (export, contract, partner, cut_time, rows, manifest, prepared_by, officer, told)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (export) DO NOTHING",
            (
                *(name, export.name, export.contract.partner, job.cut.cut_time, sum(told.rows.values()), manifest),
                *(sign.prepared_by, sign.officer, orjson.dumps(saved).decode()),
            ),
        )
        known = connection.execute("SELECT manifest FROM releases WHERE export = %s", (name,)).fetchone()
        if known is None or known[0] != manifest:
            raise ChecksFailed(f"{name} was released before with another content: release from a new run")
        if place.exists():
            if _sha256((place / "manifest.json").read_bytes()) != manifest:
                raise ChecksFailed(f"{place} holds another release than the register says: put it aside, and run again")
            return
        draft.rename(place)


def _json(path: Path, value: Any) -> None:
    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
