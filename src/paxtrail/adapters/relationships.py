"""Publication of what connects entities: the serving store gets the edges, links and relations it lacks and loses what is no longer true.

A row's epoch is that of the newest micro-batch that states it, or newer. So a row of an epoch up to the cut is stated by nothing but
events that the cut covers: silver up to the cut decides, and what it does not have goes. A row that is said again after the cut has a newer
epoch and stays. Both hold under any interleaving, because stream transactions hold the open epoch FOR SHARE from their first statement and
a removal holds it FOR UPDATE.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import psycopg
from pyarrow import dataset as arrow

from paxtrail.adapters import lake, postgres
from paxtrail.adapters.publication import Counts, Run, again_after_deadlock, customers_of
from paxtrail.adapters.serving_store import SESSION, Changes, bump, relink, store_links
from paxtrail.settings import Settings
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import CORRECTIONS, EDGES, LINKS, RELATIONS

Rows = Sequence[tuple[Any, ...]]
_CHUNK = 5_000
_GONE_AT_ONCE = 500
"""Rows removed in one transaction: the stream waits for it."""
_RANGE = "relationships/0/0"


def publish_relationships(settings: Settings, run: Run) -> dict[str, Counts]:
    """Counts by table; `healed` is what was missing or no longer true. What other cuts published since the same epoch is not looked at."""
    address = postgres.dsn(settings, "serving", "batch")
    counts = {"edges": Counts(), "links": Counts(), "relations": Counts()}
    with psycopg.connect(address, autocommit=True, options=SESSION) as connection:
        row = connection.execute("SELECT epoch FROM publications WHERE range_id = %s", (_RANGE,)).fetchone()
        since = row[0] if row else 0
        if since >= run.epoch:
            for count in counts.values():
                count.refused = 1
            return counts
        if run.full_since(since):
            since = 0
        may_be_wrong = since == 0 or _is_corrected(settings, since, run.epoch)
        gone = _gone(connection, settings, EDGES, since, run.epoch) if may_be_wrong else []
        for edges in _chunks(settings, EDGES, since, run.epoch):
            counts["edges"].add(_done(connection, _edges, [(*edge, run.epoch) for edge in edges]))
        for start in range(0, len(gone), _GONE_AT_ONCE):
            counts["edges"].add(_done(connection, partial(_remove_edges, until=run.epoch), gone[start : start + _GONE_AT_ONCE]))
        for links in _chunks(settings, LINKS, since, run.epoch):
            counts["links"].add(_done(connection, _links, links))
        gone = _gone(connection, settings, RELATIONS, since, run.epoch) if may_be_wrong else []
        for relations in _chunks(settings, RELATIONS, since, run.epoch):
            counts["relations"].add(_done(connection, _relations, [(*relation, run.epoch) for relation in relations]))
        for start in range(0, len(gone), _GONE_AT_ONCE):
            counts["relations"].add(_done(connection, partial(_remove_relations, until=run.epoch), gone[start : start + _GONE_AT_ONCE]))
        with connection.transaction():
            connection.execute(
                "INSERT INTO publications AS p VALUES (%s, %s) ON CONFLICT (range_id)"
                " DO UPDATE SET epoch = greatest(p.epoch, excluded.epoch)",
                (_RANGE, run.epoch),
            )
            for table, count in counts.items():
                connection.execute(
                    "INSERT INTO publication_counts VALUES (%s, %s, %s, %s, %s, 0, 0) ON CONFLICT DO NOTHING",
                    (run.epoch, _RANGE, table, count.published, count.healed),
                )
    return counts


def _chunks(
    settings: Settings, table: Table, since: int, until: int, columns: Sequence[str] | None = None
) -> Iterator[list[tuple[str, ...]]]:
    columns = list(columns or (name for name in table.names if name != "epoch"))
    wanted = (arrow.field("epoch") > since) & (arrow.field("epoch") <= until)
    rows = lake.opened(table, settings).to_pyarrow_dataset().to_batches(columns=columns, filter=wanted, batch_size=_CHUNK)
    for batch in rows:
        if batch.num_rows:
            yield sorted(zip(*(batch.column(name).to_pylist() for name in columns), strict=True))


def _is_corrected(settings: Settings, since: int, until: int) -> bool:
    """Whether the stream took in anything that the batch did not, or otherwise: only then can it know what silver does not have."""
    corrections = lake.opened(CORRECTIONS, settings).to_pyarrow_dataset()
    return bool(corrections.head(1, filter=(arrow.field("epoch") > since) & (arrow.field("epoch") <= until)).num_rows)


def _gone(connection: psycopg.Connection[Any], settings: Settings, table: Table, since: int, until: int) -> list[tuple[str, ...]]:
    """Keys of the rows of epochs in (since, until] that silver up to the cut does not have."""
    served, key = table.name.split(".")[1], ", ".join(table.key)
    judged = (since, until)
    with connection.transaction(), connection.cursor() as cursor:
        if not cursor.execute(f"SELECT 1 FROM {served} WHERE epoch > %s AND epoch <= %s LIMIT 1".encode(), judged).fetchone():
            return []
        cursor.execute("SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on")
        cursor.execute(f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT {key} FROM {served} LIMIT 0".encode())
        with cursor.copy("COPY kept FROM STDIN") as copy:
            for rows in _chunks(settings, table, 0, until, table.key):
                for row in rows:
                    copy.write_row(row)
        cursor.execute("ANALYZE kept")
        cursor.execute(
            f"SELECT {key} FROM {served} s WHERE epoch > %s AND epoch <= %s AND NOT EXISTS"
            f" (SELECT 1 FROM kept k WHERE ({', '.join(f'k.{n}' for n in table.key)}) = ({', '.join(f's.{n}' for n in table.key)}))"
            f" ORDER BY {key}".encode(),
            judged,
        )
        return cursor.fetchall()


def _alone(cursor: psycopg.Cursor[Any]) -> None:
    """No micro-batch is under way until this transaction ends."""
    while not cursor.execute("SELECT 1 FROM epochs WHERE closed_by IS NULL FOR UPDATE").fetchone():
        pass  # a cut closed it while we waited for the row: READ COMMITTED does not look again


def _done(connection: psycopg.Connection[Any], step: Callable[[psycopg.Cursor[Any], Rows], Counts], rows: Rows) -> Counts:
    """Counts of the step, in a transaction of its own."""

    def transaction() -> Counts:
        with connection.transaction(), connection.cursor() as cursor:
            return step(cursor, rows)

    return again_after_deadlock(transaction)


def _remove_edges(cursor: psycopg.Cursor[Any], edges: Rows, *, until: int) -> Counts:
    _alone(cursor)
    cursor.execute(
        "DELETE FROM edges e USING unnest(%s::text[], %s::text[]) k(a, b) WHERE (e.a, e.b) = (k.a, k.b) AND e.epoch <= %s"
        " RETURNING e.a, e.b",
        (*(list(column) for column in zip(*edges, strict=True)), until),
    )
    removed = cursor.fetchall()
    # Every part that a customer falls into has an end of a removed edge in it.
    ends = {token for pair in removed for token in pair}
    changes = Changes()
    store_links(cursor, {token: token for token in ends} | relink(cursor, ends), changes)
    _forget(cursor, ends)
    bump(cursor, changes, 0)
    return Counts(healed=len(removed))


def _remove_relations(cursor: psycopg.Cursor[Any], relations: Rows, *, until: int) -> Counts:
    _alone(cursor)
    cursor.execute(
        "DELETE FROM relations r USING unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) k(fk, f, kind, tk, t)"
        " WHERE (r.from_kind, r.from_key, r.kind, r.to_kind, r.to_key) = (k.fk, k.f, k.kind, k.tk, k.t) AND r.epoch <= %s"
        " RETURNING r.from_kind, r.from_key, r.to_kind, r.to_key",
        (*(list(column) for column in zip(*relations, strict=True)), until),
    )
    removed = cursor.fetchall()
    _bump_ends(cursor, removed)
    _forget(cursor, {key for a_kind, a, b_kind, b in removed for kind, key in ((a_kind, a), (b_kind, b)) if kind == "profile"})
    return Counts(healed=len(removed))


def _forget(cursor: psycopg.Cursor[Any], tokens: Collection[str]) -> None:
    """Takes out the links of tokens that no event names any more: no subject (every subject is identified) and in no edge."""
    cursor.execute(
        "DELETE FROM links l USING unnest(%s::text[]) k(token) WHERE l.token = k.token"
        " AND NOT EXISTS (SELECT 1 FROM relations WHERE to_kind = 'profile' AND to_key = k.token AND kind = 'identifies')"
        " AND NOT EXISTS (SELECT 1 FROM edges WHERE a = k.token) AND NOT EXISTS (SELECT 1 FROM edges WHERE b = k.token)",
        (list(tokens),),
    )


def _edges(cursor: psycopg.Cursor[Any], edges: Rows) -> Counts:
    # The stream's own lock for links: who is one customer is decided by one at a time.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('links'))")
    cursor.execute(
        "INSERT INTO edges SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])"
        " ON CONFLICT DO NOTHING RETURNING a, b",
        [list(column) for column in zip(*edges, strict=True)],
    )
    missing = cursor.fetchall()
    if missing:
        changes = Changes()
        store_links(cursor, relink(cursor, {token for pair in missing for token in pair}), changes)
        bump(cursor, changes, 0)
    return Counts(published=len(edges), healed=len(missing))


def _links(cursor: psycopg.Cursor[Any], links: Rows) -> Counts:
    """Links that are missing, or other than the edges say; the serving store may know newer edges than the batch."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('links'))")
    tokens = [token for token, _ in links]
    cursor.execute("SELECT token, customer_id FROM unnest(%s::text[]) k(token) JOIN links USING (token)", (tokens,))
    served = dict(cursor.fetchall())
    other = {token for token, customer in links if served.get(token) != customer}
    counts = Counts(published=len(links))
    if other:
        wanted = {token: token for token in other} | relink(cursor, other)
        counts.healed = sum(token in other and served.get(token) != customer for token, customer in wanted.items())
        changes = Changes()
        store_links(cursor, wanted, changes)
        bump(cursor, changes, 0)
    return counts


