"""The chains of the record of reads in the vault: checked against their heads, and shortened from the front when their time is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg
from psycopg import IsolationLevel

from paxtrail.adapters import keyring, postgres, witnesses
from paxtrail.core import chains
from paxtrail.core.chains import NOTHING, Break, Head, Link, Record
from paxtrail.settings import Settings

_LINKS = 50_000
"""Links checked and deleted in one transaction."""
_COLUMNS = "chain, seq, mac, (extract(epoch FROM at) * 1000000)::bigint, subject, client, role, purpose, route, customers, trace"


class Verdict(NamedTuple):
    """What a check saw, and what is not as it was written. `records` counts those without a chain too."""

    chains: int
    records: int
    breaks: list[Break]


def verify(settings: Settings, *, unchained: int = 0) -> Verdict:
    """Every record of reads checked, in one snapshot. Up to `unchained` records without a chain are accepted: those from before chains."""
    key, place = keyring.load(settings).reads_key(), witnesses.folder(settings)
    heads = witnesses.heads(place)  # before the table is looked at: what is written meanwhile can only be more
    seen: Counter[str] = Counter()
    found: list[Break] = []
    with psycopg.connect(postgres.dsn(settings, "vault", "auditor")) as vault:
        vault.isolation_level = IsolationLevel.REPEATABLE_READ
        after: dict[str, Head] = {}
        for chain, head, valid in _checkpoints(vault, key):
            if valid:
                after[chain] = head
            else:
                found.append(Break(chain, "forged", 1, head.seq))
        for chain, links in groupby(_rows(vault, "chain <> '' ORDER BY chain, seq"), key=itemgetter(0)):
            told = heads.pop(chain) if chain in heads else witnesses.head(place, chain)
            counted = _counted(links, seen)
            found += chains.breaks(key, chain, counted, after=after.get(chain, NOTHING), head=told)
            if told is None:
                found.append(Break(chain, "unwitnessed", 1, seen[chain]))
        for chain, head in heads.items():
            found += chains.breaks(key, chain, (), after=after.get(chain, NOTHING), head=head)
        ((loose,),) = vault.execute("SELECT count(*) FROM reads WHERE chain = ''").fetchall()
        if loose > unchained:
            found.append(Break("", "unchained", 0, loose))
    return Verdict(len(seen.keys() | heads.keys()), seen.total() + loose, found)


def expire(settings: Settings, before: int) -> dict[str, Any]:
    """Records deleted that are older than `before` (µs UTC), and chains of which nothing was, because they are not as they were written.

    A chain loses its oldest links up to the first one that is younger; where that is, a sealed checkpoint says.
    """
    key = keyring.load(settings).reads_key()
    deleted, broken = 0, []
    with psycopg.connect(postgres.dsn(settings, "vault", "retention"), autocommit=True) as vault:
        old = vault.execute(f"SELECT DISTINCT chain FROM reads WHERE at < {_MOMENT}", (before,)).fetchall()
        for (chain,) in old:
            if not chain:
                deleted += vault.execute(f"DELETE FROM reads WHERE chain = '' AND at < {_MOMENT}", (before,)).rowcount
                continue
            try:
                while gone := _shortened(vault, key, chain, before):
                    deleted += gone
            except _BrokenError:
                broken.append(chain)
    return {"deleted": deleted, "broken": sorted(broken)}


_MOMENT = "timestamptz 'epoch' + %s * interval '1 microsecond'"


class _BrokenError(Exception):
    pass


def _shortened(vault: psycopg.Connection[Any], key: bytes, chain: str, before: int) -> int:
    """Links deleted, oldest first, at most _LINKS of them; _BrokenError if they are not as they were written: what shows it must stay."""
    with vault.transaction():
        vault.execute("SELECT pg_advisory_xact_lock(hashtext('reads'), hashtext(%s))", (chain,))
        after = NOTHING
        for _, head, valid in _checkpoints(vault, key, chain):
            if not valid:
                raise _BrokenError
            after = head
        # Records of a journal are older than those around them: what is younger ends what may go.
        young = vault.execute(f"SELECT min(seq) FROM reads WHERE chain = %s AND at >= {_MOMENT}", (chain, before)).fetchone()
        end = young[0] - 1 if young and young[0] is not None else 2**62
        upto = min(end, after.seq + _LINKS)
        links = [_link(row) for row in _rows(vault, "chain = %s AND seq <= %s ORDER BY seq", chain, upto)]
        if chains.breaks(key, chain, links, after=after):
            raise _BrokenError
        if not links:
            return 0
        head = Head(links[-1].seq, links[-1].mac)
        vault.execute(
            "INSERT INTO read_checkpoints (chain, seq, mac, seal) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, mac = excluded.mac, seal = excluded.seal",
            (chain, *head, chains.seal(key, chain, head)),
        )
        return vault.execute("DELETE FROM reads WHERE chain = %s AND seq <= %s", (chain, head.seq)).rowcount


def _checkpoints(vault: psycopg.Connection[Any], key: bytes, chain: str | None = None) -> Iterator[tuple[str, Head, bool]]:
    """Chain, last link that was deleted in its time, and whether who had the key said so."""
    rows = vault.execute("SELECT chain, seq, mac, seal FROM read_checkpoints WHERE chain = %s OR %s::text IS NULL", (chain, chain))
    for name, seq, mac, seal in rows.fetchall():
        head = Head(seq, bytes(mac))
        yield name, head, chains.seal(key, name, head) == bytes(seal)


def _rows(vault: psycopg.Connection[Any], where: str, *arguments: object) -> Iterator[tuple[Any, ...]]:
    with vault.cursor(name="links") as cursor:
        cursor.itersize = 5_000
        cursor.execute(f"SELECT {_COLUMNS} FROM reads WHERE {where}".encode(), arguments)
        yield from cursor


def _counted(rows: Iterable[tuple[Any, ...]], seen: Counter[str]) -> Iterator[Link]:
    for row in rows:
        seen[row[0]] += 1
        yield _link(row)


def _link(row: tuple[Any, ...]) -> Link:
    return Link(row[1], Record(*row[3:]), bytes(row[2]))
