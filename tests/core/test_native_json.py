"""What the JSON sources share: reasons without values, facts that tell absent from empty."""

from __future__ import annotations

from enum import Enum

import pytest
from msgspec import UNSET

from paxtrail.core.native_json import Amount, Instant, kilograms, reader, said
from paxtrail.errors import Refusal


class Choice(Enum):
    A = "a"


@pytest.mark.parametrize(
    ("body", "kind"), [(b'"Secret"', "amount"), (b'{"Secret": 1}', "amount"), (b'"Secret"', "choice"), (b'{"Secret": "Secret"}', "numbers")]
)
def test_a_reason_never_repeats_a_value_or_a_member_of_the_message(body: bytes, kind: str) -> None:
    kinds = {"amount": Amount, "choice": Choice, "numbers": dict[str, int]}
    with pytest.raises(Refusal) as caught:
        reader(kinds[kind])(body)
    assert caught.value.code == "bad_field"
    assert "Secret" not in str(caught.value)


def test_what_was_not_said_is_left_out_and_empty_text_is_null() -> None:
    instant = Instant(5)
    facts = said(
        {"a": UNSET, "b": None, "c": "", "d": Amount("1.50"), "e": instant, "f": True, "g": [{"h": UNSET, "i": ""}], "j": {"k": UNSET}}
    )
    assert facts == {"b": None, "c": None, "d": "1.50", "e": 5, "f": True, "g": [{"i": None}], "j": {}}
    assert (type(facts["d"]), type(facts["e"]), type(facts["f"])) == (str, int, bool)


@pytest.mark.parametrize(
    ("value", "unit", "kg"), [("23", "K", "23"), ("23.00", "K", "23"), ("50", "L", "22.7"), ("0.04", "K", "0"), ("1" * 18, "K", "1" * 18)]
)
def test_weights_are_kilograms_to_a_tenth(value: str, unit: str, kg: str) -> None:
    assert kilograms(value, unit) == kg
