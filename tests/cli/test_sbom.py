"""The bill of materials names everything that is pinned, Python and Java, once."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from click.testing import CliRunner

from paxtrail.cli.sbom import pins, sbom
from paxtrail.settings import ROOT
from paxtrail.stack.jars import SETS, lock_file, read_lock


def test_it_names_every_pin_and_every_jar_with_its_hash(tmp_path: Path) -> None:
    out = tmp_path / "build" / "sbom.json"
    assert CliRunner().invoke(sbom, ["--out", str(out)]).exit_code == 0
    found = json.loads(out.read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    urls = [one["purl"] for one in found["components"]]
    assert len(urls) == len(set(urls))
    assert f"pkg:pypi/fastapi@{version('fastapi')}" in urls
    jars = {(jar.group, jar.artifact, jar.version, jar.sha256) for name in SETS for jar in read_lock(lock_file(name))}
    named = {
        (c["group"], c["name"], c["version"], c["hashes"][0]["content"]) for c in found["components"] if c["purl"].startswith("pkg:maven/")
    }
    assert named == jars


def test_every_line_of_the_pins_is_read() -> None:
    for file in (ROOT / "conf" / "requirements").glob("*.txt"):
        lines = [line for line in file.read_text().splitlines() if line and line[0] not in " #-"]
        assert len(list(pins(file))) == len(lines) > 5, file.name
