"""Heads of the chains of reads, outside the database that holds the chains: a small file for each, which only its writer writes.

Who can delete the newest records of a chain in the vault cannot make this file forget that they were there.
"""

from __future__ import annotations

import os
from pathlib import Path

from paxtrail.core.chains import NOTHING, Head
from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

_SEQ = 20


def folder(settings: Settings) -> Path:
    """Where the heads of all writers are: `reads.witness`, by default in the home."""
    return settings.home / "witness" if not settings.reads.witness else Path(settings.reads.witness)


class Witness:
    """The head of one chain, told by its writer."""

    def __init__(self, place: Path, chain: str) -> None:
        """The file is there, and will be after a loss of power, before the chain's first link is; OSError if it cannot be made."""
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(place / chain, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            self.tell(NOTHING)
            os.fsync(self._file)
        except OSError:
            os.close(self._file)
            raise

    def tell(self, head: Head) -> None:
        """The chain goes to `head`. Not forced to disk: a loss of power costs the last moments' sight, not records."""
        os.pwrite(self._file, _text(head), 0)  # always as long: no reader finds a part of an older head

    def close(self) -> None:
        os.close(self._file)


def heads(place: Path) -> dict[str, Head]:
    """The head of each chain that was ever begun; ConfigurationError naming a file that holds none."""
    return {file.name: _head(file) for file in place.iterdir()} if place.exists() else {}


def head(place: Path, chain: str) -> Head | None:
    """The head of one chain; None if nobody told of it."""
    return _head(place / chain) if "/" not in chain and (place / chain).is_file() else None


def _head(file: Path) -> Head:
    text = file.read_text(errors="replace")
    if not text:
        return NOTHING  # its writer died as it began
    seq, _, mac = text.strip().partition(" ")
    try:
        return Head(int(seq), bytes.fromhex(mac))
    except ValueError:
        raise ConfigurationError(f"{file} holds no head of a chain; put it back from a backup: without it no cut tail is seen") from None


def _text(head: Head) -> bytes:
    return f"{head.seq:0{_SEQ}} {head.mac.hex()}\n".encode()
