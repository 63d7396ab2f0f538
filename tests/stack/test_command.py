"""The `paxtrail` executable on machines where something is missing, and the jars it fetches."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from paxtrail.cli.main import COMMANDS, main
from paxtrail.errors import ConfigurationError
from paxtrail.settings import ROOT
from paxtrail.stack import jars

TOOLS = ("sh", "dirname", "readlink", "cmp", "mkdir", "flock", "sed", "head", "cat", "cp")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the tools of any Debian, for a PATH without Python, Java and uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return folder


def _run(path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "HOME": str(path.parent), "PAXTRAIL_VENV": str(path.parent / "venv"), **more}
    return subprocess.run([str(ROOT / "paxtrail"), *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False)


def _put_python(path: Path) -> None:
    # The interpreter below the environment's: a link to the environment's own would not find its library.
    (path / "python3.11").write_text(f'#!/bin/sh\nexec "{Path(sys.executable).resolve()}" "$@"\n')
    (path / "python3.11").chmod(0o755)


def _put_java(path: Path, version: str) -> None:
    (path / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    (path / "java").chmod(0o755)


def test_without_python_one_line_says_what_to_install(bare: Path) -> None:
    done = _run(bare, "status")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install python3.11" in done.stderr


def test_without_java_one_line_says_what_to_install(bare: Path) -> None:
    _put_python(bare)
    done = _run(bare, "status")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Java is missing" in done.stderr
    assert "apt-get install openjdk-17" in done.stderr


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.22", "16"])
def test_an_old_java_is_named(bare: Path, version: str) -> None:
    _put_python(bare)
    _put_java(bare, version)
    done = _run(bare, "status")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "is too old" in done.stderr


def test_the_command_runs_from_any_folder_and_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "paxtrail"
    link.symlink_to(ROOT / "paxtrail")
    environment = {**os.environ, "PAXTRAIL_VENV": sys.prefix}
    if not (Path(sys.prefix) / ".paxtrail-pins").exists():
        pytest.skip("this environment was not set up by ./paxtrail")
    done = subprocess.run([str(link), "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("paxtrail, version"), done.stderr


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The command itself, or those of a group at any depth, by what is typed."""
    if isinstance(command, click.Group):
        for sub, inner in command.commands.items():
            yield from _leaves(f"{name} {sub}", inner)
    else:
        yield name, command


def test_every_command_loads_and_shows_examples_that_it_understands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAXTRAIL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for file in ("movements.xml", "accounts.jsonl", "tweets.csv"):  # what examples name and a user has
        (tmp_path / file).touch()
    codes = set(re.findall(r'Refusal\(\s*"([a-z_]+)"', "".join(file.read_text() for file in (ROOT / "src/paxtrail/core").rglob("*.py"))))
    for name in COMMANDS:
        shown = CliRunner().invoke(main, [name, "--help"])
        assert shown.exit_code == 0, name
        assert "Usage:" in shown.output
        command = main.get_command(None, name)  # type: ignore[arg-type]  # needs no context
        assert command is not None
        for typed, leaf in _leaves(name, command):
            examples = re.findall(r"Example: (.+)", leaf.help or "")
            assert examples, typed
            for example in examples:
                _, found, arguments = example.partition(" && ")[0].partition(typed)
                assert found, f"{typed}: {example}"
                if "$(" not in example:
                    given = leaf.make_context(typed, shlex.split(arguments)).params  # a usage error fails the test
                    assert given.get("code") in (None, *codes), example


def test_commands_are_not_imported_before_they_run() -> None:
    code = "import sys, paxtrail.cli.main; print([m for m in ('pyspark', 'fastapi', 'psycopg', 'confluent_kafka') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "up" in COMMANDS


def test_a_known_error_is_one_line_and_exit_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PAXTRAIL_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "fetch", lambda _jars, work: work)
    done = CliRunner().invoke(main, ["jars"])
    assert done.exit_code == 1
    assert done.output.startswith("Error: configuration: ")
    assert "was not fetched" in done.output


@pytest.fixture
def one_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A lock of one jar, whose fetching is noted and gives a file with the text `right`."""
    fetched: list[str] = []

    def fetch(wanted: list[jars.Jar], work: Path) -> Path:
        for jar in wanted:
            fetched.append(jar.file)
            (work / jar.file).write_text("right")
        return work

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(jars, "lock_file", lambda _: tmp_path / "spark.lock")
    monkeypatch.setattr(jars, "fetch", fetch)
    return fetched


def _lock(digest: str, folder: Path) -> None:
    (folder / "spark.lock").write_text(f"g:a:1 {digest}\n")


def test_jars_are_fetched_once(one_jar: list[str], tmp_path: Path) -> None:
    _lock(hashlib.sha256(b"right").hexdigest(), tmp_path)
    folder = jars.jar_folder("spark")
    assert [file.name for file in folder.iterdir()] == ["a-1.jar"]
    assert jars.jar_folder("spark") == folder
    assert one_jar == ["a-1.jar"]


def test_a_jar_with_another_digest_is_refused_and_nothing_is_cached(one_jar: list[str], tmp_path: Path) -> None:
    _lock("0" * 64, tmp_path)
    with pytest.raises(ConfigurationError, match=r"a-1\.jar is not the file that was locked"):
        jars.jar_folder("spark")
    assert list((tmp_path / "cache").rglob("*.jar")) == []


def test_a_wrong_line_of_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_text("# fine\ng:a:1 abc\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        jars.read_lock(tmp_path / "x.lock")
