"""Files that appear whole or not at all: written as a draft beside their place, then put there in one step. And those of one reader."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paxtrail.errors import ConfigurationError


def replace(file: Path, content: bytes, *, mode: int = 0o666) -> None:
    """The file holds `content`; who reads it meanwhile finds the one before or this one. `mode` as for os.open: the umask takes from it."""
    with _draft(file, content, mode) as draft:
        draft.replace(file)


def once(file: Path, text: str) -> None:
    """A file of mode 0600 in a folder of mode 0700 that stays as it is if it is there; of two writers at once the first one wins."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _draft(file, f"{text}\n".encode(), 0o600) as draft, suppress(FileExistsError):
        os.link(draft, file)


def private(file: Path) -> str:
    """Text of a file that holds a secret; ConfigurationError where others than its owner may read it."""
    with file.open(encoding="utf-8") as opened:
        if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
            raise ConfigurationError(f"{file} can be read by others: chmod 600 it, and give it a new content if others had access")
        return opened.read()


@contextmanager
def _draft(file: Path, content: bytes, mode: int) -> Iterator[Path]:
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as out:
            out.write(content)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
