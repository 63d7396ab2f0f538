"""Rotation of the keyring's secrets beside a running platform: a new generation, moving what stands under the old one, its end.

Every step may be killed anywhere and run again. Order is what makes it safe: a secret is in the file before the vault puts it into force,
and out of force with nothing under it before it leaves the file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from paxtrail.adapters import keyring
from paxtrail.adapters.keyring import InForce, Keyring, Kind
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.vault import GENERATIONS, in_force, reindex
from paxtrail.core.records import Identifier
from paxtrail.core.sealing import open_
from paxtrail.errors import KeyInUse, NotFound
from paxtrail.settings import Settings

T = TypeVar("T", str, bytes)
BATCH = 500
"""Rows of one transaction: who deletes one of these keys meanwhile waits some milliseconds."""
_WRAPPED = {"subject_key": "token", "quarantine_key": "day"}
"""Tables of wrapped keys, and what their rows are bound to."""


class Rotation:
    """Works in the vault as its role `custodian`, with the keyring of these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keyring: Keyring = keyring.load(settings)
        self._connection: psycopg.Connection[Any] = psycopg.connect(dsn(settings, "vault", "custodian"), autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def status(self) -> dict[str, Any]:
        """By kind: the generation in force, those of the keyring, and what stands under each, `forgotten` apart (its values are gone)."""
        force = self._force()
        wrapped = {table: dict(self._rows(f"select generation, count(*) from {table} where wrapped is not null group by 1 order by 1"))
                   for table in _WRAPPED}  # fmt: skip
        indexed = self._rows("select lookup, count(*), count(*) filter (where sealed is null) from identifier group by 1 order by 1")
        held = self._keyring.held().of
        return {
            "wrapping": {"in_force": force.generation, "keyring": sorted(held["wrapping"]), **wrapped},
            "lookup": {
                "in_force": force.lookup,
                "keyring": sorted(held["lookup"]),
                "read": sorted(force.lookups),
                "identifiers": {number: count for number, count, _ in indexed},
                "forgotten": {number: gone for number, _, gone in indexed if gone},
            },
        }

    def begin(self, kind: Kind) -> int:
        """The next generation is in force: every process wraps or indexes under it from this moment, or waits until it has it.

        It is the keyring's if that has one newer than what is in force (from a key service, or from a run that was killed), else a new
        one in the keyring's file. KeyInUse where two look-up secrets are read already.
        """
        force = self._force()
        if kind == "lookup" and len(force.lookups) > 1:
            raise KeyInUse(f"look-up secret {min(force.lookups)} has not ended: `paxtrail keys rehash`, then `paxtrail keys end-lookup`")
        now = force.generation if kind == "wrapping" else force.lookup
        self._begun(kind, now)  # first, so that no process takes the file's word for it while others have the file before
        rows = self._rows("select max(generation) from key_generation where kind = %s", kind)
        newer = sorted(n for n in self._keyring.held().of[kind] if n > now)
        number = newer[0] if newer else max(now, rows[0][0]) + 1
        if not newer:
            keyring.add(self._settings, kind, number)
            self._keyring.look()
        self._begun(kind, number)
        return number

    def rewrap(self, batch: int = BATCH) -> dict[str, int]:
        """Wraps every data key under the generation in force; how many by table, and `left`, which is 0 unless another run works."""
        counts = {table: self._all(partial(self._rewrapped, table, batch), "") for table in _WRAPPED}
        force = self._force()
        return counts | {"generation": force.generation, "left": self._wrapped(sql.SQL("<>"), force.generation)}

    def destroy(self, number: int) -> bool:
        """The key-encryption key is gone from the keyring; whether it was there. KeyInUse while anything is wrapped under it."""
        force = self._force()
        if number >= force.generation:
            raise KeyInUse(f"generation {number} is or comes into force: `paxtrail keys rotate`, then `paxtrail keys rewrap`")
        self._known("wrapping", number)
        if left := self._wrapped(sql.SQL("="), number):
            raise KeyInUse(f"{left} keys are wrapped under generation {number}: `paxtrail keys rewrap`")
        return self._ended("wrapping", number)

    def rehash(self, batch: int = BATCH) -> dict[str, int]:
        """Indexes identifiers under the newest look-up secret: their values are opened with their own keys. `left` as for `rewrap`;
        `forgotten` are those whose value is gone: they move when somebody of that name is seen again."""
        count = self._all(partial(self._rehashed, batch), b"")
        force = self._force()
        left = self._rows("select count(sealed), count(*) - count(sealed) from identifier where lookup <> %s", force.lookup)
        return {"identifiers": count, "lookup": force.lookup, "left": left[0][0], "forgotten": left[0][1]}

    def end_lookup(self, number: int, *, accept_loss: bool = False) -> int:
        """The look-up secret is gone from the keyring; how many forgotten identifiers nobody finds any more.

        KeyInUse while values stand under it, and, unless `accept_loss`, while forgotten ones do: who is seen again under one of these
        names would be somebody new, whom nothing ties to the deletion.
        """
        force = self._force()
        if number >= force.lookup:
            raise KeyInUse(f"look-up secret {number} is or comes into force: `paxtrail keys rotate-lookup`, then `paxtrail keys rehash`")
        self._known("lookup", number)
        left, lost = self._rows("select count(sealed), count(*) - count(sealed) from identifier where lookup = %s", number)[0]
        if left:
            raise KeyInUse(f"{left} identifiers are indexed under look-up secret {number}: `paxtrail keys rehash`")
        if lost and not accept_loss:
            raise KeyInUse(
                f"{lost} forgotten identifiers are indexed under look-up secret {number}, and their values are gone: who is seen again"
                " under one of them would be new, with a key again. Wait, or `paxtrail keys end-lookup --accept-loss`"
            )
        self._ended("lookup", number)
        return int(lost)

    def _rewrapped(self, table: str, batch: int, after: str) -> tuple[int, str | None]:
        name, key = sql.Identifier(table), sql.Identifier(_WRAPPED[table])
        with self._connection.transaction(), self._connection.cursor() as cursor:
            force = in_force(cursor, self._keyring)
            # Locked from here to the write: a key that is deleted meanwhile is deleted after, and never brought back.
            rows = cursor.execute(
                sql.SQL(
                    "select {key}, wrapped, generation from {table} where wrapped is not null and generation <> %s and {key} > %s"
                    " order by {key} limit %s for update skip locked"
                ).format(key=key, table=name),
                (force.generation, after, batch),
            ).fetchall()
            again = [force.wrap(owner, self._keyring.unwrap(owner, bytes(wrapped), old)) for owner, wrapped, old in rows]
            cursor.execute(
                sql.SQL(
                    "update {table} set wrapped = n.wrapped, generation = %s from unnest(%s::text[], %s::bytea[]) n (owner, wrapped)"
                    " where {key} = n.owner"
                ).format(key=key, table=name),
                (force.generation, [owner for owner, _, _ in rows], again),
            )
        return len(rows), rows[-1][0] if rows else None

    def _rehashed(self, batch: int, after: bytes) -> tuple[int, bytes | None]:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            force = in_force(cursor, self._keyring)
            rows = cursor.execute(
                "select i.digest, i.namespace, i.token, i.sealed, k.wrapped, k.generation from identifier i"
                " join subject_key k using (token) where i.lookup <> %s and i.sealed is not null and k.wrapped is not null"
                " and i.digest > %s order by i.digest limit %s for update of i skip locked",
                (force.lookup, after, batch),
            ).fetchall()
            found = {
                bytes(digest): Identifier(
                    namespace, str(open_(self._keyring.unwrap(token, bytes(wrapped), generation), bytes(sealed).decode()))
                )
                for digest, namespace, token, sealed, wrapped, generation in rows
            }
            moved = reindex(cursor, force, found)
        return moved, bytes(rows[-1][0]) if rows else None

    @staticmethod
    def _all(step: Callable[[T], tuple[int, T | None]], first: T) -> int:
        """Sum of the steps, each from where the one before ended; again from the start until nothing is found (rows can be locked)."""
        total = 0
        while True:
            moved, after = 0, first
            while True:
                count, last = step(after)
                moved += count
                if last is None:
                    break
                after = last
            total += moved
            if not moved:
                return total

    def _force(self) -> InForce:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            return in_force(cursor, self._keyring)

    def _begun(self, kind: Kind, number: int) -> None:
        with self._connection.transaction():
            # Waits for who wraps or indexes now; who comes after sees the row.
            self._connection.execute("select pg_advisory_xact_lock(%s)", (GENERATIONS,))
            self._connection.execute("insert into key_generation (kind, generation) values (%s, %s) on conflict do nothing", (kind, number))

    def _ended(self, kind: Kind, number: int) -> bool:
        self._connection.execute(
            "insert into key_generation (kind, generation, ended_at) values (%s, %s, now())"
            " on conflict (kind, generation) do update set ended_at = coalesce(key_generation.ended_at, now())",
            (kind, number),
        )
        return keyring.drop(self._settings, kind, number)

    def _known(self, kind: Kind, number: int) -> None:
        rows = self._rows("select generation from key_generation where kind = %s", kind)
        known = sorted({generation for (generation,) in rows} | self._keyring.held().of[kind].keys())
        if number not in known:
            raise NotFound(f"there is no generation {number}; there are {', '.join(map(str, known))}")

    def _wrapped(self, compared: sql.SQL, number: int) -> int:
        counts = [
            self._connection.execute(
                sql.SQL("select count(*) from {} where wrapped is not null and generation {} %s").format(sql.Identifier(table), compared),
                (number,),
            ).fetchone()
            for table in _WRAPPED
        ]
        return sum(row[0] for row in counts if row)

    def _rows(self, statement: LiteralString, *arguments: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, arguments).fetchall()
