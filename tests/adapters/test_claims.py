"""Claims: the first position wins, a replay finds itself, content tells a conflict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from paxtrail.adapters.claims import Claim, Claims
from paxtrail.adapters.postgres import dsn
from paxtrail.settings import Settings

A, B = b"a" * 16, b"b" * 16


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
