"""Evaluation: macro-F1, calibration error, per-label figures, cross-validation, and whether one model beats another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold

from paxtrail.core.sentiment import LABELS, Scorer, Sentiment
from paxtrail.ml.labelled import Labelled
from paxtrail.ml.training import train

BINS = 15
RESAMPLES = 1_000


class Report(NamedTuple):
    """Figures of one model on labelled texts. `confusion`: rows true, columns said. `bins`: (mean confidence, share right, texts)."""

    metrics: dict[str, float]
    confusion: npt.NDArray[np.int64]
    bins: list[tuple[float, float, int]]


class Difference(NamedTuple):
    """Macro-F1 of a challenger minus that of the champion, with its 95 % interval."""

    mean: float
    lower: float
    upper: float

    @property
    def is_better(self) -> bool:
        """Whether even the lower bound is above 0."""
        return self.lower > 0


def answers(model: Scorer, data: Labelled) -> list[Sentiment]:
    """What the model says of each text."""
    return [model.score(text) for text in data.texts]


def report(labels: Sequence[str], said: Sequence[Sentiment]) -> Report:
    """Macro-F1, accuracy, expected calibration error, and precision, recall and F1 of each label."""
    told = [one.label for one in said]
    precision, recall, f1, support = precision_recall_fscore_support(labels, told, labels=list(LABELS), zero_division=0.0)
    right = np.array(labels) == np.array(told)
    bins = reliability(np.array([one.confidence for one in said]), right)
    metrics = {
        "macro_f1": float(np.mean(f1)),
        "accuracy": float(right.mean()),
        "ece": sum(abs(confidence - share) * n for confidence, share, n in bins) / len(labels),
        "texts": float(len(labels)),
    }
    for n, label in enumerate(LABELS):
        found = {"precision": precision[n], "recall": recall[n], "f1": f1[n], "texts": support[n]}
        metrics |= {f"{label}_{name}": float(value) for name, value in found.items()}
    return Report(metrics, confusion_matrix(labels, told, labels=list(LABELS)), bins)


def reliability(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """Mean confidence, share of right answers and number of texts of each of BINS equal bins that is not empty."""
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = ((places == place) for place in range(BINS))
    return [(float(confidence[own].mean()), float(right[own].mean()), int(own.sum())) for own in found if own.any()]


def cross_validated(data: Labelled, *, kind: str, seed: int, folds: int) -> Report:
    """The report over all texts, each answered by a model that was trained without its fold."""
    labels = np.array(data.labels)
    said: list[Sentiment | None] = [None] * len(labels)
    for fit, rest in StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels):
        model = train(data.only(fit.tolist()), kind=kind, seed=seed)
        for row in rest.tolist():
            said[row] = model.score(data.texts[row])
    return report(data.labels, [one for one in said if one is not None])


def difference(labels: Sequence[str], challenger: Sequence[Sentiment], champion: Sequence[Sentiment], *, seed: int) -> Difference:
    """By a paired bootstrap: both are asked about the same resampled texts."""
    numbers = {label: n for n, label in enumerate(LABELS)}
    true = np.array([numbers[label] for label in labels])
    sides = [np.array([numbers[one.label] for one in said]) for said in (challenger, champion)]
    rng = np.random.default_rng(seed)
    differences = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        rows = rng.integers(0, len(true), len(true))
        differences[n] = _macro_f1(true[rows], sides[0][rows]) - _macro_f1(true[rows], sides[1][rows])
    lower, upper = np.quantile(differences, (0.025, 0.975))
    point = f1_score(true, sides[0], average="macro", labels=[0, 1, 2], zero_division=0.0)
    point -= f1_score(true, sides[1], average="macro", labels=[0, 1, 2], zero_division=0.0)
    return Difference(float(point), float(lower), float(upper))


def _macro_f1(true: npt.NDArray[np.int64], told: npt.NDArray[np.int64]) -> float:
    table = np.bincount(true * len(LABELS) + told, minlength=len(LABELS) ** 2).reshape(len(LABELS), len(LABELS))
    sums = table.sum(axis=0) + table.sum(axis=1)
    return float(np.mean(2 * np.diag(table) / np.maximum(sums, 1)))
