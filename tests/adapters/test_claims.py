"""Claims: the first position wins, a replay finds itself, content tells a conflict; each is kept as long as its source wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from paxtrail.adapters.claims import Claim, Claims, forget, horizons
from paxtrail.adapters.postgres import dsn
from paxtrail.core.sources import SOURCES
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

A, B = b"a" * 16, b"b" * 16
HOUR = 3_600_000_000


def claim(record_id: bytes, offset: int, body: bytes = b"same") -> Claim:
    return Claim(record_id, "raw.loyalty", 0, offset, body, 1_000_000 + offset)


@pytest.fixture
def claims(clean_postgres: Settings) -> Iterator[Claims]:
    with closing(Claims(dsn(clean_postgres, "serving", "stream"))) as opened:
        yield opened


def test_the_second_position_of_an_id_is_lost_with_the_first_ones_content(claims: Claims) -> None:
    assert claims.lost([claim(A, 1), claim(B, 2)]) == {}
    assert claims.lost([claim(A, 7, b"other"), claim(B, 8)]) == {("raw.loyalty", 0, 7): b"same", ("raw.loyalty", 0, 8): b"same"}


def test_a_replay_finds_itself(claims: Claims) -> None:
    asked = [claim(A, 1), claim(B, 2), claim(A, 3)]
    first = claims.lost(asked)
    assert first == {("raw.loyalty", 0, 3): b"same"}
    assert claims.lost(asked) == first
    assert claims.lost(asked[::-1]) == first


def with_hours(settings: Settings, **hours: int) -> Settings:
    return settings.model_copy(update={"stream": settings.stream.model_copy(update={"claim_horizon_hours": hours})})


def test_claims_are_forgotten_after_the_horizon_of_their_source(claims: Claims, clean_postgres: Settings) -> None:
    newest = 100 * HOUR
    made = [
        Claim(f"{source}{age:02d}".encode().ljust(16), f"raw.{source}", 0, number, b"same", newest - age * HOUR)
        for number, (source, age) in enumerate((s, a) for s in ("booking", "flights", "loyalty") for a in (0, 4, 5, 36, 37, 48, 49))
    ]
    wanted = horizons(with_hours(clean_postgres, default=36, flights=4, loyalty=48))
    assert claims.lost(made) == {}
    with psycopg.connect(dsn(clean_postgres, "serving", "stream")) as connection:
        assert forget(connection, wanted) == 3 + 5 + 1
        left = connection.execute("select topic, arrival from seen").fetchall()
        assert {(topic, (newest - arrival) // HOUR) for topic, arrival in left} == {
            *(("raw.booking", age) for age in (0, 4, 5, 36)),
            *(("raw.flights", age) for age in (0, 4)),
            *(("raw.loyalty", age) for age in (0, 4, 5, 36, 37, 48)),
        }
        assert forget(connection, wanted) == 0
    again = claims.lost([one._replace(offset=1000 + one.offset) for one in made])
    assert len(again) == len(left), "what was forgotten may be claimed again"


def test_the_horizon_is_36_hours_unless_a_source_has_its_own(settings: Settings) -> None:
    assert horizons(settings) == dict.fromkeys(SOURCES, 36 * HOUR)
    with pytest.raises(ConfigurationError, match="there is no source flight; there are flights, "):
        horizons(with_hours(settings, default=36, flight=4))
    with pytest.raises(ConfigurationError, match="has no `default`"):
        horizons(with_hours(settings, flights=4))
