"""A browser's session: the access token and the stated purpose in one cookie, for the pages only; the API itself never looks at cookies."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response

from paxtrail.errors import BadRequest

NAME = "paxtrail_agent"
PAGES = "agent."
"""Names of routes that are pages begin so."""
_PATH = "/agent"


def given(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str] | None:
    """(token, purpose) of the cookie; None without one, BadRequest for two."""
    found = [
        value
        for name, text in headers
        if name == b"cookie"
        for key, _, value in (pair.strip().partition("=") for pair in text.decode("latin-1").split(";"))
        if key == NAME
    ]
    if not found:
        return None
    if len(found) > 1:
        raise BadRequest("malformed", "two sessions")
    purpose, _, token = found[0].partition("~")
    return (token, purpose) if token else None


def keep(answer: Response, token: str, purpose: str, *, secure: bool) -> None:
    """Ends with the browser; never sent along from other sites, never readable by scripts."""
    answer.set_cookie(NAME, f"{purpose}~{token}", path=_PATH, httponly=True, samesite="strict", secure=secure)


def drop(answer: Response) -> None:
    answer.delete_cookie(NAME, path=_PATH, httponly=True, samesite="strict")
