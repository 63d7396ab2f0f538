"""Rotation: generations end with everything that was deleted before, nobody notices, and a kill at any point costs nothing."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg import sql

from paxtrail.adapters import keyring, vault
from paxtrail.adapters.migrations import migrate
from paxtrail.adapters.postgres import Role, database_name, dsn, password
from paxtrail.adapters.rotation import Rotation
from paxtrail.adapters.vault import AsyncVault, Vault
from paxtrail.core.records import Identifier
from paxtrail.core.sealing import open_, seal
from paxtrail.errors import ConfigurationError, KeyInUse, KeyringBehind, NotFound, Unavailable
from paxtrail.settings import Settings
from paxtrail.stack import places, postgresql


class Place:
    """One vault, the connections that a test opens to it, and what stands in its tables."""

    def __init__(self, settings: Settings, closing_: ExitStack) -> None:
        self.settings = settings
        self._closing = closing_

    def vault(self, role: Role = "stream", settings: Settings | None = None) -> Vault:
        own = settings or self.settings
        return self._closing.enter_context(closing(Vault(dsn(own, "vault", role), keyring.load(own))))

    def rotation(self, settings: Settings | None = None) -> Rotation:
        return self._closing.enter_context(closing(Rotation(settings or self.settings)))

    def sql(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        with psycopg.connect(dsn(self.settings, "vault", "postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    def elsewhere(self, home: Path) -> Settings:
        """A machine whose file is a copy: it does not see what rotation writes here."""
        shutil.copytree(self.settings.secrets, home / "secrets")
        return self.settings.model_copy(update={"home": home})


@pytest.fixture
def place(clean_postgres: Settings) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(clean_postgres, stack)


def people(count: int, first: int = 0) -> list[Identifier]:
    return [Identifier("loyalty", f"UA|X{number}") for number in range(first, first + count)]


def dumped(settings: Settings, file: Path) -> Path:
    """A backup of the vault, as an operator makes it."""
    run(settings, "pg_dump", "-d", database_name(settings, "vault"), "-Fc", "-f", str(file))
    return file


def run(settings: Settings, program: str, *arguments: str) -> None:
    where = ["-h", settings.postgres.host, "-p", str(settings.postgres.port), "-U", "postgres", "--no-password"]
    environment = {**os.environ, "PGPASSWORD": password(settings, "postgres")}
    subprocess.run([str(postgresql.binaries() / program), *where, *arguments], env=environment, check=True, capture_output=True)


@pytest.fixture
def restored(place: Place) -> Iterator[Callable[[Path], Settings]]:
    """Restores a backup into a database of its own."""
    made: list[str] = []

    def restore(file: Path) -> Settings:
        made.append(f"restored_{len(made)}")
        run(place.settings, "createdb", made[-1])
        run(place.settings, "pg_restore", "-d", made[-1], str(file))
        with psycopg.connect(dsn(place.settings, "postgres", "postgres"), autocommit=True) as server:
            server.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO stream").format(sql.Identifier(made[-1])))
        changed = place.settings.postgres.model_copy(update={"vault_database": made[-1]})
        return place.settings.model_copy(update={"postgres": changed})

    yield restore
    with psycopg.connect(dsn(place.settings, "postgres", "postgres"), autocommit=True) as server:
        for name in made:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def opens(settings: Settings, token: str, sealed: str) -> object:
    """What a process that starts now reads; None where the key was deleted."""
    with closing(Vault(dsn(settings, "vault", "stream"), keyring.load(settings))) as found:
        key = found.keys([token])[token]
        return None if key is None else open_(key, sealed)


def test_a_deleted_key_dies_in_the_vaults_backups_with_its_generation(
    place: Place, tmp_path: Path, restored: Callable[[Path], Settings]
) -> None:
    held, erased = place.vault().tokens(people(2)).values()
    in_delta = {token: seal(place.vault().keys([token])[token] or b"", "name", token, "SMITH") for token in (held, erased)}
    before = dumped(place.settings, tmp_path / "before.dump")
    place.vault("postgres").forget([erased])
    assert [opens(place.settings, token, in_delta[token]) for token in (held, erased)] == ["SMITH", None]
    backup = restored(before)
    assert opens(backup, erased, in_delta[erased]) == "SMITH", "until its generation is destroyed the backup has the key"

    rotation = place.rotation()
    assert rotation.begin("wrapping") == 2
    assert rotation.rewrap() == {"subject_key": 1, "quarantine_key": 0, "generation": 2, "left": 0}
    after = restored(dumped(place.settings, tmp_path / "after.dump"))
    assert rotation.destroy(1)
    with pytest.raises(KeyringBehind, match="no generation 1"):
        opens(backup, erased, in_delta[erased])
    for settings in (place.settings, after):
        assert [opens(settings, token, in_delta[token]) for token in (held, erased)] == ["SMITH", None]
    assert keyring.load(place.settings).held().of["wrapping"].keys() == {2}


def test_a_running_process_wraps_under_the_new_generation_at_once_and_reads_both(place: Place) -> None:
    running = place.vault()
    [old] = running.tokens(people(1)).values()
    place.rotation().begin("wrapping")
    [new] = running.tokens(people(1, first=1)).values()
    running.quarantine_key("2026-11-23")
    assert place.sql("select token, generation from subject_key order by generation") == [(old, 1), (new, 2)]
    assert place.sql("select generation from quarantine_key") == [(2,)]
    assert None not in place.vault().keys([old, new]).values()


def test_a_process_that_has_not_the_new_key_waits_and_makes_nothing(place: Place, tmp_path: Path) -> None:
    place.vault().tokens(people(1))
    far = place.elsewhere(tmp_path / "far")
    behind = place.vault(settings=far)
    place.rotation().begin("wrapping")
    with pytest.raises(KeyringBehind, match="generation 2"):
        behind.tokens(people(1, first=1))
    with pytest.raises(KeyringBehind):
        behind.quarantine_key("2026-11-23")
    assert place.sql("select count(*) from identifier") == [(1,)]
    shutil.copy(place.settings.secrets / "keyring.json", far.secrets / "keyring.json")
    behind.tokens(people(1, first=1))
    assert place.sql("select generation from subject_key order by generation") == [(1,), (2,)]


@pytest.mark.parametrize("kind", ["wrapping", "lookup"])
def test_a_generation_begins_when_nobody_is_writing_under_the_one_before(place: Place, kind: keyring.Kind) -> None:
    with psycopg.connect(dsn(place.settings, "vault", "stream")) as minting:
        vault.in_force(minting.cursor(), keyring.load(place.settings))
        rotation = place.rotation()
        beginning = threading.Thread(target=rotation.begin, args=(kind,))
        beginning.start()
        beginning.join(0.3)
        assert beginning.is_alive() and place.sql("select generation from key_generation where generation > 1") == []
        minting.commit()
        beginning.join(30)
    assert place.sql("select generation from key_generation where generation > 1") == [(2,)]


def test_a_generation_is_destroyed_only_when_nothing_is_wrapped_under_it(place: Place) -> None:
    tokens = list(place.vault().tokens(people(3)).values())
    place.vault().quarantine_key("2026-11-23")
    rotation = place.rotation()
    with pytest.raises(KeyInUse, match="comes into force"):
        rotation.destroy(1)
    rotation.begin("wrapping")
    with pytest.raises(KeyInUse, match="4 keys"):
        rotation.destroy(1)
    with pytest.raises(NotFound, match="there are 1, 2"):
        rotation.destroy(0)
    place.sql("update subject_key set wrapped = null where token = %s", tokens[0])
    assert rotation.rewrap() == {"subject_key": 2, "quarantine_key": 1, "generation": 2, "left": 0}
    assert rotation.destroy(1)
    assert not rotation.destroy(1), "killed before the end, it is run again"
    assert "1" not in json.loads((place.settings.secrets / "keyring.json").read_text())["generations"]
    assert rotation.begin("wrapping") == 3


@pytest.mark.parametrize("kind", ["wrapping", "lookup"])
def test_a_rotation_that_was_killed_between_file_and_vault_goes_on_with_the_key_it_made(
    place: Place, kind: keyring.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Rotation._begun

    def killed(self: Rotation, kind: keyring.Kind, number: int) -> None:
        if number > 1:
            raise KeyboardInterrupt
        begun(self, kind, number)

    with monkeypatch.context() as patch:
        patch.setattr(Rotation, "_begun", killed)
        with pytest.raises(KeyboardInterrupt):
            place.rotation().begin(kind)
    made = keyring.load(place.settings).held().of[kind]
    place.vault().tokens(people(1))
    assert place.sql("select generation, lookup from subject_key join identifier using (token)") == [(1, 1)]
    with pytest.raises(KeyInUse, match="comes into force"):
        place.rotation().destroy(2) if kind == "wrapping" else place.rotation().end_lookup(2)
    keyring.add(place.settings, kind, 2)  # as another rotation does at the same time
    assert place.rotation().begin(kind) == 2
    assert keyring.load(place.settings).held().of[kind] == made and made.keys() == {1, 2}


def test_killed_while_it_rewraps_it_goes_on_beside_who_mints(place: Place) -> None:
    running = place.vault()
    keys = running.keys(running.tokens(people(1500)).values())
    place.rotation().begin("wrapping")
    command = [sys.executable, "-m", "paxtrail.cli.main", "keys", "rewrap", "--batch", "1"]
    with subprocess.Popen(command, env={**os.environ, **places.environment(place.settings)}, stdout=subprocess.PIPE) as program:
        while program.poll() is None and place.sql("select count(*) from subject_key where generation = 2") == [(0,)]:
            time.sleep(0.01)
        program.kill()
    late = running.keys(running.tokens(people(50, first=1500)).values())
    counts = place.rotation().rewrap()
    assert counts["left"] == 0 and counts["subject_key"] < 1500
    assert place.sql("select distinct generation from subject_key") == [(2,)]
    place.rotation().destroy(1)
    assert place.vault().keys([*keys, *late]) == keys | late


def test_a_key_deleted_while_it_is_wrapped_again_stays_deleted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    [token] = place.vault().tokens(people(1)).values()
    rotation, eraser = place.rotation(), place.vault("postgres")
    rotation.begin("wrapping")
    erasing = threading.Thread(target=eraser.forget, args=([token],))
    unwrap = keyring.Keyring.unwrap

    def meanwhile(self: keyring.Keyring, owner: str, wrapped: bytes, generation: int) -> bytes:
        if not erasing.ident:
            erasing.start()
            erasing.join(0.5)
        return unwrap(self, owner, wrapped, generation)

    monkeypatch.setattr(keyring.Keyring, "unwrap", meanwhile)
    rotation.rewrap()
    erasing.join(30)
    assert place.vault().keys([token]) == {token: None}


def test_under_two_look_up_secrets_everybody_is_found_and_nobody_is_new(place: Place) -> None:
    running = place.vault()
    known = running.tokens(people(4))
    rotation = place.rotation()
    assert rotation.begin("lookup") == 2
    assert place.vault("api").find(people(4)) == known
    assert place.vault().tokens(people(2)) == {i: known[i] for i in people(2)}, "seen again, they move"
    known |= running.tokens(people(1, first=4))
    assert rotation.status()["lookup"]["identifiers"] == {1: 2, 2: 3}
    with pytest.raises(KeyInUse, match="2 identifiers"):
        rotation.end_lookup(1)
    with pytest.raises(KeyInUse, match="has not ended"):
        rotation.begin("lookup")
    assert rotation.rehash(batch=1) == {"identifiers": 2, "lookup": 2, "left": 0, "forgotten": 0}
    assert rotation.end_lookup(1) == 0
    assert json.loads((place.settings.secrets / "keyring.json").read_text())["lookup_secrets"].keys() == {"2"}
    assert place.vault("api").find(people(6)) == known == place.vault().tokens(people(5))
    assert rotation.begin("lookup") == 3


def test_the_forgotten_are_not_new_before_somebody_accepts_it(place: Place) -> None:
    tokens = place.vault().tokens(people(3))
    first, second, third = people(3)
    place.vault("postgres").forget([tokens[first], tokens[second]])
    rotation = place.rotation()
    rotation.begin("lookup")
    assert rotation.rehash() == {"identifiers": 1, "lookup": 2, "left": 0, "forgotten": 2}
    assert place.vault().tokens([first]) == {first: tokens[first]}, "a late file does not bring anybody back"
    assert rotation.status()["lookup"]["forgotten"] == {1: 1, 2: 1}
    with pytest.raises(KeyInUse, match="1 forgotten"):
        rotation.end_lookup(1)
    assert rotation.end_lookup(1, accept_loss=True) == 1
    again = place.vault()
    assert again.tokens([first, third]) == {first: tokens[first], third: tokens[third]}
    assert again.tokens([second]) != {second: tokens[second]}
    assert again.keys([tokens[first]]) == {tokens[first]: None}


async def test_a_process_without_the_new_look_up_secret_says_so_and_finds_nobody_less(place: Place, tmp_path: Path) -> None:
    known = place.vault().tokens(people(1))
    far = place.elsewhere(tmp_path / "far")
    behind, ring = place.vault("api", far), keyring.load(far)
    rotation = place.rotation()
    rotation.begin("lookup")
    rotation.rehash()
    pool = await asyncpg.create_pool(dsn(far, "vault", "api"), min_size=0, max_size=1)
    try:
        with pytest.raises(Unavailable, match="look-up secret"):
            await AsyncVault(pool, ring).find(people(1))
        with pytest.raises(Unavailable, match="look-up secret"):
            behind.find(people(1))
        with pytest.raises(KeyringBehind):
            place.vault(settings=far).tokens(people(1))
        shutil.copy(place.settings.secrets / "keyring.json", far.secrets / "keyring.json")
        assert await AsyncVault(pool, ring).find(people(1)) == known == behind.find(people(1))
    finally:
        pool.terminate()


def test_rows_and_keyrings_from_before_there_were_generations_go_on(place: Place) -> None:
    file = place.settings.secrets / "keyring.json"
    keyring.load(place.settings)
    values = json.loads(file.read_text())
    file.write_text(json.dumps({n: values[n] for n in ("current", "generations")} | {"lookup_secret": values["lookup_secrets"]["1"]}))
    known, reads = place.vault().tokens(people(1)), keyring.load(place.settings).reads_key()
    migrate(place.settings)
    rotation = place.rotation()
    rotation.begin("lookup")
    assert place.vault().tokens(people(1)) == known
    rotation.end_lookup(1)
    assert place.vault().tokens(people(1)) == known
    assert keyring.load(place.settings).reads_key() == reads


def test_a_keyring_from_the_key_service_is_changed_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.settings.secrets / "keyring.json"
    keyring.load(place.settings)
    values = json.loads(file.read_text())
    monkeypatch.setenv("PAXTRAIL_KEYRING", json.dumps(values))
    with pytest.raises(ConfigurationError, match="add 2 to its generations"):
        place.rotation().begin("wrapping")
    values["generations"]["2"] = values["generations"]["1"][::-1].replace("=", "") + "="
    monkeypatch.setenv("PAXTRAIL_KEYRING", json.dumps(values))
    place.vault().tokens(people(1))
    assert place.sql("select generation from subject_key") == [(1,)]
    rotation = place.rotation()
    assert rotation.begin("wrapping") == 2
    assert rotation.rewrap()["subject_key"] == 1
    with pytest.raises(ConfigurationError, match="remove 1 from its generations"):
        rotation.destroy(1)


def test_a_running_process_goes_on_when_the_new_file_cannot_be_used(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keyring, "LOOK_S", 0)
    ring = keyring.load(place.settings)
    held, file = ring.held(), place.settings.secrets / "keyring.json"
    good = file.read_text()
    with caplog.at_level(logging.ERROR):
        file.write_text(good[:40])
        assert ring.held() is held
        file.chmod(0o644)
        assert ring.held() is held
    assert [record.message for record in caplog.records if "not readable" in record.message or "chmod 600" in record.message]
    assert good[12:30] not in caplog.text
    file.write_text(good)
    file.chmod(0o600)
    assert ring.held() is not held


def test_a_deleted_key_is_in_no_workers_memory_after_five_seconds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * vault.CHECKED_S <= 5
    idle, busy = place.vault(), place.vault()
    [token] = idle.tokens(people(1)).values()
    assert idle.keys([token]) == busy.keys([token])
    place.vault("postgres").forget([token])
    monkeypatch.setattr(vault, "CHECKED_S", 0.02)
    time.sleep(0.05)
    assert busy.keys([token]) == {token: None}, "also when its micro-batch takes long"
    end = time.monotonic() + 10
    while idle._keys and time.monotonic() < end:
        time.sleep(0.02)
    assert not idle._keys, "also when it has nothing to do"


def test_of_deletions_at_the_same_time_no_worker_passes_one_by(place: Place) -> None:
    worker = place.vault()
    one, other = worker.tokens(people(2)).values()
    worker.keys([one, other])
    with psycopg.connect(dsn(place.settings, "vault", "postgres")) as slow:
        slow.execute("select pg_advisory_xact_lock(%s)", (vault.DELETIONS,))
        slow.execute("update subject_key set wrapped = null where token = %s", (one,))
        slow.execute("insert into key_deletion (token) values (%s)", (one,))
        fast = threading.Thread(target=place.vault("postgres").forget, args=([other],))
        fast.start()
        fast.join(0.3)
        worker.refresh()
        slow.commit()
        fast.join(30)
    worker.refresh()
    assert worker.keys([one, other]) == {one: None, other: None}
