"""The vault: tokens are stable and sort by age, keys can be lost for good, two workers agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest

from paxtrail.adapters import keyring
from paxtrail.adapters.postgres import Role, dsn
from paxtrail.adapters.vault import Vault, new_token
from paxtrail.core.records import Identifier
from paxtrail.core.sealing import open_, seal
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings


class Vaults:
    """Opens connections to one vault and closes them after the test."""

    def __init__(self, settings: Settings, closing_: ExitStack) -> None:
        self.settings = settings
        self._closing = closing_

    def __call__(self, role: Role = "stream") -> Vault:
        return self._closing.enter_context(closing(Vault(dsn(self.settings, "vault", role), keyring.load(self.settings))))


@pytest.fixture
def vault(clean_postgres: Settings) -> Iterator[Vaults]:
    with ExitStack() as stack:
        yield Vaults(clean_postgres, stack)


def people(count: int) -> list[Identifier]:
    return [Identifier("loyalty", f"UA|X{number}") for number in range(count)]


def test_tokens_sort_by_age() -> None:
    first = new_token()
    time.sleep(0.002)  # tokens of one millisecond are in no order
    assert first < new_token()


def test_an_identifier_keeps_its_token_across_connections(vault: Vaults) -> None:
    asked = people(3)
    first = vault().tokens(asked)
    assert vault().tokens(asked) == first
    assert len(set(first.values())) == 3


def test_two_workers_that_mint_the_same_identifiers_agree(vault: Vaults) -> None:
    asked = people(500)
    vaults = [vault() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda v: v.tokens(asked), vaults))
    assert all(answer == answers[0] for answer in answers)
    keys = [v.keys(answers[0].values()) for v in vaults]
    assert all(key == keys[0] for key in keys) and None not in keys[0].values()


def test_find_mints_nothing(vault: Vaults) -> None:
    v = vault()
    assert v.find(people(1)) == {}
    token = v.tokens(people(1))[people(1)[0]]
    assert v.find(people(2)) == {people(1)[0]: token}


def test_a_deleted_key_is_gone_for_every_worker_after_its_next_refresh(vault: Vaults) -> None:
    one, other = vault(), vault()
    [token] = one.tokens(people(1)).values()
    key = other.keys([token])[token]
    assert key is not None
    vault("postgres").forget([token])  # the stream may not: erasure is decided elsewhere
    one.refresh()
    other.refresh()
    assert one.keys([token]) == {token: None} and other.keys([token]) == {token: None}
    other.tokens(people(1))
    assert vault().keys([token]) == {token: None}, "a later sight of the person must not bring the key back"


def test_the_vault_holds_no_identifier_in_the_clear(vault: Vaults) -> None:
    vault().tokens([Identifier("email", "canary@example.com")])
    with psycopg.connect(dsn(vault.settings, "vault", "postgres")) as connection:
        rows = connection.execute("select identifier::text, sealed from identifier").fetchall()
    assert rows and not any("canary" in text or b"canary" in bytes(sealed) for text, sealed in rows)


def test_a_sealed_value_opens_under_its_key_and_class_only() -> None:
    sealed = seal(b"k" * 64, "name", "t1", "SMITH")
    assert open_(b"k" * 64, sealed) == "SMITH"
    assert sealed == seal(b"k" * 64, "name", "t1", "SMITH")
    for other in (sealed.replace(":name:", ":email:"), sealed.replace(":t1:", ":t2:")):
        with pytest.raises(ValueError, match="another key"):
            open_(b"k" * 64, other)
    with pytest.raises(ValueError, match="another key"):
        open_(b"q" * 64, sealed)


def test_a_keyring_that_others_can_read_is_refused(clean_postgres: Settings) -> None:
    keyring.load(clean_postgres)
    (clean_postgres.secrets / "keyring.json").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keyring.load(clean_postgres)
