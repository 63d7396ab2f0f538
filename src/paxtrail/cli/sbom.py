"""`paxtrail sbom`: the software bill of materials, from the pins of Python packages and the locks of jars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from paxtrail.settings import ROOT
from paxtrail.stack.jars import SETS, lock_file, read_lock

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def pins(file: Path) -> Iterator[tuple[str, str]]:
    """(name, version) of each package that a compiled file of requirements pins."""
    yield from _PIN.findall(file.read_text(encoding="utf-8"))


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=ROOT / "var" / "sbom.json", help="The file to write.")
def sbom(out: Path) -> None:
    """Write every pinned Python package and jar as CycloneDX 1.6 (JSON).

    Example: paxtrail sbom --out build/sbom.json
    """
    try:
        from cyclonedx.model import HashAlgorithm, HashType, Property
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ImportError:
        raise click.ClickException("cyclonedx-python-lib is missing: it is in the environment of conf/requirements/dev.txt") from None

    used: dict[PackageURL, tuple[list[str], str]] = {}
    for file in sorted((ROOT / "conf" / "requirements").glob("*.txt")):
        for name, version in pins(file):
            used.setdefault(PackageURL("pypi", None, name.lower(), version), ([], ""))[0].append(file.stem)
    for name in SETS:
        for jar in read_lock(lock_file(name)):
            qualifiers = {"classifier": jar.classifier} if jar.classifier else None
            used.setdefault(PackageURL("maven", jar.group, jar.artifact, jar.version, qualifiers), ([], jar.sha256))[0].append(name)
    bom = Bom()
    bom.metadata.component = Component(name="paxtrail", type=ComponentType.APPLICATION, bom_ref="paxtrail")
    for url, (where, digest) in used.items():
        bom.components.add(
            Component(
                name=url.name,
                group=url.namespace,
                version=url.version,
                type=ComponentType.LIBRARY,
                purl=url,
                bom_ref=str(url),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
                properties=[Property(name="paxtrail:environment", value=one) for one in where],
            )
        )
    bom.register_dependency(bom.metadata.component, bom.components)
    out.parent.mkdir(parents=True, exist_ok=True)
    JsonV1Dot6(bom).output_to_file(str(out), allow_overwrite=True, indent=1)
    click.echo(f"wrote {out}: {len(used)} components")
