"""The routes of the API: what each takes and gives. Rules are in conf/access.toml under the route's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from paxtrail.core import normalise
from paxtrail.errors import BadRequest
from paxtrail.serving import analytics, context, shapes
from paxtrail.serving.answers import JSON, answer
from paxtrail.serving.freshness import instant, now_us
from paxtrail.serving.metrics import CONTENT_TYPE
from paxtrail.serving.search import Search
from paxtrail.serving.viewing import Asked

CustomerId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of a customer: current, or any it had before it was merged.")]
JourneyKey = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Key of a journey, as answers name it.")]
Tag = Annotated[str, Path(pattern=r"^[0-9]{10}$", description="Ten-digit licence plate of a bag (IATA Resolution 740).")]
Designator = Annotated[
    str, Path(pattern=r"^([A-Z][A-Z0-9]|[0-9][A-Z]|[A-Z]{3})[0-9]{1,5}[A-Z]?$", description="Airline designator, number, suffix: UA1545.")
]
Date = Annotated[str, Path(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"}, description="Origin date.")]
Airport = Annotated[str, Path(pattern=r"^[A-Z]{3}$", description="Departure airport.")]
Source = Annotated[str, Path(pattern=r"^[a-z]{1,40}$", description="A source, as the topics and the dictionary name it.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Question = Annotated[Literal["punctuality", "disruptions", "bags", "searches"], Path(description="What is asked.")]
_HOUR = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}$"
From = Annotated[str | None, Query(alias="from", pattern=_HOUR, description="First hour, UTC; 24 hours before `to` if left out.")]
To = Annotated[str | None, Query(alias="to", pattern=_HOUR, description="Hour after the last one, UTC; the next one if left out.")]
Cursor = Annotated[str | None, Query(max_length=400, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of the page before.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Text = Annotated[str, Field(min_length=1, max_length=320, pattern=r"^[^\x00-\x1f]+$")]


class ByIdentifier(_Body):
    """An identifier of a person, in the normalised form of its namespace (loyalty: "UA|AB123456")."""

    namespace: Literal["loyalty", "idp", "document", "email", "phone"]
    value: Text


class ByPnr(_Body):
    """A record locator and the surname of one of its passengers."""

    pnr: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{5,8}$")]
    surname: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]


class ByTicket(_Body):
    """A ticket number of 13 digits, with or without a hyphen after the third."""

    ticket: Annotated[str, Field(pattern=r"^[0-9]{3}[ -]?[0-9]{10}$")]


class ByBag(_Body):
    """A bag tag, and the origin date of a flight it was on: tags return after some days."""

    bag_tag: Annotated[str, Field(pattern=r"^[0-9]{10}$")]
    flight_date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None


class Batch(_Body):
    """Up to 100 customers by id or identifier, together."""

    ids: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]], Field(max_length=100)] = []
    identifiers: Annotated[list[ByIdentifier], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _bounded(self) -> Batch:
        if not 1 <= len(self.ids) + len(self.identifiers) <= 100:
            raise ValueError("1 to 100 together")
        return self


Lookup = ByIdentifier | ByPnr | ByTicket | ByBag


def _answer(request: Request, asked: Asked, body: dict[str, Any], *, location: str | None = None) -> Response:
    moment = {"as_of": instant(asked.at), "freshness": context.serving(request).freshness.short(asked.at)}
    return answer(request.scope["headers"], body, moment, location=location)


def _leg(designator: str, date: str, airport: str) -> str:
    try:
        airline, number, suffix = normalise.flight(designator)
        return normalise.leg_key(airline, number, date, airport, suffix)
    except ValueError:
        raise BadRequest("invalid", "no such designator or date") from None


# -- customers ---------------------------------------------------------------------------------------------------------------


async def read_profile(request: Request, customer_id: CustomerId) -> Response:
    """The customer's profile as the caller's role may see it; a merged id answers the customer it became part of."""
    asked = context.asked(request)
    body = await context.serving(request).profiles.profile(asked, customer_id)
    return _answer(request, asked, body, location=_moved(customer_id, body, ""))


async def view_profile(request: Request, customer_id: CustomerId) -> Response:
    """The 360 view: profile, journeys with live flight and bags, orders, history up to the last cut and since."""
    asked = context.asked(request)
    body = await context.serving(request).profiles.view(asked, customer_id)
    return _answer(request, asked, body, location=_moved(customer_id, body, "/360"))


async def profile_consents(request: Request, customer_id: CustomerId) -> Response:
    """What each purpose is decided to now, with the reason and the rule; and the acts of consent this follows from, newest first."""
    asked = context.asked(request)
    body = await context.serving(request).profiles.consents(asked, customer_id)
    return _answer(request, asked, body, location=_moved(customer_id, body, "/consents"))


async def profile_reads(request: Request, customer_id: CustomerId, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Who read the customer's data under any id it ever had, when and for which purpose, newest first; this read is recorded too."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).audit.of(asked.read(()), customer_id, cursor, limit))


def _moved(given: str, body: dict[str, Any], rest: str) -> str | None:
    current = body["customer_id"]
    return None if current == given else f"/v1/profiles/{current}{rest}"


async def profile_timeline(request: Request, customer_id: CustomerId, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """What happened to the customer, newest first."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).profiles.timeline(asked, customer_id, cursor, limit))