def _relations(cursor: psycopg.Cursor[Any], relations: Rows) -> Counts:
    cursor.execute(
        "INSERT INTO relations SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])"
        " ON CONFLICT DO NOTHING RETURNING from_kind, from_key, to_kind, to_key",
        [list(column) for column in zip(*relations, strict=True)],
    )
    missing = cursor.fetchall()
    _bump_ends(cursor, missing)
    return Counts(published=len(relations), healed=len(missing))


def _bump_ends(cursor: psycopg.Cursor[Any], relations: Sequence[tuple[str, str, str, str]]) -> None:
    """A new version for both ends of (from_kind, from_key, to_kind, to_key)."""
    ends = {end for a_kind, a, b_kind, b in relations for end in ((a_kind, a), (b_kind, b))}
    changes = Changes()
    changes.entities = _known(cursor, sorted((kind, key) for kind, key in ends if kind not in ("profile", "identifier")))
    changes.customers = set(customers_of(cursor, sorted(key for kind, key in ends if kind == "profile")).values())
    bump(cursor, changes, 0)


def _known(cursor: psycopg.Cursor[Any], ends: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that have a version: a relation alone makes nobody a flight or a bag."""
    cursor.execute(
        "SELECT entity, key FROM unnest(%s::text[], %s::text[]) k(entity, key) JOIN versions USING (entity, key)",
        ([kind for kind, _ in ends], [key for _, key in ends]),
    )
    return set(cursor.fetchall())
