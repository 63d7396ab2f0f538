"""From labelled texts to a champion: train and register, compare with the champion on texts held back, promote if better."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from paxtrail.adapters.registry import Registry, Version
from paxtrail.adapters.scoring import read, written
from paxtrail.core.sentiment import LABELS
from paxtrail.errors import BadRequest
from paxtrail.ml.evaluation import Difference, Report, answers, difference, report
from paxtrail.ml.labelled import Labelled
from paxtrail.ml.training import UNNAMED, parameters, train


def register(registry: Registry, data: Labelled, *, kind: str, seed: int) -> tuple[Version, Report]:
    """Trains on what is not held back, measures on what is, and registers a version with both."""
    fit, held_back = _split(data)
    weights = written(train(fit, kind=kind, seed=seed))
    found = report(held_back.labels, answers(read(weights, UNNAMED), held_back))
    logged = parameters(kind, seed) | {"texts": len(fit.texts)}
    number = registry.register(kind, weights, logged, found.metrics, {"confusion": confusion(found), "calibration": calibration(found)})
    return registry.version(number), found


def compare(registry: Registry, version: Version, data: Labelled, *, seed: int) -> Difference:
    """The version against the champion on the texts held back; noted at the version."""
    champion = registry.champion()
    _, held_back = _split(data)
    said, before = (answers(registry.scorer(one), held_back) for one in (version, champion))
    found = difference(held_back.labels, said, before, seed=seed)
    figures = {"difference": found.mean, "lower": found.lower, "upper": found.upper}
    registry.tag(version, {"compared_with": str(champion.version), **{name: f"{value:.4f}" for name, value in figures.items()}})
    return found


def promote_if_better(registry: Registry, version: Version) -> bool:
    """Promotes a version that was compared with today's champion and found better; else nothing changes."""
    champion = registry.champion()
    better = version.tags.get("compared_with") == str(champion.version) and float(version.tags.get("lower", "0")) > 0
    if better:
        registry.promote(version)
    return better


def _split(data: Labelled) -> tuple[Labelled, Labelled]:
    fit, held_back = data.split()
    if any(set(side.labels) != set(LABELS) for side in (fit, held_back)):
        raise BadRequest("too_few", "not every label is both among the texts to train on and those held back; add rows")
    return fit, held_back


def confusion(found: Report) -> Figure:
    """The confusion matrix: rows are true, columns what the model said."""
    figure = Figure(figsize=(4.5, 4))
    axes: Any = figure.subplots()
    axes.imshow(found.confusion / found.confusion.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    for row, counts in enumerate(found.confusion.tolist()):
        for column, count in enumerate(counts):
            axes.text(column, row, count, ha="center", va="center")
    axes.set(xticks=range(3), xticklabels=LABELS, yticks=range(3), yticklabels=LABELS, xlabel="said", ylabel="true")
    figure.tight_layout()
    return figure


def calibration(found: Report) -> Figure:
    """How often the model is right, by how sure it is."""
    figure = Figure(figsize=(4.5, 4))
    axes: Any = figure.subplots()
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot([confidence for confidence, _, _ in found.bins], [share for _, share, _ in found.bins], marker="o")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share right", title=f"ECE {found.metrics['ece']:.3f}")
    figure.tight_layout()
    return figure
