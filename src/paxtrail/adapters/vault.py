"""The vault: mints tokens for identifiers and holds the keys of what is sealed; the only place that links values to tokens."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

import psycopg

from paxtrail.adapters.keyring import Keyring
from paxtrail.core.records import Identifier
from paxtrail.core.sealing import KEY_BYTES, seal

_CACHE = 400_000
_DAYS = 2
"""Quarantine keys held at a time."""


def new_token() -> str:
    """A UUIDv7 (RFC 9562) as 32 hex digits: tokens sort by age, so the oldest of a customer is the smallest."""
    stamp = (time.time_ns() // 1_000_000) & (1 << 48) - 1
    chance = int.from_bytes(os.urandom(10))
    return f"{(stamp << 80) | (0x7 << 76) | ((chance >> 68 & 0xFFF) << 64) | (0b10 << 62) | (chance & (1 << 62) - 1):032x}"


class Vault:
    """One connection to the vault with caches: tokens never change; keys are dropped as soon as their deletion is seen."""

    def __init__(self, dsn: str, keyring: Keyring) -> None:
        self._keyring = keyring
        self._connection = psycopg.connect(dsn, autocommit=False)
        self._connection.execute(
            "create temp table asked (digest bytea, namespace text, token text, sealed bytea, wrapped bytea) on commit delete rows"
        )
        row = self._connection.execute("select coalesce(max(id), 0) from key_deletion").fetchone()
        self._deletions: int = row[0] if row else 0
        self._connection.commit()
        self._tokens: dict[Identifier, str] = {}
        self._keys: dict[str, bytes | None] = {}
        self._quarantine: dict[str, bytes] = {}

    def close(self) -> None:
        self._connection.close()

    def refresh(self) -> None:
        """Forgets the keys that were deleted since the last call: once a micro-batch, so deletions bite within seconds."""
        with self._connection.transaction():
            rows = self._connection.execute("select id, token from key_deletion where id > %s order by id", (self._deletions,)).fetchall()
        for number, token in rows:
            self._keys.pop(token, None)
            self._deletions = number

    def tokens(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
        """Token of each identifier, minted at first sight; every run and every worker gets the same."""
        asked = set(identifiers)
        unknown = [i for i in asked if i not in self._tokens]
        if unknown:
            if len(self._tokens) > _CACHE:
                self._tokens.clear()
            self._mint(unknown)
        return {i: self._tokens[i] for i in asked}

    def find(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
        """Tokens of those identifiers that have one; mints nothing."""
        asked = {self._keyring.digest(i): i for i in identifiers}
        with self._connection.transaction():
            rows = self._connection.execute("select digest, token from identifier where digest = any(%s)", (list(asked),)).fetchall()
        return {asked[bytes(digest)]: token for digest, token in rows}

    def keys(self, tokens: Iterable[str]) -> dict[str, bytes | None]:
        """Data key of each token; None where it was deleted for good."""
        asked = set(tokens)
        unknown = [t for t in asked if t not in self._keys]
        if unknown:
            if len(self._keys) > _CACHE:
                self._keys.clear()
            with self._connection.transaction():
                rows = self._connection.execute(
                    "select token, wrapped, generation from subject_key where token = any(%s)", (unknown,)
                ).fetchall()
            for token, wrapped, generation in rows:
                self._keys[token] = None if wrapped is None else self._keyring.unwrap(token, bytes(wrapped), generation)
        return {t: self._keys.get(t) for t in asked}

    def quarantine_key(self, day: str) -> bytes:
        """Key under which refused records of that day of arrival are kept; KeyError once it was deleted."""
        if day not in self._quarantine:
            fresh = os.urandom(KEY_BYTES)
            with self._connection.transaction():
                self._connection.execute(
                    "insert into quarantine_key values (%s, %s, %s) on conflict do nothing",
                    (day, self._keyring.wrap(day, fresh), self._keyring.generation),
                )
                row = self._connection.execute("select wrapped, generation from quarantine_key where day = %s", (day,)).fetchone()
            if row is None or row[0] is None:
                raise KeyError(day)
            if len(self._quarantine) > _DAYS:
                self._quarantine.clear()  # a deleted key must not live on in a worker for as long as the worker does
            self._quarantine[day] = self._keyring.unwrap(day, bytes(row[0]), row[1])
        return self._quarantine[day]

    def forget(self, tokens: Iterable[str]) -> None:
        """Deletes the keys of these tokens and their sealed values for good; nothing sealed under them can be read again."""
        gone = list(tokens)
        with self._connection.transaction():
            self._connection.execute("update subject_key set wrapped = null where token = any(%s)", (gone,))
            self._connection.execute("update identifier set sealed = null where token = any(%s)", (gone,))
            self._connection.execute("insert into key_deletion (token) select unnest(%s::text[])", (gone,))
        self.refresh()

    def _mint(self, identifiers: list[Identifier]) -> None:
        by_digest = {self._keyring.digest(i): i for i in identifiers}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for digest, token in self._known(cursor, list(by_digest)):
                self._tokens[by_digest.pop(digest)] = token
            if not by_digest:
                return
            fresh: dict[bytes, tuple[str, bytes]] = {}
            with cursor.copy("copy asked from stdin (format binary)") as copy:
                copy.set_types(["bytea", "text", "text", "bytea", "bytea"])
                for digest in sorted(by_digest):
                    identifier, token, key = by_digest[digest], new_token(), os.urandom(KEY_BYTES)
                    fresh[digest] = token, key
                    sealed = seal(key, "identifier", token, identifier.value).encode()
                    copy.write_row((digest, identifier.namespace, token, sealed, self._keyring.wrap(token, key)))
            # Sorted inserts: workers that mint the same identifiers wait for each other instead of deadlocking.
            cursor.execute(
                "with won as (insert into identifier select digest, namespace, token, sealed from asked order by digest"
                " on conflict (digest) do nothing returning token)"
                " insert into subject_key select a.token, a.wrapped, %s from asked a join won using (token)",
                (self._keyring.generation,),
            )
            for digest, token in self._known(cursor, list(by_digest)):
                self._tokens[by_digest[digest]] = token
                if fresh[digest][0] == token:
                    self._keys[token] = fresh[digest][1]

    @staticmethod
    def _known(cursor: psycopg.Cursor[Any], digests: list[bytes]) -> list[tuple[bytes, str]]:
        cursor.execute("select digest, token from identifier where digest = any(%s)", (digests,))
        return [(bytes(digest), token) for digest, token in cursor.fetchall()]


class AsyncVault:
    """The vault as the API reads it (an asyncpg pool): no caches of keys, so a deletion holds at once."""

    def __init__(self, pool: Any, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring

    async def find(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
        """Tokens of those identifiers that have one."""
        asked = {self._keyring.digest(i): i for i in identifiers}
        rows = await self._pool.fetch("select digest, token from identifier where digest = any($1::bytea[])", list(asked))
        return {asked[bytes(row["digest"])]: row["token"] for row in rows}

    async def keys(self, tokens: Iterable[str]) -> dict[str, bytes | None]:
        """Data key of each token; None where it was deleted for good."""
        asked = list(set(tokens))
        if not asked:
            return {}
        rows = await self._pool.fetch("select token, wrapped, generation from subject_key where token = any($1::text[])", asked)
        found = {
            row["token"]: None if row["wrapped"] is None else self._keyring.unwrap(row["token"], bytes(row["wrapped"]), row["generation"])
            for row in rows
        }
        return {token: found.get(token) for token in asked}