async def lookup(request: Request, body: Lookup) -> Response:
    """Customers found by an identifier, by PNR and surname, by ticket or by bag tag: at most ten, else `too_many`."""
    asked = context.asked(request)
    return _answer(request, asked, await look_up(context.serving(request).search, asked, body))


async def look_up(search: Search, asked: Asked, body: Lookup) -> dict[str, Any]:
    """The matches of a look-up of any kind."""
    match body:
        case ByIdentifier():
            return await search.by_identifier(asked, body.namespace, body.value)
        case ByPnr():
            return await search.by_pnr(asked, body.pnr, body.surname)
        case ByTicket():
            return await search.by_ticket(asked, body.ticket)
        case ByBag():
            return await search.by_bag(asked, body.bag_tag, body.flight_date or "")


async def batch(request: Request, body: Batch) -> Response:
    """Up to 100 customers at once, in the order asked: `ids` first, then `identifiers`; each found, or not."""
    asked = context.asked(request)
    found = await context.serving(request).search.batch(asked, body.ids, [(i.namespace, i.value) for i in body.identifiers])
    return _answer(request, asked, found)


# -- journeys, flights, bags ---------------------------------------------------------------------------------------------------


async def read_journey(request: Request, key: JourneyKey) -> Response:
    """One passenger on one leg, with the flight and the bags as they are now."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).entities.journey(asked, key))


async def read_flight(request: Request, designator: Designator, date: Date, airport: Airport) -> Response:
    """One flight leg: schedule, estimates, actuals, gates, status, delay."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).entities.flight(asked, _leg(designator, date, airport)))


