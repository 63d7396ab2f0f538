"""A token issuer for development on one machine (env `local` only): its key under <home>/secrets, its key set at /dev/jwks.json."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from paxtrail.errors import ConfigurationError
from paxtrail.serving.access import Access
from paxtrail.settings import Settings

MAX_TTL_S = 24 * 3600


class Issuer:
    """Signs ES256 access tokens (RFC 9068) for roles of the access table."""

    def __init__(self, key: ECKey, settings: Settings) -> None:
        self._key = key
        self._issuer = settings.api.issuer
        self._audience = settings.api.audience

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**self._key.as_dict(private=False), "use": "sig", "alg": "ES256", "kid": self._key.thumbprint()}]}

    def token(
        self,
        access: Access,
        role: str,
        *,
        subject: str,
        purposes: tuple[str, ...] = (),
        sources: tuple[str, ...] = (),
        ttl_s: int = 3600,
    ) -> str:
        """A token with every scope of `role`; ConfigurationError for a role or purpose the table does not have."""
        rule = access.roles.get(role)
        if rule is None:
            raise ConfigurationError(f"no role {role} in conf/access.toml: {', '.join(sorted(access.roles))}")
        if unknown := set(purposes) - set(rule.purposes):
            raise ConfigurationError(f"the role {role} has no purpose {sorted(unknown)[0]}: {', '.join(rule.purposes)}")
        if not 0 < ttl_s <= MAX_TTL_S:
            raise ConfigurationError(f"a token lives 1 to {MAX_TTL_S} seconds")
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "client_id": "paxtrail-cli",
            "iat": now,
            "nbf": now,
            "exp": now + ttl_s,
            "jti": secrets.token_hex(8),
            "scope": " ".join(sorted(rule.scopes)),
            "roles": [role],
        }
        if purposes:
            claims["purposes"] = list(purposes)
        if sources:
            claims["sources"] = list(sources)
        return self.sign(claims)

    def sign(self, claims: dict[str, Any], **header: str) -> str:
        return jwt.encode(
            {"alg": "ES256", "typ": "at+jwt", "kid": self._key.thumbprint(), **header}, claims, self._key, algorithms=["ES256"]
        )


def load(settings: Settings) -> Issuer:
    """The issuer of this home, its key made at first use; ConfigurationError outside `local`."""
    if settings.env != "local" or not settings.api.dev_issuer:
        raise ConfigurationError("the development issuer is off: ask the identity provider for a token")
    file = settings.secrets / "issuer.pem"
    if not file.exists():
        _create(file)
    return Issuer(ECKey.import_key(file.read_text()), settings)


def _create(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        out.write(ECKey.generate_key("P-256").as_pem(private=True))
    try:
        os.link(draft, file)  # whoever is first wins; the others read the winner's
    except FileExistsError:
        pass
    finally:
        draft.unlink()
