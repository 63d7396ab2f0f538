"""Questions to Druid: a closed list, with time range, grouping, filters and limit; small counts of persons are kept back.

Whatever goes wrong with Druid ends here: 503 while it is away, silent or full, 504 when a query takes too long. Nothing else of the API
needs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from pydruid.db.api import Cursor
from pydruid.db.exceptions import Error as DruidError

from paxtrail.errors import BadRequest, PaxtrailError, TimedOut, Unavailable
from paxtrail.serving.freshness import instant
from paxtrail.serving.viewing import Asked
from paxtrail.settings import Druid, Settings

log = logging.getLogger("paxtrail.serving")

SMALLEST = 10
"""Counts of fewer persons are shown to operational roles only."""
HOUR = 3_600_000_000
"""µs."""
LONGEST = 92 * 24 * HOUR
DIMENSIONS = {
    "hour": "__time", "airline": "airline", "airport": "airport", "route": "route", "custody": "custody", "cabin": "cabin",
    "channel": "channel",
}  # fmt: skip
_GRACE_S = 1
"""What a query is waited for beyond its own time."""
_QUEUED = 8
"""Queries that may wait for each one that runs; more are told to come back."""
_TOO_LONG = {"Query timeout", "TIMEOUT", "Resource limit exceeded"}
"""Druid's codes of errors (docs/querying/querying.md of Druid), in capitals a category of them."""


def _distinct(column: str) -> str:
    # As large as the sketches in the datasource; Druid's default of 16384 needs four times the memory and counts no better.
    return f"APPROX_COUNT_DISTINCT_DS_THETA({column}, 4096)"


def _flights(kind: str, *, band: str = "") -> str:
    return f"{_distinct('things')} FILTER (WHERE kind = '{kind}'{f' AND band = {band!r}' if band else ''})"


def _delay(kind: str) -> str:
    return f"SUM(delay_minutes) FILTER (WHERE kind = '{kind}') * 1.0 / SUM(facts) FILTER (WHERE kind = '{kind}' AND band IS NOT NULL)"


@dataclass(frozen=True, slots=True)
class Question:
    """`measures`: name to SQL, the first orders the rows. `persons`: measures that count persons, hidden where `counted` is too small."""

    about: str
    kinds: tuple[str, ...]
    by: tuple[str, ...]
    measures: Mapping[str, str]
    counted: str = ""
    persons: tuple[str, ...] = ()


QUESTIONS: dict[str, Question] = {
    "punctuality": Question(
        "Flights that departed and arrived, how many within 15 minutes of their schedule, and the mean delay reported.",
        ("departed", "arrived"),
        ("hour", "airline", "airport", "route"),
        {
            "departures": _flights("departed"),
            "departures_on_time": _flights("departed", band="on_time"),
            "departure_delay_minutes": _delay("departed"),
            "arrivals": _flights("arrived"),
            "arrivals_on_time": _flights("arrived", band="on_time"),
            "arrival_delay_minutes": _delay("arrived"),
        },
    ),
    "disruptions": Question(
        "Flights cancelled, diverted or expected to leave 15 minutes late or later, and travellers whose segment the carrier changed.",
        ("cancelled", "diverted", "delayed", "displaced"),
        ("hour", "airline", "airport", "route"),
        {
            "cancelled": _flights("cancelled"),
            "diverted": _flights("diverted"),
            "delayed": _flights("delayed"),
            "travellers": f"{_distinct('persons')} FILTER (WHERE kind = 'displaced')",
        },
        "travellers",
        ("travellers",),
    ),
    "bags": Question(
        "Bags seen at each custody point, and scans of them.",
        ("bag",),
        ("hour", "airline", "airport", "custody"),
        {"bags": _distinct("things"), "scans": "SUM(facts)"},
    ),
    "searches": Question(
        "Searches for flights, and persons who searched.",
        ("searched",),
        ("hour", "airport", "route", "cabin", "channel"),
        {"searches": "SUM(facts)", "persons": _distinct("persons")},
        "persons",
        # Whoever searches is a person: the number of searches says as much as the number of those who searched.
        ("searches", "persons"),
    ),
}


@dataclass(frozen=True, slots=True)
class Range:
    """Whole hours [since, until) in µs UTC, what to group by, equal-to filters by dimension, and how many rows."""

    since: int
    until: int
    by: tuple[str, ...]
    only: Mapping[str, str]
    limit: int