async def flight_timeline(
    request: Request, designator: Designator, date: Date, airport: Airport, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """What happened to the flight, newest first."""
    asked = context.asked(request)
    return _answer(
        request, asked, await context.serving(request).entities.timeline("flight", _leg(designator, date, airport), cursor, limit, asked)
    )


async def flight_customers(
    request: Request, designator: Designator, date: Date, airport: Airport, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Customers with a journey on the flight, paged."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).entities.customers(asked, _leg(designator, date, airport), cursor, limit))


async def read_bag(request: Request, tag: Tag) -> Response:
    """A bag tag with its episodes: custody points, and where it is in the newest."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).entities.bag(asked, tag))


async def bag_timeline(request: Request, tag: Tag, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """What happened to bags of this tag, newest first."""
    asked = context.asked(request)
    return _answer(request, asked, await context.serving(request).entities.timeline("bag", tag, cursor, limit, asked))


# -- in ------------------------------------------------------------------------------------------------------------------------------


async def collect(request: Request, source: Source) -> Response:
    """Records of a source: answered once the broker has acknowledged all that were accepted, each with its outcome."""
    asked = context.asked(request)
    return await context.serving(request).collect.take(asked, source, request)


# -- questions of analysts ---------------------------------------------------------------------------------------------------------


async def ask(
    request: Request,
    question: Question,
    since: From = None,
    until: To = None,
    by: Annotated[str, Query(pattern=r"^([a-z]+(,[a-z]+){0,2})?$", description="Up to three names to group by, with commas.")] = "",
    airline: Annotated[str | None, Query(pattern=r"^[A-Z0-9]{2,3}$")] = None,
    airport: Annotated[str | None, Query(pattern=r"^[A-Z]{3}$")] = None,
    route: Annotated[str | None, Query(pattern=r"^[A-Z]{3}-[A-Z]{3}$", description="EWR-LAX.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many rows at most.")] = 100,
) -> Response:
    """Counts by whole hours: punctuality, disruptions, bags by custody point, searches. Small counts of persons are null."""
    asked = context.asked(request)
    only = {name: value for name, value in (("airline", airline), ("airport", airport), ("route", route)) if value is not None}
    groups = tuple(by.split(",")) if by else ()
    found = await context.serving(request).analytics.answer(asked, question, analytics.period(since, until, asked.at, groups, only, limit))
    return _answer(request, asked, found)


# -- health ----------------------------------------------------------------------------------------------------------------------


async def live(request: Request) -> Response:
    """The process answers."""
    return Response(b'{"status":"live"}', 200, media_type=JSON)


async def ready(request: Request) -> Response:
    """Serving store and vault answer and the issuer's keys are known: 200; else 503 that names what is missing."""
    missing = await context.serving(request).missing()
    body = {"status": "unready", "missing": missing} if missing else {"status": "ready"}
    return Response(orjson.dumps(body), 503 if missing else 200, {"retry-after": "1"} if missing else None, JSON)


async def freshness(request: Request) -> Response:
    """Age of the last stream commit per lane, epoch, last publication and its drift."""
    return Response(orjson.dumps(context.serving(request).freshness.full(now_us())), 200, media_type=JSON)


async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    serving = context.serving(request)
    return Response(serving.metrics.text(), 200, {"content-type": CONTENT_TYPE})


async def jwks(request: Request) -> Response:
    """Public keys of the development issuer (env `local` only)."""
    return Response(orjson.dumps(request.app.state.jwks), 200, media_type=JSON)


_LEG = "/v1/flights/{designator}/{date}/{airport}"
ROUTES: tuple[tuple[str, str, str, Callable[..., Any], str], ...] = (
    ("profiles.read", "GET", "/v1/profiles/{customer_id}", read_profile, "Profile"),
    ("profiles.view", "GET", "/v1/profiles/{customer_id}/360", view_profile, "View"),
    ("profiles.timeline", "GET", "/v1/profiles/{customer_id}/timeline", profile_timeline, "Timeline"),
    ("profiles.consents", "GET", "/v1/profiles/{customer_id}/consents", profile_consents, "Consents"),
    ("profiles.reads", "GET", "/v1/profiles/{customer_id}/reads", profile_reads, "Reads"),
    ("profiles.lookup", "POST", "/v1/profiles/lookup", lookup, "Matches"),
    ("profiles.batch", "POST", "/v1/profiles/batch", batch, "BatchAnswer"),
    ("journeys.read", "GET", "/v1/journeys/{key}", read_journey, "Journey"),
    ("flights.read", "GET", _LEG, read_flight, "Flight"),
    ("flights.customers", "GET", f"{_LEG}/customers", flight_customers, "FlightCustomers"),
    ("flights.timeline", "GET", f"{_LEG}/timeline", flight_timeline, "Timeline"),
    ("bags.read", "GET", "/v1/bags/{tag}", read_bag, "Bag"),
    ("bags.timeline", "GET", "/v1/bags/{tag}/timeline", bag_timeline, "Timeline"),
    ("collect", "POST", "/v1/collect/{source}", collect, "Collected"),
    ("analytics", "GET", "/v1/analytics/{question}", ask, "Counts"),
    ("health.live", "GET", "/health/live", live, ""),
    ("health.ready", "GET", "/health/ready", ready, ""),
    ("health.freshness", "GET", "/health/freshness", freshness, "FreshnessAnswer"),
    ("metrics", "GET", "/metrics", metrics, ""),
)


def register(app: FastAPI, *, dev_issuer: bool) -> None:
    """Adds every route; the most read ones first, because routes are tried in order."""
    for name, method, path, function, shape in ROUTES:
        app.add_api_route(path, function, methods=[method], name=name, **shapes.described(name, shape))
    if dev_issuer:
        app.add_api_route("/dev/jwks.json", jwks, methods=["GET"], name="dev.jwks", include_in_schema=False)
