"""Labelled texts: a CSV file read into texts and labels, and which of them are held back from training for ever."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from paxtrail.core.sentiment import LABELS, clean
from paxtrail.errors import BadRequest

FEWEST = 30
"""Rows of each label without which nothing can be learnt or measured."""
HELD_BACK = 5
"""One text in so many."""


_TEXT: Any = {"encoding": "utf-8-sig", "newline": ""}


class Labelled(NamedTuple):
    """Texts and their labels, in the same order. Personal: nothing of it is logged or kept."""

    texts: list[str]
    labels: list[str]

    def only(self, rows: list[int]) -> Labelled:
        return Labelled([self.texts[row] for row in rows], [self.labels[row] for row in rows])

    def split(self) -> tuple[Labelled, Labelled]:
        """(for training, held back). A hash of the cleaned text decides, so a text is on the same side in every file."""
        sides: tuple[list[int], list[int]] = [], []
        for row, text in enumerate(self.texts):
            sides[_is_held_back(text)].append(row)
        return self.only(sides[0]), self.only(sides[1])


def _is_held_back(text: str) -> bool:
    words = " ".join(clean(text).split())
    return int.from_bytes(hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=4).digest(), "big") % HELD_BACK == 0


def read(file: Path, text: str, label: str) -> Labelled:
    """The rows of a CSV file (`.gz` too) with a text; BadRequest says which column, label or rows are missing, and no value."""
    try:
        with gzip.open(file, "rt", **_TEXT) if file.suffix == ".gz" else file.open(**_TEXT) as lines:
            table = csv.DictReader(lines, strict=True)
            columns = list(table.fieldnames or ())
            for option, column in (("--text", text), ("--label", label)):
                if columns and column not in columns:
                    raise BadRequest("no_column", f"{file} has no column {column!r} ({option}); it has {', '.join(columns)[:500]}")
            rows = [(row[text], (row[label] or "").strip().lower()) for row in table if (row[text] or "").strip()]
    except FileNotFoundError:
        raise BadRequest("no_file", f"{file} is not there") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadRequest("bad_csv", f"{file} is no CSV file in UTF-8 ({type(error).__name__})") from None
    if not columns:
        raise BadRequest("bad_csv", f"{file} is no CSV file: it has no heading")
    unknown = Counter(one for _, one in rows if one not in LABELS)
    if unknown:
        wrong = f"{unknown.total()} rows of column {label!r} hold something else than {', '.join(LABELS)}"
        raise BadRequest("unknown_label", f"{wrong}; correct or remove them")
    counts = Counter(one for _, one in rows)
    few = [one for one in LABELS if counts[one] < FEWEST]
    if few:
        told = ", ".join(f"{one} {counts[one]}" for one in LABELS)
        raise BadRequest("too_few", f"each label needs at least {FEWEST} rows with a text; there are: {told}")
    return Labelled([t for t, _ in rows], [one for _, one in rows])
