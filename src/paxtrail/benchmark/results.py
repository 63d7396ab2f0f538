"""Results of a benchmark: percentiles, the conditions they were measured under, a table for people and a JSON file for machines."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from paxtrail.settings import ROOT

FOLDER = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Nearest-rank percentiles of `count` values, in the unit of the values."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


def percentiles(values: Iterable[float]) -> Percentiles:
    """Percentiles of the values; all NaN-free zeros if there are none."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles(0, 0.0, 0.0, 0.0, 0.0)

    def rank(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 4)

    return Percentiles(len(ordered), rank(0.50), rank(0.95), rank(0.99), round(ordered[-1], 4))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `goal` and `rival` say what the figure is to be held against; `reached`: None = no goal or not measured."""

    what: str
    figure: str
    goal: str = ""
    reached: bool | None = None
    rival: str = ""


@dataclass(slots=True)
class Result:
    """What one benchmark found. `figures` are the numbers behind the rows."""

    name: str
    sizes: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    _conditions: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._conditions = conditions()

    def add(self, what: str, figure: str, *, goal: str = "", reached: bool | None = None, rival: str = "") -> None:
        self.rows.append(Row(what, figure, goal, reached, rival))

    def __enter__(self) -> Result:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Publishes what there is, also of a run that was broken off: that is then said."""
        if kind is not None:
            self.skipped.append(f"the rest: broken off by {kind.__name__}")
        self.publish()

    def publish(self) -> None:
        """Prints the table and writes benchmarks/results/<name>.json."""
        self._conditions["load_average_at_the_end"] = [round(one, 2) for one in os.getloadavg()]
        self._conditions["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        table = Table(title=self.name, box=box.SIMPLE_HEAD, title_justify="left")
        for column in ("what", "measured", "to reach", "reached", "rival in the same run"):
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(row.what, row.figure, row.goal, {True: "yes", False: "no", None: ""}[row.reached], row.rival)
        console = Console(width=max(140, Console().width))
        console.print(table)
        for reason in self.skipped:
            console.print(f"skipped: {reason}", highlight=False)
        console.print(f"conditions: {orjson.dumps(self._conditions).decode()}", highlight=False)
        FOLDER.mkdir(parents=True, exist_ok=True)
        content = {
            "benchmark": self.name,
            "conditions": {**self._conditions, "sizes": dict(self.sizes)},
            "rows": [asdict(row) for row in self.rows],
            "figures": self.figures,
            "skipped": self.skipped,
        }
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_DATACLASS | orjson.OPT_NON_STR_KEYS
        (FOLDER / f"{self.name}.json").write_bytes(orjson.dumps(content, option=options))


def conditions() -> dict[str, Any]:
    """Machine, load, versions and commit at this moment; nothing that names the host or a folder."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_before": [round(one, 2) for one in os.getloadavg()],
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
