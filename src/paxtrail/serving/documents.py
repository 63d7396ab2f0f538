"""Documents: taken as stored while current, else rendered from the states of the same snapshot and kept under their version."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from paxtrail.core import custody, folds, outcomes, views
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.records import Json
from paxtrail.errors import NotFound, Unavailable
from paxtrail.serving import sightings
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.statements import CUSTOMER, CUSTOMER_ID, CUSTOMER_PARTS, CUSTOMERS, ENTITIES, ENTITY, VIEW
from paxtrail.serving.store import Store, Stored
from paxtrail.serving.together import Together

log = logging.getLogger("paxtrail.serving")

_TRIES = 3
"""A customer may be merged between finding its id and reading it: then once more, from the start."""
Key = tuple[str, str]
Found = tuple[str, int, str]
"""(key, version, document text)"""


class Documents:
    """Current documents of customers and entities. A document is what `views` makes; it is kept with a digest of table and views."""

    def __init__(self, store: Store, tables: Mapping[str, AttributeTable], metrics: Metrics) -> None:
        self._store = store
        self._tables = tables
        self._metrics = metrics
        self._current: Together[str, Any] = Together(self._look_up)
        code = hashlib.blake2b(
            b"".join(Path(str(m.__file__)).read_bytes() for m in (views, folds, custody, outcomes)), digest_size=6
        ).hexdigest()
        # A release that renders otherwise must not serve what the one before kept.
        self.digests = {entity: f"{table.digest}.{code}" for entity, table in tables.items()}
        self.digests["customer"] = self.digests["profile"]
        self.digests_text = orjson.dumps(self.digests).decode()

    async def _look_up(self, tokens: list[str]) -> dict[str, Any]:
        return {row["token"]: row for row in await self._store.fetch(CUSTOMER, tokens, self.digests["customer"])}

    async def customer(self, token: str) -> Found:
        """Document of the customer that `token` belongs to, under its current id; NotFound if the token is nobody's."""
        customer = token
        for _ in range(_TRIES):
            row = (await self._current.get((customer,))).get(customer)
            if row is None:
                break
            if row["customer_id"] != customer:
                customer = row["customer_id"]
            elif row["document"] is not None:
                sightings.note(row["traceparent"])
                return customer, row["version"], row["document"]
            else:
                parts = await self._store.fetch(CUSTOMER_PARTS, customer)
                if (found := await self._rendered(customer, parts)) is not None:
                    sightings.note(*(part["traceparent"] for part in parts))
                    return found
        raise NotFound("customer")

    async def known_customer_id(self, token: str) -> str:
        """Current id of the customer that `token` belongs to; NotFound if it is nobody's."""
        if (customer := await self.customer_id(token)) is None:
            raise NotFound("customer")
        return customer

    async def customer_id(self, token: str) -> str | None:
        """Current id of the customer that `token` belongs to; None if it is nobody's."""
        row = await self._store.row(CUSTOMER_ID, token)
        return None if row is None else row["customer_id"]

    async def customers(self, customers: Sequence[str]) -> dict[str, Found]:
        """Documents of several customers by their current ids; unknown ones are left out."""
        found: dict[str, Found] = {}
        for row in await self._store.fetch(CUSTOMERS, list(customers), self.digests["customer"]) if customers else ():
            if row["document"] is not None:
                found[row["key"]] = row["key"], row["version"], row["document"]
            elif (one := await self._rendered(row["key"], await self._store.fetch(CUSTOMER_PARTS, row["key"]))) is not None:
                found[row["key"]] = one
        return found

    async def owners(self, statement: str, argument: Any) -> dict[str, Found | None]:
        """Customers that a journey or bag is of, by current id, with their documents; None for one that is gone by now."""
        rows = await self._store.fetch(statement, argument, self.digests["customer"])
        found = {row["key"]: (row["key"], row["version"], row["document"]) for row in rows if row["document"] is not None}
        rendered = await self.customers([row["key"] for row in rows if row["document"] is None])
        return {row["key"]: found.get(row["key"]) or rendered.get(row["key"]) for row in rows}

    async def view(self, token: str) -> tuple[Found, dict[Key, Found], list[Any]]:
        """Everything a 360 view shows, out of one snapshot: the customer, its parts' documents, the rows that relate them."""
        for _ in range(_TRIES):
            customer = await self.known_customer_id(token)
            rows = await self._store.fetch(VIEW, customer, self.digests_text)
            own = _own(rows)
            if own is not None and own["document"] is not None:
                found: Found | None = (customer, own["version"], own["document"])
                parts = [own]
            else:
                parts, rows = await self._store.snapshot((CUSTOMER_PARTS, customer), (VIEW, customer, self.digests_text))
                found = await self._rendered(customer, parts)
            if found is not None and any(row["what"] == "count" for row in rows):
                sightings.note(*(part["traceparent"] for part in parts))
                return found, await self.settle(stored(rows)), rows
        raise NotFound("customer")

    async def _rendered(self, customer: str, rows: Iterable[Any]) -> Found | None:
        """The customer's document made of its parts; None if it has none any more (merged into another meanwhile)."""
        parts: dict[str, list[Any]] = {}
        for row in rows:
            parts.setdefault(row["what"], []).append(row)
        if "profile" not in parts or "version" not in parts:
            return None
        version = parts["version"][0]["version"]
        document = views.customer_document(
            customer,
            {row["key"]: self.united("profile", row["states"]) for row in parts["profile"]},
            self._tables["profile"],
            journeys=[row["key"] for row in parts.get("journey", ())],
            orders=[row["key"] for row in parts.get("order", ())],
            history=[orjson.loads(row["states"][0]) for row in parts.get("history", ())],
        )
        text = orjson.dumps(document).decode()
        await self._keep([("customer", customer, version, self.digests["customer"], text)])
        return customer, version, text

    async def entity(self, entity: str, key: str) -> Found:
        """Document of a flight, bag, order or journey; NotFound if nothing is known of it."""
        rows = await self._store.fetch(ENTITY, entity, self.digests_text, key)
        found = (await self.settle(stored(rows))).get((entity, key))
        if found is None:
            raise NotFound(entity)
        sightings.note(*(row["traceparent"] for row in rows))
        return found

    async def entities(self, entity: str, keys: Sequence[str]) -> dict[str, Found]:
        """Documents of several entities of a kind by key; unknown ones are left out."""
        if not keys:
            return {}
        rows = await self._store.fetch(ENTITIES, [entity] * len(keys), self.digests_text, list(keys))
        return {key: found for (_, key), found in (await self.settle(stored(rows))).items()}

    async def settle(self, rows: Iterable[Stored]) -> dict[Key, Found]:
        """Documents of what was found in one snapshot; stale ones are rendered and kept. What has no version is left out."""
        settled: dict[Key, Found] = {}
        fresh: list[tuple[str, str, int, str, str]] = []
        for row in rows:
            text = row.document
            if text is None:
                if not row.states and not row.version:
                    continue
                table = self._tables[row.entity]
                text = orjson.dumps(views.document(row.entity, row.key, self.united(row.entity, row.states), table)).decode()
                fresh.append((row.entity, row.key, row.version, self.digests[row.entity], text))
            settled[row.entity, row.key] = row.key, row.version, text
        await self._keep(fresh)
        return settled

    def united(self, entity: str, states: Sequence[str]) -> dict[str, Json]:
        """One state of the batch state and the speed states of an entity."""
        return folds.unite(self._tables[entity], [orjson.loads(state) for state in states])

    async def _keep(self, fresh: list[tuple[str, str, int, str, str]]) -> None:
        if not fresh:
            return
        for row in fresh:
            self._metrics.rendered.labels(row[0]).inc()
        try:
            await self._store.keep(row for row in fresh if row[2])
        except Unavailable:
            # Kept documents only save work: a standby that takes no writes still answers.
            log.info("rendered documents were not kept")


def _own(rows: Iterable[Any]) -> Any | None:
    return next((row for row in rows if row["what"] == "entity" and row["entity"] == "customer"), None)


def stored(rows: Iterable[Any]) -> list[Stored]:
    """The entities among the rows of a snapshot."""
    return [
        Stored(row["entity"], row["key"], row["version"] or 0, row["document"], row["states"] or [])
        for row in rows
        if row["what"] == "entity" and row["entity"] != "customer"
    ]
