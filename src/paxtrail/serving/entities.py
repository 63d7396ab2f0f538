"""Reads of journeys, flights and bags, alone and as parts of a customer's 360 view."""

from __future__ import annotations

from typing import Any

from paxtrail.errors import NotFound
from paxtrail.serving import paging
from paxtrail.serving.documents import Found, stored
from paxtrail.serving.journeys import Parts
from paxtrail.serving.statements import BAG_OWNERS, FLIGHT_CUSTOMERS, JOURNEY, JOURNEY_OWNERS
from paxtrail.serving.viewing import Asked, Viewing


class Entities:
    """The operational side of the API."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing

    async def flight(self, asked: Asked, leg: str) -> dict[str, Any]:
        """A flight leg; nothing about persons."""
        found = await self._viewing.documents.entity("flight", leg)
        eyes = await self._viewing.eyes(asked, (found[2],))
        return {"flight": leg, **self._viewing.shown("flight", found, asked, eyes)}

    async def bag(self, asked: Asked, tag: str) -> dict[str, Any]:
        """A bag tag; a read that can show its name is recorded for its owners."""
        found = await self._viewing.documents.entity("bag", tag)
        await self._owners(asked, BAG_OWNERS, tag, tag)
        eyes = await self._viewing.eyes(asked, (found[2],))
        return {"bag": tag, **self._viewing.shown("bag", found, asked, eyes)}

    async def journey(self, asked: Asked, key: str) -> dict[str, Any]:
        """A journey with its live flight and bags, in one snapshot."""
        rows = await self._viewing.store.fetch(JOURNEY, key, self._viewing.documents.digests_text)
        parts = Parts(await self._viewing.documents.settle(stored(rows)), rows)
        if ("journey", key) not in parts.settled:
            raise NotFound("journey")
        await self._owners(asked, JOURNEY_OWNERS, [key], key)
        eyes = await self._viewing.eyes(asked, parts.texts())
        return parts.journey(key, asked, eyes, self._viewing)

    async def _owners(self, asked: Asked, statement: str, argument: Any, key: str) -> None:
        caller = asked.caller
        if not caller.ways and not caller.own_only:
            return
        owners = [row["customer_id"] for row in await self._viewing.store.fetch(statement, argument)]
        await self._viewing.own(caller, owners)
        await self._viewing.record(asked, owners or (key,))

    async def customers(self, asked: Asked, leg: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """Customers of a flight with their journeys on it, by customer id."""
        await self._viewing.documents.entity("flight", leg)
        of = f"customers/{leg}"
        place = ("", "") if cursor is None else paging.decode(of, cursor, str, str)
        found = await self._viewing.store.fetch(FLIGHT_CUSTOMERS, leg, *place, limit + 1)
        page = found[:limit]
        recorded = self._viewing.record(asked, sorted({row["customer_id"] for row in page}))
        documents = await self._viewing.documents.entities("journey", sorted({row["journey"] for row in page}))
        customers = await self._viewing.documents.customers(sorted({row["customer_id"] for row in page}))
        texts = [text for _, _, text in (*documents.values(), *customers.values())]
        eyes = await self._viewing.eyes(asked, texts, in_list=True)
        items = [
            {
                "customer_id": row["customer_id"],
                "profile": self._one("customer", customers.get(row["customer_id"]), asked, eyes),
                "journey": {"key": row["journey"], **(self._one("journey", documents.get(row["journey"]), asked, eyes) or {})},
            }
            for row in page
        ]
        await recorded
        body: dict[str, Any] = {"flight": leg, "items": items}
        if len(found) > limit:
            body["next"] = paging.encode(of, page[-1]["customer_id"], page[-1]["journey"])
        return body

    def _one(self, entity: str, found: Found | None, asked: Asked, eyes: Any) -> dict[str, Any] | None:
        return None if found is None else self._viewing.shown(entity, found, asked, eyes)

    async def timeline(self, entity: str, key: str, cursor: str | None, limit: int, asked: Asked) -> dict[str, Any]:
        """What happened to a flight or a bag; no personal value is in it."""
        if asked.caller.own_only and entity == "bag":
            owners = [row["customer_id"] for row in await self._viewing.store.fetch(BAG_OWNERS, key)]
            await self._viewing.own(asked.caller, owners)
        page = await self._viewing.lines(entity, [key], f"{entity}/{key}", cursor, limit)
        if not page["items"] and cursor is None:
            raise NotFound(entity)
        return {entity: key, **page}
