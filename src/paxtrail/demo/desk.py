"""An agent's desk: the profile API as its callers use it, over HTTP with a token and a purpose."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from paxtrail.errors import Unavailable
from paxtrail.serving import access, issuer
from paxtrail.settings import Settings

ROLE, PURPOSE = "supervisor", "care"
_NAMED = ("loyalty", "idp", "document")


class Desk:
    """Somebody signed in, a supervisor unless told otherwise. Answers are the API's JSON; None for what it does not know."""

    def __init__(self, settings: Settings, role: str = ROLE, purpose: str = PURPOSE) -> None:
        token = issuer.load(settings).token(access.load(settings.conf), role, subject="demo", purposes=(purpose,))
        self.address = f"http://{settings.api.host}:{settings.api.port}"
        self._session = {"token": token, "purpose": purpose}
        self._client = httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {token}", "Paxtrail-Purpose": purpose}, timeout=30, trust_env=False
        )

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def flight(self, leg: str) -> dict[str, Any] | None:
        return self._get(f"/v1/flights/{leg}")

    def bag(self, tag: str) -> dict[str, Any] | None:
        return self._get(f"/v1/bags/{tag}")

    def view(self, customer_id: str) -> dict[str, Any] | None:
        """The 360 view of a customer."""
        return self._get(f"/v1/profiles/{customer_id}/360")

    def views(self, key: str) -> list[dict[str, Any]]:
        """360 views of the customers that a look-up finds by `namespace:value`; a passenger is looked up by PNR and surname."""
        namespace, _, value = key.partition(":")
        if namespace in _NAMED:
            body = {"namespace": namespace, "value": value}
        else:
            locator, _, name = value.split("|")
            body = {"pnr": locator, "surname": name.partition("/")[0]}
        found = (self.look_up(body) or {}).get("matches", [])
        return [view for match in found if (view := self.view(match["customer_id"])) is not None]

    def look_up(self, body: dict[str, str]) -> dict[str, Any] | None:
        """Matches of a look-up; personal values travel in the body, never in a URL."""
        return self._answer(self._client.build_request("POST", "/v1/profiles/lookup", json=body))

    def page(self) -> bool:
        """Whether the agent's page lets in who signs in as a browser does, by its form and the cookie it gives, and shows the search."""
        try:
            with httpx.Client(base_url=self.address, follow_redirects=True, timeout=30, trust_env=False) as browser:
                answer = browser.post("/agent/session", data=self._session)
        except httpx.HTTPError as error:
            raise Unavailable(f"the API does not answer: {type(error).__name__}") from None
        return answer.status_code == 200 and answer.url.path == "/agent" and 'action="/agent/search"' in answer.text

    def freshness(self) -> dict[str, Any]:
        return self._get("/health/freshness") or {}

    def counted(self, question: str, since: str, until: str, by: str) -> list[dict[str, Any]]:
        """Rows of a question of analysts, for the hours [since, until), as 2026-11-22T10."""
        found = self._get(f"/v1/analytics/{question}?from={since}&to={until}&by={by}&limit=1000") or {}
        return list(found.get("rows", ()))

    def _get(self, path: str) -> dict[str, Any] | None:
        return self._answer(self._client.build_request("GET", path))

    def _answer(self, request: httpx.Request) -> dict[str, Any] | None:
        try:
            answer = self._client.send(request)
        except httpx.HTTPError as error:
            raise Unavailable(f"the API does not answer: {type(error).__name__}") from None
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise Unavailable(f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:200]}")
        found: dict[str, Any] = answer.json()
        return found
