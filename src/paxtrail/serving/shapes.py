"""The published contract: what answers look like, in OpenAPI; made from the routes, never from what answers happen to hold."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.openapi.utils import get_openapi

from paxtrail.settings import Settings

ABOUT = """Profiles of an airline's customers, and the journeys, flights and bags they travel with.

Every call needs a bearer token (RFC 9068) with the route's scope and a stated purpose in the header `Paxtrail-Purpose`; which purposes,
routes and field classes a role has is decided by one table. Reads of customers are recorded before they are answered. Errors are problem
details (RFC 9457). `ETag` covers everything in an answer except `as_of` and `freshness`. The header `Paxtrail-Trace` names the trace of the
call (that of `traceparent`, if it has one), `Paxtrail-Data-Trace` that of the newest record in the document, if its sender began one."""

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_MOMENT = {"as_of": {"type": "string", "format": "date-time"}, "freshness": {"$ref": "#/components/schemas/Freshness"}}
_WITHHELD = {
    "type": "array",
    "description": "Fields that consent keeps back for the stated purpose (`*`: all of them), and why.",
    "items": {"$ref": "#/components/schemas/Withheld"},
}
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, about: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return {**found, "description": about} if about else found


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_COLLECTED = {
    "accepted": _WHOLE,
    "kept": _WHOLE,
    "refused": _WHOLE,
    "records": _list(
        _object(
            {"record": _WHOLE, "outcome": {"enum": ["accepted", "kept", "refused"]}},
            {"code": _TEXT, "reason": _TEXT, "at": _TEXT},
        )
    ),
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "Withheld": _object({"field": _TEXT, "purpose": _TEXT, "reason": _TEXT}, {"type": _TEXT}),
    "ConsentDecision": _object(
        {
            "purpose": _TEXT,
            "channel": _TEXT,
            "allowed": {"type": "boolean"},
            "reason": _TEXT,
            "record_id": {"type": ["string", "null"]},
            "rule": _TEXT,
        },
        about="`reason` is a stable code; `rule` the version of the rules (conf/consent.toml).",
    ),
    "ConsentAct": _object(
        {
            "record_id": _TEXT,
            "purpose": _TEXT,
            "channel": _TEXT,
            "status": _TEXT,
            "by": _TEXT,
            "at": _TEXT,
            "recorded_at": _TEXT,
            "expires_at": {"type": ["string", "null"]},
        },
        dict.fromkeys(("source", "mechanism", "method", "via", "notice", "notice_version", "language", "evidence"), _TEXT),
        "The newest act of its purpose, channel, status and speaker; all of them are in the timeline.",
    ),
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
        {
            "as_of": _TEXT,
            "lanes": {"type": "object"},
            "epoch": {"type": ["integer", "null"]},
            "publication": {"type": ["object", "null"]},
            "sentiment": {"type": "object"},
        }
    ),
    "Document": {
        "type": "object",
        "description": "Attributes as in docs/dictionary.md; what the caller's role may not see is absent or null.",
        "properties": {"version": _WHOLE, "withheld": _WITHHELD},
    },
    "CustomerDocument": _object(
        {"customer_id": _ID, "version": _WHOLE},
        {"withheld": _WITHHELD},
        "A customer's attributes; what the role may not see is absent or null, what consent keeps back is named in `withheld`.",
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
    "Consents": _object(
        {
            "customer_id": _ID,
            "version": _WHOLE,
            "decisions": _list(_ref("ConsentDecision")),
            "history": _list(_ref("ConsentAct")),
            **_MOMENT,
        },
        {"withheld": _WITHHELD},
    ),
    "Reads": _object(
        {
            "customer_id": _ID,
            "items": _list(
                _object(
                    {
                        **dict.fromkeys(("at", "subject", "client", "role", "purpose", "route", "trace"), _TEXT),
                        "ids": _list(_ID),
                        "others": {"type": "integer", "description": "How many other customers the same read showed."},
                    },
                    about="`ids`: under which ids of the customer it was recorded.",
                )
            ),
            **_MOMENT,
        },
        {"next": _TEXT},
        "Who read the customer's data, newest first.",
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
        {"next": _TEXT, "withheld": _WITHHELD},
    ),
    "Collected": _object(
        _COLLECTED,
        about="What became of each record, by its place in the request. `accepted`: sent to the door, which drops what it had before."
        " `refused`: not sent; correct it. `kept`: a fault of ours; sent, refused at the door and kept there: nothing to do.",
    ),
    "CollectedNone": {"allOf": [_ref("Problem"), _object(_COLLECTED)]},
    "Counts": _object(
        {
            "question": _TEXT,
            "from": _TEXT,
            "to": _TEXT,
            "by": _list(_TEXT),
            "rows": _list({"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}),
            "suppressed": {"type": "integer", "description": "Rows whose counts of fewer than ten persons were taken out (null)."},
            **_MOMENT,
        }
    ),
    "Timeline": _object(
        {"items": _list(_object({"event_id": _TEXT, "at": _TEXT, "type": _TEXT, "brief": {"type": "object"}})), **_MOMENT},
        {"customer_id": _ID, "flight": _TEXT, "bag": _TEXT, "next": _TEXT, "withheld": _WITHHELD},
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
    429: "Too many calls: wait as long as Retry-After says",
    431: "Too large",
    503: "Try again",
}
_MORE = {
    "profiles.lookup": {409: "More than ten matches", 413: "Body too large", 415: "Not JSON"},
    "profiles.batch": {413: "Body too large", 415: "Not JSON"},
    "analytics": {504: "Took too long: ask for less"},
    "collect": {408: "Too slow", 413: "Request or record too large", 415: "Media type not taken"},
}
_LINKS = {
    "profiles.lookup": {"view": ("profiles.view", {"customer_id": "$response.body#/matches/0/customer_id"})},
    "profiles.view": {"journey": ("journeys.read", {"key": "$response.body#/journeys/0/key"})},
    "profiles.timeline": {"next": ("profiles.timeline", {"customer_id": "$response.body#/customer_id", "cursor": "$response.body#/next"})},
}
"""Where to go from an answer: route and parameters (OpenAPI 3.1, Link Object)."""
_EVENT = {"type": "object", "description": "A CloudEvent 1.0 in structured mode.", "properties": {"specversion": {"const": "1.0"}}}
_BODIES = {
    "application/cloudevents+json": _EVENT,
    "application/cloudevents-batch+json": _list(_EVENT),
    "application/json": {"description": "A native message, or with the headers ce-… the data of a CloudEvent in binary mode."},
    "application/x-ndjson": {"type": "string", "description": "Native messages or structured CloudEvents, one a line."},
    "application/xml": {"type": "string", "description": "AIDX."},
    "text/plain": {"type": "string", "description": "Type B."},
}
_KEY = {
    "name": "Paxtrail-Key",
    "in": "header",
    "required": False,
    "description": "Members of native JSON whose values together name a record, such as `$.id, $.version`; without it, its bytes name it.",
    "schema": {"type": "string", "pattern": r"^\$(\.[A-Za-z0-9_-]{1,64}){1,8}$"},
}


def _collected(described: dict[str, Any]) -> None:
    """The route that takes instead of giving: its bodies, 202 and 207 instead of 200, and what became of the records in 422."""
    answers = described["responses"]
    done = {"application/json": {"schema": _ref("Collected")}}
    del answers[200], answers[304]
    answers[202] = {"description": "The broker has acknowledged every record", "content": done}
    answers[207] = {"description": "The broker has acknowledged the accepted records; others are refused", "content": done}
    either = {"anyOf": [_ref("CollectedNone"), _ref("Problem")]}
    answers[422] = {"description": "No record was accepted", "content": {"application/problem+json": {"schema": either}}}
    described["openapi_extra"] |= {
        "parameters": [_PURPOSE, _KEY],
        "requestBody": {"required": True, "content": {media: {"schema": schema} for media, schema in _BODIES.items()}},
    }


def described(route: str, shape: str) -> dict[str, Any]:
    """What FastAPI is told of a route beside its function: answers, and for protected ones token and purpose."""
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer", "content": {"application/json": {"schema": _ref(shape) if shape else {"type": "object"}}}}
    }
    if route in _LINKS:
        answers[200]["links"] = {name: {"operationId": to, "parameters": given} for name, (to, given) in _LINKS[route].items()}
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
    found: dict[str, Any] = {"responses": answers, "response_model": None, "operation_id": route, "openapi_extra": extra or None}
    if route == "collect":
        found["status_code"] = 202
        _collected(found)
    return found


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
