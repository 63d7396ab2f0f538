"""Pins and files name no package index, registry or mirror: where packages come from is the machine's business."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from paxtrail.settings import ROOT
from paxtrail.stack.jars import SETS, lock_file, read_lock

# Put together here, so that this file does not name them either.
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("conda", "anaconda", "org"),
    )
)
PINS = sorted((ROOT / "conf" / "requirements").glob("*.txt"))
_OPTION = re.compile(r"^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links|--trusted-host)\b|https?://|@\s*git\+", re.M)


def hosts_of_this_machine() -> set[str]:
    """Hosts that this machine's own settings of pip, uv and Maven name."""
    texts = [value for name, value in os.environ.items() if "INDEX" in name or "PROXY" in name]
    texts.append(subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout)
    for file in (".m2/settings.xml", ".config/uv/uv.toml", ".config/pip/pip.conf", ".npmrc"):
        if (found := Path.home() / file).is_file():
            texts.append(found.read_text(errors="replace"))
    addresses = re.findall(r"https?://[^\s'\"<>]+", "\n".join(texts))
    hosts = {urlsplit(address).hostname or "" for address in addresses}
    # xmlns addresses of Maven's settings are names, not places; numbers of this machine are everywhere.
    return {host for host in hosts if "." in host and not host.endswith("apache.org") and host not in ("127.0.0.1", "www.w3.org")}


def files() -> Iterator[Path]:
    """Files that are, or are about to be, part of the project."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for line in listing.splitlines():
        if (file := ROOT / line).is_file():
            yield file


def named(text: str, hosts: set[str]) -> set[str]:
    return {host for host in hosts if host in text}


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_pins_carry_hashes_and_no_address(file: Path) -> None:
    text = file.read_text()
    assert _OPTION.findall(text) == []
    pins = re.findall(r"^[A-Za-z0-9][^\s;]*==[^\s;]+", text, re.M)
    assert len(pins) > 20
    assert text.count("--hash=sha256:") >= len(pins)


def unpinned(wanted: str, pins: str) -> set[str]:
    """Requirements of an .in file that its .txt does not pin, or pins outside what they allow."""
    pinned = {
        canonicalize_name(name): version for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)", pins, re.M)
    }
    lines = (line.partition("#")[0].strip() for line in wanted.splitlines())
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {
        str(one)
        for one in requirements
        if (version := pinned.get(canonicalize_name(one.name))) is None or not one.specifier.contains(version, prereleases=True)
    }


@pytest.mark.parametrize("name", [file.stem for file in PINS])
def test_what_is_required_is_pinned(name: str) -> None:
    folder = ROOT / "conf" / "requirements"
    wanted = (folder / f"{name}.in").read_text()
    wanted += "".join((folder / included).read_text() for included in re.findall(r"^-r (\S+)", wanted, re.M))
    assert unpinned(wanted, (folder / f"{name}.txt").read_text()) == set()


@pytest.mark.parametrize("wanted", ["b", "a<1", "a==1.0.1  # why"])
def test_a_requirement_without_its_pin_is_found(wanted: str) -> None:
    assert unpinned("-r core.in\nA>=1\n" + wanted, "a==1.0 \\\n    --hash=sha256:00\n") == {wanted.partition(" ")[0]}


@pytest.mark.parametrize("line", ["--index-url https://x.example/simple\n", "-i x\n", "a @ git+ssh://x\n", "# via http://mirror.example\n"])
def test_an_address_in_pins_is_found(line: str) -> None:
    assert _OPTION.search("a==1 \\\n    --hash=sha256:00\n" + line)


def test_no_file_names_a_registry() -> None:
    hosts = set(HOSTS) | hosts_of_this_machine()
    found = {str(file.relative_to(ROOT)): names for file in files() if (names := named(file.read_text(errors="replace"), hosts))}
    assert found == {}


def test_a_named_registry_is_found() -> None:
    assert named(f"see https://{HOSTS[0]}/simple", set(HOSTS)) == {HOSTS[0]}


def test_there_is_no_lock_that_records_hosts() -> None:
    assert [file.name for file in files() if file.name in ("uv.lock", "poetry.lock", "Pipfile.lock")] == []


@pytest.mark.parametrize("name", SETS)
def test_jars_are_locked_with_their_digests(name: str) -> None:
    jars = read_lock(lock_file(name))  # type: ignore[arg-type]  # a name of SETS
    assert len({jar.file for jar in jars}) == len(jars) > 10
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
