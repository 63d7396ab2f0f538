"""The six laws of the repository's shape as functions: given a checkout, its violations, one line each."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROGRAM_FOLDERS = ("dags", "spark_jobs", "streaming", "dbt", "api", "ml", "benchmarks")
TOP_FOLDERS = (*PROGRAM_FOLDERS, "conf", "docs", "tests", "src")
LONGEST = 400

_COLUMN_LOGIC = {"select", "selectExpr", "groupBy", "groupby", "agg", "join", "expr", "withColumn", "withColumns", "where", "pivot"}
_SIDE_IMPORTS = {"asyncio", "asyncpg", "confluent_kafka", "deltalake", "httpx", "io", "logging", "os", "pathlib", "psycopg", "random"}
_SIDE_IMPORTS |= {
    "requests",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uuid",
}
_SIDE_CALLS = {"open", "print", "input"}
_CLOCK = {"now", "utcnow", "today", "current_timestamp", "current_date", "localtimestamp", "unix_timestamp", "curdate"}
_CHANCE = {"rand", "randn", "uuid", "uuid4", "uuid1", "uuid7", "shuffle", "monotonically_increasing_id", "urandom"}
_ACTIONS = {
    "collect",
    "toPandas",
    "toArrow",
    "toLocalIterator",
    "saveAsTable",
    "writeTo",
    "foreachPartition",
    "read_text",
    "read_bytes",
    "write_text",
}
_FRAMES = {"read", "write"}
_STREAMS = {"readStream", "writeStream", "withWatermark", "isStreaming", "dropDuplicatesWithinWatermark", "foreachBatch"}
_SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:|ruff:|pylint:|nosec|mypy:)(?P<codes>[^#]*)(?P<reason>#.*)?")


def modules(root: Path, *folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file of these folders with its syntax tree."""
    for folder in folders:
        for file in sorted((root / folder).rglob("*.py")):
            yield file, ast.parse(file.read_text(), str(file))


def nothing_imports_a_program(root: Path) -> list[str]:
    """Law 1. Also not a program its neighbour: when it is run, its folder is on the path."""
    found = []
    for file, tree in modules(root, *PROGRAM_FOLDERS, "src", "tests"):
        here = file.relative_to(root).parts[0]
        neighbours = {other.stem for other in file.parent.glob("*.py")} if here in PROGRAM_FOLDERS else set()
        for name, line in _imports(tree):
            top = name.partition(".")[0]
            # `dbt` is the library: the folder of that name holds no Python.
            if (top in PROGRAM_FOLDERS and top != "dbt") or top in neighbours:
                found.append(f"{file.relative_to(root)}:{line} imports the program {name}")
    return found


def programs_hold_no_column_logic(root: Path) -> list[str]:
    """Law 2. A rule that lives in one layer only has nowhere to live."""
    found = []
    for file, tree in modules(root, *PROGRAM_FOLDERS):
        where = file.relative_to(root)
        for name, line in _imports(tree):
            if name.startswith(("pyspark.sql.functions", "pyspark.sql.types")):
                found.append(f"{where}:{line} imports {name}")
        for call in _calls(tree):
            method = call.func
            if isinstance(method, ast.Attribute) and method.attr in _COLUMN_LOGIC and not _is_of_text_or_thread(call, method):
                found.append(f"{where}:{call.lineno} calls .{method.attr}()")
    return found


def core_and_transforms_are_pure(root: Path) -> list[str]:
    """Law 3. Time, ids and rows are inputs."""
    found = []
    for file, tree in modules(root, "src/paxtrail/core", "src/paxtrail/transforms"):
        where = file.relative_to(root)
        for name, line in _imports(tree):
            if any(name == side or name.startswith(side + ".") for side in _SIDE_IMPORTS):
                found.append(f"{where}:{line} imports {name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SIDE_CALLS | _CHANCE:
                found.append(f"{where}:{node.lineno} calls {node.func.id}()")
            if isinstance(node, ast.Attribute) and (
                node.attr in _CLOCK | _CHANCE | _ACTIONS or (node.attr in _FRAMES and "transforms" in where.parts)
            ):
                found.append(f"{where}:{node.lineno} uses .{node.attr}")
    return found


def transforms_see_no_stream(root: Path) -> list[str]:
    """Law 4. No transformation knows of streams, and a module that opens a stream imports no transformation.

    It hands foreachBatch a function of another module, where a batch is an ordinary DataFrame.
    """
    found = []
    for file, tree in modules(root, "src/paxtrail/transforms"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in _STREAMS:
                found.append(f"{file.relative_to(root)}:{node.lineno} uses .{node.attr}")
        for name, line in _imports(tree):
            if name.startswith("pyspark.sql.streaming"):
                found.append(f"{file.relative_to(root)}:{line} imports {name}")
    for file, tree in modules(root, *PROGRAM_FOLDERS, "src/paxtrail"):
        if any(isinstance(node, ast.Attribute) and node.attr == "readStream" for node in ast.walk(tree)):
            for name, line in _imports(tree):
                if name.startswith("paxtrail.transforms"):
                    found.append(f"{file.relative_to(root)}:{line} opens a stream and imports {name}")
    return found


def folders_are_no_packages_and_programs_shadow_nothing(root: Path) -> list[str]:
    """Law 5. `profile.py` beside a program stops PySpark from importing."""
    found = [f"{folder}/__init__.py makes a package of a folder" for folder in TOP_FOLDERS if (root / folder / "__init__.py").exists()]
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions()) | {"paxtrail"}
    for folder in PROGRAM_FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            if file.stem in taken:
                found.append(f"{file.relative_to(root)} bears the name of the library {file.stem}")
    return found


def modules_are_short_and_suppressions_give_reasons(root: Path) -> list[str]:
    """Law 6. `# type: ignore[code]  # why` is a reason on the same line."""
    found = []
    for folder in (*PROGRAM_FOLDERS, "conf", "src", "tests"):
        for file in sorted((root / folder).rglob("*.py")):
            lines = file.read_text().splitlines()
            if len(lines) > LONGEST:
                found.append(f"{file.relative_to(root)} has {len(lines)} lines, more than {LONGEST}")
            for number, line in enumerate(lines, 1):
                match = _SUPPRESSION.search(line)
                if match and "_SUPPRESSION" not in line and len((match["reason"] or "").strip("# ")) < 8:
                    found.append(f"{file.relative_to(root)}:{number} suppresses a check without a reason on the line")
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _is_of_text_or_thread(call: ast.Call, method: ast.Attribute) -> bool:
    """`", ".join(…)` and `thread.join()` are not joins of tables."""
    if method.attr != "join":
        return False
    if isinstance(method.value, ast.Attribute) and method.value.attr in ("pathsep", "sep", "linesep"):
        return True
    return (isinstance(method.value, ast.Constant | ast.JoinedStr)) or (
        not call.args and all(key.arg == "timeout" for key in call.keywords)
    )
