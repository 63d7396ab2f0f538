"""Publication: batch states replace what the serving store held up to the cut, range by range, and every difference is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import orjson
import psycopg
import tenacity
from pyarrow import dataset as arrow

from paxtrail.adapters import lake, postgres
from paxtrail.adapters.ranges import Published, Range, ranges
from paxtrail.adapters.serving_store import SESSION, Changes, bump
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.folds import unite, view
from paxtrail.errors import EpochRefused, GateRed, NotFound, PaxtrailError
from paxtrail.settings import Settings
from paxtrail.tables.silver import CORRECTIONS, STATES

T = TypeVar("T")
DERIVED = ("outcome", "history")
"""Entities the batch alone makes: nothing of the stream to compare them with."""
EMPTY = "{}"
"""Text of a state that is no more: an outcome that a late event took back."""
_SLICE = 64
"""Ranges read from Delta at a time."""
_ATTEMPTS = 5


class State(NamedTuple):
    """A state as stored: digest of its table, JSON text."""

    digest: str
    text: str


@dataclass(slots=True)
class Counts:
    """What a publication did to one entity. `healed`: known corrections; `redefined`: another attribute table; `drifted` must be 0."""

    published: int = 0
    healed: int = 0
    redefined: int = 0
    drifted: int = 0
    ranges: int = 0
    refused: int = 0

    def add(self, other: Counts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Run:
    """A finished batch run: what is to be published. `definitions`: digests by epoch of every run so far, to tell a redefinition."""

    run_id: str
    epoch: int
    cut_time: int
    states_version: int
    modes: Mapping[int, str]
    definitions: Mapping[int, Mapping[str, str]]

    def full_since(self, epoch: int) -> bool:
        """Whether every key must be looked at by who last published `epoch`."""
        return epoch <= 0 or any(mode == "full" for at, mode in self.modes.items() if epoch < at <= self.epoch)

    def redefined_since(self, epoch: int, entity: str) -> bool:
        mine = self.definitions[self.epoch].get(entity)
        return any(digests.get(entity, mine) != mine for at, digests in self.definitions.items() if epoch <= at <= self.epoch)


def run_of(connection: psycopg.Connection[Any], run_id: str) -> Run:
    """The finished batch run; NotFound where its states were never made."""
    rows = connection.execute(
        "SELECT r.run_id, c.epoch, c.cut_time, r.states_version, r.mode, r.digests, r.gate FROM batch_runs r JOIN cuts c USING (run_id)"
        " WHERE c.epoch <= (SELECT epoch FROM cuts WHERE run_id = %s) ORDER BY c.epoch",
        (run_id,),
    ).fetchall()
    if not rows or rows[-1][0] != run_id:
        raise NotFound(f"run {run_id} has no states yet: paxtrail batch run --run {run_id}")
    _, epoch, cut_time, states_version, _, _, gate = rows[-1]
    if gate == "red":
        raise GateRed(f"run {run_id} failed its quality gate; mend what it names and ask again: paxtrail batch run --run {run_id}")
    return Run(run_id, epoch, cut_time, states_version, {r[1]: r[4] for r in rows}, {r[1]: r[5] for r in rows})


@dataclass(slots=True)
class Publication:
    """Publishes one run. `tables` are the attribute tables the run was made with; `rebuild`: into an empty store, where all is missing."""

    settings: Settings
    run: Run
    tables: Mapping[str, AttributeTable]
    rebuild: bool = False
    counts: dict[str, Counts] = field(default_factory=dict)

    def publish(self) -> dict[str, Counts]:
        """Counts by entity. Killed, it resumes with the ranges that are left; a second time it does nothing."""
        for entity, digest in self.run.definitions[self.run.epoch].items():
            if self.tables[entity].digest != digest:
                raise PaxtrailError(f"{entity}: the attribute table is not the one of run {self.run.run_id}; run the batch again")
        address = postgres.dsn(self.settings, "serving", "batch")
        with psycopg.connect(address, autocommit=True) as scan, psycopg.connect(address, autocommit=True, options=SESSION) as writer:
            states = lake.opened(STATES, self.settings, self.run.states_version).to_pyarrow_dataset()
            corrections = lake.opened(CORRECTIONS, self.settings).to_pyarrow_dataset()
            for entity in (*sorted(self.tables), *DERIVED):
                self.counts[entity] = self._entity(scan, writer, entity, states, corrections)
            left = scan.execute("SELECT count(*) FROM states WHERE epoch BETWEEN 1 AND %s", (self.run.epoch,)).fetchone()
            if left and left[0]:
                # A speed state under a closed epoch that no range saw: someone wrote under an epoch that was closed.
                self.counts.setdefault("left_over", Counts()).drifted += left[0]
        return self.counts

    def _entity(
        self, scan: psycopg.Connection[Any], writer: psycopg.Connection[Any], entity: str, states: arrow.Dataset, corrections: arrow.Dataset
    ) -> Counts:
        published = Published.load(scan, entity)
        total = states.count_rows(filter=arrow.field("entity") == entity)
        plan = ranges(entity, total)
        full = self.rebuild or any(self.run.full_since(published.oldest(one)) for one in plan)
        since = min(published.oldest(one) for one in plan)
        corrected = _corrected(corrections, entity, since, self.run.epoch)
        counts = Counts()
        with scan.transaction(), _served_keys(scan, entity, plan[0].bits, self.run.epoch, full) as served:
            keys = _Ahead(served)
            for first in range(0, len(plan), _SLICE):
                part = plan[first : first + _SLICE]
                slice_: dict[int, dict[str, State]] | None = None
                for one in part:
                    there = keys.take(one.number)
                    if slice_ is None:
                        slice_ = _slice(states, part, None if full else since)
                    counts.add(self._range(writer, one, slice_.get(one.number, {}), there, published, full, corrected))
        return counts

    def _range(
        self,
        writer: psycopg.Connection[Any],
        one: Range,
        fresh: Mapping[str, State],
        served: Iterable[str],
        published: Published,
        full: bool,
        corrected: set[str],
    ) -> Counts:
        keys, since, newest = sorted({*fresh, *served}), published.oldest(one), published.newest(one)
        try:
            return again_after_deadlock(
                lambda: publish_range(writer, self, one, fresh, keys, since=since, newest=newest, full=full, corrected=corrected)
            )
        except EpochRefused:
            return Counts(refused=1)


def again_after_deadlock(transaction: Callable[[], T]) -> T:
    """What the transaction gives; where a micro-batch and it waited for each other and it lost, it is made again, from its start."""
    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    return trying(transaction)


def publish_range(
    connection: psycopg.Connection[Any],
    publication: Publication,
    one: Range,
    fresh: Mapping[str, State],
    keys: Sequence[str],
    *,
    since: int,
    newest: int,
    full: bool,
    corrected: set[str],
) -> Counts:
    """One range in one transaction; EpochRefused where what is served is as new or newer."""
    run, entity = publication.run, one.entity
    counts = Counts(ranges=1)
    with connection.transaction(), connection.cursor() as cursor:
        _claim(cursor, one, run.epoch, newest)
        if keys:
            served = _served(cursor, entity, keys, run.epoch)
            changed: list[str] = []
            wanted: dict[str, State | None] = {}
            redefined = run.redefined_since(since, entity)
            for key in keys:
                rows = served.get(key, {})
                old = rows.get(0)
                # What an incremental run did not fold is as it was published.
                new = fresh.get(key, None if full else old)
                new = wanted[key] = None if new is not None and new.text == EMPTY else new
                speed = [state for epoch, state in rows.items() if epoch > 0]
                counts.published += 1
                if _same(publication.tables.get(entity), old, speed, new):
                    continue
                changed.append(key)
                if entity in DERIVED:
                    continue
                held = {state.digest for state in (*speed, *([old] if old else [])) if state.digest}
                if redefined or (new is not None and held - {new.digest}):
                    counts.redefined += 1
                elif key in corrected or publication.rebuild:
                    counts.healed += 1
                else:
                    counts.drifted += 1
            _replace(cursor, entity, {key: rows.get(0) for key, rows in served.items()}, wanted, run.epoch)
            if changed:
                bump(cursor, _changes(cursor, entity, changed), 0)
        cursor.execute(
            "INSERT INTO publication_counts VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (run.epoch, one.id, entity, counts.published, counts.healed, counts.redefined, counts.drifted),
        )
    return counts


def _claim(cursor: psycopg.Cursor[Any], one: Range, epoch: int, newest: int) -> None:
    """The range is this epoch's; refused where it, or a range it was split from or joined of, is as new."""
    cursor.execute(
        "INSERT INTO publications AS p (range_id, epoch) VALUES (%s, %s) ON CONFLICT (range_id)"
        " DO UPDATE SET epoch = excluded.epoch WHERE p.epoch < excluded.epoch",
        (one.id, epoch),
    )
    if cursor.rowcount != 1 or newest >= epoch:
        raise EpochRefused(f"{one.id} is published at epoch {max(newest, epoch)} or later; {epoch} is not newer")


