"""Training: tf-idf of words and letters, a linear model over them, and a calibration from margins of folds it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from paxtrail.adapters.scoring import compound
from paxtrail.core.sentiment import LABELS, Block, LinearModel, clean, letters, words
from paxtrail.ml.labelled import Labelled

KINDS = ("svm", "logistic")
FOLDS = 5
UNNAMED = "sentiment/0"

Features = tuple[list[list[int]], list[list[int]]]


def parameters(kind: str, seed: int) -> dict[str, Any]:
    """What a training is made of, as it is logged."""
    return {"kind": kind, "seed": seed, "C": 0.2 if kind == "svm" else 3.0, "min_df": 2, "class_weight": "balanced", "folds": FOLDS}


def train(data: Labelled, *, kind: str = "svm", seed: int = 1) -> LinearModel:
    """A calibrated model of all of `data`; the same for the same data, kind and seed."""
    found, labels = features(data.texts), np.array(data.labels)
    held_out = np.zeros((len(labels), len(LABELS)))
    for own, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        vectorizers, linear = fit(_rows(found, own), labels[own], kind, seed)
        held_out[rest] = linear.decision_function(matrix(vectorizers, _rows(found, rest)))
    calibration = LogisticRegression(C=10.0, max_iter=1_000).fit(held_out, labels)
    vectorizers, linear = fit(found, labels, kind, seed)
    edge = len(vectorizers[0].vocabulary_)
    return LinearModel(
        UNNAMED,
        _block(vectorizers[0], linear.coef_[:, :edge]),
        _block(vectorizers[1], linear.coef_[:, edge:]),
        linear.intercept_,
        calibration.coef_,
        calibration.intercept_,
        compound,
    )


def features(texts: Sequence[str]) -> Features:
    """Words and letters of each text."""
    cleaned = [clean(text) for text in texts]
    return [words(one, compound(text)) for one, text in zip(cleaned, texts, strict=True)], [letters(one) for one in cleaned]


def _rows(found: Features, rows: Sequence[int]) -> Features:
    return [found[0][row] for row in rows], [found[1][row] for row in rows]


def fit(found: Features, labels: Any, kind: str, seed: int) -> tuple[list[Any], Any]:
    """(vectorizers of words and letters, linear model), as scikit-learn has them."""
    chosen = parameters(kind, seed)
    # min_df also keeps what only one customer ever wrote out of the model.
    vectorizers = [TfidfVectorizer(analyzer=_as_they_are, min_df=chosen["min_df"], sublinear_tf=True).fit(part) for part in found]
    common = {"C": chosen["C"], "class_weight": chosen["class_weight"], "random_state": seed}
    linear = LinearSVC(**common) if kind == "svm" else LogisticRegression(**common, max_iter=1_000)
    return vectorizers, linear.fit(matrix(vectorizers, found), labels)


def matrix(vectorizers: Sequence[Any], found: Features) -> Any:
    """The features as the linear model takes them."""
    return sparse.hstack([vectorizer.transform(part) for vectorizer, part in zip(vectorizers, found, strict=True)]).tocsr()


def _as_they_are(features: list[int]) -> list[int]:
    return features


def _block(vectorizer: Any, coefficients: Any) -> Block:
    return Block({int(feature): int(row) for feature, row in vectorizer.vocabulary_.items()}, vectorizer.idf_, coefficients.T.copy())
