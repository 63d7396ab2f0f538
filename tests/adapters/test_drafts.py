"""A file that is written through a draft is whole or what it was, and leaves no draft behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from paxtrail.adapters import drafts


def test_the_last_one_replaces_and_the_first_one_stays(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        drafts.replace(tmp_path / "pointer", content)
        drafts.once(tmp_path / "secrets" / "key", content.decode())
    assert ((tmp_path / "pointer").read_bytes(), (tmp_path / "secrets" / "key").read_text()) == (b"two", "one\n")
    assert [(tmp_path / place).stat().st_mode & 0o777 for place in ("secrets", "secrets/key")] == [0o700, 0o600]
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["key", "pointer", "secrets"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts.replace(tmp_path / "pointer", b"one")

    def fails(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        drafts.replace(tmp_path / "pointer", b"two")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"one"]
