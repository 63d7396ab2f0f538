"""Quarantine keys, refused records, timeline and bronze past their time, on real PostgreSQL and Delta."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
import pyarrow as pa
import pytest
from psycopg.types.json import Jsonb
from tests.fold_histories import TYPES
from tests.parity.bronze import Events, Lane, configure

from paxtrail.adapters import batch, configuration, keyring, lake, rejects
from paxtrail.adapters.claims import Claim, Claims
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.retention import retain
from paxtrail.adapters.speed_layer import SpeedLayer
from paxtrail.adapters.vault import Vault
from paxtrail.core.retention import DAY
from paxtrail.core.sealing import seal_bytes
from paxtrail.errors import NotFound
from paxtrail.settings import Settings
from paxtrail.tables import bronze

ARRIVED = 10 * DAY
"""When the records of `Events` arrive, or a little later."""


class Place:
    """A lane that wrote, and the tables it left."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = configure(settings, folder / "conf")
        sources = "\n".join(f"{source} = {{ bronze_days = 20, days = 50 }}" for source in sorted(set(TYPES.values())))
        (self.settings.conf / "retention.toml").write_text(
            "[rejects]\nkey_days = 10\nrow_days = 30\n[timeline]\ndays = 40\n[training]\ndays = 6\n[reads]\ndays = 20\n"
            f"[sources]\n{sources}\n[classes]\nhealth = 8\n"
        )
        self.lane = Lane(self.settings, configuration.attributes(self.settings.conf))
        self.events = Events()

    def write(self, *, committed: bool = True, **members: Any) -> int:
        return self.lane.write(self.events.record(("flight", "f1"), **members), committed=committed)

    def fold(self, run_id: str) -> None:
        """As if a batch run had folded everything up to now."""
        batch.cut_open(self.settings, run_id)
        with psycopg.connect(dsn(self.settings, "serving", "batch"), autocommit=True) as connection:
            connection.execute("INSERT INTO batch_runs VALUES (%s, 'full', NULL, 0, %s)", (run_id, Jsonb({})))

    def seqs(self) -> list[int]:
        return sorted(lake.opened(self.lane.table, self.settings).to_pyarrow_table(columns=["seq"]).column("seq").to_pylist())

    def refuse(self, day: str) -> str:
        """A refused record of that day of arrival."""
        arrival = int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1_000_000
        with closing(Vault(dsn(self.settings, "vault", "stream"), keyring.load(self.settings))) as vault:
            record = seal_bytes(vault.quarantine_key(day), day, b'{"headers": {}, "body": "aGk="}')
        row = {"lane": "main", "seq": 0, "reject_id": day, "source": "alpha", "code": "c", "reason": "r", "at": "", "arrival_time": arrival}
        row |= {"day": day, "record": record, "topic": "raw.alpha", "partition": 0, "offset": 0}
        table = pa.Table.from_pylist([row], schema=lake.arrow_schema(bronze.REJECTS))
        lake.append(lake.ensure(bronze.REJECTS.of("main"), self.settings), self.settings, table, app="paxtrail-main", version=arrival)
        return day

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(dsn(self.settings, "serving", "batch"), autocommit=True) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def place(clean_postgres: Settings, tmp_path: Path) -> Iterator[Place]:
    made = Place(clean_postgres, tmp_path)
    yield made
    made.lane.close()


def test_records_of_reads_go_when_their_time_is_over(place: Place) -> None:
    with psycopg.connect(dsn(place.settings, "vault", "postgres"), autocommit=True) as vault:
        vault.execute(
            "INSERT INTO reads (at, subject, client, role, purpose, route, customers)"
            " SELECT to_timestamp(day * 86400), '', '', '', '', '', '{}' FROM generate_series(3, 5) AS day"
        )
    assert retain(place.settings, 25 * DAY)["reads"] == {"deleted": 2, "broken": []}


def test_a_refused_record_is_listed_but_cannot_be_read_once_its_days_are_over(place: Place) -> None:
    old, young = place.refuse("1970-01-05"), place.refuse("1970-01-11")
    assert retain(place.settings, 21 * DAY - 1)["keys"] == 1
    assert [r.reject_id for r in rejects.rejects(place.settings)] == [young, old]
    [(_, record)] = rejects.opened(place.settings, [young])
    assert record.body == b"hi"
    with pytest.raises(NotFound, match="the key of 1970-01-05 was deleted"):
        list(rejects.opened(place.settings, [old]))
    with closing(Vault(dsn(place.settings, "vault", "stream"), keyring.load(place.settings))) as vault, pytest.raises(KeyError):
        vault.quarantine_key("1970-01-05")  # nor is it ever minted again
    assert retain(place.settings, 21 * DAY - 1)["keys"] == 0