def _served(cursor: psycopg.Cursor[Any], entity: str, keys: Sequence[str], epoch: int) -> dict[str, dict[int, State]]:
    """The states up to the cut, by key and epoch, locked in key order."""
    cursor.execute(
        "SELECT s.key, s.epoch, s.digest, s.state FROM unnest(%s::text[]) k(key) JOIN states s ON s.entity = %s AND s.key = k.key"
        " WHERE s.epoch <= %s ORDER BY s.key, s.epoch FOR UPDATE OF s",
        (list(keys), entity, epoch),
    )
    found: dict[str, dict[int, State]] = {}
    for key, at, digest, text in cursor:
        found.setdefault(key, {})[at] = State(digest, text)
    return found


def _same(table: AttributeTable | None, old: State | None, speed: Sequence[State], new: State | None) -> bool:
    """Whether readers see by `new` what they saw by `old` with `speed`: equal text first, then equal values, then equal views."""
    before = [state for state in (*([old] if old else []), *speed) if state.text != EMPTY]
    if new is None or table is None:
        return not before if new is None else len(before) == 1 and before[0].text == new.text
    if len(before) == 1 and before[0] == new:
        return True
    united = unite(table, [orjson.loads(state.text) for state in before])
    wanted = orjson.loads(new.text)
    return united == wanted or view(table, united) == view(table, wanted)


