"""Reads of one customer: profile, 360 view, timeline; each recorded before it is answered."""

from __future__ import annotations

from typing import Any

from paxtrail.core import outcomes
from paxtrail.serving.journeys import Parts
from paxtrail.serving.statements import TOKENS
from paxtrail.serving.viewing import Asked, Viewing


class Profiles:
    """The customer side of the API."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing

    async def profile(self, asked: Asked, token: str) -> dict[str, Any]:
        """The customer's document as this caller may see it."""
        viewing = self._viewing
        found = await viewing.documents.customer(token)
        await viewing.own(asked.caller, (found[0],))
        recorded = viewing.record(asked, (found[0],))
        eyes = await viewing.eyes(asked, (found[2],))
        body = viewing.shown("customer", found, asked, eyes)
        await recorded
        return body

    async def view(self, asked: Asked, token: str) -> dict[str, Any]:
        """The 360 view, out of one snapshot."""
        viewing = self._viewing
        found, settled, rows = await viewing.documents.view(token)
        await viewing.own(asked.caller, (found[0],))
        recorded = viewing.record(asked, (found[0],))
        parts = Parts(settled, rows)
        eyes = await viewing.eyes(asked, [found[2], *parts.texts()])
        journeys = [parts.journey(key, asked, eyes, viewing) for key in parts.keys("journey")]
        journeys.sort(key=_when, reverse=True)
        before = outcomes.unite(parts.histories)
        since = outcomes.history(j["outcome"] for j in journeys if j["outcome"] is not None and not parts.is_published(j["key"]))
        body = {
            "customer_id": found[0],
            "version": found[1],
            "profile": viewing.shown("customer", found, asked, eyes),
            "journeys": journeys,
            "journeys_total": parts.total,
            "orders": [viewing.shown("order", settled["order", key], asked, eyes) for key in parts.keys("order")],
            "history": {
                "up_to_cut": outcomes.totals(before),
                "since": outcomes.totals(since),
                "total": outcomes.totals(outcomes.unite([before, since])),
            },
        }
        await recorded
        return body

    async def timeline(self, asked: Asked, token: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """What happened to this customer, newest first."""
        viewing = self._viewing
        customer = await viewing.documents.known_customer_id(token)
        await viewing.own(asked.caller, (customer,))
        recorded = viewing.record(asked, (customer,))
        tokens = [row["token"] for row in await viewing.store.fetch(TOKENS, customer)]
        page = await viewing.lines("profile", tokens, f"profile/{customer}", cursor, limit)
        await recorded
        return {"customer_id": customer, **page}


def _when(journey: dict[str, Any]) -> tuple[int, str, str]:
    document = journey["journey"]
    return document.get("departure_time") or 0, str(document.get("leg") or "").partition("/")[2], journey["key"]
