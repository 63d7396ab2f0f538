"""Spans of this process while a test runs, as `[tracing] folder` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paxtrail.adapters import tracing
from paxtrail.settings import Settings

Spans = list[dict[str, Any]]


@contextmanager
def traced(settings: Settings, folder: Path) -> Iterator[Spans]:
    """Traces every span; the list has them once the block is left."""
    found: Spans = []
    to = settings.tracing.model_copy(update={"folder": str(folder), "sample": 1.0})
    tracing.start(settings.model_copy(update={"tracing": to}), "tests")
    try:
        yield found
    finally:
        tracing.stop()
        found += [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def named(spans: Spans, name: str) -> Spans:
    return [span for span in spans if span["name"] == name]


def trace_ids(span: dict[str, Any]) -> set[str]:
    """Traces a span is part of or links to: 32 hex digits each."""
    return {one["context"]["trace_id"].removeprefix("0x") for one in (span, *span["links"])}
