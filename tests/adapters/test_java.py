"""A Java that is missing, broken or too old is told in one line, by whatever would have started it."""

from __future__ import annotations

from pathlib import Path

import pytest

from paxtrail.adapters import spark
from paxtrail.adapters.java import java
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings
from paxtrail.stack import broker


def installed(folder: Path, version: str) -> Path:
    """A JAVA_HOME whose program tells this version, as OpenJDK does."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'Picked up JAVA_TOOL_OPTIONS: -Xss4m' >&2\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("version", ["17.0.15", "21", "26-ea"])
def test_a_java_of_that_age_or_newer_is_taken(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(installed(tmp_path, version)))
    assert java() == str(tmp_path / "bin" / "java")


@pytest.mark.parametrize(("version", "told"), [("1.8.0_292", "Java 8"), ("11.0.2", "Java 11"), ("none", "does not run")])
def test_an_older_java_is_refused_with_what_to_install(version: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(installed(tmp_path, version)))
    with pytest.raises(ConfigurationError, match=rf"{told}.*openjdk-17-jre-headless") as caught:
        java()
    assert "\n" not in str(caught.value)


def test_a_missing_java_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Java is missing: install"):
        java()


def test_broker_and_spark_do_not_start_with_an_old_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(installed(tmp_path / "java", "11.0.2")))
    monkeypatch.setattr(spark, "jars", lambda: tmp_path)
    settings = Settings.load("local", home=str(tmp_path / "home"))
    with pytest.raises(ConfigurationError, match="Java 11, too old"):
        spark.session(settings, "test")
    with pytest.raises(ConfigurationError, match="Java 11, too old"):
        broker.command(settings)
