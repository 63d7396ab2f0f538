"""Sealing of personal values: AES-SIV (RFC 5297), deterministic, one key per owner token, the class bound as associated data.

A sealed value is text, `sealed:<class>:<token of the owner>:<base64url>`; nothing else in a payload or a state may start so.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from paxtrail.core.records import Json

MARK = "sealed:"
KEY_BYTES = 64


class SealedParts(NamedTuple):
    """What a sealed text says without its key."""

    class_: str
    owner: str
    data: str


@lru_cache(maxsize=4096)
def _cipher(key: bytes) -> AESSIV:
    return AESSIV(key)


def forget_ciphers() -> None:
    """No cipher, and with it no key, is held any longer than somebody works with it."""
    _cipher.cache_clear()


def seal(key: bytes, class_: str, owner: str, value: Json) -> str:
    """`value` (any JSON value) as sealed text; the same value under the same key gives the same text, so replays agree."""
    data = _cipher(key).encrypt(orjson.dumps(value), [class_.encode(), owner.encode()])
    return f"{MARK}{class_}:{owner}:{urlsafe_b64encode(data).rstrip(b'=').decode()}"


def is_sealed(value: Json) -> bool:
    """Whether a value of a payload, state or document is sealed text."""
    return isinstance(value, str) and value.startswith(MARK)


def parts(sealed: str) -> SealedParts:
    """Class, owner and data of a sealed text; ValueError if it is none."""
    mark, class_, owner, data = sealed.split(":")
    if mark != "sealed":
        raise ValueError("not a sealed value")
    return SealedParts(class_, owner, data)


def open_(key: bytes, sealed: str) -> Json:
    """The value of a sealed text; ValueError when the key is not its key."""
    class_, owner, data = parts(sealed)
    raw = urlsafe_b64decode(data + "=" * (-len(data) % 4))
    try:
        return orjson.loads(_cipher(key).decrypt(raw, [class_.encode(), owner.encode()]))
    except InvalidTag:
        raise ValueError("sealed under another key") from None


def seal_bytes(key: bytes, context: str, data: bytes) -> bytes:
    """Bytes sealed for `context` (quarantined records); opened by `open_bytes` with the same context only."""
    return _cipher(key).encrypt(data, [context.encode()])


def open_bytes(key: bytes, context: str, sealed: bytes) -> bytes:
    """The bytes of `seal_bytes`; ValueError when key or context differ."""
    try:
        return _cipher(key).decrypt(sealed, [context.encode()])
    except InvalidTag:
        raise ValueError("sealed under another key or for another context") from None
