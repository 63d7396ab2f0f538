"""The answer worked out in one go: what was sent, decoded once, each record once, folded whole; compared with what is served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from paxtrail.core.decoding import Decoded, decode
from paxtrail.core.folds import Event, fold, unite
from paxtrail.core.identity import customers, edges_of
from paxtrail.core.records import Record
from paxtrail.core.sentiment import scored
from paxtrail.errors import Refusal
from paxtrail.settings import Settings
from paxtrail.tables import bronze

State = dict[str, Any]
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

    def rows(self) -> list[dict[str, Any]]:
        """Rows of bronze for every record that counts: the first of each id that is not refused."""
        schemas, champion = configuration.schemas(self.settings.conf), Champion(self.settings.models.folder)
        first: dict[bytes, tuple[Position, Record, Decoded]] = {}
        for topic, log in self.log.items():
            for offset, sent in enumerate(log):
                record = Record(sent.source, sent.headers, sent.body, sent.arrival)
                try:
                    decoded = scored(decode(record, schemas), champion)
                except Refusal:
                    continue
                first.setdefault(decoded.record_id, (Position(topic, 0, offset), record, decoded))
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

    def check(self) -> None:
        """Everything equals what one fold of the deduplicated history gives (invariants 1, 3, 5, 8)."""
        rows = self.rows()
        self.check_ledger()
        events: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for row in rows:
            for entity in row["entities"]:
                events[entity["kind"], entity["key"]].append(event_of(row))
        expected = {at: fold(self.tables[at[0]], found) for at, found in events.items()}
        served = self.served()
        assert served.keys() == {at for at, state in expected.items() if state}
        wrong = [(at, served[at], expected[at]) for at in served if served[at] != expected[at]]
        assert not wrong, f"{len(wrong)} of {len(served)} entities differ, first of kind {wrong[0][0][0]}: {_differences(wrong[0])}"
        relations = {tuple(r.values()) for row in rows for r in row["relations"]}
        assert set(self.sql("select from_kind, from_key, kind, to_kind, to_key from relations")) == relations
        assert dict(self.sql("select token, customer_id from links")) == _links(rows)
        self.check_bronze({row["event_id"] for row in rows})

    def check_ledger(self) -> None:
        """Received = accepted + duplicates + refused = what was sent."""
        [(received, accounted)] = self.sql("select sum(received), sum(accepted + duplicates + refused) from ledger")
        assert received == accounted == sum(map(len, self.log.values()))

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


def _differences(wrong: tuple[tuple[str, str], State, State]) -> str:
    _, served, expected = wrong
    return ", ".join(sorted(slot for slot in served.keys() | expected.keys() if served.get(slot) != expected.get(slot)))
