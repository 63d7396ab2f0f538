"""`paxtrail models`: train, evaluate, compare, promote and roll back the model that says how a text sounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from paxtrail.settings import Settings

if TYPE_CHECKING:
    from paxtrail.adapters.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])
_FIGURES = ("macro_f1", "accuracy", "ece")


def _labelled(command: F) -> F:
    for option in (
        click.option("--seed", default=1, show_default=True, help="Of folds, bootstrap and solver."),
        click.option("--kind", type=click.Choice(["svm", "logistic"]), default="svm", show_default=True, help="The linear model."),
        click.option("--label", default="label", show_default=True, help="Column of the labels: negative, neutral, positive."),
        click.option("--text", default="text", show_default=True, help="Column of the texts."),
        click.option("--data", required=True, type=click.Path(path_type=Path), help="CSV file with a heading (.gz too)."),
    ):
        command = option(command)
    return command


@click.group()
def models() -> None:
    """Models that say how a customer's text sounds.

    \b
    Example: paxtrail models train --data labelled.csv --text text --label label
    Example: paxtrail models list
    """


@models.command()
@_labelled
@click.option("--no-promote", is_flag=True, help="Register and compare only.")
def train(data: Path, text: str, label: str, kind: str, seed: int, no_promote: bool) -> None:
    """Train on labelled texts, register a version, and promote it if it beats the champion on texts held back.

    \b
    Example: paxtrail models train --data tweets.csv --text text --label airline_sentiment
    """
    from paxtrail.ml import champions, labelled

    rows, registry = labelled.read(data, text, label), _registry()
    version, found = champions.register(registry, rows, kind=kind, seed=seed)
    difference = champions.compare(registry, version, rows, seed=seed)
    promoted = not no_promote and champions.promote_if_better(registry, registry.version(version.version))
    _print({"version": version.version, **_short(found.metrics), "difference": _rounded(difference._asdict()), "promoted": promoted})


@models.command()
@_labelled
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2, 20), help="Folds of the cross-validation.")
def evaluate(data: Path, text: str, label: str, kind: str, seed: int, folds: int) -> None:
    """Print cross-validated figures of a training on these texts, and the lexicon's; nothing is registered.

    \b
    Example: paxtrail models evaluate --data tweets.csv --text text --label airline_sentiment --folds 5
    """
    from paxtrail.adapters.scoring import Lexicon
    from paxtrail.ml import evaluation, labelled

    rows = labelled.read(data, text, label)
    lexicon = evaluation.report(rows.labels, evaluation.answers(Lexicon(), rows))
    found = evaluation.cross_validated(rows, kind=kind, seed=seed, folds=folds)
    _print({"kind": kind, "folds": folds, **_rounded(found.metrics), "lexicon": _rounded(lexicon.metrics)})


@models.command(name="list")
def list_() -> None:
    """One line a version, newest first, and which scores.

    \b
    Example: paxtrail models list
    """
    for one in _registry().versions():
        created = datetime.fromtimestamp(one.created / 1000, UTC).isoformat(timespec="seconds")
        _print({"version": one.version, "kind": one.kind, "created": created, "aliases": one.aliases, **_short(one.metrics)})


@models.command()
@click.argument("version", type=int)
def show(version: int) -> None:
    """Everything known of a version; and which model the stream says it scores with.

    \b
    Example: paxtrail models show 3
    """
    from paxtrail.adapters import scoring

    one = _registry().version(version)
    known = {"kind": one.kind, "aliases": one.aliases, "tags": one.tags, "metrics": _rounded(one.metrics)}
    _print({"version": version, **known, "scoring": scoring.status(Settings.load().models.folder)})


@models.command()
@click.argument("version", type=int)
@click.option("--force", is_flag=True, help="Also if it was not found better than the champion.")
def promote(version: int, force: bool) -> None:
    """Make a version the champion, if it was found better than today's; events that were scored before keep their label.

    \b
    Example: paxtrail models promote 3
    Example: paxtrail models promote 3 --force && paxtrail reprocess --source contacts
    """
    from paxtrail.errors import BadRequest
    from paxtrail.ml import champions

    registry = _registry()
    one = registry.version(version)
    if force:
        registry.promote(one)
    elif not champions.promote_if_better(registry, one):
        raise BadRequest("not_better", f"version {version} was not found better than the champion; train again, or say --force")
    _print({"champion": one.version, "model": one.model})


@models.command()
def rollback() -> None:
    """Make the champion before this one the champion again.

    \b
    Example: paxtrail models rollback
    """
    one = _registry().rollback()
    _print({"champion": one.version, "model": one.model})


def _registry() -> Registry:
    from paxtrail.adapters.registry import Registry

    return Registry(Settings.load())


def _short(metrics: Mapping[str, float]) -> dict[str, float]:
    return _rounded({name: metrics[name] for name in _FIGURES if name in metrics})


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _print(line: Mapping[str, Any]) -> None:
    click.echo(orjson.dumps(line))
