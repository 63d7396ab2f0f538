"""Pages for people as HTML: templates, how times and values read, headers that keep a page to itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import Response

from paxtrail.core import airports, sentiment
from paxtrail.errors import PaxtrailError, TooMany
from paxtrail.serving import problems
from paxtrail.serving.freshness import instant

_FOLDER = Path(__file__).parent
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
STATIC = {"agent.css": "text/css", "agent.js": "text/javascript"}


def page(template: str, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> Response:
    """A page from a template; its values are escaped."""
    text = _TEMPLATES.get_template(template).render(**values)
    return Response(text, status, {**_HEADERS, **(headers or {})}, "text/html; charset=utf-8")


def problem(error: PaxtrailError) -> Response:
    """The page that says what is wrong: signing in again for a token that is not accepted, else one sentence and a way back."""
    code = error.code if error.code in problems.STATUS else "internal"
    status, title = problems.STATUS[code]
    after = error.after_s if isinstance(error, TooMany) else problems.RETRY_AFTER_S
    retry = {"retry-after": str(after)} if status in (429, 503) else None
    return page("problem.html", status, retry, title=title, code=code, sign_in=status == 401)


def static(name: str) -> Response:
    """A file of the pages."""
    body = (_FOLDER / "static" / name).read_bytes()
    return Response(body, 200, {"cache-control": "public, max-age=3600"}, f"{STATIC[name]}; charset=utf-8")


def clock(micros: int | None, airport: str = "") -> str:
    """`Fri 8 Feb 05:15 EST`: a moment (µs UTC) as the clocks of the airport show it; UTC where none is known."""
    if not micros:
        return "–"
    zone = airports.zone(airport) if airport else None
    moment = dt.datetime.fromtimestamp(micros / 1e6, ZoneInfo(zone) if zone else dt.UTC)
    return f"{moment:%a} {moment.day} {moment:%b %H:%M %Z}"


def stamp(moment: str) -> str:
    """`2013-02-08 12:00 UTC`: a moment (RFC 3339, UTC) that may be long ago."""
    return f"{moment[:16].replace('T', ' ')} UTC"


def percent(share: str) -> str:
    """`0.8045` as "80 %"."""
    return f"{float(share):.0%}".replace("%", " %")


def words(value: Any) -> str:
    """A value as a person reads it: `flight_cancelled` as "flight cancelled", what may not be seen as a word for it."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, dict):
        if set(value) == {"icon"}:
            return f"({value['icon']}, not shown)"
        return ", ".join(words(member) for member in value.values() if member not in (None, "", []))
    if isinstance(value, list):
        return ", ".join(words(member) for member in value)
    return str(value).replace("_", " ")


def person(name: Any) -> str:
    """A name as people say it: `{"given": "John", "surname": "Smith"}` as "John Smith"."""
    if isinstance(name, dict) and {"given", "surname"} & set(name):
        return " ".join(words(name[part]) for part in ("title", "given", "surname") if name.get(part))
    return words(name)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=clock, words=words, instant=instant, stamp=stamp, percent=percent, trend=sentiment.trend, person=person
    )
    return environment


_TEMPLATES = _environment()
