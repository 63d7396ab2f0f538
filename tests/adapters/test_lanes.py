"""Lanes as configured: every source in exactly one, errors that say what to change, a lake that may be anywhere."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from paxtrail.adapters import lake, lanes, speed_layer
from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings
from paxtrail.stack.parts import chosen, parts
from paxtrail.tables import bronze

TWO = {"fast": SOURCES[:3], "slow": SOURCES[3:]}


def divided(settings: Settings, **given: tuple[str, ...]) -> Settings:
    return settings.model_copy(update={"lanes": given})


@pytest.mark.parametrize("environment", ["local", "production"])
def test_every_environment_puts_each_source_into_one_lane(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA__BROKERS", "POSTGRES__HOST", "API__ISSUER", "API__JWKS"):
        monkeypatch.setenv(f"PAXTRAIL_{name}", "given")
    found = lanes.lanes(Settings.load(environment))
    assert sorted(source for sources in found.values() for source in sources) == sorted(SOURCES)
    assert tuple(found) == (("main",) if environment == "local" else ("operations", "customer", "bulk"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"main": SOURCES[1:]}, "flights is in no lane"),
        ({"main": SOURCES, "other": ("loyalty",)}, "loyalty is in more than one lane"),
        ({"main": (*SOURCES, "weather")}, "there is no source weather"),
        ({"Main": SOURCES}, "'Main' cannot name a lane"),
        ({"revisions": SOURCES}, "'revisions' cannot name a lane"),
    ],
)
def test_a_wrong_division_says_what_to_change(settings: Settings, given: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        lanes.lanes(divided(settings, **given))


def test_a_stream_takes_the_only_lane_and_asks_among_several(settings: Settings) -> None:
    assert lanes.chosen(settings, None) == "main"
    assert lanes.chosen(divided(settings, **TWO), "slow") == "slow"
    with pytest.raises(ConfigurationError, match="name a lane by --lane: one of fast, slow"):
        lanes.chosen(divided(settings, **TWO), None)


def test_the_stack_has_a_stream_for_each_running_lane(settings: Settings) -> None:
    assert [part.name for part in chosen(settings, ("stream",))] == ["stream"]
    several = divided(settings, **TWO, gone=())
    streams = chosen(several, ("stream",))
    assert [part.name for part in streams] == ["stream-fast", "stream-slow"]
    assert [part.program(several)[-2:] for part in streams if part.program] == [["--lane", "fast"], ["--lane", "slow"]]
    assert {"stream-fast", "stream-slow"} < {part.name for part in parts(several)}
    assert [part.name for part in chosen(several, ("stream-slow",))] == ["stream-slow"]
    speed_layer.started(several, "slow", datetime.now(UTC))
    pid = os.getpid()
    assert [part.problem(several, pid) for part in streams] == ["has not started its query yet", ""]


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_the_lake_may_be_a_folder_elsewhere_or_a_uri(settings: Settings, tmp_path: Path, form: str) -> None:
    elsewhere = settings.storage.model_copy(update={"lake": form.format(tmp_path / "lake")})
    mine = settings.model_copy(update={"storage": elsewhere})
    table = lake.ensure(bronze.REJECTS.of("main"), mine)
    assert (tmp_path / "lake" / "bronze" / "main" / "rejects" / "_delta_log").is_dir()
    row = {c.name: {"string": "x", "binary": b"x"}.get(c.type, 1) for c in table.columns}
    lake.append(table, mine, pa.Table.from_pylist([row], schema=lake.arrow_schema(table)), app="a", version=1)
    assert lake.last_transaction(table, mine, "a") == 1
    assert lake.rows_of(table, mine, 1).num_rows == 1
    assert lanes.tables(bronze.REJECTS, mine).keys() == {"main"}


def test_a_union_has_no_place_of_its_own(settings: Settings) -> None:
    with pytest.raises(AssertionError, match="a table per lane"):
        bronze.EVENTS.path(settings.lake)


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.DeadlockDetected("x"), psycopg.OperationalError("x"), RuntimeError("… psycopg.errors.DeadlockDetected: deadlock …")],
)
def test_a_deadlock_between_lanes_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    errors = [error]

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert speed_layer.patiently(action) == "done"
