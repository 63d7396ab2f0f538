"""Ways to bend a JSON sample, and what must hold for anything that comes out of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from tests.core.samples import ARRIVAL, data, decoded

from paxtrail.core.decoding import Decoded
from paxtrail.core.sources import decoder
from paxtrail.errors import Refusal

LATER = ARRIVAL + 10 * 86_400_000_000
CANARY = "Zq7Canary"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.just(CANARY)
    | st.just("sealed:name:x:y"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just(CANARY), inner, max_size=3),
    max_leaves=6,
)


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data(name))
    return found


def changed(message: dict[str, Any], path: str, value: Any = ...) -> bytes:
    """The message with `value` at a path such as "passengers.0.surname"; without a value, without that member."""
    message = copy.deepcopy(message)
    *parents, last = path.split(".")
    place: Any = message
    for step in parents:
        place = place[_key(place, step)]
    if value is ...:
        del place[_key(place, last)]
    else:
        place[_key(place, last)] = value
    return json.dumps(message).encode()


def _key(place: Any, step: str) -> str | int:
    return int(step) if isinstance(place, list) else step


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Every path inside a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        if "." in str(key):
            continue
        yield f"{at}{key}"
        yield from paths(inner, f"{at}{key}.")


@st.composite
def bent(draw: st.DrawFn, names: tuple[str, ...]) -> bytes:
    """A sample with up to three members replaced by anything or taken out."""
    message = sample(draw(st.sampled_from(names)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(paths(message))))
        message = json.loads(changed(message, path, draw(JSON | st.just(...))))
        if not message:
            break
    return json.dumps(message).encode()


def decode_or_refuse(source: str, body: bytes) -> Decoded | None:
    """What the door makes of a body; asserts that only a Refusal comes instead, and that it repeats no value."""
    try:
        return decoded(source, body, arrival=LATER)
    except Refusal as refusal:
        why = refusal
    assert why.code != "decoder_fault", "the decoder must say itself what is wrong"
    assert CANARY.casefold() not in str(why).casefold()
    return None


def same_after_assembly(source: str, found: Decoded) -> None:
    """Asserts that the native parts give back a record that decodes to the same drafts."""
    body = decoder(source).assemble(
        [draft.native for draft in reversed(found.drafts)] if source == "reservations" else [found.drafts[0].native]
    )
    again = decoded(source, body, arrival=LATER)
    assert [draft.facts for draft in again.drafts] == [draft.facts for draft in found.drafts]
    assert again.drafts == found.drafts
