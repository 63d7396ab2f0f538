"""A model is trained from labelled texts, knows how sure it is, and scores as scikit-learn itself would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.ml.made import file, labelled

from paxtrail.core.sentiment import LABELS, Sentiment
from paxtrail.errors import BadRequest
from paxtrail.ml import evaluation
from paxtrail.ml.labelled import Labelled, read
from paxtrail.ml.training import KINDS, features, fit, matrix, train


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_model_tells_tones_it_was_shown(kind: str) -> None:
    model = train(labelled(300), kind=kind)
    unseen = labelled(150, seed=2)
    found = evaluation.report(unseen.labels, evaluation.answers(model, unseen))
    assert found.metrics["macro_f1"] > 0.95
    assert found.metrics["ece"] < 0.1


def test_what_is_noise_is_answered_without_confidence() -> None:
    model = train(labelled(300, shuffled=True))
    assert np.mean([one.confidence for one in evaluation.answers(model, labelled(100, seed=2))]) < 0.6


def test_it_scores_as_scikit_learn_does() -> None:
    data, unseen = labelled(200), labelled(60, seed=3)
    vectorizers, linear = fit(features(data.texts), np.array(data.labels), "svm", 1)
    expected = linear.decision_function(matrix(vectorizers, features(unseen.texts)))
    model = train(data, kind="svm", seed=1)
    assert list(linear.classes_) == list(LABELS)
    assert np.array([model.margins(text) for text in unseen.texts]) == pytest.approx(expected, abs=1e-9)


def test_the_same_data_and_seed_give_the_same_model() -> None:
    one, other = train(labelled(200), seed=4), train(labelled(200), seed=4)
    assert one.probabilities("zorbed gate").tolist() == other.probabilities("zorbed gate").tolist()


def test_a_text_is_held_back_or_not_whatever_stands_around_it() -> None:
    data = labelled(400)
    fit_, held_back = data.split()
    assert 40 < len(held_back.texts) < 130 and len(fit_.texts) + len(held_back.texts) == 400
    respelt = Labelled([text.upper() for text in reversed(data.texts)], data.labels)
    assert {text.upper() for text in held_back.texts} == set(respelt.split()[1].texts)


def said(*labels: str, confidence: float = 0.9) -> list[Sentiment]:
    return [Sentiment(label, confidence, "m") for label in labels]


def test_figures_are_those_worked_out_by_hand() -> None:
    found = evaluation.report(
        ["negative", "negative", "neutral", "positive"], said("negative", "neutral", "neutral", "positive", confidence=0.8)
    )
    assert found.metrics["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.metrics["accuracy"] == 0.75
    assert found.metrics["ece"] == pytest.approx(0.05)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_a_difference_is_certain_only_with_enough_texts() -> None:
    true = list(LABELS) * 60
    wrong_once = ["neutral", *true[1:]]
    wrong_often = [LABELS[0] if n % 2 else label for n, label in enumerate(true)]
    better = evaluation.difference(true, said(*wrong_once), said(*wrong_often), seed=1)
    assert better.is_better and better.lower < better.mean < better.upper
    assert not evaluation.difference(true, said(*wrong_often), said(*wrong_once), seed=1).is_better
    assert evaluation.difference(true, said(*true), said(*true), seed=1) == (0.0, 0.0, 0.0)
    assert not evaluation.difference(true, said(*true), said(*true), seed=1).is_better
    assert not evaluation.difference(true, said(*true), said(*wrong_once), seed=1).is_better


@pytest.mark.parametrize(
    ("text", "label", "body", "told"),
    [
        ("tweet", "label", None, "no column 'tweet'"),
        ("text", "mood", None, "no column 'mood'"),
        ("text", "label", "text,label\nSecret,angry\n", "1 rows of column 'label' hold something else"),
        ("text", "label", "text,label\nSecret,neutral\n", "at least 30 rows"),
        ("text", "label", "", "no CSV file"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_a_clear_line(text: str, label: str, body: str | None, told: str, tmp_path: Path) -> None:
    path = file(tmp_path, labelled(120))
    if body is not None:
        path.write_text(body)
    with pytest.raises(BadRequest) as caught:
        read(path, text, label)
    assert told in str(caught.value) and "Secret" not in str(caught.value)


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    data = labelled(120)
    assert read(file(tmp_path, data), "text", "label") == data
