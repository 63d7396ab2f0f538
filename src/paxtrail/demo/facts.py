"""What silver says to the questions of analysts, counted without Druid: a program of its own, so that its Spark ends with it.

`python -m paxtrail.demo.facts RUN FROM TO` prints {"rows": {question: [row, …]}, "sentiments": n} as a line of JSON: rows of the questions
by hour and one more dimension (BY), over the hours [FROM, TO), from the same events at the cut of the run; and how many contacts bear a
sentiment.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from pyspark.sql import functions as F

from paxtrail.adapters import keyring, silver
from paxtrail.adapters.reindexing import hour
from paxtrail.adapters.silver import Job
from paxtrail.core.records import Json
from paxtrail.errors import reported
from paxtrail.serving.analytics import QUESTIONS
from paxtrail.settings import Settings
from paxtrail.tables.silver import EVENTS
from paxtrail.transforms import analytics, events

BY = {"punctuality": "airline", "disruptions": "airline", "bags": "custody", "searches": "channel"}
"""The dimension that each question is grouped by, beside the hour: few values, so that a day fits into one answer."""
Fact = Mapping[str, Any]
Row = dict[str, Json]


def counted(facts: Iterable[Fact]) -> dict[str, list[Row]]:
    """Rows of every question: `hour` in ms UTC, its dimension, its measures as the API names them."""
    groups: dict[str, defaultdict[tuple[int, str | None], list[Fact]]] = {name: defaultdict(list) for name in BY}
    for fact in facts:
        for name, question in QUESTIONS.items():
            if fact["kind"] in question.kinds:
                groups[name][fact["time"], fact[BY[name]]].append(fact)
    return {name: [{"hour": at, BY[name]: value, **_MEASURES[name](found)} for (at, value), found in groups[name].items()] for name in BY}


def _distinct(facts: Sequence[Fact], name: str, **only: str) -> int:
    return len({fact[name] for fact in facts if fact[name] is not None and all(fact[key] == value for key, value in only.items())})


def _punctuality(facts: Sequence[Fact]) -> Row:
    row: Row = {}
    for kind, name, short in (("departed", "departures", "departure"), ("arrived", "arrivals", "arrival")):
        late = [fact["delay_minutes"] for fact in facts if fact["kind"] == kind and fact["band"] is not None]
        row[name] = _distinct(facts, "thing", kind=kind)
        row[f"{name}_on_time"] = _distinct(facts, "thing", kind=kind, band="on_time")
        row[f"{short}_delay_minutes"] = sum(late) / len(late) if late else None
    return row


def _disruptions(facts: Sequence[Fact]) -> Row:
    row: Row = {kind: _distinct(facts, "thing", kind=kind) for kind in ("cancelled", "diverted", "delayed")}
    return row | {"travellers": _distinct(facts, "person", kind="displaced")}


def _bags(facts: Sequence[Fact]) -> Row:
    return {"bags": _distinct(facts, "thing"), "scans": len(facts)}


def _searches(facts: Sequence[Fact]) -> Row:
    return {"searches": len(facts), "persons": _distinct(facts, "person")}


_MEASURES: dict[str, Callable[[Sequence[Fact]], Row]] = {
    "punctuality": _punctuality,
    "disruptions": _disruptions,
    "bags": _bags,
    "searches": _searches,
}


def _facts(job: Job, since: str, until: str, now: int) -> list[Fact]:
    begin, end = (int(hour(text).timestamp()) * 1_000_000 for text in (since, until))
    rows = analytics.hours(events.until(silver.read(job, EVENTS), job.cut.epoch), begin, end)
    return [row.asDict() for row in analytics.facts(rows, keyring.person_keys(job.settings, now)).collect()]


def _sentiments(job: Job) -> int:
    label = F.variant_get("payload", "$.sentiment.label", "string")
    return silver.read(job, EVENTS).where((F.col("type") == "contact.received") & label.isNotNull()).count()


def main() -> int:
    """Arguments and settings; prints what it found."""
    run_id, since, until = sys.argv[1:]
    with silver.opened(Settings.load(), run_id, "demo-facts") as job:
        found = {"rows": counted(_facts(job, since, until, time.time_ns() // 1000)), "sentiments": _sentiments(job)}
    print(orjson.dumps(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
