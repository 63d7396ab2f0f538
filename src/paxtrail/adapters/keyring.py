"""The keyring: key-encryption keys and look-up secrets by generation, the keys of analytics; from a key service or files of their owner.

A running process follows its keyring's file. Which generation is in force says the vault, so that processes that see a new file at
different moments agree. Analytics count persons by a keyed hash of their token whose key lives a quarter: once it is gone, no sketch can be
compared with a token.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from paxtrail.adapters import drafts
from paxtrail.core.records import Identifier
from paxtrail.errors import ConfigurationError, KeyringBehind
from paxtrail.settings import Settings

log = logging.getLogger("paxtrail.keyring")

Kind = Literal["wrapping", "lookup"]
"""`wrapping`: key-encryption keys, which wrap data keys. `lookup`: secrets of the digests by which identifiers are found."""
LOOK_S = 1.0
"""A process that uses its keyring looks whether the file is another one at most this often."""
_VARIABLE = "PAXTRAIL_KEYRING"
_MEMBERS: dict[Kind, tuple[str, str]] = {"wrapping": ("current", "generations"), "lookup": ("lookup", "lookup_secrets")}
_NONCE = 12
_KEY_BYTES = 32
_GRACE = timedelta(days=35)
"""How long after its quarter a key of analytics still lives, for late events and repairs."""


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """One reading of the keyring: by kind, the secrets by generation and which one is current where the vault does not say so."""

    current: dict[Kind, int]
    of: dict[Kind, dict[int, bytes]]
    reads: bytes
    """Key of the chains of reads, which never changes."""


@dataclass(frozen=True, slots=True, repr=False)
class InForce:
    """What is used now: new keys are wrapped under `generation`; identifiers are indexed under the first of `lookups`, found under all."""

    generation: int
    key: bytes
    lookups: dict[int, bytes]

    def wrap(self, owner: str, key: bytes) -> bytes:
        """The data key under AES-256-GCM, its nonce first, bound to its owner."""
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, key, owner.encode())

    @property
    def lookup(self) -> int:
        return next(iter(self.lookups))

    def digest(self, identifier: Identifier) -> bytes:
        """How the identifier is indexed from now on."""
        return digest(self.lookups[self.lookup], identifier)

    def digests(self, identifiers: Iterable[Identifier]) -> dict[bytes, Identifier]:
        """Every digest under which one of the identifiers may stand."""
        return {digest(secret, i): i for i in identifiers for secret in self.lookups.values()}


class Keyring:
    """The secrets of a process, read again when their file is another one; never shown, never logged."""

    def __init__(self, read: Callable[[], str], mark: Callable[[], object]) -> None:
        self._read, self._see = read, mark
        self._mark = mark()  # before reading: a change in between is found at the next look
        self._held = _parsed(read())
        self._looked = time.monotonic()

    def held(self) -> Secrets:
        """The secrets as they were in the file at most LOOK_S ago."""
        if time.monotonic() - self._looked > LOOK_S:
            self.look()
        return self._held

    def look(self) -> None:
        """Reads the file if it is another one; if that cannot be used, the process goes on with what it has and logs why."""
        self._looked = time.monotonic()
        if (mark := self._see()) == self._mark:
            return
        self._mark = mark
        try:
            self._held = _parsed(self._read())
        except (ConfigurationError, OSError, UnicodeDecodeError) as error:
            log.error("the keyring has changed and cannot be used, the one before stays: %s", error)

    def in_force(self, begun: Iterable[tuple[Kind, int]]) -> InForce:
        """What is in force where the vault says that these generations have begun and not ended; KeyringBehind while one is not here."""
        rows = list(begun)
        for again in (False, True):
            if again:
                self.look()
            held = self.held()
            generation = max((n for kind, n in rows if kind == "wrapping"), default=held.current["wrapping"])
            lookups = sorted((n for kind, n in rows if kind == "lookup"), reverse=True) or [held.current["lookup"]]
            keys, secrets = held.of["wrapping"], held.of["lookup"]
            if generation in keys and secrets.keys() >= set(lookups):
                return InForce(generation, keys[generation], {n: secrets[n] for n in lookups})
        raise KeyringBehind(
            f"the vault uses generation {generation} of the keys and {lookups} of the look-up secrets: give them to this process"
        )

    def reads_key(self) -> bytes:
        """Key of the chains of reads, 32 bytes."""
        return self.held().reads

    def unwrap(self, owner: str, wrapped: bytes, generation: int) -> bytes:
        """The data key; KeyringBehind where its generation is not here (any more)."""
        if generation not in self.held().of["wrapping"]:
            self.look()
        key = self._held.of["wrapping"].get(generation)
        if key is None:
            raise KeyringBehind(f"the keyring has no generation {generation}: give it to this process; destroyed, it is gone for good")
        try:
            return AESGCM(key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], owner.encode())
        except InvalidTag:
            raise ConfigurationError(
                f"generation {generation} of the keyring is not the key of that number: provide the right keyring"
            ) from None


def digest(secret: bytes, identifier: Identifier) -> bytes:
    """HMAC-SHA-256 of namespace and normalised value: how the vault finds a token without knowing the value."""
    return hmac.digest(secret, f"{identifier.namespace}\0{identifier.value}".encode(), hashlib.sha256)


def load(settings: Settings) -> Keyring:
    """The keyring from $PAXTRAIL_KEYRING (JSON), else from `<home>/secrets/keyring.json`, made at first start in `local` only."""
    if (text := os.environ.get(_VARIABLE)) is not None:
        return Keyring(lambda: text, lambda: None)
    path = settings.secrets / "keyring.json"
    if not path.exists():
        if settings.env != "local":
            raise ConfigurationError(f"no keyring: set {_VARIABLE} from the key service, or provide {path}")
        fresh = {"current": 1, "generations": {"1": _fresh()}, "lookup": 1, "lookup_secrets": {"1": _fresh()}, "reads": _fresh()}
        drafts.once(path, json.dumps(fresh))  # whoever is first wins; the others read the winner's
    return Keyring(lambda: drafts.private(path), lambda: _mark(path))


def add(settings: Settings, kind: Kind, number: int) -> None:
    """The file has a secret of that number, as the current one; of two rotations at once, both go on with that of the first."""
    current, members = _MEMBERS[kind]
    with _rewritten(settings, f"add {number} to its {members}") as values:
        values[members].setdefault(str(number), _fresh())
        values[current] = number


def drop(settings: Settings, kind: Kind, number: int) -> bool:
    """Whether the secret was in the file; it is gone from there for good."""
    _, members = _MEMBERS[kind]
    if number not in load(settings).held().of[kind]:
        return False
    with _rewritten(settings, f"remove {number} from its {members} there") as values:
        del values[members][str(number)]
    return True


@contextmanager
def _rewritten(settings: Settings, otherwise: str) -> Iterator[dict[str, Any]]:
    """The file's values, to be changed; nobody finds half of them. `otherwise`: what a person does whose keyring is elsewhere."""
    if os.environ.get(_VARIABLE) is not None:
        raise ConfigurationError(f"the keyring comes from {_VARIABLE}: {otherwise}, give it to every process and run this again")
    path = settings.secrets / "keyring.json"
    try:
        with _locked(path):
            values = json.loads(drafts.private(path))
            if "lookup_secret" in values:  # before there were several
                values |= {"lookup": 1, "lookup_secrets": {"1": values.pop("lookup_secret")}}
            values.setdefault("reads", b64encode(_of_reads(values)).decode())  # before the secret it is made of may go
            yield values
            drafts.replace(path, json.dumps(values).encode(), mode=0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}): {otherwise} where it comes from, and run this again"
        ) from None


