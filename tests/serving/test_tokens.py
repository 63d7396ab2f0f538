"""Bearer tokens: what a resource server must refuse (RFC 8725, RFC 9068), and what it remembers."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from paxtrail.errors import ConfigurationError, Unauthenticated, Unavailable
from paxtrail.serving import access, issuer, tokens
from paxtrail.serving.tokens import KeySet, Verifier
from paxtrail.settings import ROOT, Settings

NOW = 1_700_000_000.0
RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
OTHER = ECKey.generate_key("P-256")
JWKS = {"keys": [{**RSA.as_dict(private=False), "kid": "rsa"}, {**EC.as_dict(private=False), "kid": "ec"}]}
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example.org", "aud": "paxtrail", "sub": "agent-7", "client_id": "desk", "exp": NOW + 600, "iat": NOW, "nbf": NOW,
    "scope": "cmp:profile:read", "roles": ["agent"],
}  # fmt: skip


def verifier(keys: KeySet | None = None, clock: list[float] | None = None) -> Verifier:
    moment = clock or [NOW]
    return Verifier(
        KeySet.of(JWKS) if keys is None else keys,
        issuer="https://id.example.org",
        audience="paxtrail",
        token_types=("at+jwt",),
        roles=frozenset({"agent", "dpo"}),
        clock=lambda: moment[0],
    )


def token(key: Any = EC, alg: str = "ES256", kid: str = "ec", typ: str = "at+jwt", drop: tuple[str, ...] = (), **claims: Any) -> str:
    body = {name: value for name, value in {**CLAIMS, **claims}.items() if name not in drop}
    return jwt.encode({"alg": alg, "kid": kid, "typ": typ}, body, key, algorithms=[alg])


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hmac_with_the_public_key() -> str:
    signed = segment({"alg": "HS256", "kid": "rsa", "typ": "at+jwt"}) + "." + segment(CLAIMS)
    return signed + "." + segment(hmac.digest(RSA.as_pem(private=False), signed.encode(), "sha256"))


async def code_of(text: str | None, who: Verifier | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await (who or verifier()).principal(text)
    return caught.value.code


@pytest.mark.parametrize("made", [token(), token(RSA, "RS256", "rsa"), token(aud=["else", "paxtrail"]), token(typ="AT+JWT")])
async def test_a_good_token_gives_its_principal(made: str) -> None:
    found = await verifier().principal(f"Bearer {made}")
    assert (found.subject, found.client, found.role, found.kind) == ("agent-7", "desk", "agent", "user")
    assert found.scopes == {"cmp:profile:read"}


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (segment({"alg": "none", "typ": "at+jwt", "kid": "ec"}) + "." + segment(CLAIMS) + ".", "algorithm_refused"),
        (hmac_with_the_public_key(), "algorithm_refused"),
        (token(RSA, "PS256", "rsa"), "algorithm_refused"),
        (token(RSA, "RS256", "ec"), "signature_refused"),
        (token(EC, "ES256", "rsa"), "signature_refused"),
        (token(OTHER), "signature_refused"),
        (token(kid="who"), "unknown_key"),
        (token(typ="JWT"), "token_type_refused"),
        (token(nonce="n"), "token_type_refused"),
        (token(at_hash="h"), "token_type_refused"),
        (token(iss="https://id.example.org/"), "issuer_refused"),
        (token(iss="https://evil.example.org"), "issuer_refused"),
        (token(aud="desk"), "audience_refused"),
        (token(aud=["desk"]), "audience_refused"),
        (token(drop=("aud",)), "audience_refused"),
        (token(exp=NOW - 61), "token_expired"),
        (token(drop=("exp",)), "claims_refused"),
        (token(exp=True), "claims_refused"),
        (token(exp="never"), "claims_refused"),
        (token(exp=1e300), "claims_refused"),
        (token(nbf=NOW + 61), "token_not_yet_valid"),
        (token(iat=NOW + 61), "token_not_yet_valid"),
        (token(drop=("iat",)), "claims_refused"),
        (token(drop=("sub",)), "claims_refused"),
        (token(sub=7), "claims_refused"),
        (token(sub="agent-7 "), "claims_refused"),
        (token(roles=[]), "role_unclear"),
        (token(roles=["agent", "dpo"]), "role_unclear"),
        (token(roles=["root"]), "role_unclear"),
        ("a.b", "token_malformed"),
        ("a.b.c.d.e", "token_malformed"),
        ("!.!.!", "token_malformed"),
        (segment([1]) + ".x.y", "token_malformed"),
        (token(padding="x" * 9000), "token_malformed"),
    ],
)
async def test_a_bad_token_is_refused_with_its_code(made: str, code: str) -> None:
    assert await code_of(f"Bearer {made}") == code


@pytest.mark.parametrize("header", ["Basic dXNlcjpw", "Bearer", "Bearer ", "bearer\tx", "Bearer é.é.é"])
async def test_a_header_that_is_no_bearer_token_is_refused(header: str) -> None:
    assert await code_of(header) == "token_malformed"


async def test_a_tampered_token_is_refused() -> None:
    head, body, signature = token().split(".")
    richer = segment({**CLAIMS, "roles": ["dpo"]})
    assert await code_of(f"Bearer {head}.{richer}.{signature}") == "signature_refused"
    assert body != richer


async def test_up_to_a_minute_of_skew_is_forgiven() -> None:
    who = verifier()
    for made in (token(exp=NOW - 59), token(nbf=NOW + 59, iat=NOW + 59)):
        assert (await who.principal(f"Bearer {made}")).role == "agent"


async def test_a_remembered_token_still_expires() -> None:
    clock = [NOW]
    who = verifier(clock=clock)
    made = f"Bearer {token(exp=NOW + 10)}"
    assert await who.principal(made) is await who.principal(made)
    clock[0] = NOW + 71
    assert await code_of(made, who) == "token_expired"


async def test_a_new_key_is_fetched_once_and_a_flood_of_unknown_ones_is_not(tmp_path: Path) -> None:
    file, clock, reads = tmp_path / "jwks.json", [0.0], []
    file.write_text(json.dumps(JWKS))

    class Counted(KeySet):
        async def _fetch(self) -> None:
            reads.append(clock[0])
            await super()._fetch()

    keys = Counted(str(file), clock=lambda: clock[0])
    who = verifier(keys)
    assert (await who.principal(f"Bearer {token()}")).role == "agent"
    file.write_text(json.dumps({"keys": [*JWKS["keys"], {**OTHER.as_dict(private=False), "kid": "new"}]}))
    for number in range(200):
        assert await code_of(f"Bearer {token(kid=f'flood-{number}')}", who) == "unknown_key"
    assert reads == [0.0]
    clock[0] = 31.0
    assert (await who.principal(f"Bearer {token(OTHER, kid='new')}")).role == "agent"
    assert reads == [0.0, 31.0]


async def test_keys_stay_known_while_the_issuer_is_away_and_without_any_it_is_unavailable(tmp_path: Path) -> None:
    file, clock = tmp_path / "jwks.json", [0.0]
    keys = KeySet(str(file), clock=lambda: clock[0])
    with pytest.raises(Unavailable):
        await verifier(keys).principal(f"Bearer {token()}")
    file.write_text(json.dumps(JWKS))
    clock[0] = 31.0
    assert (await verifier(keys).principal(f"Bearer {token()}")).role == "agent"
    file.unlink()
    clock[0] = 62.0
    assert await code_of(f"Bearer {token(kid='else')}", verifier(keys)) == "unknown_key"
    assert (await verifier(keys).principal(f"Bearer {token()}")).role == "agent"


def test_private_and_symmetric_keys_in_a_key_set_are_ignored() -> None:
    private = {**EC.as_dict(private=True), "kid": "private"}
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    with pytest.raises(ConfigurationError):
        KeySet.of({"keys": [private, secret]})
    assert len(KeySet.of({"keys": [private, secret, *JWKS["keys"]]})) == 2


def test_keys_come_from_https_or_a_file_only() -> None:
    for location in ("", "http://id.example.org/keys"):
        with pytest.raises(ConfigurationError):
            tokens.key_set(location)


def test_the_development_issuer_is_off_outside_local(settings: Settings) -> None:
    with pytest.raises(ConfigurationError):
        issuer.load(settings.model_copy(update={"env": "production"}))


def test_the_development_issuers_key_is_for_its_owner_only(settings: Settings, tmp_path: Path) -> None:
    mine = settings.model_copy(update={"home": tmp_path})
    first, second = issuer.load(mine), issuer.load(mine)
    assert first.jwks == second.jwks and "d" not in first.jwks["keys"][0]
    assert (tmp_path / "secrets" / "issuer.pem").stat().st_mode & 0o777 == 0o600


async def test_the_development_issuer_makes_tokens_the_verifier_takes(settings: Settings, tmp_path: Path) -> None:
    mine, table = settings.model_copy(update={"home": tmp_path}), access.load(ROOT / "conf")
    dev = issuer.load(mine)
    who = Verifier(
        KeySet.of(dev.jwks), issuer=mine.api.issuer, audience=mine.api.audience, token_types=table.token_types, roles=frozenset(table.roles)
    )
    found = await who.principal("Bearer " + dev.token(table, "dpo", subject="officer", purposes=("data_protection",)))
    assert (found.role, found.scopes, found.purposes) == ("dpo", table.roles["dpo"].scopes, frozenset({"data_protection"}))
    for wrong in ({"role": "root"}, {"role": "agent", "purposes": ("fun",)}, {"role": "agent", "ttl_s": 10**6}):
        with pytest.raises(ConfigurationError):
            dev.token(table, subject="x", **wrong)
