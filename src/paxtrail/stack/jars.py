"""Java libraries by a lock of coordinates and SHA-256, fetched once per user; nothing is resolved and nothing is fetched at run time."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import quoteattr

from paxtrail.adapters.java import java
from paxtrail.errors import ConfigurationError
from paxtrail.settings import ROOT, jar_cache

SetName = Literal["spark", "kafka", "druid"]
CORE: tuple[SetName, ...] = ("spark", "kafka")
SETS: tuple[SetName, ...] = (*CORE, "druid")


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a lock: `group:artifact:version[:classifier] sha256`."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}{'-' + self.classifier if self.classifier else ''}.jar"


def lock_file(name: SetName) -> Path:
    return ROOT / "conf" / "jars" / f"{name}.lock"


def read_lock(file: Path) -> list[Jar]:
    """The jars of a lock, in its order; raises ConfigurationError naming the line that is wrong."""
    jars = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, _, digest = line.partition(" ")
        parts = coordinates.split(":")
        if len(parts) not in (3, 4) or len(digest) != 64:
            raise ConfigurationError(f"{file.name} line {number}: expected group:artifact:version[:classifier] and a SHA-256")
        jars.append(Jar(parts[0], parts[1], parts[2], parts[3] if len(parts) == 4 else "", digest))
    return jars


def jar_folder(name: SetName) -> Path:
    """Folder with exactly the jars of the set, verified when it was made. Touches the network only when it is not there yet."""
    lock = lock_file(name)
    folder = jar_cache(name)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two processes at once: the second finds the folder of the first
        if not folder.is_dir():
            jars = read_lock(lock)
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                ready = Path(work) / "ready"
                ready.mkdir()
                fetched = fetch(jars, Path(work))
                for jar in jars:
                    verify(jar, fetched / jar.file)
                    (fetched / jar.file).rename(ready / jar.file)
                ready.rename(folder)
    return folder


def verify(jar: Jar, file: Path) -> None:
    """Nothing, if the file is the one that was locked; else ConfigurationError."""
    if not file.is_file():
        raise ConfigurationError(f"{jar.group}:{jar.artifact}:{jar.version} was not fetched; is a Maven repository reachable?")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise ConfigurationError(f"{jar.file} is not the file that was locked: SHA-256 {found}, expected {jar.sha256}")


def fetch(jars: list[Jar], work: Path) -> Path:
    """Folder under `work` with the jars, not yet verified: by Maven if it is there, else by the Ivy that pyspark carries."""
    ways: list[Callable[[list[Jar], Path], tuple[list[str], Path]]] = [_maven, _ivy] if shutil.which("mvn") else [_ivy]
    said = ""
    for way in ways:
        command, folder = way(jars, work)
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode == 0 and all((folder / jar.file).is_file() for jar in jars):
            return folder
        said = (done.stdout + done.stderr)[-800:]
    raise ConfigurationError(f"the jars could not be fetched; the last attempt said: {said}")


def _maven(jars: list[Jar], work: Path) -> tuple[list[str], Path]:
    entries = "".join(
        f"<dependency><groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId><version>{jar.version}</version>"
        + (f"<classifier>{jar.classifier}</classifier>" if jar.classifier else "")
        + "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
        for jar in jars
    )
    head = "<modelVersion>4.0.0</modelVersion><groupId>paxtrail</groupId><artifactId>jars</artifactId><version>1</version>"
    (work / "pom.xml").write_text(f"<project>{head}<dependencies>{entries}</dependencies></project>")
    folder = work / "maven"
    return ["mvn", "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DexcludeTransitive=true"], folder


def _ivy(jars: list[Jar], work: Path) -> tuple[list[str], Path]:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("pyspark is not installed: run it by `./paxtrail`, which sets its environment up")
    ivy = next((Path(spec.submodule_search_locations[0]) / "jars").glob("ivy-*.jar"))
    (work / "settings.xml").write_text(
        '<ivysettings><settings defaultResolver="c"/><resolvers><ibiblio name="c" m2compatible="true"/></resolvers></ivysettings>'
    )
    entries = "".join(
        f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)}"
        ' transitive="false" conf="all->default"'
        + (
            f'><artifact name={quoteattr(jar.artifact)} type="jar" m:classifier={quoteattr(jar.classifier)}/></dependency>'
            if jar.classifier
            else "/>"
        )
        for jar in jars
    )
    (work / "ivy.xml").write_text(
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven"><info organisation="paxtrail" module="jars"/>'
        f'<configurations><conf name="all"/></configurations><dependencies>{entries}</dependencies></ivy-module>'
    )
    folder = work / "ivy"
    pattern = f"{folder}/[artifact]-[revision](-[classifier]).[ext]"
    # Some jars are packaged as OSGi bundles; to Ivy that is a type of its own.
    options = ["-settings", "settings.xml", "-ivy", "ivy.xml", "-confs", "all", "-types", "jar", "bundle", "-retrieve", pattern, "-warn"]
    return [java(), f"-Divy.cache.dir={work}/cache", "-jar", str(ivy), *options, "-cache", f"{work}/cache"], folder
