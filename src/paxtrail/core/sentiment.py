"""How a customer's text sounds: airline text cleaned, its features, the linear model over them, and the label an event carries."""

from __future__ import annotations

import html
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from paxtrail.core.decoding import Decoded
from paxtrail.core.records import Draft

LABELS = ("negative", "neutral", "positive")
SCORED = {"contact.received": "text"}
"""Event types that get a sentiment, and the fact it is of."""
LONGEST = 4_000
"""Characters of a text that are read: what is further down a transcript changes the tone little and costs time."""

_COMPARED = 3
"""Contacts on either side of a trend."""

Floats = npt.NDArray[np.float64]


class Sentiment(NamedTuple):
    """One of LABELS, how sure the model is of it (0 to 1), and the model's name and version."""

    label: str
    confidence: float
    model: str


class Trend(NamedTuple):
    """How contacts sounded: how many so each, and whether the newest sound better ("up"), worse ("down") or alike ("steady"); "" = too
    few to say."""

    counts: dict[str, int]
    direction: str


class Scorer(Protocol):
    """A model that is loaded."""

    def score(self, text: str) -> Sentiment:
        """How the text sounds: the same for the same text."""
        ...


def scored(decoded: Decoded, scorer: Scorer) -> Decoded:
    """The same record; events of SCORED that have a text also say how it sounds. Nothing else of the text goes into them."""
    if not any(_text(draft) for draft in decoded.drafts):
        return decoded
    return replace(decoded, drafts=[_with_sentiment(draft, scorer) for draft in decoded.drafts])


def _text(draft: Draft) -> str:
    text = draft.facts.get(SCORED.get(draft.type, ""))
    return text.strip() if isinstance(text, str) else ""


def _with_sentiment(draft: Draft, scorer: Scorer) -> Draft:
    text = _text(draft)
    if not text:
        return draft
    found = scorer.score(text)
    sentiment = {"label": found.label, "confidence": f"{found.confidence:.4f}", "model": found.model, found.label: True}
    return replace(draft, facts=draft.facts | {"sentiment": sentiment})


def trend(labels: Sequence[str]) -> Trend:
    """The trend of `labels`, newest first: the newest three against the three before, by how many degrees the three sound better together.

    From negative to neutral is one degree. Three make a direction, one for each contact: a single changed contact has at most two.
    """
    counts = Counter(labels)
    first = {label: counts[label] for label in LABELS if counts[label]}
    if len(labels) < 2 * _COMPARED:
        return Trend(first, "")
    degrees = [LABELS.index(label) for label in labels[: 2 * _COMPARED]]
    better = sum(degrees[:_COMPARED]) - sum(degrees[_COMPARED:])
    return Trend(first, "up" if better >= _COMPARED else "down" if better <= -_COMPARED else "steady")


