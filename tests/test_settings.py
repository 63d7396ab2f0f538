"""Settings: what is missing is named, with the place to give it."""

from __future__ import annotations

import pytest

from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings


def test_what_production_lacks_is_named_with_the_variable_that_gives_it() -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load("production")
    text = str(raised.value)
    assert "kafka.brokers: field required; set PAXTRAIL_KAFKA__BROKERS or write it in conf/production.toml" in text
    assert "postgres.host" in text
    assert "\n" not in text


def test_a_setting_that_nobody_knows_is_named_and_its_value_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_KAFKA__PASSWORD", "s3cret")
    with pytest.raises(ConfigurationError, match=r"kafka\.password: extra inputs are not permitted") as raised:
        Settings.load("local")
    assert "s3cret" not in str(raised.value)


def test_a_text_where_a_number_belongs_is_named_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_POSTGRES__PORT", "s3cret")
    with pytest.raises(ConfigurationError, match=r"postgres\.port: input should be a valid integer") as raised:
        Settings.load("local")
    assert "s3cret" not in str(raised.value)