def test_the_line_of_a_refused_record_goes_later_than_its_key(place: Place) -> None:
    place.refuse("1970-01-05")
    young = place.refuse("1970-01-11")
    assert retain(place.settings, 40 * DAY)["bronze"] == {}  # no lane ever wrote: nobody to tell
    place.write()
    assert retain(place.settings, 40 * DAY)["bronze"] == {"main": {"bronze.rejects": 1}}
    assert [r.reject_id for r in rejects.rejects(place.settings)] == [young]


def test_old_lines_of_the_timeline_go_and_young_ones_stay(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paxtrail.adapters.retention._LINES", 2)
    for _ in range(5):
        place.write(event_time=1 * DAY)
    place.write(event_time=9 * DAY)
    assert retain(place.settings, 42 * DAY)["timeline"] == 5
    assert place.sql("SELECT event_time FROM timeline") == [(9 * DAY,)]
    assert retain(place.settings, 42 * DAY)["timeline"] == 0


def test_old_texts_to_train_on_go_and_young_ones_stay(place: Place) -> None:
    folder = place.settings.home / "training" / "2025"
    folder.mkdir(parents=True)
    for name, day in (("old.csv", 13), ("young.csv", 15)):
        (folder / name).write_text("text,label\n")
        os.utime(folder / name, (day * DAY // 1_000_000, day * DAY // 1_000_000))
    assert [retain(place.settings, 20 * DAY)["training"] for _ in range(2)] == [1, 0]
    assert [file.name for file in folder.iterdir()] == ["young.csv"]


def test_only_events_that_are_folded_in_silver_leave_bronze(place: Place) -> None:
    place.write()
    place.write(arrival_time=25 * DAY)
    unfinished = place.write(committed=False)
    place.write()
    assert retain(place.settings, 31 * DAY)["bronze"] == {"main": {}}  # no cut yet
    place.fold("a")
    place.write()
    assert retain(place.settings, 31 * DAY)["bronze"] == {"main": {"bronze.events": 2}}
    assert place.seqs() == [2, unfinished, 5]
    assert lake.last_transaction(place.lane.table, place.settings, "paxtrail-main") == 5


def test_events_with_a_value_of_a_class_leave_bronze_earlier(place: Place) -> None:
    place.write(payload={"ssrs": [{"code": f"sealed:health:{0:032x}:x-_"}]})
    place.write()
    place.write()
    place.fold("a")
    retain(place.settings, 19 * DAY)
    assert place.seqs() == [2, 3]


def test_the_newest_micro_batch_stays_for_a_rebuild_to_go_on_from(place: Place) -> None:
    place.write()
    place.write()
    place.fold("a")
    retain(place.settings, 31 * DAY)
    assert place.seqs() == [2]


def test_a_running_stream_is_told_and_does_it_between_two_micro_batches(place: Place) -> None:
    place.write()
    place.write()
    place.fold("a")
    place.refuse("1970-01-01")
    young = place.refuse("1970-01-11")
    with closing(Claims(dsn(place.settings, "serving", "stream"))) as claims:
        claims.lost(Claim(bytes([hours]) * 16, "raw.loyalty", 0, hours, b"same", DAY * 10 - hours * DAY // 24) for hours in (0, 36, 37))
    stream = SpeedLayer(place.settings, cast("Any", None), "main")  # no micro-batch, so no session
    with closing(stream), lake.locked("bronze.main", place.settings):
        assert retain(place.settings, 32 * DAY)["bronze"] == {"main": "left to the stream"}
        assert place.seqs() == [1, 2]
        stream.maintain()
        assert stream.connection.execute('select "offset" from seen order by 1').fetchall() == [(0,), (36,)]
        assert place.seqs() == [2]
        version = lake.version(place.lane.table, place.settings)
        stream.maintain()
        assert lake.version(place.lane.table, place.settings) == version  # carried out once
    assert [r.reject_id for r in rejects.rejects(place.settings)] == [young]
    assert retain(place.settings, 32 * DAY)["bronze"] == {"main": {"bronze.events": 0, "bronze.rejects": 0}}
