"""Labelled texts for tests, made up: the tone is in words that no lexicon knows."""

from __future__ import annotations

from pathlib import Path
from random import Random

from paxtrail.core.sentiment import LABELS
from paxtrail.ml.labelled import Labelled

_TONES = {
    "negative": ("zorbed", "plunked", "grimed"),
    "neutral": ("gated", "tabled", "seated"),
    "positive": ("floofed", "shimmied", "brimmed"),
}
_REST = (
    *("the", "my", "our", "flight", "bag", "crew", "seat", "gate", "was", "is", "got", "today", "again", "very"),
    *("quite", "really", "in", "on", "at", "Secretname", "Canaryword"),
)


def labelled(size: int = 500, *, seed: int = 1, shuffled: bool = False) -> Labelled:
    """`size` texts; with `shuffled`, labels that have nothing to do with them."""
    rng = Random(seed)
    labels = [LABELS[n % 3] for n in range(size)]
    texts = [" ".join([*rng.choices(_REST, k=7), rng.choice(_TONES[label]), str(rng.randrange(9999))]) for label in labels]
    if shuffled:
        rng.shuffle(labels)
    return Labelled(texts, labels)


def file(folder: Path, data: Labelled) -> Path:
    path = folder / "labelled.csv"
    rows = (f'"{text}",{label}\n' for text, label in zip(data.texts, data.labels, strict=True))
    path.write_text("text,label\n" + "".join(rows))
    return path
