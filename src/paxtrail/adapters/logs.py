"""Logs of every program: lines of text or of JSON on standard error, by `[logging] format`; what an exception says stays out of them.

The text of an exception may hold what was asked for or what a record says (PostgreSQL quotes the row that it refuses), so `told` writes its
type and place, and its text only where it is ours or tells of a file, a table or a broker.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import orjson
import psycopg

from paxtrail.adapters import tracing
from paxtrail.errors import PaxtrailError
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.program")
_BOUND: ContextVar[Mapping[str, str | int]] = ContextVar("paxtrail_logs", default=MappingProxyType({}))
_FAULT = re.compile(r"\b(?:[a-z_][a-z0-9_]*\.)+[A-Z]\w*(?:Error|Exception)\b")
_PLAIN = ("deltalake.exceptions", "_internal", "cimpl", "confluent_kafka")
"""Modules whose errors tell of tables and brokers: what they get of a record is sealed."""


def start(settings: Settings, program: str) -> None:
    """Logs of this process, from here on; also of what ends it. Again: instead of before."""
    handler = _Stderr()
    handler.setFormatter(_Lines(program) if settings.logging.format == "json" else _Text("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [*(one for one in root.handlers if not isinstance(one, _Stderr)), handler]
    logging.getLogger("paxtrail").setLevel(logging.INFO)
    # Whoever put a hook of their own there (a test runner) keeps it.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _ended
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda given: _ended(given.exc_type, given.exc_value, given.exc_traceback)


@contextmanager
def bound(**values: str | int) -> Iterator[None]:
    """Every line within says these too: run, lane, seq."""
    token = _BOUND.set({**_BOUND.get(), **values})
    try:
        yield
    finally:
        _BOUND.reset(token)


def told(error: BaseException | None) -> str:
    """An exception as a log may have it: type, what is safe to say, file and line."""
    if error is None:
        return "nothing"
    said = ""
    if isinstance(error, psycopg.Error):
        said = error.sqlstate or ""
    elif isinstance(error, PaxtrailError) or type(error).__module__.startswith(_PLAIN):
        said = str(error)
    elif isinstance(error, OSError):
        said = error.strerror or ""
    elif found := list(dict.fromkeys(_FAULT.findall(str(error)))):
        said = ", ".join(found[:5])  # Spark's errors hold those of the JVM and of workers, text and all
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{f' ({said})' if said else ''}{place}"


def _ended(kind: type[BaseException], error: BaseException | None, _: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    log.critical("ended by an error nobody expected", exc_info=error)


def _frames(error: BaseException) -> Iterator[str]:
    """The error and what it came of, each with its frames: files, lines and functions, no values."""
    seen: BaseException | None = error
    for _ in range(5):
        if seen is None:
            return
        yield told(seen)
        yield from (f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(seen.__traceback__))
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what standard error is at that moment: tests and supervisors replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        pass


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if record.name == log.name and record.exc_info is None:
            return record.getMessage()  # what a program tells who ran it: `errors.reported`
        record.exc_text = None  # as another handler may have formatted and kept it
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # the name is logging's
        return "\n".join(_frames(ei[1])) if ei[1] is not None else ""


class _Lines(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, program, message, what is bound, trace, error."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "program": self._program,
            "message": record.getMessage(),
            **_BOUND.get(),
        }
        if trace := tracing.trace_id(tracing.context()):
            line.setdefault("trace", trace)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = list(_frames(record.exc_info[1]))
        return orjson.dumps(line, default=str).decode()
