"""What a micro-batch does to the serving store: states, links, relations, timeline, versions, outbox and its commit row, at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg

from paxtrail.adapters import delays
from paxtrail.core.attributes import AttributeTable
from paxtrail.core.folds import Event, brief, fold, merge
from paxtrail.core.identity import customers, edges_of
from paxtrail.errors import ConfigurationError

Row = Mapping[str, Any]
Cursor = psycopg.Cursor[Any]
Key = tuple[str, str]

# The writer only ever works by key; without statistics on temporary tables the planner would scan whole tables.
SESSION = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c synchronous_commit=on -c jit=off"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Records of one source and hour of arrival in one micro-batch."""

    source: str
    hour: int
    received: int
    accepted: int
    duplicates: int
    refused: int
    events: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch as PostgreSQL gets it: rows of bronze.events, the ledger, the offsets it covers."""

    lane: str
    seq: int
    offsets: Mapping[str, Mapping[str, Sequence[int]]]
    rows: Sequence[Row]
    ledger: Sequence[LedgerLine]
    oldest: int | None = None
    """Arrival of its oldest record, µs UTC: how long that waited is how fresh the micro-batch is."""


@dataclass(slots=True)
class Changes:
    """What a transaction changed: who needs a new version."""

    tokens: set[str] = field(default_factory=set)
    """Subjects: persons from now on, whether linked or not."""
    profiles: set[str] = field(default_factory=set)
    """Tokens whose state changed; what is said of consent changes those of every account named."""
    entities: set[Key] = field(default_factory=set)
    customers: set[str] = field(default_factory=set)
    types: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    traces: dict[Key, tuple[int, str]] = field(default_factory=dict)
    """Arrival and trace context of the newest record that touched an entity, where one had a context."""


def event_of(row: Row) -> Event:
    """The event a row of bronze.events folds as."""
    return Event(
        row["event_id"],
        row["source"],
        row["type"],
        row["event_time"],
        row["source_sequence"],
        row["arrival_time"],
        orjson.loads(row["payload"]),
    )


def partial_states(rows: Iterable[Row], tables: Mapping[str, AttributeTable]) -> tuple[dict[Key, dict[str, Any]], dict[Key, list[Event]]]:
    """Folds of the rows by entity, and the events of each entity."""
    events: dict[Key, list[Event]] = defaultdict(list)
    for row in rows:
        event = event_of(row)
        for entity in row["entities"]:
            events[entity["kind"], entity["key"]].append(event)
    states = {at: fold(tables[at[0]], found) for at, found in events.items()}
    return states, events


def commit(connection: psycopg.Connection[Any], batch: Batch, tables: Mapping[str, AttributeTable], appended: Callable[[], None]) -> bool:
    """One transaction for the whole micro-batch; False if it was committed before. `appended` returns when Delta has it.

    PostgreSQL commits last: what is served is in bronze (invariant 5).
    """
    with connection.transaction(), connection.cursor() as cursor:
        epoch = current_epoch(cursor)
        if is_committed(cursor, batch.lane, batch.seq):
            return False
        apply(cursor, epoch, batch.rows, tables, batch.seq)
        write_ledger(cursor, batch.ledger)
        appended()
        mark(cursor, batch.lane, batch.seq, epoch, batch.offsets, ledger=batch.ledger, oldest=batch.oldest)
    return True


def apply(cursor: Cursor, epoch: int, rows: Sequence[Row], tables: Mapping[str, AttributeTable], seq: int) -> None:
    """What these events change, within the caller's transaction: states, relations, links, timeline, versions, outbox."""
    states, events = partial_states(rows, tables)
    changes = Changes()
    write_states(cursor, epoch, states, tables)
    note(changes, rows)
    write_relations(cursor, epoch, rows)
    write_links(cursor, epoch, rows, changes)
    write_timeline(cursor, events)
    bump(cursor, changes, seq)


def mark(
    cursor: Cursor,
    lane: str,
    seq: int,
    epoch: int,
    offsets: Mapping[str, Any],
    *,
    part: int = -1,
    ledger: Sequence[LedgerLine] = (),
    oldest: int | None = None,
) -> None:
    """The commit row of a micro-batch, or of one part of it; the whole one's says how many events it has in bronze."""
    events = sum(line.events for line in ledger) if part < 0 else None
    if oldest is not None:
        delays.count(cursor, lane, sum(line.received for line in ledger), oldest)
    cursor.execute(
        "insert into stream_commit (lane, seq, part, epoch, offsets, events) values (%s, %s, %s, %s, %s, %s)",
        (lane, seq, part, epoch, orjson.dumps(offsets).decode(), events),
    )