def period(since: str | None, until: str | None, now: int, by: tuple[str, ...], only: Mapping[str, str], limit: int) -> Range:
    """The range that texts of hours (2026-11-22T10) name: by default the 24 hours that end with the current one."""
    try:
        end = _micros(until) if until else (now // HOUR + 1) * HOUR
        begin = _micros(since) if since else end - 24 * HOUR
    except ValueError:
        raise BadRequest("invalid", "no such hour") from None
    return Range(begin, end, by, only, limit)


def _micros(hour: str) -> int:
    return int(datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp()) * 1_000_000


class Analytics:
    """Asks Druid's broker in threads, a few queries at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.druid
        self._threads = ThreadPoolExecutor(settings.druid.queries, thread_name_prefix="druid")
        self._open = 0

    async def answer(self, asked: Asked, name: str, wanted: Range) -> dict[str, Any]:
        """Rows of a question as this caller may see them; BadRequest where range or grouping are not allowed."""
        question = QUESTIONS[name]
        _check(question, wanted)
        rows = await self._ask(*statement(question, wanted))
        hidden = 0 if asked.caller.small_counts else suppress(question, wanted.by, rows)
        return {
            "question": name,
            "from": instant(wanted.since),
            "to": instant(wanted.until),
            "by": list(wanted.by),
            "rows": rows,
            "suppressed": hidden,
        }

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, query: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self._open >= _QUEUED * self._settings.queries:
            raise Unavailable("too many queries are waiting")
        self._open += 1
        asked = self._threads.submit(self._query, query, parameters)
        asked.add_done_callback(lambda _: self._done(loop))
        loop = asyncio.get_running_loop()
        try:
            # Threads give up by themselves; this bounds the time in the queue, too.
            return await asyncio.wait_for(asyncio.wrap_future(asked), self._settings.timeout_ms / 1000 + 2 * _GRACE_S)
        except TimeoutError:
            raise Unavailable("Druid does not answer") from None

    def _done(self, loop: asyncio.AbstractEventLoop) -> None:
        def less() -> None:
            self._open -= 1

        if not loop.is_closed():
            loop.call_soon_threadsafe(less)

    def _query(self, query: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = _Cursor(self._settings).execute(query, parameters).fetchall()
        except (DruidError, requests.RequestException) as error:
            # Texts of Druid repeat the query, and with it what was asked.
            log.warning("Druid did not answer a question: %s", type(error).__name__)
            raise Unavailable("Druid does not answer") from None
        return rows


def _refusal(answer: requests.Response) -> PaxtrailError:
    """What an error of Druid's means to who asked, by its code: the text may change, and repeats the query."""
    try:
        told = answer.json()
        code = str(told["error"])
        if code == "druidException":  # the newer form, which may wrap an error of the older one
            code = str(told.get("context", {}).get("legacyErrorCode") or told["category"])
    except (ValueError, LookupError, TypeError, AttributeError):
        code = ""
    if code in _TOO_LONG:
        return TimedOut("the query took too long: ask for fewer hours or groups")
    log.warning("Druid refused a question: HTTP %d", answer.status_code)
    return Unavailable("Druid does not answer")


class _Cursor(Cursor):  # type: ignore[misc]  # pydruid has no types
    """pydruid's cursor, which binds parameters, with rows as objects, and a time after which a silent broker is given up."""

    def __init__(self, druid: Druid) -> None:
        context = {"timeout": druid.timeout_ms, "useApproximateTopN": False}
        super().__init__(f"http://{druid.broker_host}:{druid.broker_port}/druid/v2/sql", context=context)
        # Druid ends a query itself after its time, and says so.
        self._patience_s = druid.timeout_ms / 1000 + _GRACE_S

    def _stream_query(self, query: str) -> Iterator[dict[str, Any]]:
        body = {"query": query, "context": self.context}
        # No proxy of the environment stands between the API and its broker.
        proxies = {"http": "", "https": ""}
        answer = requests.post(self.url, json=body, proxies=proxies, timeout=self._patience_s)
        if answer.status_code != 200:
            raise _refusal(answer)
        yield from answer.json()


def statement(question: Question, wanted: Range) -> tuple[str, dict[str, Any]]:
    """SQL with named parameters. Only names of this module stand in its text; whatever a caller sent is bound."""
    groups = [f'{DIMENSIONS[name]} AS "{name}"' for name in wanted.by]
    measures = [f'{sql} AS "{name}"' for name, sql in question.measures.items()]
    kinds = ", ".join(f"'{kind}'" for kind in question.kinds)
    only = "".join(f" AND {DIMENSIONS[name]} = %({name})s" for name in wanted.only)
    first = next(iter(question.measures))
    order = '"hour" DESC, ' if "hour" in wanted.by else ""
    text = (
        f"SELECT {', '.join([*groups, *measures])} FROM operations WHERE __time >= MILLIS_TO_TIMESTAMP(%(since)s)"
        f" AND __time < MILLIS_TO_TIMESTAMP(%(until)s) AND kind IN ({kinds}){only}"
        + (f" GROUP BY {', '.join(DIMENSIONS[name] for name in wanted.by)}" if wanted.by else "")
        + (f' ORDER BY {order}"{first}" DESC' if wanted.by else "")
        + " LIMIT %(limit)s"
    )
    return text, {"since": wanted.since // 1000, "until": wanted.until // 1000, "limit": wanted.limit, **wanted.only}


def suppress(question: Question, by: Sequence[str], rows: list[dict[str, Any]]) -> int:
    """Number of rows whose counts of persons were taken out, because they are of fewer than SMALLEST persons; 0 stays 0.

    Where the rows are in the order of such a count, those go to the end, by their groups: their place would tell what was taken out.
    """
    hidden = [row for row in rows if question.counted and 0 < (row[question.counted] or 0) < SMALLEST]
    for row in hidden:
        row.update(dict.fromkeys(question.persons))
    first = next(iter(question.measures))
    if first in question.persons:
        rows.sort(key=lambda row: (True, *(str(row[name]) for name in by)) if row[first] is None else (False,))
    return len(hidden)


def _check(question: Question, wanted: Range) -> None:
    if not wanted.since < wanted.until <= wanted.since + LONGEST:
        raise BadRequest("invalid", f"from must lie before to, by at most {LONGEST // (24 * HOUR)} days")
    if refused := sorted(({*wanted.by} | {*wanted.only}) - {*question.by}):
        raise BadRequest("invalid", f"this question knows {', '.join(question.by)}; not {refused[0]}")
    if len({*wanted.by}) != len(wanted.by):
        raise BadRequest("invalid", "a grouping is named twice")
