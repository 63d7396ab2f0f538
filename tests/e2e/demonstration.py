"""A run of the demo as a program, on a home and ports of its own, and what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from paxtrail.settings import ROOT
from paxtrail.stack import places
from paxtrail.stack.processes import free_row


class Demonstrated:
    """What a run of the demo left: exit code, what it said, its last line, the processes of its home that still run."""

    def __init__(self, home: Path, *options: str) -> None:
        command = [sys.executable, "-m", "paxtrail.cli.main", "--home", str(home), "--port-base", str(free_row(places.PORTS))]
        command += ["demo", "--exit", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/", stdin=subprocess.DEVNULL)
        self.code, self.said, self.complained = done.returncode, done.stdout, done.stderr
        self.home = home / "demo"
        self.left = [process.pid for process in psutil.process_iter() if belongs(process, self.home)]

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.said.splitlines()[-1])
        return found


def belongs(process: psutil.Process, home: Path) -> bool:
    """Whether the stack of that home started this process."""
    try:
        return bool(process.environ().get("PAXTRAIL_HOME") == str(home))
    except psutil.Error:
        return False
