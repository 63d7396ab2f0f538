"""The six laws hold here, and each checker finds a violation that is planted in a tree of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.architecture import laws

from paxtrail.settings import ROOT

Law = Callable[[Path], list[str]]

PLANTED: list[tuple[Law, str, str]] = [
    (laws.nothing_imports_a_program, "src/paxtrail/serving/x.py", "from streaming.events import main\n"),
    (laws.nothing_imports_a_program, "tests/test_x.py", "import api.main\n"),
    (laws.nothing_imports_a_program, "streaming/clocks.py", "import neighbours\n"),
    (laws.programs_hold_no_column_logic, "streaming/x.py", "from pyspark.sql import functions as F\n"),
    (laws.programs_hold_no_column_logic, "spark_jobs/x.py", "def run(df, other):\n    return df.join(other, 'id')\n"),
    (laws.programs_hold_no_column_logic, "spark_jobs/x.py", "def run(df):\n    return df.groupBy('id').count()\n"),
    (laws.core_and_transforms_are_pure, "src/paxtrail/core/x.py", "import datetime\n\nT = datetime.datetime.now()\n"),
    (laws.core_and_transforms_are_pure, "src/paxtrail/core/x.py", "from uuid import uuid4\n"),
    (laws.core_and_transforms_are_pure, "src/paxtrail/core/sources/x.py", "def f(p):\n    return open(p)\n"),
    (laws.core_and_transforms_are_pure, "src/paxtrail/transforms/x.py", "def f(df):\n    return df.collect()\n"),
    (laws.core_and_transforms_are_pure, "src/paxtrail/transforms/x.py", "def f(spark):\n    return spark.read.table('t')\n"),
    (laws.core_and_transforms_are_pure, "src/paxtrail/transforms/x.py", "def f(F):\n    return F.current_timestamp()\n"),
    (laws.transforms_see_no_stream, "src/paxtrail/transforms/x.py", "def f(df):\n    return df.withWatermark('t', '1 hour')\n"),
    (
        laws.transforms_see_no_stream,
        "streaming/x.py",
        "from paxtrail.transforms.folds import fold\n\ndef run(s):\n    return fold(s.readStream.load())\n",
    ),
    (laws.folders_are_no_packages_and_programs_shadow_nothing, "dbt/__init__.py", ""),
    (laws.folders_are_no_packages_and_programs_shadow_nothing, "spark_jobs/profile.py", ""),
    (laws.folders_are_no_packages_and_programs_shadow_nothing, "api/fastapi.py", ""),
    (laws.modules_are_short_and_suppressions_give_reasons, "src/paxtrail/core/x.py", "A = 1\n" * 401),
    (laws.modules_are_short_and_suppressions_give_reasons, "conf/superset/x.py", "A = 1\n" * 401),
    (laws.modules_are_short_and_suppressions_give_reasons, "src/paxtrail/core/x.py", "import os  # " + "noqa: F401\n"),
    (laws.modules_are_short_and_suppressions_give_reasons, "tests/x.py", "x = f()  # " + "type: ignore[misc]\n"),
]

INNOCENT = """\"\"\"A program that wires.\"\"\"
import os
import threading


def main(thread: threading.Thread) -> str:
    thread.join(timeout=3)
    return ", ".join(["a", os.pathsep.join(["b", "c"])])
"""


@pytest.mark.parametrize("law", list(dict.fromkeys(law for law, _, _ in PLANTED)), ids=lambda law: law.__name__)
def test_the_law_holds(law: Law) -> None:
    assert law(ROOT) == []


@pytest.mark.parametrize(("law", "file", "text"), PLANTED, ids=[f"{law.__name__}-{number}" for number, (law, _, _) in enumerate(PLANTED)])
def test_a_planted_violation_is_found(law: Law, file: str, text: str, tmp_path: Path) -> None:
    _tree(tmp_path)
    assert law(tmp_path) == []
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    found = law(tmp_path)
    assert len(found) >= 1
    assert all(file in violation for violation in found)


def test_every_law_has_a_planted_violation() -> None:
    assert len({law for law, _, _ in PLANTED}) == 6


def _tree(root: Path) -> None:
    for file in ("streaming/neighbours.py", "spark_jobs/events.py", "api/main.py"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(INNOCENT)
    for folder in ("core", "transforms"):
        (root / "src" / "paxtrail" / folder).mkdir(parents=True)
        (root / "src" / "paxtrail" / folder / "pure.py").write_text("def add(a: int, b: int) -> int:\n    return a + b\n")
