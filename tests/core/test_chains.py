"""Chains of records: what was done to one is named, at its place; what was left alone is never blamed."""

from __future__ import annotations

import hashlib
import hmac
from itertools import permutations
from typing import Any

import pytest

from paxtrail.core.chains import NOTHING, START, Break, Head, Link, Record, breaks, code, seal

KEY, CHAIN = b"k" * 32, "c1"


def record(number: int) -> Record:
    return Record(1_360_350_000_000_000 + number, f"agent-{number}", "desk", "agent", "care", "profiles.read", ("a" * 32,), "")


def chain(size: int) -> list[Link]:
    found, previous = [], START
    for seq in range(1, size + 1):
        previous = code(KEY, CHAIN, seq, previous, record(seq))
        found.append(Link(seq, record(seq), previous))
    return found


def told(links: list[Link], head: Head | None = None) -> list[tuple[str, int, int]]:
    return [(one.kind, one.first, one.last) for one in breaks(KEY, CHAIN, links, head=head)]


def test_a_code_is_hmac_sha_256_over_canonical_json() -> None:
    one = Record(5, 'a"\\\n\x1fé', "", "r", "p", "x", ["t1", "t2"], "")
    # Written out by hand as RFC 8785 has it: no spaces, short escapes, other control characters as \u00xx, the rest as UTF-8.
    content = '["read/1","c1",7,"' + "00" * 32 + '",5,"a\\"\\\\\\n\\u001fé","","r","p","x",["t1","t2"],""]'
    assert code(KEY, CHAIN, 7, START, one) == hmac.new(KEY, content.encode(), hashlib.sha256).digest()


def test_a_chain_as_it_was_written_has_no_break() -> None:
    links = chain(6)
    assert told(links, Head(6, links[-1].mac)) == []
    assert told(links, Head(4, links[3].mac)) == []  # more than its head told of: the writer was about to
    assert breaks(KEY, CHAIN, links[3:], after=Head(3, links[2].mac)) == []
    assert told([], NOTHING) == []


@pytest.mark.parametrize("field", Record._fields)
def test_no_field_of_a_record_can_be_edited(field: str) -> None:
    links = chain(5)
    other: Any = {"at": 1, "customers": ("b" * 32,)}.get(field, "other")
    links[2] = links[2]._replace(record=links[2].record._replace(**{field: other}))
    assert told(links) == [("edited", 3, 3)]


def test_an_edit_of_all_names_all() -> None:
    links = [link._replace(record=link.record._replace(subject="nobody")) for link in chain(4)]
    assert told(links) == [("edited", seq, seq) for seq in range(1, 5)]


def test_an_overwritten_code_blames_the_next_link_only_if_that_cannot_be_checked_any_more() -> None:
    links = chain(5)
    links[2] = links[2]._replace(mac=b"x" * 32)
    assert told(links) == [("edited", 3, 3)]
    links[2] = links[2]._replace(record=record(9))
    assert told(links) == [("edited", 3, 3), ("edited", 4, 4)]


def test_what_is_deleted_leaves_a_gap() -> None:
    links = chain(7)
    assert told(links[:2] + links[4:]) == [("deleted", 3, 4)]
    assert told(links[1:]) == [("deleted", 1, 1)]


@pytest.mark.parametrize("with_codes", [True, False])
@pytest.mark.parametrize(("a", "b"), [(2, 3), (2, 5), (1, 6)])
def test_two_records_that_changed_places_are_told_from_two_edits(a: int, b: int, with_codes: bool) -> None:
    links = chain(6)
    one, two = links[a - 1], links[b - 1]
    links[a - 1] = Link(a, two.record, two.mac if with_codes else one.mac)
    links[b - 1] = Link(b, one.record, one.mac if with_codes else two.mac)
    assert told(links) == [("swapped", a, b)]


def test_a_cut_tail_is_seen_from_the_head_and_from_nothing_else() -> None:
    links = chain(6)
    assert told(links[:4]) == []
    assert told(links[:4], Head(6, links[-1].mac)) == [("truncated", 5, 6)]
    assert told([], Head(6, links[-1].mac)) == [("truncated", 1, 6)]


def test_a_record_that_nobody_wrote_is_seen() -> None:
    links = chain(3)
    assert told([*links, Link(4, record(4), b"x" * 32)]) == [("edited", 4, 4)]
    assert told([*links[:2], Link(2, record(8), b"x" * 32), links[2]]) == [("planted", 2, 2)]
    other = [Link(link.seq, link.record, code(KEY, "c2", link.seq, START, link.record)) for link in links[:1]]
    assert told(other) == [("edited", 1, 1)]  # of another chain
    assert breaks(b"o" * 32, CHAIN, links[:1]) == [Break(CHAIN, "edited", 1, 1)]  # with another key


def test_every_other_order_of_records_is_a_break() -> None:
    links = chain(4)
    for order in permutations(range(4)):
        moved = [Link(seq, links[place].record, links[place].mac) for seq, place in enumerate(order, 1)]
        assert bool(told(moved)) == (order != (0, 1, 2, 3))


def test_a_seal_is_of_its_chain_and_place_alone() -> None:
    head = Head(3, b"m" * 32)
    seals = {seal(KEY, CHAIN, head), seal(KEY, "c2", head), seal(KEY, CHAIN, Head(4, head.mac)), seal(b"o" * 32, CHAIN, head)}
    assert len(seals) == 4
