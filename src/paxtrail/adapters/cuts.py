"""Cuts: which committed micro-batches a batch run covers, decided once per run in one transaction of the serving store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from paxtrail.adapters import lake
from paxtrail.adapters.lanes import REVISIONS, check_named
from paxtrail.errors import NotFound, Unavailable
from paxtrail.settings import Settings
from paxtrail.tables import bronze


@dataclass(frozen=True, slots=True)
class LaneCut:
    """What a cut takes of a lane: `after` < seq <= `seq` without `holes` (minted, never committed), and `late` ones from before."""

    seq: int
    version: int
    after: int = -1
    holes: tuple[int, ...] = ()
    late: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """The cut of a run: closes `epoch`; `lanes` say what it covers beyond the cut before; `cut_time` is µs UTC."""

    run_id: str
    epoch: int
    lanes: Mapping[str, LaneCut]
    cut_time: int


def open_cut(
    connection: psycopg.Connection[Any], settings: Settings, run_id: str, *, cut_time: int | None = None, patience: float = 30.0
) -> Cut:
    """The cut of `run_id`: opened now, or the one this run opened before.

    A micro-batch that runs in the executors takes effect in several transactions of one epoch. Between two of them no cut can be right
    (the closed epoch would hold half of it), so this tries again for `patience` seconds and then raises Unavailable; nothing is locked
    meanwhile. It never waits for a stream that is merely dead.
    """
    deadline = time.monotonic() + patience
    while True:
        with connection.transaction():
            cut = _try_open(connection, settings, run_id, cut_time)
        if cut is not None:
            return cut
        if time.monotonic() > deadline:
            raise Unavailable("a spread micro-batch is half committed; open the cut again when the stream has finished it")
        time.sleep(0.05)


def _try_open(connection: psycopg.Connection[Any], settings: Settings, run_id: str, cut_time: int | None) -> Cut | None:
    known = find_cut(connection, run_id)
    if known is not None:
        return known
    # Micro-batches that come later wait behind this lock: without it several busy lanes, each sharing the row, would never let a cut in.
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('epoch'))")
    row = connection.execute("SELECT epoch FROM epochs WHERE closed_by IS NULL FOR UPDATE").fetchone()
    if row is None:
        # Another run closed it while we waited for the row, and ours is the next: READ COMMITTED does not look again.
        return None
    epoch: int = row[0]
    known = find_cut(connection, run_id)
    if known is not None:
        return known
    half = connection.execute(
        "SELECT 1 FROM stream_commit p WHERE part >= 0 AND NOT EXISTS "
        "(SELECT 1 FROM stream_commit w WHERE (w.lane, w.seq, w.part) = (p.lane, p.seq, -1)) LIMIT 1"
    ).fetchone()
    if half is not None:
        return None
    before = _previous(connection, epoch)
    lanes = _lanes(connection, settings, epoch, before)
    taken_at = cut_time if cut_time is not None else _clock(connection)
    connection.execute("UPDATE epochs SET closed_by = %s, closed_at = now() WHERE epoch = %s", (run_id, epoch))
    connection.execute("INSERT INTO epochs (epoch) VALUES (%s)", (epoch + 1,))
    connection.execute(
        "INSERT INTO cuts (run_id, epoch, lanes, cut_time) VALUES (%s, %s, %s, %s)",
        (run_id, epoch, Jsonb({lane: asdict(cut) for lane, cut in lanes.items()}), taken_at),
    )
    return Cut(run_id, epoch, lanes, taken_at)


def _lanes(connection: psycopg.Connection[Any], settings: Settings, epoch: int, before: Cut | None) -> dict[str, LaneCut]:
    largest = dict(
        connection.execute("SELECT lane, max(seq) FROM stream_commit WHERE part = -1 AND epoch <= %s GROUP BY lane", (epoch,)).fetchall()
    )
    earlier: Mapping[str, LaneCut] = before.lanes if before else {}
    lanes: dict[str, LaneCut] = {}
    check_named(settings, largest.keys() | earlier.keys())
    for lane in sorted(largest.keys() | earlier.keys() - {REVISIONS}):
        after = earlier[lane].seq if lane in earlier else -1
        seq = max(largest.get(lane, after), after)
        late = connection.execute(
            "SELECT seq FROM stream_commit WHERE lane = %s AND part = -1 AND seq <= %s AND epoch > %s AND epoch <= %s ORDER BY 1",
            (lane, after, before.epoch if before else 0, epoch),
        ).fetchall()
        version = lake.version(bronze.EVENTS.of(lane), settings)
        lanes[lane] = LaneCut(seq, version, after, _holes(connection, lane, after, seq), tuple(n for (n,) in late))
    revisions = lake.version(bronze.REVISIONS, settings)
    lanes[REVISIONS] = LaneCut(revisions, revisions, earlier[REVISIONS].seq if REVISIONS in earlier else -1)
    return lanes


def find_cut(connection: psycopg.Connection[Any], run_id: str) -> Cut | None:
    """The cut that this run opened, if it did."""
    row = connection.execute("SELECT run_id, epoch, lanes, cut_time FROM cuts WHERE run_id = %s", (run_id,)).fetchone()
    return None if row is None else _cut(row)


def cut_of(connection: psycopg.Connection[Any], run_id: str) -> Cut:
    """The cut of a run; NotFound where none was opened."""
    cut = find_cut(connection, run_id)
    if cut is None:
        raise NotFound(f"no cut was opened for run {run_id}: paxtrail cut open --run {run_id}")
    return cut


def committed(connection: psycopg.Connection[Any]) -> list[tuple[str, int, int, tuple[int, ...], tuple[int, ...]]]:
    """All committed micro-batches of each lane, as intervals (lane, after, until, holes, late) of transforms.events.covered."""
    largest = connection.execute("SELECT lane, max(seq) FROM stream_commit WHERE part = -1 GROUP BY lane ORDER BY lane").fetchall()
    return [(lane, -1, seq, _holes(connection, lane, -1, seq), ()) for lane, seq in largest]


def _holes(connection: psycopg.Connection[Any], lane: str, after: int, until: int) -> tuple[int, ...]:
    """Numbers that were minted for micro-batches that were never committed."""
    rows = connection.execute(
        "SELECT s.seq FROM seqs s WHERE s.lane = %s AND s.seq > %s AND s.seq <= %s AND NOT EXISTS "
        "(SELECT 1 FROM stream_commit c WHERE c.lane = s.lane AND c.seq = s.seq AND c.part = -1) ORDER BY 1",
        (lane, after, until),
    ).fetchall()
    return tuple(seq for (seq,) in rows)


def cuts_between(connection: psycopg.Connection[Any], after: int, until: int) -> list[Cut]:
    """Cuts with `after` < epoch <= `until`, oldest first."""
    rows = connection.execute(
        "SELECT run_id, epoch, lanes, cut_time FROM cuts WHERE epoch > %s AND epoch <= %s ORDER BY epoch", (after, until)
    ).fetchall()
    return [_cut(row) for row in rows]


def store_cut(connection: psycopg.Connection[Any], cut: Cut) -> None:
    """Writes a known cut into a new serving store and opens the epoch after it (rebuild)."""
    lanes = Jsonb({lane: asdict(taken) for lane, taken in cut.lanes.items()})
    connection.execute("DELETE FROM epochs WHERE epoch <= %s AND closed_by IS NULL", (cut.epoch,))
    connection.execute(
        "INSERT INTO epochs (epoch, closed_by, closed_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING", (cut.epoch, cut.run_id)
    )
    connection.execute("INSERT INTO epochs (epoch) VALUES (%s) ON CONFLICT DO NOTHING", (cut.epoch + 1,))
    connection.execute(
        "INSERT INTO cuts (run_id, epoch, lanes, cut_time) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (cut.run_id, cut.epoch, lanes, cut.cut_time),
    )


def _previous(connection: psycopg.Connection[Any], epoch: int) -> Cut | None:
    row = connection.execute(
        "SELECT run_id, epoch, lanes, cut_time FROM cuts WHERE epoch < %s ORDER BY epoch DESC LIMIT 1", (epoch,)
    ).fetchone()
    return None if row is None else _cut(row)


def _cut(row: tuple[Any, ...]) -> Cut:
    run_id, epoch, lanes, cut_time = row
    return Cut(
        run_id,
        epoch,
        {
            lane: LaneCut(int(v["seq"]), int(v["version"]), int(v["after"]), tuple(v["holes"]), tuple(v["late"]))
            for lane, v in lanes.items()
        },
        cut_time,
    )


def _clock(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").fetchone()
    assert row is not None
    return int(row[0])
