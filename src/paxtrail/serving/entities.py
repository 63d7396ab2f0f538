"""Reads of journeys, flights and bags, alone and as parts of a customer's 360 view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paxtrail.errors import NotFound
from paxtrail.serving import paging
from paxtrail.serving.documents import Found, stored
from paxtrail.serving.journeys import Parts
from paxtrail.serving.permits import Permit
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
        return {"flight": leg, **self._viewing.shown("flight", found, asked, eyes, None)}

    async def bag(self, asked: Asked, tag: str) -> dict[str, Any]:
        """A bag tag; a read that can show its name is recorded for its owners."""
        found = await self._viewing.documents.entity("bag", tag)
        owners = await self._owners(asked, BAG_OWNERS, tag)
        await self._recorded(asked, owners, tag)
        eyes = await self._viewing.eyes(asked, (found[2],), _known(owners))
        return {"bag": tag, **self._viewing.shown("bag", found, asked, eyes, self._viewing.permit(asked, owners.values(), eyes))}

    async def journey(self, asked: Asked, key: str) -> dict[str, Any]:
        """A journey with its live flight and bags, in one snapshot."""
        rows = await self._viewing.store.fetch(JOURNEY, key, self._viewing.documents.digests_text)
        parts = Parts(await self._viewing.documents.settle(stored(rows)), rows)
        if ("journey", key) not in parts.settled:
            raise NotFound("journey")
        owners = await self._owners(asked, JOURNEY_OWNERS, key)
        await self._recorded(asked, owners, key)
        eyes = await self._viewing.eyes(asked, parts.texts(), _known(owners))
        return parts.journey(key, asked, eyes, self._viewing.permit(asked, owners.values(), eyes), self._viewing)

    async def _owners(self, asked: Asked, statement: str, key: str) -> dict[str, Found | None]:
        owners = await self._viewing.documents.owners(statement, key)
        await self._viewing.own(asked.caller, owners)
        return owners

    async def _recorded(self, asked: Asked, owners: Mapping[str, Found | None], key: str) -> None:
        if asked.caller.ways or asked.caller.own_only:
            await self._viewing.record(asked, sorted(owners) or (key,))

    async def customers(self, asked: Asked, leg: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """Customers of a flight with their journeys on it, by customer id; left out, and said so, who may not be read: that they are on
        the flight is about them too."""
        await self._viewing.documents.entity("flight", leg)
        of = f"customers/{leg}"
        place = ("", "") if cursor is None else paging.decode(of, cursor, str, str)
        found = await self._viewing.store.fetch(FLIGHT_CUSTOMERS, leg, *place, limit + 1)
        page = found[:limit]
        recorded = self._viewing.record(asked, sorted({row["customer_id"] for row in page}))
        documents = await self._viewing.documents.entities("journey", sorted({row["journey"] for row in page}))
        customers = await self._viewing.documents.customers(sorted({row["customer_id"] for row in page}))
        texts = [text for _, _, text in (*documents.values(), *customers.values())]
        eyes = await self._viewing.eyes(asked, texts, customers.values(), in_list=True)

        def one(entity: str, found: Found | None, permit: Permit) -> dict[str, Any] | None:
            return None if found is None else self._viewing.shown(entity, found, asked, eyes, permit)

        permits = {id_: self._viewing.permit(asked, (customers.get(id_),), eyes) for id_ in {row["customer_id"] for row in page}}
        items = [
            {
                "customer_id": row["customer_id"],
                "profile": one("customer", customers.get(row["customer_id"]), permits[row["customer_id"]]),
                "journey": {
                    "key": row["journey"],
                    **(one("journey", documents.get(row["journey"]), permits[row["customer_id"]]) or {}),
                },
            }
            for row in page
            if not permits[row["customer_id"]].refused
        ]
        await recorded
        body: dict[str, Any] = {"flight": leg, "items": items}
        if refused := {line["reason"]: {**line, "field": "items"} for permit in permits.values() for line in permit.refused}:
            body["withheld"] = [refused[reason] for reason in sorted(refused)]
        if len(found) > limit:
            body["next"] = paging.encode(of, page[-1]["customer_id"], page[-1]["journey"])
        return body

    async def timeline(self, entity: str, key: str, cursor: str | None, limit: int, asked: Asked) -> dict[str, Any]:
        """What happened to a flight or a bag; no personal value is in it."""
        permit = None
        if entity == "bag":
            owners = await self._owners(asked, BAG_OWNERS, key)
            eyes = await self._viewing.eyes(asked, (), _known(owners))
            permit = self._viewing.permit(asked, owners.values(), eyes)
        page = await self._viewing.lines(entity, [key], f"{entity}/{key}", cursor, limit, permit)
        if not page["items"] and cursor is None and "withheld" not in page:
            raise NotFound(entity)
        return {entity: key, **page}


def _known(owners: Mapping[str, Found | None]) -> list[Found]:
    return [found for found in owners.values() if found is not None]
