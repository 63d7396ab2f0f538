"""Reads of one customer: profile, 360 view, timeline; each recorded before it is answered."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import orjson

from paxtrail.core import outcomes
from paxtrail.core.consent import Record
from paxtrail.errors import NotFound
from paxtrail.serving import permits
from paxtrail.serving.documents import Found
from paxtrail.serving.freshness import instant
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
        eyes = await viewing.eyes(asked, (found[2],), (found,))
        body = viewing.shown("customer", found, asked, eyes, viewing.permit(asked, (found,), eyes))
        await recorded
        return body

    async def view(self, asked: Asked, token: str) -> dict[str, Any]:
        """The 360 view, out of one snapshot."""
        found, parts, recorded = await self._opened(asked, token)
        body = await self._view(asked, found, parts)
        await recorded
        return body

    async def page(self, asked: Asked, token: str, lines: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The 360 view and the newest lines of the timeline, as one read."""
        found, parts, recorded = await self._opened(asked, token)
        body, timeline = await self._view(asked, found, parts), await self._lines(asked, found, None, lines)
        await recorded
        return body, timeline["items"]

    async def _opened(self, asked: Asked, token: str) -> tuple[Found, Parts, Awaitable[None]]:
        """The customer, what belongs to the view, and the record of this read: to be awaited before anything is answered."""
        found, settled, rows = await self._viewing.documents.view(token)
        await self._viewing.own(asked.caller, (found[0],))
        return found, Parts(settled, rows), self._viewing.record(asked, (found[0],))

    async def _view(self, asked: Asked, found: Found, parts: Parts) -> dict[str, Any]:
        viewing = self._viewing
        eyes = await viewing.eyes(asked, [found[2], *parts.texts()], (found,))
        permit = viewing.permit(asked, (found,), eyes)
        if permit.refused:
            nothing = {"journeys": [], "journeys_total": 0, "orders": [], "history": {}}
            profile = viewing.shown("customer", found, asked, eyes, permit)
            return {"customer_id": found[0], "version": found[1], "profile": profile, **nothing}
        journeys = [parts.journey(key, asked, eyes, permit, viewing) for key in parts.keys("journey")]
        journeys.sort(key=_when, reverse=True)
        before = outcomes.unite(parts.histories)
        # By what the history holds, not by what is concluded: a publication commits outcomes and histories one range after the other.
        counted = before["journeys"]
        since = outcomes.history(j["outcome"] for j in journeys if j["outcome"] is not None and j["key"] not in counted)
        ahead = sum(j["outcome"] is None for j in journeys)
        return {
            "customer_id": found[0],
            "version": found[1],
            "profile": viewing.shown("customer", found, asked, eyes, permit),
            "journeys": journeys,
            "journeys_total": parts.total,
            "orders": [viewing.shown("order", parts.settled["order", key], asked, eyes, permit) for key in parts.keys("order")],
            "history": {
                "up_to_cut": outcomes.totals(before),
                "since": outcomes.totals(since, ahead=ahead),
                "total": outcomes.totals(outcomes.unite([before, since]), ahead=ahead),
            },
        }

    async def own(self, asked: Asked, token: str) -> None:
        """NotFound if there is no such customer for this caller."""
        customer = await self._viewing.documents.customer_id(token)
        if customer is None:
            raise NotFound("customer")
        await self._viewing.own(asked.caller, (customer,))

    async def timeline(self, asked: Asked, token: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """What happened to this customer, newest first."""
        viewing = self._viewing
        found = await viewing.documents.customer(token)
        await viewing.own(asked.caller, (found[0],))
        recorded = viewing.record(asked, (found[0],))
        page = await self._lines(asked, found, cursor, limit)
        await recorded
        return {"customer_id": found[0], **page}

    async def _lines(self, asked: Asked, found: Found, cursor: str | None, limit: int) -> dict[str, Any]:
        viewing, customer = self._viewing, found[0]
        tokens = [row["token"] for row in await viewing.store.fetch(TOKENS, customer)]
        permit = viewing.permit(asked, (found,), await viewing.eyes(asked, (), (found,)))
        return await viewing.lines("profile", tokens, f"profile/{customer}", cursor, limit, permit)

    async def consents(self, asked: Asked, token: str) -> dict[str, Any]:
        """What each purpose is decided to now, and the acts this follows from, newest first."""
        viewing = self._viewing
        found = await viewing.documents.customer(token)
        await viewing.own(asked.caller, (found[0],))
        recorded = viewing.record(asked, (found[0],))
        eyes = await viewing.eyes(asked, (), (found,), deciding=True)
        body: dict[str, Any] = {"customer_id": found[0], "version": found[1]}
        if refused := viewing.permit(asked, (found,), eyes).refused:
            body |= {"decisions": [], "history": [], "withheld": refused}
        else:
            who = permits.subject(orjson.loads(found[2]), eyes, asked.at)
            acts = {act.record_id: act for one in who.ledgers for act in one}
            body["decisions"] = [{**one._asdict(), "channel": channel} for one, channel in permits.decisions(viewing.rules, who, asked.at)]
            body["history"] = [_act(act) for act in sorted(acts.values(), key=lambda act: (act.at, act.record_id), reverse=True)]
        await recorded
        return body


def _act(act: Record) -> dict[str, Any]:
    details = {name: value for name, value in act.details.items() if value is not None}
    times = {"at": instant(act.at), "recorded_at": instant(act.recorded_at), "expires_at": act.expires_at and instant(act.expires_at)}
    names = {"record_id": act.record_id, "purpose": act.purpose, "channel": act.channel, "status": act.status, "by": act.by}
    return {**names, **times, **details}


def _when(journey: dict[str, Any]) -> tuple[int, str, str]:
    document = journey["journey"]
    return document.get("departure_time") or 0, str(document.get("leg") or "").partition("/")[2], journey["key"]
