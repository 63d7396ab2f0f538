"""Publication of what connects entities: edges, links and relations that the serving store lacks; sets that only grow, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from deltalake import DeltaTable
from pyarrow import dataset as arrow

from paxtrail.adapters import postgres
from paxtrail.adapters.publication import Counts, Run, customers_of
from paxtrail.adapters.serving_store import SESSION, Changes, bump, relink, store_links
from paxtrail.settings import Settings
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import EDGES, LINKS, RELATIONS

_CHUNK = 5_000
_RANGE = "relationships/0/0"


def publish_relationships(settings: Settings, run: Run) -> dict[str, Counts]:
    """Counts by table; `healed` is what was missing. What other cuts published since the same epoch is not looked at again."""
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
        for edges in _chunks(settings, EDGES, since, run.epoch):
            _edges(connection, edges, counts["edges"])
        for links in _chunks(settings, LINKS, since, run.epoch):
            _links(connection, links, counts["links"])
        for relations in _chunks(settings, RELATIONS, since, run.epoch):
            _relations(connection, relations, counts["relations"])
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


def _chunks(settings: Settings, table: Table, since: int, until: int) -> Iterator[list[tuple[str, ...]]]:
    columns = [name for name in table.names if name != "epoch"]
    wanted = (arrow.field("epoch") > since) & (arrow.field("epoch") <= until)
    rows = DeltaTable(table.path(settings.lake)).to_pyarrow_dataset().to_batches(columns=columns, filter=wanted, batch_size=_CHUNK)
    for batch in rows:
        if batch.num_rows:
            yield sorted(zip(*(batch.column(name).to_pylist() for name in columns), strict=True))


def _edges(connection: psycopg.Connection[Any], edges: Sequence[tuple[str, ...]], counts: Counts) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        # The stream's own lock for links: who is one customer is decided by one at a time.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('links'))")
        cursor.execute(
            "INSERT INTO edges SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING RETURNING a, b",
            [list(column) for column in zip(*edges, strict=True)],
        )
        missing = cursor.fetchall()
        counts.published += len(edges)
        counts.healed += len(missing)
        if missing:
            changes = Changes()
            store_links(cursor, relink(cursor, {token for pair in missing for token in pair}), changes)
            bump(cursor, changes, 0)


def _links(connection: psycopg.Connection[Any], links: Sequence[tuple[str, ...]], counts: Counts) -> None:
    """Links that are missing, or other than the edges say; the serving store may know newer edges than the batch."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('links'))")
        tokens = [token for token, _ in links]
        cursor.execute("SELECT token, customer_id FROM unnest(%s::text[]) k(token) JOIN links USING (token)", (tokens,))
        served = dict(cursor.fetchall())
        other = {token for token, customer in links if served.get(token) != customer}
        counts.published += len(links)
        if other:
            wanted = {token: token for token in other} | relink(cursor, other)
            moved = {token: customer for token, customer in wanted.items() if token in other and served.get(token) != customer}
            counts.healed += len(moved)
            changes = Changes()
            store_links(cursor, wanted, changes)
            bump(cursor, changes, 0)


def _relations(connection: psycopg.Connection[Any], relations: Sequence[tuple[str, ...]], counts: Counts) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO relations SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
            " ON CONFLICT DO NOTHING RETURNING from_kind, from_key, to_kind, to_key",
            [list(column) for column in zip(*relations, strict=True)],
        )
        missing = cursor.fetchall()
        counts.published += len(relations)
        counts.healed += len(missing)
        ends = {end for a_kind, a, b_kind, b in missing for end in ((a_kind, a), (b_kind, b))}
        if ends:
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
