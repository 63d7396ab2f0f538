"""The agent's page: sign in, find a customer, and the 360 view, which renews itself when something about the customer changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI, Path, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse, Response, StreamingResponse

from paxtrail.errors import BadRequest, PaxtrailError, TooMany, Unavailable
from paxtrail.serving import context, pages, routes, session
from paxtrail.serving.context import Serving
from paxtrail.serving.freshness import instant, now_us
from paxtrail.serving.statements import NEWEST

LOOK_EVERY_S = 1.0
_LINES = 20
_KINDS = ("loyalty", "email", "phone", "pnr", "ticket", "bag_tag")
_LOOKUP: TypeAdapter[routes.Lookup] = TypeAdapter(routes.Lookup)
StaticName = Annotated[str, Path(pattern=r"^agent\.(css|js)$")]


async def home(request: Request) -> Response:
    """The search, or signing in where nobody is, or nobody any more."""
    if (kept := session.given(request.scope["headers"])) is None:
        return pages.page("sign_in.html", purposes=_gate(request).access.purposes, problem="")
    try:
        await _admit(request, *kept)
    except PaxtrailError as error:
        return pages.page("sign_in.html", purposes=_gate(request).access.purposes, problem=error.code)
    return pages.page("search.html", kinds=_KINDS, matches=None, problem="", purpose=kept[1])


async def sign_in(request: Request) -> Response:
    """Keeps an accepted token, with the purpose it is used for, in a cookie that no script can read."""
    form = await _form(request)
    token, purpose = form.get("token", "").strip(), form.get("purpose", "")
    try:
        await _admit(request, token, purpose)
    except TooMany:
        raise
    except PaxtrailError as error:
        return pages.page("sign_in.html", 401, purposes=_gate(request).access.purposes, problem=error.code)
    answer = RedirectResponse("/agent", 303)
    session.keep(answer, token, purpose, secure=request.app.state.secure_cookies)
    return answer


async def sign_out(request: Request) -> Response:
    """Forgets the token."""
    await _form(request)
    answer = RedirectResponse("/agent", 303)
    session.drop(answer)
    return answer


async def search(request: Request) -> Response:
    """Customers found by an identifier, PNR and surname, ticket or bag tag; a single one is shown at once."""
    form = await _form(request)
    asked = context.asked(request)
    found, problem = [], ""
    try:
        found = (await routes.look_up(context.serving(request).search, asked, _sought(form)))["matches"]
    except BadRequest as error:
        problem = error.code
    if len(found) == 1:
        return RedirectResponse(f"/agent/customers/{found[0]['customer_id']}", 303)
    status = 422 if problem else 200
    return pages.page("search.html", status, kinds=_KINDS, matches=found, problem=problem, purpose=asked.caller.purpose)


async def view(request: Request, customer_id: routes.CustomerId) -> Response:
    """The 360 view."""
    return await _viewed(request, customer_id, "customer.html")


async def part(request: Request, customer_id: routes.CustomerId) -> Response:
    """The changing part of the 360 view, as the page puts it in place."""
    return await _viewed(request, customer_id, "_customer.html")


async def changes(request: Request, customer_id: routes.CustomerId) -> Response:
    """Server-sent events: `changed` with the newest version of anything in the view, at once and whenever it grows; `age` of the data.

    Ends after a while, and when the token does.
    """
    asked = context.asked(request)
    serving = context.serving(request)
    await serving.profiles.own(asked, customer_id)

    async def stream() -> AsyncIterator[bytes]:
        seen, ends = 0, asyncio.get_running_loop().time() + request.app.state.changes_s
        while not await request.is_disconnected() and await _still_admitted(request):
            with contextlib.suppress(Unavailable):
                newest = await _newest(serving, customer_id)
                if newest > seen:
                    seen = newest
                    yield f"event: changed\ndata: {newest}\n\n".encode()
            yield b"event: age\ndata: " + orjson.dumps(serving.freshness.short(now_us())["age_s"]) + b"\n\n"
            if asyncio.get_running_loop().time() >= ends:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def static(request: Request, name: StaticName) -> Response:
    """Style and script of the pages."""
    return pages.static(name)


async def _viewed(request: Request, customer_id: str, template: str) -> Response:
    asked, serving = context.asked(request), context.serving(request)
    newest = await _newest(serving, customer_id)  # before the view: what changes in between is shown at the next look
    body, timeline = await serving.profiles.page(asked, customer_id, _LINES)
    moment = {"as_of": instant(asked.at), "age_s": serving.freshness.short(asked.at)["age_s"]}
    return pages.page(template, view=body, timeline=timeline, newest=newest, moment=moment, purpose=asked.caller.purpose)


async def _newest(serving: Serving, customer_id: str) -> int:
    row = await serving.store.row(NEWEST, customer_id)
    return int(row["newest"] or 0) if row is not None else 0


def _sought(form: dict[str, str]) -> routes.Lookup:
    kind, value = form.get("kind", ""), form.get("value", "").strip()
    match kind:
        case "pnr":
            body = {"pnr": value, "surname": form.get("surname", "").strip()}
        case "ticket" | "bag_tag":
            body = {kind: value}
        case _:
            body = {"namespace": kind, "value": value}
    try:
        return _LOOKUP.validate_python(body)
    except ValidationError:
        raise BadRequest("invalid") from None


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form that one of our own pages sent."""
    headers = request.headers
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise BadRequest("malformed", "a form of another site")
    if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadRequest("malformed", "not a form")
    try:
        fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise BadRequest("malformed", "the form cannot be read") from None
    if len(form := dict(fields)) != len(fields):
        raise BadRequest("malformed", "a field is given twice")
    return form


async def _admit(request: Request, token: str, purpose: str) -> None:
    gate = _gate(request)
    gate.access.admit(await gate.principal(request, f"Bearer {token}"), "agent.view", purpose or None)


async def _still_admitted(request: Request) -> bool:
    """Whether the guard would let the call in again: what it lets in is remembered only until the token ends."""
    try:
        await _gate(request).admit(request, request.scope["route"].name, counted=False)
    except PaxtrailError:
        return False
    return True


def _gate(request: Request) -> Any:
    return request.app.state.gate


PAGES: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    ("agent.home", "GET", "/agent", home),
    ("agent.sign_in", "POST", "/agent/session", sign_in),
    ("agent.sign_out", "POST", "/agent/session/end", sign_out),
    ("agent.search", "POST", "/agent/search", search),
    ("agent.view", "GET", "/agent/customers/{customer_id}", view),
    ("agent.part", "GET", "/agent/customers/{customer_id}/part", part),
    ("agent.changes", "GET", "/agent/customers/{customer_id}/changes", changes),
    ("agent.static", "GET", "/agent/static/{name}", static),
)


def register(app: FastAPI) -> None:
    """Adds the pages; they are no part of the published contract."""
    for name, method, path, function in PAGES:
        app.add_api_route(path, function, methods=[method], name=name, include_in_schema=False)
