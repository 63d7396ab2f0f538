"""Airline text is cleaned to one spelling, scored to one of three labels, and an event keeps the label and nothing of the text."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.every_source import CONTACT
from tests.core.samples import decoded, schemas
from tests.core.sources.json_messages import changed

from paxtrail.adapters.scoring import Lexicon
from paxtrail.core import sentiment
from paxtrail.core.schemas import check
from paxtrail.core.sentiment import LABELS, Block, LinearModel, clean, plain, scored


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("@united thx!!", "_at_ thanks!!"),
        ("Flight UA1545 from EWR to LAX &amp; back", "flight _flight_ from _route_ & back"),
        ("flight #1545 SFO-PDX", "_flight_ _route_"),
        ("stuck in ORD at ALL hours", "stuck in _airport_ at all hours"),
        ("see https://t.co/x?y=1 or a.b@c.com", "see _url_ or _email_"),
        ("sooooo late, 3 hrs 45 mins", "soo late, 0 hours 0 minutes"),
        ("I can’t… u dont care", "i can't ... you don't care"),
        ("love it 😀", "love it 😀"),
    ],
)
def test_airline_text_gets_one_spelling(text: str, cleaned: str) -> None:
    assert " ".join(clean(text).split()) == cleaned


@pytest.mark.parametrize(
    ("newest_first", "counts", "direction"),
    [
        ("", {}, ""),
        ("-", {"negative": 1}, ""),
        ("+++--", {"negative": 2, "positive": 3}, ""),
        ("+++---", {"negative": 3, "positive": 3}, "up"),
        ("000---", {"negative": 3, "neutral": 3}, "up"),
        ("+++--0+++", {"negative": 2, "neutral": 1, "positive": 6}, "up"),
        ("---000", {"negative": 3, "neutral": 3}, "down"),
        ("+-----", {"negative": 5, "positive": 1}, "steady"),
        ("+-+-+-", {"negative": 3, "positive": 3}, "steady"),
        ("+++++++----", {"negative": 4, "positive": 7}, "steady"),
    ],
)
def test_a_trend_is_three_contacts_against_the_three_before(newest_first: str, counts: dict[str, int], direction: str) -> None:
    labels = [dict(zip("-0+", LABELS, strict=True))[sign] for sign in newest_first]
    assert sentiment.trend(labels) == (counts, direction)


def test_the_lexicon_reads_language_only() -> None:
    assert plain("when does it leave to MIA, from SAD-MAD?").split() == ["when", "does", "it", "leave", "to", ",", "from", "?"]
    assert plain("@GreatAir LOVE http://bad.example/awful 😀 &amp; more").split() == ["LOVE", "😀", "&", "more"]


@pytest.mark.parametrize(
    ("text", "label"),
    [("Terrible, I am very angry.", "negative"), ("Which gate?", "neutral"), ("Wonderful crew, thank you!", "positive")],
)
def test_the_lexicon_tells_plain_tones(text: str, label: str) -> None:
    found = Lexicon().score(text)
    assert found.label == label
    assert 1 / 3 <= found.confidence <= 0.9


def test_an_event_keeps_label_confidence_and_model_and_nothing_of_the_text() -> None:
    whole = decoded("contacts", changed(CONTACT, "text", "Terrible, I am very angry."))
    [draft] = scored(whole, Lexicon()).drafts
    assert draft.facts["sentiment"] == {
        "label": "negative",
        "confidence": draft.facts["sentiment"]["confidence"],
        "model": "lexicon/1",
        "negative": True,
    }
    assert {**draft.facts, "sentiment": None} == {**whole.drafts[0].facts, "sentiment": None}
    check(draft, "contacts", schemas())


@pytest.mark.parametrize("text", ["", "   ", None, ...])
def test_a_contact_without_a_text_gets_no_sentiment(text: object) -> None:
    whole = decoded("contacts", changed(CONTACT, "text", text))
    assert scored(whole, Lexicon()) is whole


@given(st.text(max_size=300))
def test_any_text_gets_a_label(text: str) -> None:
    for found in (Lexicon().score(text), MODEL.score(text)):
        assert found.label in LABELS
        assert 0 <= found.confidence <= 1


def block(**coefficients: list[float]) -> Block:
    rows = {sentiment.words(word, 0.0)[0]: row for row, word in enumerate(coefficients)}
    return Block(rows, np.ones(len(rows)), np.array(list(coefficients.values())))


NOTHING = Block({}, np.ones(0), np.zeros((0, 3)))
WORDS = block(bad=[2.0, 0, 0], good=[0, 0, 2.0])
MODEL = LinearModel("sentiment/1", WORDS, NOTHING, np.zeros(3), np.eye(3), np.zeros(3), lambda _: 0.0)


def test_a_linear_model_adds_up_what_it_knows() -> None:
    assert MODEL.margins("bad food").tolist() == [2.0, 0.0, 0.0]
    assert MODEL.margins("bad, good").tolist() == pytest.approx([2**0.5, 0.0, 2**0.5])
    found = MODEL.score("good!")
    assert (found.label, found.model) == ("positive", "sentiment/1")
    assert found.confidence == pytest.approx(np.e**2 / (np.e**2 + 2))
    assert MODEL.probabilities("").tolist() == pytest.approx([1 / 3] * 3)


def test_a_negation_turns_the_words_behind_it_up_to_the_end_of_the_sentence() -> None:
    plain_good, negated = set(sentiment.words("good", 0)), set(sentiment.words("not good", 0))
    behind = zlib.crc32(b"ngood")
    assert behind in negated and behind not in plain_good
    assert behind not in sentiment.words("not late . good", 0)


def test_the_lexicons_score_is_a_feature() -> None:
    assert set(sentiment.words("x", 0.9)) ^ set(sentiment.words("x", -0.9))
    assert sentiment.words("x", 0.8) == sentiment.words("x", 0.85)
