"""Verifies bearer tokens against the issuer's key set (RFC 8725, 9068) and maps their claims to one principal."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from paxtrail.errors import ConfigurationError, Unauthenticated, Unavailable
from paxtrail.serving.access import Principal

ALGORITHMS = ("RS256", "ES256")
SKEW_S = 60
MAX_TOKEN_CHARS = 8192
_REFRESH_S = 30
"""Unknown key ids make the key set be fetched again at most this often, however many arrive."""
_CACHED_TOKENS = 20_000
_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash")

Key = RSAKey | ECKey


class KeySet:
    """Public keys of the issuer by key id, from a file or a URL; private and symmetric keys in it are refused."""

    def __init__(self, location: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._location = location
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched = float("-inf")
        self._lock = anyio.Lock()

    @classmethod
    def of(cls, document: dict[str, Any]) -> KeySet:
        """A key set that never changes (the development issuer's)."""
        keys = cls("")
        keys._keys = _public_keys(document)
        return keys

    def __len__(self) -> int:
        return len(self._keys)

    async def key(self, kid: str) -> Key:
        """The key of that id; the set is fetched once more for an unknown one, rate-limited; Unauthenticated if it stays unknown."""
        if (found := self._keys.get(kid)) is not None:
            return found
        await self.refresh(unless=kid)
        if (found := self._keys.get(kid)) is not None:
            return found
        if not self._keys:
            raise Unavailable("the issuer's keys cannot be read")
        raise Unauthenticated("unknown_key")

    async def refresh(self, unless: str | None = None) -> None:
        """Reads the set again, at most every 30 s, and not if `unless` has become known meanwhile."""
        if self._location:
            async with self._lock:
                if unless not in self._keys and self._clock() - self._fetched >= _REFRESH_S:
                    await self._fetch()

    async def _fetch(self) -> None:
        # What was known stays known when the issuer does not answer.
        self._fetched = self._clock()
        try:
            if self._location.startswith(("https://", "http://")):
                async with httpx.AsyncClient(timeout=2.0, follow_redirects=False) as client:
                    answer = await client.get(self._location)
                    answer.raise_for_status()
                    raw = answer.content
            else:
                raw = await anyio.Path(self._location).read_bytes()
            self._keys = _public_keys(orjson.loads(raw))
        except (OSError, httpx.HTTPError, ValueError, ConfigurationError):
            return


def _public_keys(document: dict[str, Any]) -> dict[str, Key]:
    keys: dict[str, Key] = {}
    for entry in document.get("keys", ()):
        kid, kind = entry.get("kid"), entry.get("kty")
        if not kid or "d" in entry or entry.get("use", "sig") != "sig":
            continue
        try:
            if kind == "RSA":
                keys[kid] = RSAKey.import_key(entry)
            elif kind == "EC" and entry.get("crv") == "P-256":
                keys[kid] = ECKey.import_key(entry)
        except (JoseError, ValueError):
            continue
    if not keys:
        raise ConfigurationError("the key set holds no RSA or P-256 public signing key with a key id")
    return keys


class Verifier:
    """Turns a bearer token into a principal. A token once verified is remembered, by hash, until it expires."""

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str,
        token_types: tuple[str, ...],
        roles: frozenset[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._types = frozenset(t.lower() for t in token_types)
        self._roles = roles
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    @property
    def ready(self) -> bool:
        return len(self._keys) > 0

    async def prepare(self) -> bool:
        """Reads the issuer's keys; whether there are any."""
        await self._keys.refresh()
        return self.ready

    async def principal(self, authorization: str | None, *, unless: Callable[[], None] = lambda: None) -> Principal:
        """Who the value of an Authorization header speaks for; Unauthenticated with a code, never with a part of the token.

        `unless` is asked before the work of verifying a token that is not remembered, and may refuse it.
        """
        if authorization is None:
            raise Unauthenticated("token_missing")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise Unauthenticated("token_malformed")
        digest = blake2b(token.encode(), digest_size=16).digest()
        if (known := self._known.get(digest)) is not None:
            if known[0] > self._clock():
                return known[1]
            del self._known[digest]
        unless()
        expires, principal = await self._verify(token)
        self._known[digest] = expires, principal
        if len(self._known) > _CACHED_TOKENS:
            self._known.popitem(last=False)
        return principal

    async def _verify(self, token: str) -> tuple[float, Principal]:
        header = _header(token)
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated("algorithm_refused")
        typ = header.get("typ")
        if not isinstance(typ, str) or typ.lower() not in self._types or "crit" in header:
            raise Unauthenticated("token_type_refused")
        kid = header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= 200:
            raise Unauthenticated("unknown_key")
        key = await self._keys.key(kid)
        # The algorithm belongs to the kind of key: a public key is never used as an HMAC secret, RSA never checks ES256.
        allowed = ["RS256"] if isinstance(key, RSAKey) else ["ES256"]
        try:
            claims = jwt.decode(token, key, algorithms=allowed).claims
        except (JoseError, ValueError):
            raise Unauthenticated("signature_refused") from None
        return self._checked(claims)

    def _checked(self, claims: dict[str, Any]) -> tuple[float, Principal]:
        now = self._clock()
        if claims.get("iss") != self._issuer:
            raise Unauthenticated("issuer_refused")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthenticated("audience_refused")
        expires = _instant(claims, "exp")
        issued = _instant(claims, "iat")
        not_before = _instant(claims, "nbf") if "nbf" in claims else issued
        if expires + SKEW_S <= now:
            raise Unauthenticated("token_expired")
        if not_before - SKEW_S > now or issued - SKEW_S > now:
            raise Unauthenticated("token_not_yet_valid")
        if any(name in claims for name in _ID_TOKEN_CLAIMS):
            raise Unauthenticated("token_type_refused")
        return expires + SKEW_S, self._principal(claims)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject = claims.get("sub")
        client = next((v for c in ("client_id", "azp", "cid", "appid") if isinstance(v := claims.get(c), str)), "")
        # An identifier is trimmed where it becomes one, so that a subject with a space at its end would be somebody else's.
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or subject != subject.strip() or len(client) > 255:
            raise Unauthenticated("claims_refused")
        # Two roles in one token would make "what may it see" a guess; one is asked for.
        roles = self._roles.intersection(_words(claims.get("roles")))
        if len(roles) != 1:
            raise Unauthenticated("role_unclear")
        return Principal(
            issuer=self._issuer,
            subject=subject,
            client=client,
            kind="app" if claims.get("idtyp") == "app" or subject == client else "user",
            role=next(iter(roles)),
            scopes=frozenset(_words(claims.get("scope")) or _words(claims.get("scp"))),
            purposes=frozenset(_words(claims.get("purposes"))),
            # A claim that is there limits, also when it names nothing or is malformed.
            sources=frozenset(_words(claims["sources"])) if "sources" in claims else None,
        )


def _header(token: str) -> dict[str, Any]:
    first = token.partition(".")[0]
    if token.count(".") != 2:
        raise Unauthenticated("token_malformed")
    try:
        header = orjson.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except ValueError:
        raise Unauthenticated("token_malformed") from None
    if not isinstance(header, dict):
        raise Unauthenticated("token_malformed")
    return header


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise Unauthenticated("claims_refused")
    return float(value)


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def key_set(location: str) -> KeySet:
    """The key set at a file path or URL (https, or http to this machine only)."""
    if location.startswith("http://") and not location.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]")):
        raise ConfigurationError("api.jwks must be https, or a file")
    if not location:
        raise ConfigurationError("api.jwks is empty: give a file or a URL of the issuer's keys")
    return KeySet(location if location.startswith("http") else str(Path(location)))
