"""The vault: mints tokens for identifiers and holds the keys of what is sealed; the only place that links values to tokens."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from paxtrail.adapters.keyring import InForce, Keyring, Kind, digest
from paxtrail.core.records import Identifier
from paxtrail.core.sealing import KEY_BYTES, forget_ciphers, seal
from paxtrail.errors import KeyringBehind

_CACHE = 400_000
_DAYS = 2
"""Quarantine keys held at a time."""
CHECKED_S = 2.0
"""Keys are held in memory this long, at most twice, without asking whether they were deleted."""
GENERATIONS, DELETIONS = 7262604, 7262605
"""Advisory locks of the vault: shared by who wraps or indexes, held by who begins a generation · held by who deletes keys."""
BEGUN = "select kind, generation from key_generation where ended_at is null"
_FIND = (
    "select digest, token, null::int as lookup from identifier where digest = any({}) union all"
    " select null, null, generation from key_generation where kind = 'lookup' and ended_at is null"
)


def new_token() -> str:
    """A UUIDv7 (RFC 9562) as 32 hex digits: tokens sort by age, so the oldest of a customer is the smallest."""
    stamp = (time.time_ns() // 1_000_000) & (1 << 48) - 1
    chance = int.from_bytes(os.urandom(10))
    return f"{(stamp << 80) | (0x7 << 76) | ((chance >> 68 & 0xFFF) << 64) | (0b10 << 62) | (chance & (1 << 62) - 1):032x}"


def in_force(cursor: psycopg.Cursor[Any], keyring: Keyring) -> InForce:
    """What is in force until the end of this transaction: no generation begins before it."""
    # Two statements: the snapshot of the second must be younger than the lock.
    cursor.execute("select pg_advisory_xact_lock_shared(%s)", (GENERATIONS,))
    begun: list[tuple[Kind, int]] = cursor.execute(BEGUN).fetchall()
    return keyring.in_force(begun)


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
        self._checked = time.monotonic()
        self._closed = threading.Event()
        threading.Thread(target=_watch, args=(weakref.ref(self), self._closed), name="paxtrail-vault", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._connection.close()

    def refresh(self) -> None:
        """Forgets the keys that were deleted since the last call: once a micro-batch, so deletions bite within seconds."""
        checked = time.monotonic()
        with self._connection.transaction():
            rows = self._connection.execute("select id, token from key_deletion where id > %s order by id", (self._deletions,)).fetchall()
        for number, token in rows:
            self._keys.pop(token, None)
            self._deletions = number
        if rows:
            forget_ciphers()
        self._checked = checked

    def drop_unchecked(self) -> None:
        """Forgets every key if nobody asked for CHECKED_S which were deleted: an idle worker holds none. Safe beside other threads."""
        if (self._keys or self._quarantine) and time.monotonic() - self._checked > CHECKED_S:
            self._keys, self._quarantine = {}, {}  # others: who works with the old ones has what it asked for
            forget_ciphers()
        self._keyring.held()

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
        for numbers, asked in _digested(self._keyring, list(identifiers)):
            with self._connection.transaction():
                rows = self._connection.execute(_FIND.format("%s").encode(), (list(asked),)).fetchall()
            if numbers >= {number for _, _, number in rows if number is not None}:
                return {asked[bytes(digest)]: token for digest, token, number in rows if number is None}
        raise _behind()

    def keys(self, tokens: Iterable[str]) -> dict[str, bytes | None]:
        """Data key of each token; None where it was deleted for good."""
        if time.monotonic() - self._checked > CHECKED_S:
            self.refresh()
        asked, held = set(tokens), self._keys
        unknown = [t for t in asked if t not in held]
        if unknown:
            if len(held) > _CACHE:
                held.clear()
                unknown = list(asked)
            with self._connection.transaction():
                rows = self._connection.execute(
                    "select token, wrapped, generation from subject_key where token = any(%s)", (unknown,)
                ).fetchall()
            for token, wrapped, generation in rows:
                held[token] = None if wrapped is None else self._keyring.unwrap(token, bytes(wrapped), generation)
        return {t: held.get(t) for t in asked}

    def quarantine_key(self, day: str) -> bytes:
        """Key under which refused records of that day of arrival are kept; KeyError once it was deleted."""
        held = self._quarantine
        if day not in held:
            fresh = os.urandom(KEY_BYTES)
            with self._connection.transaction(), self._connection.cursor() as cursor:
                force = in_force(cursor, self._keyring)
                cursor.execute(
                    "insert into quarantine_key values (%s, %s, %s) on conflict do nothing", (day, force.wrap(day, fresh), force.generation)
                )
                row = cursor.execute("select wrapped, generation from quarantine_key where day = %s", (day,)).fetchone()
            if row is None or row[0] is None:
                raise KeyError(day)
            if len(held) > _DAYS:
                held.clear()  # a deleted key must not live on in a worker for as long as the worker does
            held[day] = self._keyring.unwrap(day, bytes(row[0]), row[1])
        return held[day]

    def forget(self, tokens: Iterable[str]) -> None:
        """Deletes the keys of these tokens and their sealed values for good; nothing sealed under them can be read again."""
        gone = list(tokens)
        with self._connection.transaction():
            # One after the other: workers take deletions by number, and would pass by one that commits after a larger one.
            self._connection.execute("select pg_advisory_xact_lock(%s)", (DELETIONS,))
            self._connection.execute("update subject_key set wrapped = null where token = any(%s)", (gone,))
            self._connection.execute("update identifier set sealed = null where token = any(%s)", (gone,))
            self._connection.execute("insert into key_deletion (token) select unnest(%s::text[])", (gone,))
        self.refresh()

    def _mint(self, identifiers: list[Identifier]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            force = in_force(cursor, self._keyring)
            digests = force.digests(identifiers)
            # All in one statement: what moves from one secret to the next meanwhile stands under one of them in its snapshot.
            for digest, token in self._known(cursor, list(digests)):
                self._tokens[digests[digest]] = token
            unknown = {force.digest(i): i for i in identifiers if i not in self._tokens}
            if len(force.lookups) > 1:
                reindex(cursor, force, {digest: i for digest, i in digests.items() if i in self._tokens})
            if not unknown:
                return
            fresh: dict[bytes, tuple[str, bytes]] = {}
            with cursor.copy("copy asked from stdin (format binary)") as copy:
                copy.set_types(["bytea", "text", "text", "bytea", "bytea"])
                for digest in sorted(unknown):
                    identifier, token, key = unknown[digest], new_token(), os.urandom(KEY_BYTES)
                    fresh[digest] = token, key
                    sealed = seal(key, "identifier", token, identifier.value).encode()
                    copy.write_row((digest, identifier.namespace, token, sealed, force.wrap(token, key)))
            # Sorted inserts: workers that mint the same identifiers wait for each other instead of deadlocking.
            cursor.execute(
                "with won as (insert into identifier select digest, namespace, token, sealed, %s from asked order by digest"
                " on conflict (digest) do nothing returning token)"
                " insert into subject_key select a.token, a.wrapped, %s from asked a join won using (token)",
                (force.lookup, force.generation),
            )
            for digest, token in self._known(cursor, list(unknown)):
                self._tokens[unknown[digest]] = token
                if fresh[digest][0] == token:
                    self._keys[token] = fresh[digest][1]

    @staticmethod
    def _known(cursor: psycopg.Cursor[Any], digests: list[bytes]) -> list[tuple[bytes, str]]:
        cursor.execute("select digest, token from identifier where digest = any(%s)", (digests,))
        return [(bytes(digest), token) for digest, token in cursor.fetchall()]


def reindex(cursor: psycopg.Cursor[Any], force: InForce, digests: dict[bytes, Identifier]) -> int:
    """Identifiers that stand under these digests of an older look-up secret stand under the newest; how many that were."""
    cursor.execute(
        "with found as (select digest from identifier where digest = any(%s) and lookup <> %s order by digest for update skip locked)"
        " update identifier i set digest = n.fresh, lookup = %s from found"
        " join unnest(%s::bytea[], %s::bytea[]) n (digest, fresh) using (digest) where i.digest = found.digest",
        (list(digests), force.lookup, force.lookup, list(digests), [force.digest(i) for i in digests.values()]),
    )
    return cursor.rowcount


class AsyncVault:
    """The vault as the API reads it (an asyncpg pool): no caches of keys, so a deletion holds at once."""

    def __init__(self, pool: Any, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring

    async def find(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
        """Tokens of those identifiers that have one."""
        for numbers, asked in _digested(self._keyring, list(identifiers)):
            rows = await self._pool.fetch(_FIND.format("$1::bytea[]"), list(asked))
            if numbers >= {row["lookup"] for row in rows if row["lookup"] is not None}:
                return {asked[bytes(row["digest"])]: row["token"] for row in rows if row["lookup"] is None}
        raise _behind()

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


def _digested(keyring: Keyring, identifiers: list[Identifier]) -> Iterator[tuple[set[int], dict[bytes, Identifier]]]:
    """Generations of the look-up secrets, and the digests under them: those that the process has, then those of a new look at its file."""
    for again in (False, True):
        if again:
            keyring.look()
        secrets = keyring.held().of["lookup"]
        yield set(secrets), {digest(secret, i): i for i in identifiers for secret in secrets.values()}


def _behind() -> KeyringBehind:
    return KeyringBehind("identifiers are indexed under a look-up secret that is not here: give the newest keyring to this process")


def _watch(vault: weakref.ref[Vault], closed: threading.Event) -> None:
    while not closed.wait(CHECKED_S / 2):
        if (found := vault()) is None:
            return
        found.drop_unchecked()
        del found
