"""The keyring: key-encryption keys by generation and the look-up secret, from a key service or a file only its owner can read."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paxtrail.core.records import Identifier
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

_NONCE = 12


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """Wraps data keys and digests identifiers; never shown, never logged."""

    generation: int
    keys: dict[int, bytes]
    lookup_secret: bytes

    def wrap(self, owner: str, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self.keys[self.generation]).encrypt(nonce, key, owner.encode())

    def unwrap(self, owner: str, wrapped: bytes, generation: int) -> bytes:
        return AESGCM(self.keys[generation]).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], owner.encode())

    def digest(self, identifier: Identifier) -> bytes:
        """HMAC-SHA-256 of namespace and normalised value: how the vault finds a token without knowing the value."""
        text = f"{identifier.namespace}\0{identifier.value}".encode()
        return hmac.new(self.lookup_secret, text, hashlib.sha256).digest()


def load(settings: Settings) -> Keyring:
    """The keyring from $PAXTRAIL_KEYRING (JSON), else from `<home>/secrets/keyring.json`, made at first start in `local` only."""
    text = os.environ.get("PAXTRAIL_KEYRING")
    if text is None:
        text = _file(settings.secrets / "keyring.json", may_create=settings.env == "local")
    try:
        values = json.loads(text)
        keys = {int(generation): b64decode(key) for generation, key in values["generations"].items()}
        return Keyring(int(values["current"]), keys, b64decode(values["lookup_secret"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError("the keyring is not readable: expected {current, generations, lookup_secret}") from None


def _file(path: Path, *, may_create: bool) -> str:
    if not path.exists():
        if not may_create:
            raise ConfigurationError(f"no keyring: set PAXTRAIL_KEYRING from the key service, or provide {path}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = {
            "current": 1,
            "generations": {"1": b64encode(os.urandom(32)).decode()},
            "lookup_secret": b64encode(os.urandom(32)).decode(),
        }
        draft = path.with_suffix(f".{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(fresh))
        try:
            os.link(draft, path)  # whoever is first wins; the others read the winner's
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path} can be read by others: chmod 600 it, and rotate the keys if others had access")
    return path.read_text()
