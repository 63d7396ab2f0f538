"""The only way to a route: token, rule, role, purpose and query parameters are decided before its function runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from paxtrail.errors import BadRequest, ConfigurationError, PaxtrailError, Unauthenticated
from paxtrail.serving import pages, problems, session
from paxtrail.serving.access import Access, Caller, Principal
from paxtrail.serving.limits import Limits
from paxtrail.serving.tokens import Verifier

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Gate:
    """Admits callers by the access table, as often as it says."""

    def __init__(self, access: Access, verifier: Verifier, limits: Limits) -> None:
        self.access = access
        self._verifier = verifier
        self._limits = limits

    async def admit(self, request: Request, route: str, *, counted: bool = True) -> Caller | None:
        """The caller; None on a public route. A header given twice is refused: two answers to one question."""
        if self.access.is_public(route):
            return None
        authorization = purpose = None
        for name, value in request.scope["headers"]:
            if name == b"authorization":
                if authorization is not None:
                    raise BadRequest("malformed", "two Authorization headers")
                authorization = value.decode("latin-1")
            elif name == b"paxtrail-purpose":
                if purpose is not None:
                    raise BadRequest("malformed", "two Paxtrail-Purpose headers")
                purpose = value.decode("latin-1")
        if authorization is None and route.startswith(session.PAGES) and (kept := session.given(request.scope["headers"])):
            authorization, purpose = f"Bearer {kept[0]}", kept[1] or None
        principal = await self.principal(request, authorization)
        if counted:
            self._limits.call(principal)
        return self.access.admit(principal, route, purpose)

    async def principal(self, request: Request, authorization: str | None) -> Principal:
        """Whom the token speaks for. Where many were refused, unknown ones wait: TooMany; who was let in before is not hindered."""
        address = request.client.host if request.client else ""
        try:
            return await self._verifier.principal(authorization, unless=lambda: self._limits.stranger(address))
        except Unauthenticated:
            self._limits.refused(address)
            raise


class Guarded(APIRoute):
    """A route whose function runs only for an admitted caller, `request.state.caller`; errors of the tree become problems here."""

    def get_route_handler(self) -> Handler:
        inner = _direct(self) or super().get_route_handler()
        route = self.name
        refused = pages.problem if route.startswith(session.PAGES) else problems.of
        declared = {field.alias for field in self.dependant.query_params}

        async def handler(request: Request) -> Response:
            try:
                request.state.caller = await request.app.state.gate.admit(request, route)
                if raw := request.scope["query_string"]:
                    _strict(raw, declared)
                return await inner(request)
            except PaxtrailError as error:
                return refused(error)

        return handler


def _direct(route: APIRoute) -> Handler | None:
    """The function of a route that takes nothing but texts of its path, called without FastAPI's solving of dependencies.

    That is half of the time of a profile read. What is declared is checked all the same: by the patterns of the path's parameters.
    """
    taken, function = route.dependant, route.endpoint
    if taken.query_params or taken.body_params or taken.header_params or taken.cookie_params or taken.dependencies:
        return None
    patterns = {field.alias: re.compile(_pattern(field.field_info.metadata)) for field in taken.path_params}

    async def handler(request: Request) -> Response:
        values: dict[str, str] = request.scope["path_params"]
        wrong = [name for name, pattern in patterns.items() if not pattern.fullmatch(values[name])]
        if wrong:
            return problems.problem("invalid", errors=[{"at": f"path.{name}", "kind": "string_pattern_mismatch"} for name in wrong])
        response: Response = await function(request=request, **values)
        return response

    return handler


def _pattern(metadata: Iterable[Any]) -> str:
    for one in metadata:
        if isinstance(found := getattr(one, "pattern", None), str):
            return found
    raise ConfigurationError("a parameter of a path needs a pattern")


def _strict(raw: bytes, declared: set[str]) -> None:
    try:
        names = [name for name, _ in parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=20)]
    except ValueError:
        raise BadRequest("malformed", "the query string cannot be read") from None
    if len(set(names)) != len(names) or not declared.issuperset(names):
        raise BadRequest("unknown_parameter")
