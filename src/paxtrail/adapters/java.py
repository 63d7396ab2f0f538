"""The Java program that servers and Spark are started with: found as Spark finds it, and told in one line where it does not do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from paxtrail.errors import ConfigurationError

OLDEST = 17
_INSTALL = f"install a Java {OLDEST} runtime, for example with `apt-get install openjdk-{OLDEST}-jre-headless`"


def java() -> str:
    """The program: of JAVA_HOME if set, else of the PATH. ConfigurationError if there is none or it is too old."""
    home = os.environ.get("JAVA_HOME")
    own = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    program = own or shutil.which("java")
    if program is None:
        raise ConfigurationError(f"Java is missing: {_INSTALL}")
    version = _version(program)
    if version is None:
        raise ConfigurationError(f"{program} does not run: {_INSTALL}")
    if version < OLDEST:
        raise ConfigurationError(f"{program} is Java {version}, too old: {_INSTALL}")
    return program


@cache
def _version(program: str) -> int | None:
    try:
        told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return None
    # Before Java 9 the first number was 1.
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else None
