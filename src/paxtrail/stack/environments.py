"""Environments of tools whose pins and Spark's do not go together: made by their pins, once per user, and never changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from paxtrail.errors import ConfigurationError
from paxtrail.settings import ROOT

NAMES = ("airflow", "superset")
_DONE = ".complete"


def program(name: str, command: str) -> Path:
    """Path of a program of the environment, which is installed if it is not there yet: only then is the network touched."""
    folder = _folder(name)
    if not (folder / _DONE).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / ".lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # two processes at once: the second finds what the first made
            if not (folder / _DONE).exists():
                _install(name, folder)
    return folder / "bin" / command


def there(name: str) -> bool:
    """Whether the environment is installed."""
    return (_folder(name) / _DONE).exists()


def installed(name: str, command: str) -> Path:
    """Path of a program of the environment; FileNotFoundError if nobody has installed it."""
    if not there(name):
        raise FileNotFoundError(_folder(name))
    return _folder(name) / "bin" / command


def version(name: str) -> str:
    """Changes whenever the pins do."""
    return _folder(name).name


def _pins(name: str) -> Path:
    return ROOT / "conf" / "requirements" / f"{name}.txt"


def _folder(name: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paxtrail" / "environments"
    return cache / name / hashlib.sha256(_pins(name).read_bytes()).hexdigest()[:12]


def _install(name: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv") or str(folder.parents[2] / "uv" / "bin" / "uv")  # where `./paxtrail` puts it when the machine has none
    steps = (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "sync", "--quiet", "--python", str(folder / "bin" / "python"), "--require-hashes", str(_pins(name))],
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise ConfigurationError("uv is missing: run ./paxtrail once, it fetches it") from error
        if done.returncode:
            raise ConfigurationError(f"the environment of {name} could not be installed: {done.stderr.strip()[-600:]}")
    (folder / _DONE).touch()
