"""Keys of analytics: one a quarter, kept while it is needed, then gone."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paxtrail.adapters.keyring import person_keys
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings


def at(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000


def test_a_quarters_key_is_made_once_and_covers_its_quarter(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"home": tmp_path})
    (found,) = person_keys(own, at(2026, 11, 22))
    assert found[:2] == (at(2026, 10, 1), at(2027, 1, 1))
    assert len(found[2]) == 32
    assert person_keys(own, at(2026, 12, 24)) == [found]
    assert stat.S_IMODE((own.secrets / "persons.json").stat().st_mode) == 0o600


def test_an_old_key_lives_on_for_late_events_and_is_then_erased(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"home": tmp_path})
    (old,) = person_keys(own, at(2026, 12, 24))
    late = person_keys(own, at(2027, 2, 1))
    assert late[0] == old and late[1][:2] == (at(2027, 1, 1), at(2027, 4, 1))
    assert person_keys(own, at(2027, 2, 6)) == [late[1]]
    assert "2026Q4" not in (own.secrets / "persons.json").read_text()


def test_the_next_quarters_key_is_there_before_its_first_event(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"home": tmp_path})
    eve = at(2027, 1, 1) - int(timedelta(minutes=11).total_seconds() * 1e6)
    assert [one[0] for one in person_keys(own, eve)] == [at(2026, 10, 1), at(2027, 1, 1)]


def test_production_has_its_keys_from_the_key_service(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = settings.model_copy(update={"home": tmp_path, "env": "production"})
    with pytest.raises(ConfigurationError, match="PAXTRAIL_PERSON_KEYS"):
        person_keys(own, at(2026, 11, 22))
    monkeypatch.setenv("PAXTRAIL_PERSON_KEYS", '{"2026Q4": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "2020Q1": "eA=="}')
    assert [one[:2] for one in person_keys(own, at(2026, 11, 22))] == [(at(2026, 10, 1), at(2027, 1, 1))]
