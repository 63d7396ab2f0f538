"""Look-ups: from what a caller knows (identifier, PNR, ticket, bag tag) to customers; values only ever in bodies, never in URLs."""

from __future__ import annotations

import contextlib
from typing import Any

from paxtrail.core import identity, normalise
from paxtrail.core.records import Identifier
from paxtrail.errors import BadRequest
from paxtrail.serving.statements import FOUND, FOUND_BY_BAG, FOUND_BY_JOURNEY, FOUND_MANY
from paxtrail.serving.viewing import Asked, Viewing

MAX_MATCHES = 10


class Search:
    """Finds customers. Lists never show documents, payment or sensitive values, whatever the role (conf/access.toml)."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing

    async def by_identifier(self, asked: Asked, namespace: str, value: str) -> dict[str, Any]:
        return await self._by_token(asked, identifier(namespace, value), FOUND)

    async def by_pnr(self, asked: Asked, pnr: str, surname: str) -> dict[str, Any]:
        name = normalise.surname_key(surname)
        if not name:
            raise BadRequest("invalid", "surname")
        return await self._by_token(asked, Identifier("pnr", f"{normalise.locator(pnr)}|{name}"), FOUND)

    async def by_ticket(self, asked: Asked, ticket: str) -> dict[str, Any]:
        return await self._by_token(asked, Identifier("ticket", normalise.ticket(ticket)), FOUND_BY_JOURNEY)

    async def by_bag(self, asked: Asked, tag: str, date: str) -> dict[str, Any]:
        rows = await self._viewing.store.fetch(FOUND_BY_BAG, tag, MAX_MATCHES + 1, date)
        return await self._matches(asked, [row["customer_id"] for row in rows])

    async def _by_token(self, asked: Asked, sought: Identifier, statement: str) -> dict[str, Any]:
        token = (await self._viewing.tokens([sought])).get(sought)
        rows = [] if token is None else await self._viewing.store.fetch(statement, token, MAX_MATCHES + 1)
        return await self._matches(asked, [row["customer_id"] for row in rows])

    async def _matches(self, asked: Asked, customers: list[str]) -> dict[str, Any]:
        if len(customers) > MAX_MATCHES:
            await self._viewing.record(asked, ())
            raise BadRequest("too_many")
        shown = await self._shown(asked, sorted(set(customers)))
        return {"matches": [shown[customer] for customer in sorted(shown)]}

    async def batch(self, asked: Asked, ids: list[str], named: list[tuple[str, str]]) -> dict[str, Any]:
        """One entry per id and identifier, in that order: its customers, or none."""
        sought = [identifier(namespace, value) for namespace, value in named]
        tokens = await self._viewing.tokens(sought) if sought else {}
        asked_tokens = sorted({*ids, *tokens.values()})
        found: dict[str, set[str]] = {}
        for row in await self._viewing.store.fetch(FOUND_MANY, asked_tokens):
            found.setdefault(row["token"], set()).add(row["customer_id"])
        crowded = {token for token, customers in found.items() if len(customers) > MAX_MATCHES}
        shown = await self._shown(asked, sorted({c for token, customers in found.items() if token not in crowded for c in customers}))

        def entry(position: dict[str, int], token: str | None) -> dict[str, Any]:
            if token in crowded:
                return {**position, "problem": "too_many", "matches": []}
            matches = [shown[customer] for customer in sorted(found.get(token or "", ())) if customer in shown]
            return {**position, "matches": matches} if matches else {**position, "problem": "not_found", "matches": []}

        return {
            "items": [entry({"id": place}, token) for place, token in enumerate(ids)]
            + [entry({"identifier": place}, tokens.get(one)) for place, one in enumerate(sought)]
        }

    async def _shown(self, asked: Asked, customers: list[str]) -> dict[str, dict[str, Any]]:
        recorded = self._viewing.record(asked, customers)
        found = await self._viewing.documents.customers(customers)
        eyes = await self._viewing.eyes(asked, [text for _, _, text in found.values()], found.values(), in_list=True)
        permits = {customer: self._viewing.permit(asked, (document,), eyes) for customer, document in found.items()}
        # Who had processing restricted is not to be found (GDPR Art. 18) but by who answers for the data.
        shown = {
            customer: self._viewing.shown("customer", document, asked, eyes, permits[customer])
            for customer, document in found.items()
            if not permits[customer].refused
        }
        await recorded
        return shown


def identifier(namespace: str, value: str) -> Identifier:
    """The identifier in the spelling its tokens were minted for; BadRequest (without the value) if it cannot be one."""
    found: Identifier | None = None
    first, _, rest = value.partition("|")
    with contextlib.suppress(ValueError):
        match namespace:
            case "email":
                found = identity.email_identifier(value)
            case "phone":
                found = identity.phone_identifier(value)
            case "loyalty":
                found = identity.loyalty_identifier(first.strip().upper(), rest)
            case "document":
                kind, _, number = rest.partition("|")
                found = identity.document_identifier(first, kind, number)
            case "idp":
                found = identity.idp_identifier(first, rest)
    if found is None:
        raise BadRequest("invalid", f"the value is no {namespace}")
    return found