# -- airline text ---------------------------------------------------------------------------------------------------------------

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_HANDLE = re.compile(r"(?<!\w)@\w+")
_FLIGHT = re.compile(r"\b(?:flight\s*#?\s*\d{1,4}|(?:[A-Z]{2}|[A-Z]\d|\d[A-Z])\s?\d{2,4})\b", re.IGNORECASE)
_ROUTE = re.compile(r"\b[A-Z]{3}\s?(?:-|–|/|>|->|\bto\b)\s?[A-Z]{3}\b")
_AIRPORT = re.compile(r"\b(in|at|from|to|via|into|of) (?!(?:ALL|ANY|GET|HER|HIM|NOT|NOW|ONE|OUR|THE|YOU)\b)[A-Z]{3}\b")
_DIGITS = re.compile(r"\d+")
_LONG = re.compile(r"(\w)\1{2,}")
_SHORTHAND = {
    "thx": "thanks", "thnx": "thanks", "thanx": "thanks", "tks": "thanks", "ty": "thanks", "thank": "thanks", "pls": "please",
    "plz": "please", "u": "you", "ur": "your", "r": "are", "cant": "can't", "dont": "don't", "wont": "won't", "didnt": "didn't",
    "doesnt": "doesn't", "isnt": "isn't", "wasnt": "wasn't", "couldnt": "couldn't", "ive": "i've", "im": "i'm",
    "flt": "flight", "flts": "flights", "svc": "service", "cust": "customer", "hrs": "hours", "hr": "hour", "mins": "minutes",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_][\w']*")


def plain(text: str) -> str:
    """The text without what is not language: links, addresses, handles, mark-up, airport codes (MIA is no "missing in action");
    capitals and emoji stay, for the lexicon."""
    text = html.unescape(text[:LONGEST]).replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')
    for pattern in (_URL, _EMAIL, _HANDLE):
        text = pattern.sub(" ", text)
    return _AIRPORT.sub(r"\1 ", _ROUTE.sub(" ", text))


def clean(text: str) -> str:
    """Airline text in one spelling: placeholders for links, addresses, handles, airports and flights; digits as 0; lower case; no
    letter more than twice in a row; shorthand written out. Who or what exactly is meant says nothing about the tone."""
    text = html.unescape(text[:LONGEST]).replace("’", "'").replace("‘", "'").replace("…", " ... ")
    text = _URL.sub(" _url_ ", text)
    text = _EMAIL.sub(" _email_ ", text)
    text = _HANDLE.sub(" _at_ ", text)
    text = _ROUTE.sub(" _route_ ", text)
    text = _AIRPORT.sub(r"\1 _airport_ ", text)
    text = _FLIGHT.sub(" _flight_ ", text)
    text = _LONG.sub(r"\1\1", _DIGITS.sub("0", text.lower()))
    return _WORD.sub(lambda word: _SHORTHAND.get(word[0], word[0]), text)


_TOKEN = re.compile(r"_\w+_|\w[\w']*|[!?]+|\.+|[:;=8][\-o*']?[)\](\[dp/\\]|<3|[^\w\s\x00-\x7f]")


_NEGATION = re.compile(r"no|not|never|nothing|none|nobody|cannot|without|\w+n't")
_STOP = re.compile(r"[.!?]")
_REACH = 3
"""Words after a negation that it may turn round."""


def words(text: str, compound: float) -> list[int]:
    """Features of a cleaned text as CRC-32 (a model's file holds no word): its words, marks and emoji, alone, in pairs, and behind a
    negation; and how the lexicon's compound score of the text lies, in eleven steps."""
    tokens = _TOKEN.findall(text)
    step = round(compound * 5)
    tone = (f"l{step}", f"s{(step > 0) - (step < 0)}") * 3
    named = (*(f"w{token}" for token in tokens), *(f"p{a} {b}" for a, b in pairwise(tokens)), *_negated(tokens), *tone)
    return [zlib.crc32(name.encode()) for name in named]


def _negated(tokens: Sequence[str]) -> Iterator[str]:
    left = 0
    for token in tokens:
        if _NEGATION.fullmatch(token):
            left = _REACH
        elif _STOP.match(token):
            left = 0
        elif left:
            left -= 1
            yield f"n{token}"


def letters(text: str) -> list[int]:
    """Features of a cleaned text: runs of 2 to 5 characters inside each word and its edges, as CRC-32."""
    return [zlib.crc32(run.encode()) for word in text.split() for run in _runs(f" {word} ")]


def _runs(word: str) -> Iterator[str]:
    for size in (2, 3, 4, 5):
        for start in range(max(1, len(word) - size + 1)):
            yield word[start : start + size]


# -- models ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One kind of features: the row of each, its weight (inverse document frequency), and its coefficients by label."""

    rows: Mapping[int, int]
    idf: Floats
    coefficients: Floats

    def margins(self, features: Sequence[int]) -> Floats:
        """Their share of the margins: tf-idf with sublinear tf, scaled to length 1, times the coefficients."""
        counts = Counter(row for feature in features if (row := self.rows.get(feature)) is not None)
        if not counts:
            return np.zeros(len(LABELS))
        rows = np.fromiter(counts.keys(), np.int64, len(counts))
        values = (1.0 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self.idf[rows]
        return np.asarray(values @ self.coefficients[rows] / math.sqrt(float(values @ values)))


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """A trained model: margins of words and letters, and the calibration that makes probabilities of margins."""

    model: str
    words: Block
    letters: Block
    intercept: Floats
    calibration: Floats
    """Labels × labels: what each margin adds to the logit of each label."""
    calibration_intercept: Floats
    compound: Callable[[str], float]
    """The lexicon's score of a text, -1 to 1."""

    def margins(self, text: str) -> Floats:
        """Margins of the labels before calibration."""
        cleaned = clean(text)
        return np.asarray(self.intercept + self.words.margins(words(cleaned, self.compound(text))) + self.letters.margins(letters(cleaned)))

    def probabilities(self, text: str) -> Floats:
        """Probability of each label, in the order of LABELS."""
        return softmax(self.calibration @ self.margins(text) + self.calibration_intercept)

    def score(self, text: str) -> Sentiment:
        """The most probable label."""
        probabilities = self.probabilities(text)
        best = int(probabilities.argmax())
        return Sentiment(LABELS[best], float(probabilities[best]), self.model)


def softmax(logits: Floats) -> Floats:
    """Probabilities of the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


LEXICON = "lexicon/1"
NEUTRAL_BELOW = 0.05
"""The threshold that the authors of VADER give (Hutto and Gilbert 2014)."""
_SURE_AT_MOST = 0.9


def by_lexicon(compound: float) -> Sentiment:
    """The sentiment of VADER's compound score, -1 to 1.

    There are no labels to calibrate by, so the confidence is a fixed mapping: a third (a guess among three) where the label turns, rising
    with the distance from there to 0.9. It orders texts; it is no frequency of being right.
    """
    if abs(compound) < NEUTRAL_BELOW:
        label, distance = "neutral", 1 - abs(compound) / NEUTRAL_BELOW
    else:
        label, distance = "positive" if compound > 0 else "negative", (abs(compound) - NEUTRAL_BELOW) / (1 - NEUTRAL_BELOW)
    return Sentiment(label, 1 / 3 + (_SURE_AT_MOST - 1 / 3) * distance, LEXICON)