def current_epoch(cursor: Cursor) -> int:
    """The open epoch, held against a cut until this transaction ends."""
    cursor.execute("select pg_advisory_xact_lock_shared(hashtext('epoch'))")  # behind a cut that waits: see cuts.py
    while True:
        # A cut that commits while we wait makes the row no longer match: ask again for its successor.
        row = cursor.execute("select epoch from epochs where closed_by is null for share").fetchone()
        if row:
            return int(row[0])


def is_committed(cursor: Cursor, lane: str, seq: int, part: int = -1) -> bool:
    found = cursor.execute("select 1 from stream_commit where lane = %s and seq = %s and part = %s", (lane, seq, part)).fetchone()
    return found is not None


def mint_seq(connection: psycopg.Connection[Any], lane: str, checkpoint: str, batch_id: int, offsets: Mapping[str, Any]) -> int:
    """The lane's number of this micro-batch; a replay finds the one it had."""
    with connection.transaction(), connection.cursor() as cursor:
        known = "select seq from seqs where lane = %s and checkpoint_id = %s and batch_id = %s"
        row = cursor.execute(known, (lane, checkpoint, batch_id)).fetchone()
        if row is None:
            row = cursor.execute(
                "insert into seqs select %(lane)s, %(checkpoint)s, %(batch)s, coalesce(max(seq), 0) + 1, %(offsets)s from seqs"
                " where lane = %(lane)s returning seq",
                {"lane": lane, "checkpoint": checkpoint, "batch": batch_id, "offsets": orjson.dumps(offsets).decode()},
            ).fetchone()
            number(cursor, lane, offsets)
        if row is None:
            raise AssertionError("insert returned no row")
        return int(row[0])