def _fresh() -> str:
    return b64encode(os.urandom(_KEY_BYTES)).decode()


def _mark(path: Path) -> object:
    """Differs whenever the file may: the time of its last change counts mode and owner too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size


def _parsed(text: str) -> Secrets:
    try:
        values = json.loads(text)
        if "lookup_secret" in values:  # the form of keyrings whose look-up secret was never another one
            values = {"lookup": 1, "lookup_secrets": {"1": values["lookup_secret"]}} | values
        of: dict[Kind, dict[int, bytes]] = {
            kind: {int(number): b64decode(key) for number, key in values[members].items()} for kind, (_, members) in _MEMBERS.items()
        }
        current: dict[Kind, int] = {kind: int(values[name]) for kind, (name, _) in _MEMBERS.items()}
        if any(len(key) != _KEY_BYTES for key in of["wrapping"].values()) or any(current[kind] not in of[kind] for kind in of):
            raise ValueError
        reads = _of_reads(values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            "the keyring is not readable: expected {current, generations, lookup, lookup_secrets, reads}, keys of 32 bytes in base64"
        ) from None
    return Secrets(current, of, reads)


def _of_reads(values: dict[str, Any]) -> bytes:
    """Key of the chains of reads; in a keyring from before it had one, HKDF (RFC 5869) of the oldest look-up secret."""
    if "reads" in values:
        return b64decode(values["reads"])
    oldest = values["lookup_secrets"][str(min(map(int, values["lookup_secrets"])))]
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"paxtrail record of reads").derive(b64decode(oldest))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


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
    with _locked(path):  # of two first uses at once, the second finds the keys of the first
        known = json.loads(drafts.private(path)) if path.exists() else {}
        if set(known) != alive:
            known = {quarter: known.get(quarter) or _fresh() for quarter in sorted(alive)}
            drafts.replace(path, json.dumps(known).encode(), mode=0o600)
    return {quarter: b64decode(key) for quarter, key in known.items()}
