"""The answer worked out in one go: what was sent, decoded once, each record once, folded whole; compared with what is served."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import orjson
import psycopg
from tests.lane import Sent

from paxtrail.adapters import configuration, keyring, lake, lanes
from paxtrail.adapters.door import Position, named, seal_drafts
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.scoring import Champion
from paxtrail.adapters.serving_store import event_of
from paxtrail.adapters.vault import Vault
from paxtrail.core import views
from paxtrail.core.decoding import Decoded, decode
from paxtrail.core.folds import Event, brief, fold, unite
from paxtrail.core.identity import customers, edges_of
from paxtrail.core.records import Record
from paxtrail.core.sentiment import scored
from paxtrail.errors import Refusal
from paxtrail.serving.documents import Documents
from paxtrail.serving.metrics import Metrics
from paxtrail.serving.store import Store, pool
from paxtrail.settings import Settings
from paxtrail.tables import bronze

State = dict[str, Any]
Key = tuple[str, str]
Read = tuple[Position, Record, Decoded | None]
"""A record and what the door reads in it; None if it refuses it."""
Log = Mapping[str, Sequence[Sent]]
"""Records by topic, in the order of their offsets; one id always stands in one partition."""


class Truth:
    """Compares the stores of `settings` with what `log` must have made of them."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self.settings = settings
        self.log = log
        self.tables = configuration.attributes(settings.conf)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the serving store, read as its superuser."""
        with psycopg.connect(dsn(self.settings, "serving", "postgres")) as connection:
            return connection.execute(statement).fetchall()

    def read(self) -> Iterator[Read]:
        """Every record that was sent, in the order of its topic."""
        schemas, champion = configuration.schemas(self.settings.conf), Champion(self.settings.models.folder)
        for topic, log in self.log.items():
            for offset, sent in enumerate(log):
                record = Record(sent.source, sent.headers, sent.body, sent.arrival)
                try:
                    decoded: Decoded | None = scored(decode(record, schemas), champion)
                except Refusal:
                    decoded = None
                yield Position(topic, 0, offset), record, decoded

    def rows(self, read: Iterable[Read] | None = None) -> list[dict[str, Any]]:
        """Rows of bronze for every record that counts: the first of each id that is not refused."""
        schemas = configuration.schemas(self.settings.conf)
        first: dict[bytes, tuple[Position, Record, Decoded]] = {}
        for position, record, decoded in self.read() if read is None else read:
            if decoded is not None:
                first.setdefault(decoded.record_id, (position, record, decoded))
        with closing(Vault(dsn(self.settings, "vault", "stream"), keyring.load(self.settings))) as vault:
            found: list[dict[str, Any]] = []
            for position, record, decoded in first.values():
                tokens = vault.tokens(named([decoded]))
                found += seal_drafts(decoded, record, position, schemas, tokens, vault.keys(tokens.values()))
        return found

    def served(self) -> dict[tuple[str, str], State]:
        """Batch and speed states of every entity, as a reader unites them."""
        parts: dict[tuple[str, str], list[State]] = defaultdict(list)
        for entity, key, state in self.sql("select entity, key, state from states where entity not in ('outcome', 'history')"):
            parts[entity, key].append(orjson.loads(state))
        return {at: unite(self.tables[at[0]], found) for at, found in parts.items()}

    def check(self, *, revised: bool = False) -> None:
        """Everything equals what one fold of the deduplicated history gives (invariants 1, 3, 5, 8).

        `revised`: records were decoded again since; lines of a timeline stay as they were first told.
        """
        read = list(self.read())
        rows = self.rows(read)
        self.check_ledger(read, rows)
        events: dict[Key, list[Event]] = defaultdict(list)
        for row in rows:
            for entity in row["entities"]:
                events[entity["kind"], entity["key"]].append(event_of(row))
        expected = {at: state for at, found in events.items() if (state := fold(self.tables[at[0]], found))}
        _compare("states", self.served(), expected)
        relations = {tuple(r.values()) for row in rows for r in row["relations"]}
        assert set(self.sql("select from_kind, from_key, kind, to_kind, to_key from relations")) == relations
        links = _links(rows)
        assert dict(self.sql("select token, customer_id from links")) == links
        documents = self._documents(expected, links, relations)
        _compare("documents", asyncio.run(self._read_documents(documents)), documents)
        if not revised:
            self.check_timeline(events)
        self.check_outbox(set(links.values()))
        self.check_bronze({row["event_id"] for row in rows})

    def check_ledger(self, read: Iterable[Read], rows: Iterable[Mapping[str, Any]]) -> None:
        """The ledger has what was sent, what became of it and its events, for every source and hour."""
        expected: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        seen: set[bytes] = set()
        for _, record, decoded in read:
            fate = "refused" if decoded is None else "duplicates" if decoded.record_id in seen else "accepted"
            if decoded is not None:
                seen.add(decoded.record_id)
            expected[_hour(record.source, record.arrival)].update(("received", fate))
        for row in rows:
            expected[_hour(row["source"], row["arrival_time"])]["events"] += 1
        names = ("received", "accepted", "duplicates", "refused", "events")
        found = {
            (source, hour): Counter(dict(zip(names, counts, strict=True))) for source, hour, *counts in self.sql("select * from ledger")
        }
        assert found == expected

    def _documents(self, states: Mapping[Key, State], links: Mapping[str, str], relations: Iterable[tuple[str, ...]]) -> dict[Key, str]:
        """Documents made of states folded in one go; histories are those of the last publication."""
        documents = {
            (kind, key): views.document(kind, key, state, self.tables[kind]) for (kind, key), state in states.items() if kind != "profile"
        }
        histories = self.derived("history")
        own: dict[str, list[str]] = defaultdict(list)
        for token, customer in links.items():
            own[customer].append(token)
        has: dict[tuple[str, str], set[str]] = defaultdict(set)
        for _, token, kind, to_kind, key in relations:
            if kind in ("travels", "party_to"):
                has[token, to_kind].add(key)
        for customer, tokens in own.items():
            documents["customer", customer] = views.customer_document(
                customer,
                {token: states.get(("profile", token), {}) for token in tokens},
                self.tables["profile"],
                journeys=[key for token in tokens for key in has[token, "journey"]],
                orders=[key for token in tokens for key in has[token, "order"]],
                history=[histories[token] for token in tokens if token in histories],
            )
        return {at: orjson.dumps(document).decode() for at, document in documents.items()}

    async def _read_documents(self, wanted: Iterable[Key]) -> dict[Key, str]:
        """These documents as the API reads them: kept ones while their version stands, else rendered."""
        keys: dict[str, list[str]] = defaultdict(list)
        for kind, key in wanted:
            keys[kind].append(key)
        connections = await pool(dsn(self.settings, "serving", "api"), 1)
        try:
            documents = Documents(Store(connections), self.tables, Metrics())
            read = {kind: await documents.entities(kind, found) for kind, found in keys.items() if kind != "customer"}
            read["customer"] = await documents.customers(keys["customer"])
        finally:
            await connections.close()
        return {(kind, key): text for kind, found in read.items() for key, (_, _, text) in found.items()}

    def derived(self, entity: str) -> dict[str, State]:
        """Outcomes or histories as served, by key."""
        return {key: orjson.loads(state) for key, state in self.sql(f"select key, state from states where entity = '{entity}'")}

    def check_timeline(self, events: Mapping[Key, Iterable[Event]]) -> None:
        """Each event is one line of the timeline of every entity it is about."""
        lines = {(*at, e.event_time, e.event_id, e.type, orjson.dumps(brief(e)).decode()) for at, found in events.items() for e in found}
        assert set(self.sql("select entity, key, event_time, event_id, type, brief from timeline")) == lines

    def check_outbox(self, customers: set[str]) -> None:
        """Of each customer the newest version was told."""
        told = dict(self.sql("select key, max((payload::json ->> 'version')::bigint) from outbox group by key"))
        versions = dict(self.sql("select key, version from versions where entity = 'customer'"))
        assert told == versions
        assert customers <= told.keys()

    def check_bronze(self, expected: set[str]) -> None:
        """bronze.events holds each event once, and everything that is served."""
        found = self.bronze_ids()
        assert len(found) == len(set(found)), "an event stands twice in bronze"
        assert set(found) == expected

    def bronze_ids(self) -> list[str]:
        tables = lanes.tables(bronze.EVENTS, self.settings).values()
        columns = [lake.opened(table, self.settings).to_pyarrow_table(columns=["event_id"])["event_id"] for table in tables]
        return [event_id for column in columns for event_id in column.to_pylist()]


def _links(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    subjects = {row["subject"] for row in rows if row["subject"]}
    named = [[(i["namespace"], i["token"]) for i in row["identifiers"]] for row in rows]
    linked = customers(edge for own in named if own for edge in edges_of(own[0], own))
    return {token: token for token in subjects} | linked


def _hour(source: str, arrival: int) -> tuple[str, int]:
    return source, arrival // 3_600_000_000 * 3600


def _compare(what: str, served: Mapping[Key, Any], expected: Mapping[Key, Any]) -> None:
    """Names kinds and members that differ, never values."""
    assert served.keys() == expected.keys(), f"{what}: {len(served)} served, {len(expected)} expected"
    wrong = [at for at in served if served[at] != expected[at]]
    assert not wrong, (
        f"{len(wrong)} of {len(served)} {what} differ, first of kind {wrong[0][0]}: {_differences(served[wrong[0]], expected[wrong[0]])}"
    )


def _differences(served: Any, expected: Any) -> str:
    """Members that differ; texts are parsed first."""
    one, other = (orjson.loads(side) if isinstance(side, str) else side for side in (served, expected))
    return ", ".join(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))) or "the order of members"
