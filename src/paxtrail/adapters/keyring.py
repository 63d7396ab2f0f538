"""The keyring: key-encryption keys by generation, the look-up secret, the keys of analytics; from a key service or files of their owner.

Analytics count persons by a keyed hash of their token whose key lives a quarter: once it is gone, no sketch can be compared with a token.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from paxtrail.adapters import drafts
from paxtrail.core.records import Identifier
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

_NONCE = 12
_GRACE = timedelta(days=35)
"""How long after its quarter a key of analytics still lives, for late events and repairs."""


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

    def reads_key(self) -> bytes:
        """Key of the chains of reads, 32 bytes: HKDF (RFC 5869) of the look-up secret, which never changes, as generations do."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=b"paxtrail record of reads").derive(self.lookup_secret)


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
        fresh = {
            "current": 1,
            "generations": {"1": b64encode(os.urandom(32)).decode()},
            "lookup_secret": b64encode(os.urandom(32)).decode(),
        }
        drafts.once(path, json.dumps(fresh))  # whoever is first wins; the others read the winner's
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path} can be read by others: chmod 600 it, and rotate the keys if others had access")
    return path.read_text()


def person_keys(settings: Settings, now: int) -> list[tuple[int, int, bytes]]:
    """(from, until, key) of each quarter that is alive at `now` (µs UTC throughout), oldest first.

    From $PAXTRAIL_PERSON_KEYS (JSON: quarter, as "2026Q4", to key), else from `<home>/secrets/persons.json`, where in `local` a quarter's
    key is made when first needed and erased at the first call after its time.
    """
    moment = datetime.fromtimestamp(now / 1e6, UTC)
    alive = dict(_quarter(at) for at in (moment - _GRACE, moment, moment + timedelta(hours=1)))
    text = os.environ.get("PAXTRAIL_PERSON_KEYS")
    if text is not None:
        try:
            known = {str(quarter): b64decode(key) for quarter, key in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError):
            raise ConfigurationError("PAXTRAIL_PERSON_KEYS is not readable: expected JSON, quarter (2026Q4) to key (base64)") from None
    elif settings.env == "local":
        known = _kept(settings.secrets / "persons.json", set(alive))
    else:
        raise ConfigurationError("no keys for analytics: set PAXTRAIL_PERSON_KEYS from the key service")
    return sorted((*alive[quarter], key) for quarter, key in known.items() if quarter in alive)


def _quarter(at: datetime) -> tuple[str, tuple[int, int]]:
    """Name of the quarter that holds the moment, and its bounds in µs."""
    number = (at.month - 1) // 3
    begin = datetime(at.year, 3 * number + 1, 1, tzinfo=UTC)
    end = datetime(at.year + number // 3, (3 * number + 3) % 12 + 1, 1, tzinfo=UTC)
    return f"{at.year}Q{number + 1}", (int(begin.timestamp()) * 1_000_000, int(end.timestamp()) * 1_000_000)


def _kept(path: Path, alive: set[str]) -> dict[str, bytes]:
    """The keys of the file once it holds exactly those of the quarters that are alive."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)) as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # of two first uses at once, the second finds the keys of the first
        known = json.loads(path.read_text()) if path.exists() else {}
        if set(known) != alive:
            known = {quarter: known.get(quarter) or b64encode(os.urandom(32)).decode() for quarter in sorted(alive)}
            drafts.replace(path, json.dumps(known).encode(), mode=0o600)
    return {quarter: b64decode(key) for quarter, key in known.items()}
