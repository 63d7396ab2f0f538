"""What is past its time leaves bronze: told in the serving store, carried out by whoever owns the table, between two micro-batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg

from paxtrail.adapters import lake
from paxtrail.core.retention import Limit
from paxtrail.core.sealing import MARK
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.tables.contracts import Table


class Order(NamedTuple):
    """Rows of `table` within `limit` are to go, of micro-batches that the cut of `epoch` and those before it took in."""

    table: str
    limit: Limit
    epoch: int


def tell(connection: psycopg.Connection[Any], orders: Iterable[Order]) -> None:
    """From now on these hold and no others."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM bronze_retention")
        cursor.executemany(
            "INSERT INTO bronze_retention (table_name, source, class, before, epoch) VALUES (%s, %s, %s, %s, %s)",
            [(order.table, *order.limit, order.epoch) for order in orders],
        )


def told(connection: psycopg.Connection[Any]) -> list[Order]:
    """The orders that hold, the same ones in the same order."""
    with connection.transaction():
        rows = connection.execute("SELECT table_name, source, class, before, epoch FROM bronze_retention ORDER BY 1, 2, 3").fetchall()
    return [Order(table, Limit(source, class_, before), epoch) for table, source, class_, before, epoch in rows]


def carry_out(
    connection: psycopg.Connection[Any], settings: Settings, lane: str, orders: Iterable[Order], tables: Mapping[str, Table]
) -> dict[str, int]:
    """Rows that went, by contract. `tables`: the lane's own of each contract; the caller is their writer. A second time finds nothing."""
    gone: dict[str, int] = {}
    for contract, table in tables.items():
        wanted = [order for order in orders if order.table == contract]
        if wanted:
            # The newest micro-batch stays: a rebuild finds there with which number the lane goes on.
            inside = f"lane = {_quoted(lane)} and seq < {lake.last_transaction(table, settings, lake.transaction_of(lane))}"
            # Nothing needs refused records but those who look at them; events stay until they are folded.
            if contract != bronze.REJECTS.name:
                inside += f" and {_taken_in(connection, lane, wanted[0].epoch)}"
            gone[contract] = delete(table, settings, [order.limit for order in wanted], inside)
    return gone


def delete(table: Table, settings: Settings, limits: Iterable[Limit], inside: str) -> int:
    """Rows deleted of a table of bronze: those within any of the limits that are `inside`. Predicates hold no personal value."""
    past = " or ".join(f"({_predicate(limit)})" for limit in limits)
    return int(lake.opened(table, settings).delete(f"({past}) and {inside}")["num_deleted_rows"])


def vacuum(table: Table, settings: Settings) -> int:
    """Files that went for good: those no version needs since the table's own time, a day."""
    return len(lake.opened(table, settings).vacuum(dry_run=False))


def _predicate(limit: Limit) -> str:
    parts = [f"arrival_time < {limit.before}"]
    if limit.source:
        parts.append(f"source = {_quoted(limit.source)}")
    if limit.class_:
        parts.append(f"payload like {_quoted(f'%{MARK}{limit.class_}:%')}")
    return " and ".join(parts)


def _taken_in(connection: psycopg.Connection[Any], lane: str, epoch: int) -> str:
    """The lane's micro-batches that cuts up to `epoch` cover; one that was numbered before and committed later is not among them."""
    with connection.transaction():
        newest = connection.execute(
            "SELECT max(seq) FROM stream_commit WHERE lane = %s AND part = -1 AND epoch <= %s", (lane, epoch)
        ).fetchone()
        until = -1 if newest is None or newest[0] is None else newest[0]
        others = connection.execute(
            "SELECT s.seq FROM seqs s WHERE s.lane = %s AND s.seq <= %s AND NOT EXISTS (SELECT 1 FROM stream_commit c"
            " WHERE c.lane = s.lane AND c.seq = s.seq AND c.part = -1 AND c.epoch <= %s) ORDER BY 1",
            (lane, until, epoch),
        ).fetchall()
    return f"seq <= {until}" + (f" and seq not in ({', '.join(str(seq) for (seq,) in others)})" if others else "")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
