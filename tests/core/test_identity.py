"""Who is one person: links only by strong identifiers, the same in any order, nobody linked where two people may stand behind one."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paxtrail.core.identity import (
    STRONG,
    WEAK,
    customers,
    document_identifier,
    edges_of,
    email_identifier,
    idp_identifier,
    loyalty_identifier,
    opaque_identifier,
    phone_identifier,
    ranked,
)
from paxtrail.core.records import Identifier

# A token has one namespace for life.
TOKENS = [(namespace, f"{number:02x}") for number, namespace in enumerate([*STRONG * 4])]
EDGES = st.lists(
    st.tuples(st.sampled_from(TOKENS), st.sampled_from(TOKENS)).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: edge(*pair)),
    max_size=25,
)


def edge(a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str, str, str]:
    (a_namespace, a_token), (b_namespace, b_token) = sorted((a, b), key=lambda end: end[1])
    return (a_namespace, a_token, b_namespace, b_token)


def by_hand(edges: list[tuple[str, str, str, str]]) -> dict[str, str]:
    """Customers by the definition, as slowly as it reads: drop the ambiguous, then walk."""
    near: dict[str, set[str]] = {token: set() for _, a, _, b in edges for token in (a, b)}
    space = {token: namespace for a_namespace, a, b_namespace, b in edges for namespace, token in ((a_namespace, a), (b_namespace, b))}
    for _, a, _, b in edges:
        near[a].add(b)
        near[b].add(a)
    vague = {t for t in near if space[t] == "passenger" and sum(space[n] == "loyalty" for n in near[t]) > 1}
    found = {}
    for start in near:
        part, todo = set(), [start]
        while todo:
            token = todo.pop()
            if token not in part:
                part.add(token)
                todo += [] if token in vague else [n for n in near[token] if n not in vague]
        found[start] = min(part)
    return found


@given(EDGES, st.randoms(use_true_random=False))
def test_customers_do_not_depend_on_order_or_repetition(edges: list[tuple[str, str, str, str]], rng: random.Random) -> None:
    again = edges + rng.choices(edges, k=3) if edges else []
    rng.shuffle(again)
    assert customers(again) == customers(edges)


@given(EDGES)
def test_customers_are_the_connected_parts_named_by_the_oldest_token(edges: list[tuple[str, str, str, str]]) -> None:
    assert customers(edges) == by_hand(edges)


@given(EDGES)
def test_a_customer_id_is_its_own_customer(edges: list[tuple[str, str, str, str]]) -> None:
    found = customers(edges)
    assert all(found[customer] == customer <= token for token, customer in found.items())


def test_reservations_of_one_member_make_one_customer() -> None:
    edges = [
        edge(("loyalty", "05"), ("passenger", "09")),
        edge(("passenger", "0a"), ("loyalty", "05")),
        edge(("document", "02"), ("passenger", "0a")),
    ]
    assert customers(edges) == {"05": "02", "09": "02", "0a": "02", "02": "02"}


def test_father_and_son_of_one_name_in_one_reservation_stay_two() -> None:
    edges = [
        edge(("passenger", "01"), ("loyalty", "02")),
        edge(("passenger", "01"), ("loyalty", "03")),
        edge(("loyalty", "03"), ("document", "04")),
    ]
    assert customers(edges) == {"01": "01", "02": "02", "03": "03", "04": "03"}


def test_a_passenger_with_two_documents_is_one_customer() -> None:
    edges = [edge(("passenger", "01"), ("document", "02")), edge(("passenger", "01"), ("document", "03"))]
    assert set(customers(edges).values()) == {"01"}


def test_an_event_links_its_strong_tokens_only() -> None:
    tokens = [("loyalty", "0c"), ("document", "0a"), ("passenger", "0b"), *((namespace, f"1{i}") for i, namespace in enumerate(WEAK))]
    expected = [("document", "0a", "passenger", "0b"), ("document", "0a", "loyalty", "0c"), ("passenger", "0b", "loyalty", "0c")]
    assert edges_of(tokens[0], tokens) == expected
    assert edges_of(tokens[0], tokens[1:]) == expected


def test_an_event_without_a_subject_or_with_one_identifier_links_nothing() -> None:
    assert edges_of(None, [("loyalty", "01"), ("document", "02")]) == []
    assert edges_of(("loyalty", "01"), [("loyalty", "01"), ("email", "02")]) == []
    assert edges_of(("device", "01"), [("session", "02")]) == []


@pytest.mark.parametrize(
    "address", ["info@acme.com", "Travel@Acme.com", "noreply+7@airline.com", "BOOKING@x.org", "not an address", "null@x.org"]
)
def test_a_role_s_mailbox_is_nobody_s(address: str) -> None:
    assert email_identifier(address) is None


@pytest.mark.parametrize("number", ["0000000", "+1 111 111 1111", "12345", "none"])
def test_a_filler_number_is_nobody_s(number: str) -> None:
    assert phone_identifier(number, "US") is None


@pytest.mark.parametrize("text", ["", "0000", "-1", "NULL", "anonymous", "00000000-0000-0000-0000-000000000000", " ", "x" * 2000])
def test_what_clients_send_for_nothing_is_nobody_s(text: str) -> None:
    assert opaque_identifier("device", text) is None
    assert idp_identifier("https://id.example.com", text) is None


@pytest.mark.parametrize("number", ["", "0000000", "XXXXXXX", "---", "1"])
def test_a_filler_for_a_membership_or_a_document_is_nobody_s(number: str) -> None:
    assert loyalty_identifier("UA", number) is None
    assert document_identifier("US", "P", number) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (email_identifier("John@Example.com"), ("email", "john@example.com")),
        (phone_identifier("212 555 0100", "US"), ("phone", "+12125550100")),
        (loyalty_identifier("UA", "ab-123456"), ("loyalty", "UA|AB123456")),
        (document_identifier("us", "p", "x 1234567"), ("document", "US|P|X1234567")),
        (idp_identifier("https://id.example.com/", "u-1"), ("idp", "https://id.example.com|u-1")),
        (opaque_identifier("device", " d-1 "), ("device", "d-1")),
    ],
)
def test_a_real_one_has_one_value(found: Any, expected: tuple[str, str]) -> None:
    assert found == expected


def test_the_strongest_comes_first_and_each_once() -> None:
    weak, passenger, loyalty = Identifier("email", "a@b.com"), Identifier("passenger", "X"), Identifier("loyalty", "UA|1")
    assert ranked([weak, passenger, loyalty, weak]) == (loyalty, passenger, weak)
