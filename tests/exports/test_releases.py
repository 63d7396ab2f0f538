"""Releases from a real lake, vault and register: only who consents, only what keeps the limits, the same bytes, nobody by name."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from tests.conftest import emptied
from tests.lane import Sent, cloud_event
from tests.parity.stories import Story
from tests.serving.world import account, passenger, reservation

from paxtrail.adapters import configuration, exports
from paxtrail.adapters.configuration import Export
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.silver import Job
from paxtrail.errors import ChecksFailed, ConfigurationError, EpochRefused, GateRed
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places

MEMBERS = 24
TIERS = ("BASE", "SILVER", "GOLD")


def consents(n: int) -> bool:
    return n % 4 != 3


def told() -> list[Sent]:
    """Members who flew to IAH: half born in 1970, half in 1995; of each four one never said a word or took back what they said.

    Who never said a word lives in California, where silence lets data be sold (decide), and so do some of those who consented.
    """
    bodies: list[tuple[str, dict[str, Any]]] = []
    for n in range(MEMBERS):
        number, name, born = f"CAN{n:05d}", f"CANARY{chr(65 + n)}", ("1970-01-02", "1995-01-02")[n % 2]
        own = {
            "surname": name,
            "given": "TWEETY",
            "email": f"{name}@example.org".lower(),
            "birthDate": born,
            "residence": "US",
            "gender": "M",
            **({"subdivision": "US-CA"} if n % 8 in (0, 7) else {}),
        }
        bodies.append(("loyalty", account(number, 1, **own) | {"tier": TIERS[n // 2 % 3]}))
        said = ["given"] if consents(n) else ["given", "withdrawn"] if n % 8 == 3 else []
        for place, status in enumerate(said):
            acts = [{"purpose": "partner_sharing", "channel": "any", "status": status, "via": "web", "mechanism": "opt_in"}]
            bodies.append(
                (
                    "loyalty",
                    {
                        "event": "consent_changed", "account": {"airline": "UA", "number": number},
                        "at": f"2026-02-0{place + 1}T10:00:00Z", "sequence": 5 + place, "consents": acts,
                    },
                )
            )  # fmt: skip
        flown = [{"number": f"01612345{n:05d}", "passenger": 1, "coupons": [{"segment": 1, "status": "F"}]}]
        person = passenger(1, name, "TWEETY", birthDate=born, loyalty={"airline": "UA", "number": number})
        bodies.append(("reservations", reservation(f"CANR{chr(65 + n)}2", passengers=[person], tickets=flown)))
    at = 1_790_000_000_000_000
    return [cloud_event(source, f"export-{n}", json.dumps(body).encode(), arrival=at + n) for n, (source, body) in enumerate(bodies)]


@pytest.fixture(scope="module")
def job(postgres: Settings, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    settings = emptied(postgres, tmp_path_factory.mktemp("exports") / "home")
    story = Story(settings, spark, 5)
    story.lane.batch(told())
    story.run_batch(full=True, publish=False)
    story.run_batch(full=False, publish=False)  # no outcome changes: a release comes from a quiet run too
    story.serving.execute("UPDATE batch_runs SET gate = 'green'")
    yield Job(settings, spark, story.serving, cut_of(story.serving, story.runs[-1]))
    story.close()


@pytest.fixture
def export(job: Job) -> Export:
    return limited(configuration.export(job.settings.conf, "frequent_travellers"), k=3)


def limited(export: Export, **limits: Any) -> Export:
    of = export.contract
    return replace(export, contract=of.model_copy(update={"limits": of.limits.model_copy(update=limits)}))


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def register(job: Job) -> dict[str, str]:
    with psycopg.connect(dsn(job.settings, "vault", "postgres")) as connection:
        return dict(connection.execute("SELECT export, manifest FROM releases").fetchall())


def test_the_file_holds_who_consents_and_measures_as_the_report_says(job: Job, export: Export, tmp_path: Path) -> None:
    said = exports.release(job, export, tmp_path)
    folder = Path(said["folder"])
    with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    consenting = [n for n in range(MEMBERS) if consents(n)]
    assert said["export_rows"] == len(rows) == len(consenting)  # of the Californians those who said yes, not those who said nothing
    assert Counter(row["tier"] for row in rows) == Counter(TIERS[n // 2 % 3] for n in consenting)
    assert {row["age"]: row["route_region"] for row in rows} == dict.fromkeys(("55-59", "30-34"), "America/Chicago")
    assert pq.read_table(folder / "data.parquet").to_pylist() == rows
    classes = Counter(tuple(row[name] for name in export.contract.named("quasi")) for row in rows)
    risk, manifest = (json.loads((folder / name).read_text()) for name in ("risk.json", "manifest.json"))
    assert said["export_k"] == risk["k"] == min(classes.values()) >= 3
    assert risk["l"] == {"tier": 3}
    assert (risk["population"], risk["suppressed"]) == (MEMBERS, 0)
    assert risk["risk"]["prosecutor"] == pytest.approx(1 / risk["k"])
    assert risk["risk"]["journalist"] == pytest.approx(1 / (MEMBERS // 2))
    written = {name: hashlib.sha256(data).hexdigest() for name, data in files(folder).items() if name != "manifest.json"}
    assert manifest["files"] == written
    assert written.keys() == {"data.csv", "data.parquet", "schema.json", "risk.json", "LICENCE.txt"}


def test_the_same_run_gives_the_same_bytes_and_one_line_in_the_register(job: Job, export: Export, tmp_path: Path) -> None:
    for _ in range(2):
        exports.release(job, export, tmp_path / "here")
    exports.release(job, export, tmp_path / "there")
    found = files(tmp_path / "here")
    assert found == files(tmp_path / "there")
    [manifest] = [data for name, data in found.items() if name.endswith("manifest.json")]
    assert register(job) == {f"frequent_travellers-{job.cut.run_id}": hashlib.sha256(manifest).hexdigest()}
    with pytest.raises(ChecksFailed, match="released before"):
        exports.release(job, limited(export, k=4), tmp_path / "else")
    assert files(tmp_path / "else") == {}


def test_a_limit_that_fails_leaves_nothing_behind(job: Job, export: Export, tmp_path: Path) -> None:
    known = register(job)
    with pytest.raises(ChecksFailed, match="no generalisation keeps the limits for 18 persons"):
        exports.release(job, limited(replace(export, name="failing"), k=30), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert register(job) == known
    refused = {line["export"]: line["refused"] for line in exports.register(job.settings)}
    assert "no generalisation" in refused[f"failing-{job.cut.run_id}"]


def test_a_release_that_differs_by_few_from_an_earlier_one_of_its_contract_is_refused(job: Job, export: Export, tmp_path: Path) -> None:
    own = replace(export, name="again")
    exports.release(job, own, tmp_path / "first")

    def earlier(gone: int) -> None:
        """As if it had been released before, with so many fewer in one class."""
        with psycopg.connect(dsn(job.settings, "vault", "postgres")) as connection:
            connection.execute(
                "UPDATE releases SET export = 'again-earlier', told ="
                " jsonb_set(told, '{rows,0,1}', to_jsonb((told #>> '{rows,0,1}')::int - %s)) WHERE contract = 'again'",
                (gone,),
            )

    earlier(0)
    said = exports.release(job, own, tmp_path / "same")
    measured = json.loads((Path(said["folder"]) / "risk.json").read_text())["earlier_releases"]
    assert measured == {"compared": 1, "smallest_difference": None}
    with psycopg.connect(dsn(job.settings, "vault", "postgres")) as connection:
        connection.execute("DELETE FROM releases WHERE contract = 'again' AND export <> 'again-earlier'")
    earlier(1)
    with pytest.raises(ChecksFailed, match="1 classes differ from again-earlier by 1 to 1 persons"):
        exports.release(job, own, tmp_path / "other")
    assert files(tmp_path / "other") == {}


def test_what_counts_is_what_was_written(job: Job, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = exports._write_rows  # what the search says may differ from what the writer does

    def one_more(folder: Path, of: Export, found: Any) -> None:
        write(folder, of, replace(found, rows=[*found.rows, ("99", *found.rows[-1][1:])]))

    monkeypatch.setattr(exports, "_write_rows", one_more)
    with pytest.raises(ChecksFailed, match="k is 1"):
        exports.release(job, replace(export, name="tampered"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nobody_stands_in_any_file(job: Job, export: Export, tmp_path: Path) -> None:
    exports.release(job, export, tmp_path)
    tokens = {row["token"] for row in job.spark.read.format("delta").load(f"{job.settings.lake}/silver/links").collect()}
    canaries = {b"CANARY", b"canary", b"TWEETY", b"@example", b"CAN0", b"CANR", b"1970-01", b"1995-01", b"sealed:"}
    canaries |= {token.encode() for token in tokens}
    assert len(tokens) >= MEMBERS
    for name, data in files(tmp_path).items():
        decoded = repr(pq.read_table(tmp_path / name).to_pylist()).encode() if name.endswith("parquet") else b""
        found = [canary for canary in canaries if canary in data + decoded + name.encode()]
        assert not found, f"{len(found)} in {Path(name).name}"


def test_a_run_that_did_not_pass_or_is_too_old_is_refused(job: Job, export: Export, tmp_path: Path) -> None:
    old = replace(job, cut=replace(job.cut, cut_time=job.cut.cut_time - 25 * exports.HOUR))
    with pytest.raises(EpochRefused, match="25 hours old"):
        exports.release(old, export, tmp_path)
    with pytest.raises(EpochRefused, match="not at epoch"):
        exports.release(replace(job, cut=replace(job.cut, epoch=job.cut.epoch + 1)), export, tmp_path)
    job.serving.execute("UPDATE batch_runs SET gate = 'red'")
    try:
        with pytest.raises(GateRed):
            exports.release(job, export, tmp_path)
    finally:
        job.serving.execute("UPDATE batch_runs SET gate = 'green'")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_contract_is_refused_before_anything_starts(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="frequent_travellers"):
        exports.run(settings, "any", "nobody", tmp_path)


def test_the_program_releases_from_a_lake_it_finds(job: Job, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(job.settings.conf, conf)
    text = (conf / "exports" / "frequent_travellers.toml").read_text()
    (conf / "exports" / "wide.toml").write_text(text)
    environment = {**os.environ, **places.environment(job.settings.model_copy(update={"conf": conf}))}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)

    program = str(ROOT / "spark_jobs" / "exports.py")
    done = run(program, "--run", job.cut.run_id, "--contract", "wide", "--to", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["export_rows"], said["export_k"] >= 10, Path(said["folder"]).parent) == (18, True, tmp_path / "out")