def _replace(
    cursor: psycopg.Cursor[Any], entity: str, old: Mapping[str, State | None], new: Mapping[str, State | None], epoch: int
) -> None:
    """Speed states up to the cut go, batch states become what is wanted."""
    cursor.execute(
        "DELETE FROM states s USING unnest(%s::text[]) k(key) WHERE s.entity = %s AND s.key = k.key AND s.epoch BETWEEN 1 AND %s",
        (list(new), entity, epoch),
    )
    if gone := [key for key, state in new.items() if state is None and old.get(key) is not None]:
        cursor.execute(
            "DELETE FROM states s USING unnest(%s::text[]) k(key) WHERE s.entity = %s AND s.key = k.key AND s.epoch = 0", (gone, entity)
        )
    rows = [(entity, key, 0, *state) for key, state in new.items() if state is not None and old.get(key) != state]
    if rows:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS publishing (LIKE states) ON COMMIT DELETE ROWS")
        with cursor.copy("COPY publishing FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            "INSERT INTO states SELECT * FROM publishing ORDER BY entity, key"
            " ON CONFLICT (entity, key, epoch) DO UPDATE SET digest = excluded.digest, state = excluded.state"
        )


def _changes(cursor: psycopg.Cursor[Any], entity: str, keys: Sequence[str]) -> Changes:
    """Whose version the changed states are: tokens' are their customers', an outcome is its journey's."""
    changes = Changes()
    if entity in ("profile", "history"):
        changes.customers = set(customers_of(cursor, keys).values())
    else:
        changes.entities = {("journey" if entity == "outcome" else entity, key) for key in keys}
    return changes


def customers_of(cursor: psycopg.Cursor[Any], tokens: Iterable[str]) -> dict[str, str]:
    """Customer of each token; one that no link knows is its own."""
    asked = list(tokens)
    cursor.execute("SELECT token, customer_id FROM unnest(%s::text[]) k(token) JOIN links USING (token)", (asked,))
    return {token: token for token in asked} | dict(cursor.fetchall())


def _slice(states: arrow.Dataset, part: Sequence[Range], since: int | None) -> dict[int, dict[str, State]]:
    """New batch states by range and key; with `since`, only what cuts after it changed."""
    wanted = (arrow.field("entity") == part[0].entity) & (arrow.field("bucket") >= part[0].low) & (arrow.field("bucket") < part[-1].high)
    if since is not None:
        wanted &= arrow.field("epoch") > since
    rows = states.to_table(columns=["key", "bucket", "digest", "state"], filter=wanted)
    found: dict[int, dict[str, State]] = {}
    shift = part[0].shift
    for key, bucket, digest, text in zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True):
        found.setdefault(bucket >> shift, {})[key] = State(digest, text)
    return found


def _corrected(corrections: arrow.Dataset, entity: str, since: int, epoch: int) -> set[str]:
    wanted = (arrow.field("entity") == entity) & (arrow.field("epoch") > since) & (arrow.field("epoch") <= epoch)
    return set(corrections.to_table(columns=["key"], filter=wanted).column("key").to_pylist())


class _served_keys:
    """Keys the serving store holds up to the cut, in order of range, by a cursor of the server: (number of the range, keys)."""

    def __init__(self, connection: psycopg.Connection[Any], entity: str, bits: int, epoch: int, full: bool) -> None:
        self._cursor = connection.cursor(name="served_keys")
        # The same 16 bits of md5 that silver.states has as `bucket`.
        self._cursor.execute(
            "SELECT DISTINCT ('x' || left(md5(key), 4))::bit(16)::int >> %s AS number, key FROM states"
            " WHERE entity = %s AND epoch BETWEEN %s AND %s ORDER BY 1",
            (16 - bits, entity, 0 if full else 1, epoch),
        )

    def __enter__(self) -> Iterator[tuple[int, list[str]]]:
        return ((number, [key for _, key in rows]) for number, rows in groupby(self._cursor, key=lambda row: row[0]))

    def __exit__(self, *_: object) -> None:
        self._cursor.close()


class _Ahead:
    """Takes the keys of each range in turn from a stream that is sorted by range and leaves out empty ones."""

    def __init__(self, stream: Iterator[tuple[int, list[str]]]) -> None:
        self._stream = stream
        self._next = next(stream, None)

    def take(self, number: int) -> list[str]:
        if self._next is None or self._next[0] != number:
            return []
        found = self._next[1]
        self._next = next(self._stream, None)
        return found