def number(cursor: Cursor, lane: str, offsets: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
    """Notes that these ranges have a number; ConfigurationError where part of one had: two streams read the same topic."""
    spans = sorted((topic, int(p), span[0], span[1]) for topic, partitions in offsets.items() for p, span in partitions.items())
    if not spans:
        return
    cursor.execute(
        "insert into numbered as n select *, %s from unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[])"
        " on conflict (topic, partition) do update set since = excluded.since, until = excluded.until, lane = excluded.lane"
        " where n.until <= excluded.since",
        (lane, *(list(column) for column in zip(*spans, strict=True))),
    )
    if cursor.rowcount != len(spans):
        raise ConfigurationError(
            f"another stream has numbered records of {', '.join(sorted(offsets))} that lane {lane} read as well;"
            " end the one that was started with other [lanes], and start this one again"
        )


def numbered_until(connection: psycopg.Connection[Any], topics: Sequence[str]) -> dict[str, dict[str, int]]:
    """Next offset to read by topic and partition, whichever lane read before: where a stream starts once that is finished."""
    with connection.transaction():
        rows = connection.execute("select topic, partition, until from numbered where topic = any(%s)", (list(topics),)).fetchall()
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for topic, partition, until in rows:
        found[topic][str(partition)] = until
    return dict(found)


def write_states(cursor: Cursor, epoch: int, states: Mapping[Key, dict[str, Any]], tables: Mapping[str, AttributeTable]) -> None:
    """Merges partial states into the speed states of `epoch`, locking in key order."""
    keys = sorted(at for at, state in states.items() if state)
    if not keys:
        return
    arrays = ([entity for entity, _ in keys], [key for _, key in keys])
    existing = _locked(cursor, epoch, arrays)
    missing = [at for at in keys if at not in existing]
    if missing:
        # Another lane may create the same rows meanwhile: an empty row first, then its lock, so that nobody's fold is lost.
        cursor.execute(
            "insert into states select *, %s, '', '{}' from unnest(%s::text[], %s::text[]) on conflict do nothing",
            (epoch, [entity for entity, _ in missing], [key for _, key in missing]),
        )
        if cursor.rowcount != len(missing):
            existing |= _locked(cursor, epoch, ([entity for entity, _ in missing], [key for _, key in missing]))
    with _copy(cursor, "fresh", "entity text, key text, digest text, state text") as copy:
        for at in keys:
            table = tables[at[0]]
            old = existing.get(at)
            state = states[at] if old is None else merge(table, orjson.loads(old), states[at])
            copy.write_row((*at, table.digest, orjson.dumps(state).decode()))
    cursor.execute(
        "update states s set digest = f.digest, state = f.state from fresh f where s.entity = f.entity and s.key = f.key and s.epoch = %s",
        (epoch,),
    )


def _locked(cursor: Cursor, epoch: int, keys: tuple[list[str], list[str]]) -> dict[Key, str]:
    cursor.execute(
        "select s.entity, s.key, s.state from unnest(%s::text[], %s::text[]) k(entity, key) join states s using (entity, key)"
        " where s.epoch = %s order by s.entity, s.key for update of s",
        (*keys, epoch),
    )
    return {(entity, key): state for entity, key, state in cursor.fetchall()}


def note(changes: Changes, rows: Iterable[Row]) -> None:
    """Adds to `changes` what these rows touch."""
    for row in rows:
        if row["subject"] is not None:
            changes.tokens.add(row["subject"])
            changes.types[row["subject"]].add(row["type"])
        if row["traceparent"] is not None:
            newest = (row["arrival_time"], row["traceparent"])
            for entity in row["entities"]:
                at = entity["kind"], entity["key"]
                changes.traces[at] = max(newest, changes.traces.get(at, newest))
        for entity in row["entities"]:
            if entity["kind"] == "profile":
                changes.profiles.add(entity["key"])
            else:
                changes.entities.add((entity["kind"], entity["key"]))


def write_relations(cursor: Cursor, epoch: int, rows: Iterable[Row]) -> None:
    """Adds relations that are not there yet; those that are were said in `epoch` too."""
    relations = sorted({(r["from_kind"], r["from_key"], r["kind"], r["to_kind"], r["to_key"]) for row in rows for r in row["relations"]})
    if not relations:
        return
    with _copy(cursor, "related", "from_kind text, from_key text, kind text, to_kind text, to_key text") as copy:
        for relation in relations:
            copy.write_row(relation)
    cursor.execute(
        "insert into relations as r select *, %s from related order by 1, 2, 3, 4, 5"
        " on conflict (from_kind, from_key, kind, to_kind, to_key) do update set epoch = excluded.epoch where r.epoch < excluded.epoch",
        (epoch,),
    )


def write_links(cursor: Cursor, epoch: int, rows: Iterable[Row], changes: Changes) -> None:
    """Links new tokens and new edges: links and versions change, states never do (invariant 8)."""
    edges = sorted({edge for row in rows for edge in _edges(row)})
    columns = [list(column) for column in zip(*edges, strict=True)]
    linked = {token for pair in cursor.execute(_FRESH, columns).fetchall() for token in pair} if edges else set()
    if linked:
        # One at a time decides who is one customer; two lanes would each miss the other's edges. Before any row of links is there:
        # a lane that had written some and then waited here would be waited for by the one that decides.
        cursor.execute("select pg_advisory_xact_lock(hashtext('links'))")
    # A token nobody linked yet is its own customer; if another lane links it meanwhile, its word stands.
    created = cursor.execute(
        "insert into links select t, t from unnest(%s::text[]) t on conflict do nothing returning token", (sorted(changes.tokens | linked),)
    ).fetchall()
    if edges:
        cursor.execute(
            f"insert into edges as e select *, %s from {_EDGES} f"
            " on conflict (a, b) do update set epoch = excluded.epoch where e.epoch < excluded.epoch",
            [epoch, *columns],
        )
    if linked:
        links = relink(cursor, linked)
        store_links(cursor, links, changes)
        # Nobody was ever told of these as customers.
        changes.customers -= {token for (token,) in created if links.get(token, token) != token}
    changes.customers |= set(_links(cursor, changes.tokens | changes.profiles).values())


_EDGES = "unnest(%s::text[], %s::text[], %s::text[], %s::text[])"
_FRESH = f"select a, b from {_EDGES} f(x, a, y, b) where not exists (select from edges e where (e.a, e.b) = (f.a, f.b))"


def _edges(row: Row) -> list[tuple[str, str, str, str]]:
    """Strong identifiers of one person seen together; the subject is always among `identifiers`."""
    own = [(i["namespace"], i["token"]) for i in row["identifiers"]]
    return edges_of(own[0], own) if len(own) > 1 else []


def relink(cursor: Cursor, touched: Iterable[str]) -> dict[str, str]:
    """Customer of every token that edges connect to the touched ones."""
    cursor.execute(
        "with recursive near(token) as (select unnest(%s::text[]) union"
        " select o.token from near n cross join lateral"
        " (select b as token from edges where a = n.token union all select a from edges where b = n.token) o)"
        " select e.a_namespace, e.a, e.b_namespace, e.b from near n join edges e on e.a = n.token",
        (list(touched),),
    )
    return customers(cursor.fetchall())


def store_links(cursor: Cursor, links: Mapping[str, str], changes: Changes) -> None:
    """Writes token → customer where it differs; both the old and the new customer get a version."""
    tokens = sorted(links)
    before = _links(cursor, tokens)
    moved = [token for token in tokens if before.get(token) != links[token]]
    cursor.execute(
        "insert into links select * from unnest(%s::text[], %s::text[])"
        " on conflict (token) do update set customer_id = excluded.customer_id",
        (moved, [links[token] for token in moved]),
    )
    changes.customers |= {links[token] for token in moved} | {before[token] for token in moved if token in before}


def _links(cursor: Cursor, tokens: Iterable[str]) -> dict[str, str]:
    cursor.execute("select token, customer_id from unnest(%s::text[]) k(token) join links using (token)", (list(tokens),))
    return dict(cursor.fetchall())


def write_timeline(cursor: Cursor, events: Mapping[Key, Sequence[Event]]) -> None:
    """One line per entity and event, without personal values."""
    briefs: dict[str, str] = {}
    with _copy(cursor, "lines", "entity text, key text, event_time bigint, event_id text, type text, brief text") as copy:
        for at, found in events.items():
            for event in found:
                if event.event_id not in briefs:
                    briefs[event.event_id] = orjson.dumps(brief(event)).decode()
                copy.write_row((*at, event.event_time, event.event_id, event.type, briefs[event.event_id]))
    cursor.execute("insert into timeline select * from lines order by 1, 2, 3, 4 on conflict do nothing")


def bump(cursor: Cursor, changes: Changes, seq: int) -> None:
    """New versions for what changed (each taken under its row's lock, so they only grow), and the outbox rows of customers."""
    keys = sorted(changes.entities | {("customer", c) for c in changes.customers})
    if not keys:
        return
    types: dict[str, set[str]] = defaultdict(set)
    traces = dict(changes.traces)
    for token, customer in _links(cursor, {*changes.types, *(key for kind, key in traces if kind == "profile")}).items():
        types[customer] |= changes.types.get(token, set())
        if found := changes.traces.get(("profile", token)):
            traces["customer", customer] = max(found, traces.get(("customer", customer), found))
    traceparents = {at: traceparent for at, (_, traceparent) in traces.items()}
    # A version that no traced record made has no trace: the one before it would name a record that is not its reason.
    cursor.execute(
        "insert into versions (entity, key, traceparent, version)"
        " select *, nextval('version_seq') from unnest(%s::text[], %s::text[], %s::text[])"
        " on conflict (entity, key) do update set version = nextval('version_seq'), traceparent = excluded.traceparent"
        " returning entity, key, version",
        ([entity for entity, _ in keys], [key for _, key in keys], [traceparents.get(at) for at in keys]),
    )
    versions = {key: version for entity, key, version in cursor.fetchall() if entity == "customer"}
    with cursor.copy("copy outbox (topic, key, payload, traceparent) from stdin") as copy:
        for customer, version in versions.items():
            payload = {"id": customer, "version": version, "seq": seq, "types": sorted(types[customer])}
            copy.write_row(("out.profiles", customer, orjson.dumps(payload).decode(), traceparents.get(("customer", customer))))


def write_ledger(cursor: Cursor, lines: Iterable[LedgerLine]) -> None:
    """Adds this micro-batch to the ledger; refuses to commit one that does not add up (invariant 1)."""
    for line in lines:
        if line.received != line.accepted + line.duplicates + line.refused:
            raise AssertionError(f"ledger of {line.source}: {line}")
        cursor.execute(
            "insert into ledger as l values (%s, %s, %s, %s, %s, %s, %s) on conflict (source, hour) do update set"
            " received = l.received + excluded.received, accepted = l.accepted + excluded.accepted,"
            " duplicates = l.duplicates + excluded.duplicates, refused = l.refused + excluded.refused, events = l.events + excluded.events",
            (line.source, line.hour, line.received, line.accepted, line.duplicates, line.refused, line.events),
        )


def _copy(cursor: Cursor, name: str, columns: str) -> Any:
    """A COPY into a temporary table of this session, empty at the start of every transaction: use each once."""
    cursor.execute(f"create temp table if not exists {name} ({columns}) on commit delete rows")
    return cursor.copy(f"copy {name} from stdin")
