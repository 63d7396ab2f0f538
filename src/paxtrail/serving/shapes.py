"""The published contract: what answers look like, in OpenAPI; made from the routes, never from what answers happen to hold."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.openapi.utils import get_openapi

from paxtrail.settings import Settings

ABOUT = """Profiles of an airline's customers, and the journeys, flights and bags they travel with.

Every call needs a bearer token (RFC 9068) with the route's scope and a stated purpose in the header `Paxtrail-Purpose`; which purposes,
routes and field classes a role has is decided by one table. Reads of customers are recorded before they are answered. Errors are problem
details (RFC 9457). `ETag` covers everything in an answer except `as_of` and `freshness`."""

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_MOMENT = {"as_of": {"type": "string", "format": "date-time"}, "freshness": {"$ref": "#/components/schemas/Freshness"}}
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, about: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return {**found, "description": about} if about else found


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": _WHOLE, "code": _TEXT},
        {"detail": _TEXT, "errors": _list(_object({"at": _TEXT, "kind": _TEXT}))},
        "RFC 9457 problem details; `code` is stable.",
    ),
    "Freshness": _object(
        {"committed": {"type": "object", "additionalProperties": _TEXT}, "age_s": {"type": ["number", "null"]}},
        about="When each lane of the stream last committed, and the age of the oldest commit.",
    ),
    "FreshnessAnswer": _object(
        {"as_of": _TEXT, "lanes": {"type": "object"}, "epoch": {"type": ["integer", "null"]}, "publication": {"type": ["object", "null"]}}
    ),
    "Document": {
        "type": "object",
        "description": "Attributes as in docs/dictionary.md; what the caller's role may not see is absent or null.",
        "properties": {"version": _WHOLE},
    },
    "CustomerDocument": _object(
        {"customer_id": _ID, "version": _WHOLE}, about="A customer's attributes; what the role may not see is absent or null."
    ),
    "Profile": {"allOf": [_ref("CustomerDocument"), _object(_MOMENT)]},
    "JourneyParts": _object(
        {"key": _ID, "journey": _ref("Document"), "flights": _list(_ref("Document")), "bags": _list(_ref("Document"))},
        {"outcome": {"type": ["object", "null"]}},
    ),
    "View": _object(
        {
            "customer_id": _ID,
            "version": _WHOLE,
            "profile": _ref("CustomerDocument"),
            "journeys": _list(_ref("JourneyParts")),
            "journeys_total": _WHOLE,
            "orders": _list(_ref("Document")),
            "history": {"type": "object"},
            **_MOMENT,
        }
    ),
    "Matches": _object({"matches": _list(_ref("CustomerDocument")), **_MOMENT}),
    "BatchAnswer": _object(
        {
            "items": _list(_object({"matches": _list(_ref("CustomerDocument"))}, {"id": _WHOLE, "identifier": _WHOLE, "problem": _TEXT})),
            **_MOMENT,
        }
    ),
    "Journey": {"allOf": [_ref("JourneyParts"), _object(_MOMENT)]},
    "Flight": {"allOf": [_ref("Document"), _object({"flight": _TEXT, **_MOMENT})]},
    "Bag": {"allOf": [_ref("Document"), _object({"bag": _TEXT, **_MOMENT})]},
    "FlightCustomers": _object(
        {
            "flight": _TEXT,
            "items": _list(_object({"customer_id": _ID, "profile": {"type": ["object", "null"]}, "journey": {"type": "object"}})),
            **_MOMENT,
        },
        {"next": _TEXT},
    ),
    "Timeline": _object(
        {"items": _list(_object({"event_id": _TEXT, "at": _TEXT, "type": _TEXT, "brief": {"type": "object"}})), **_MOMENT},
        {"customer_id": _ID, "flight": _TEXT, "bag": _TEXT, "next": _TEXT},
    ),
}
_PURPOSE = {
    "name": "Paxtrail-Purpose",
    "in": "header",
    "required": False,
    "description": "What the answer is for (closed list in conf/access.toml). May be left out if the token is bound to one purpose.",
    "schema": _TEXT,
}
_PUBLIC = ("health.live", "health.ready", "health.freshness", "metrics")
_STATUSES = {
    400: "Malformed",
    401: "No accepted token",
    403: "Not admitted",
    404: "Unknown",
    422: "Invalid",
    431: "Too large",
    503: "Try again",
}
_MORE = {
    "profiles.lookup": {409: "More than ten matches", 413: "Body too large", 415: "Not JSON"},
    "profiles.batch": {413: "Body too large", 415: "Not JSON"},
}


def described(route: str, shape: str) -> dict[str, Any]:
    """What FastAPI is told of a route beside its function: answers, and for protected ones token and purpose."""
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer", "content": {"application/json": {"schema": _ref(shape) if shape else {"type": "object"}}}}
    }
    if route == "metrics":
        answers[200] = {"description": "Prometheus text format", "content": {"text/plain": {"schema": _TEXT}}}
    if route == "health.ready":
        answers[503] = {"description": "Something is missing", "content": {"application/json": {"schema": {"type": "object"}}}}
    extra: dict[str, Any] = {}
    if route not in _PUBLIC:
        answers[304] = {"description": "As in If-None-Match"}
        problem = {"application/problem+json": {"schema": _ref("Problem")}}
        answers |= {status: {"description": about, "content": problem} for status, about in {**_STATUSES, **_MORE.get(route, {})}.items()}
        extra = {"security": [{"bearer": []}], "parameters": [_PURPOSE]}
    return {"responses": answers, "response_model": None, "operation_id": route, "openapi_extra": extra or None}


def contract(settings: Settings) -> str:
    """The OpenAPI document as text, the same on every machine."""
    from paxtrail.serving import access, application

    app = application.bare(access.load(settings.conf), dev_issuer=False)
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(SCHEMAS)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE).decode()
