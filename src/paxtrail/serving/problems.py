"""Errors as RFC 9457 problem details: one table from code to status; never an input value, never an internal text."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from paxtrail.errors import BadRequest, Forbidden, NotFound, PaxtrailError, TimedOut, TooMany, Unauthenticated, Unavailable

log = logging.getLogger("paxtrail.serving")

STATUS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "cursor_refused": (400, "The cursor is not one of this list's"),
    "unknown_parameter": (422, "A query parameter is unknown or repeated"),
    "invalid": (422, "A part of the request is missing or malformed"),
    "token_missing": (401, "A bearer token is needed"),
    "token_malformed": (401, "The bearer token cannot be read"),
    "token_type_refused": (401, "The token is no access token"),
    "token_expired": (401, "The token has expired"),
    "token_not_yet_valid": (401, "The token is not valid yet"),
    "token_refused": (401, "The token is not accepted"),
    "algorithm_refused": (401, "The token's algorithm is not accepted"),
    "signature_refused": (401, "The token's signature does not hold"),
    "unknown_key": (401, "The token's key is unknown"),
    "issuer_refused": (401, "The token's issuer is not accepted"),
    "audience_refused": (401, "The token is for another audience"),
    "claims_refused": (401, "The token lacks a claim or has a malformed one"),
    "role_unclear": (401, "The token must carry exactly one known role"),
    "no_rule": (403, "No rule admits this call"),
    "insufficient_scope": (403, "The token lacks the scope"),
    "role_refused": (403, "The role may not call this route"),
    "purpose_required": (403, "A purpose must be stated"),
    "purpose_refused": (403, "The stated purpose does not admit this call"),
    "source_refused": (403, "The token may not send for this source"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "timeout": (408, "The request took too long to arrive"),
    "too_many": (409, "More matches than may be shown: narrow the search"),
    "too_large": (413, "The request body is too large"),
    "media_type": (415, "The body has a media type that this route does not take"),
    "refused": (422, "No record of the request was accepted"),
    "too_many_calls": (429, "This client calls too often: wait as long as Retry-After says"),
    "headers_too_large": (431, "The request headers are too large"),
    "internal": (500, "An error on our side"),
    "unavailable": (503, "A part needed for this answer does not answer: try again"),
    "query_timeout": (504, "The answer took too long to find: ask for less"),
}
RETRY_AFTER_S = 1
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "media_type", 400: "malformed"}
_BEARER_ERROR = {401: 'Bearer realm="paxtrail", error="invalid_token"', 403: 'Bearer realm="paxtrail", error="insufficient_scope"'}


def problem(
    code: str,
    detail: str = "",
    *,
    errors: Iterable[dict[str, str]] = (),
    more: Mapping[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The problem document of a code, with `more` members; an unknown code is `internal`."""
    if code not in STATUS:
        code = "internal"
    status, title = STATUS[code]
    body: dict[str, object] = {"type": f"urn:paxtrail:problem:{code}", "title": title, "status": status, "code": code}
    if detail and detail != code:
        body["detail"] = detail
    if found := list(errors):
        body["errors"] = found
    body |= more or {}
    sent = dict(headers or {})
    if status == 401:
        sent["www-authenticate"] = 'Bearer realm="paxtrail"' if code == "token_missing" else _BEARER_ERROR[401]
    elif code == "insufficient_scope":
        sent["www-authenticate"] = _BEARER_ERROR[403]
    elif status == 503:
        sent["retry-after"] = str(RETRY_AFTER_S)
    return Response(orjson.dumps(body), status, sent, "application/problem+json")


def of(error: PaxtrailError) -> Response:
    """The problem document of an error of the tree; only errors made for callers show their text."""
    match error:
        case Unauthenticated() | NotFound() | TimedOut():
            return problem(error.code)
        case Forbidden() | BadRequest():
            return problem(error.code, str(error))
        case TooMany():
            return problem(error.code, headers={"retry-after": str(error.after_s)})
        case Unavailable():
            return problem("unavailable")
        case _:
            log.error("unexpected %s while answering", type(error).__name__)
            return problem("internal")


def install(app: FastAPI) -> None:
    """Every error of this application leaves as a problem document."""

    async def ours(request: Request, error: Exception) -> Response:
        return of(error) if isinstance(error, PaxtrailError) else problem("internal")

    async def invalid(request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else ()
        # Places and kinds of what is wrong; messages and inputs of the validator could repeat what was sent.
        return problem("invalid", errors=[{"at": _place(e["loc"]), "kind": str(e["type"])} for e in found][:20])

    async def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return problem(_BY_STATUS.get(status, "internal"), headers={k: v for k, v in headers.items() if k.lower() == "allow"})

    app.add_exception_handler(PaxtrailError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _place(location: Iterable[object]) -> str:
    # Names of unknown members are the caller's own words: a place stops before them, at the last declared name or index.
    return ".".join(str(step) if isinstance(step, int) or str(step) in _NAMES else "?" for step in location)


_NAMES = frozenset(
    ("body", "query", "path", "namespace", "value", "pnr", "surname", "ticket", "bag_tag", "flight_date", "ids", "identifiers")
) | frozenset(
    (
        "limit",
        "cursor",
        "from",
        "to",
        "by",
        "airline",
        "airport",
        "route",
        "question",
        "customer_id",
        "key",
        "tag",
        "designator",
        "date",
        "ByIdentifier",
        "ByPnr",
        "ByTicket",
        "ByBag",
    )
)
