"""What every read has in common: whose it is, its record, and a document as this caller sees it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from paxtrail.adapters.vault import AsyncVault
from paxtrail.core import identity, views
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.consent_rules import Rules
from paxtrail.core.records import Identifier
from paxtrail.errors import NotFound, Unavailable
from paxtrail.serving import paging, permits, seeing
from paxtrail.serving.access import Caller, Way
from paxtrail.serving.documents import Documents, Found
from paxtrail.serving.freshness import instant
from paxtrail.serving.permits import Permit
from paxtrail.serving.reads import Read, ReadLog
from paxtrail.serving.statements import TIMELINE
from paxtrail.serving.store import Store, guarded
from paxtrail.serving.together import Together

Eyes = seeing.Eyes
_AFTER_ALL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: by whom, on which route, when (µs UTC), under which trace."""

    caller: Caller
    route: str
    at: int
    trace: str

    def read(self, customers: Sequence[str]) -> Read:
        """This call as a read of these customers."""
        who = self.caller.principal
        at = dt.datetime.fromtimestamp(self.at / 1e6, dt.UTC)
        return Read(at, who.subject, who.client, who.role, self.caller.purpose, self.route, tuple(customers), self.trace)


class Viewing:
    """Shared by the services of the API."""

    def __init__(
        self,
        store: Store,
        vault: AsyncVault,
        documents: Documents,
        reads: ReadLog,
        tables: Mapping[str, AttributeTable],
        rules: Rules,
    ) -> None:
        self.store = store
        self.documents = documents
        self._vault = vault
        self._keys: Together[str, bytes | None] = Together(lambda tokens: guarded(vault.keys(tokens)))
        self._reads = reads
        self._profile = tables["profile"]
        self.rules = rules

    def record(self, asked: Asked, customers: Sequence[str]) -> Awaitable[None]:
        """Begins to record a read; the answer must await what this returns, and may be prepared meanwhile."""
        return self._reads.record(asked.read(customers), may_spool=not asked.caller.ways)

    async def tokens(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
        """Tokens of those identifiers that have one."""
        return await guarded(self._vault.find(identifiers))

    async def own(self, caller: Caller, customers: Collection[str]) -> None:
        """NotFound if the caller is a customer and none of `customers` is that customer: others' ids are as good as unknown."""
        if not caller.own_only:
            return
        who = identity.idp_identifier(caller.principal.issuer, caller.principal.subject)
        token = None if who is None else (await self.tokens([who])).get(who)
        if token is None or (await self.documents.customer_id(token)) not in customers:
            raise NotFound("customer")

    async def eyes(
        self, asked: Asked, texts: Iterable[str], subjects: Iterable[Found] = (), *, in_list: bool = False, deciding: bool = False
    ) -> Eyes:
        """What opens the sealed values of these documents for the caller, and the birth dates of `subjects` to decide about them.

        Unavailable if the caller sees sealed values and the vault does not answer; if keys were for deciding only, nobody's age is known.
        """
        ways = asked.caller.list_ways if in_list else asked.caller.ways
        owners = seeing.owners(ways, texts)
        born: dict[str, Way] = {"birth_date": "show"} if deciding or permits.asks(self.rules, asked.caller.purpose) else {}
        wanted = owners | seeing.owners(born, (found[2] for found in subjects))
        try:
            return seeing.Eyes(ways, await self._keys.get(wanted) if wanted else {})
        except Unavailable:
            if owners:
                raise
            return seeing.Eyes(ways, {})

    def permit(self, asked: Asked, subjects: Iterable[Found | None], eyes: Eyes) -> Permit:
        """What may leave for the caller's purpose of documents about these customers (None: one that cannot be read now)."""
        who = [permits.subject(None if found is None else orjson.loads(found[2]), eyes, asked.at) for found in subjects]
        return Permit(self.rules, asked.caller.purpose, who, asked.at)

    def shown(self, entity: str, found: Found, asked: Asked, eyes: Eyes, permit: Permit | None) -> dict[str, Any]:
        """The document as this caller sees it now, and in `withheld` why fields are left out. The one way out for what is known of a
        person; `permit` is None for flights only, which are nobody's."""
        table = self._profile if entity == "customer" else None
        document = orjson.loads(found[2])
        document, withheld = (document, None) if permit is None else permit.released(entity, document)
        body = views.present(document, table, unseal=eyes, as_of=asked.at, internal=asked.caller.internal)
        if withheld:
            body["withheld"] = withheld
        body["version"] = found[1]
        return body

    async def lines(
        self, entity: str, keys: Sequence[str], of: str, cursor: str | None, limit: int, permit: Permit | None
    ) -> dict[str, Any]:
        """One page of a timeline, newest first; `next` is absent on the last page. `permit` as for `shown`."""
        place: Sequence[str | int] = (_AFTER_ALL, "") if cursor is None else paging.decode(of, cursor, int, str)
        rows = await self.store.fetch(TIMELINE, entity, list(keys), *place, limit + 1)
        items = [
            {"event_id": row["event_id"], "at": instant(row["event_time"]), "type": row["type"], "brief": orjson.loads(row["brief"])}
            for row in rows[:limit]
        ]
        page: dict[str, Any] = {"items": items}
        if permit is not None:
            page["items"], withheld = permit.lines(items)
            if withheld:
                page["withheld"] = withheld
        if len(rows) > limit:
            page["next"] = paging.encode(of, rows[limit - 1]["event_time"], rows[limit - 1]["event_id"])
        return page
