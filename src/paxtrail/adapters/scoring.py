"""The champion: the model that scores at the door, loaded from a folder; the lexicon wherever there is none or it cannot be used."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paxtrail.adapters import drafts
from paxtrail.core.sentiment import LEXICON, Block, LinearModel, Sentiment, by_lexicon, plain
from paxtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

log = logging.getLogger("paxtrail.models")
POINTER = "champion.json"
STATUS = "scoring.json"
_FORMAT = 1


class Lexicon:
    """VADER with what is not language taken out: needs no training, is always there."""

    def score(self, text: str) -> Sentiment:
        """The sentiment of the library's compound score."""
        return by_lexicon(compound(text))


def compound(text: str) -> float:
    """The lexicon's score of what is language in a text, -1 to 1."""
    return float(_analyser().polarity_scores(plain(text))["compound"])


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


class Champion:
    """The scorer of one process. `refresh` follows a promotion; nothing that is wrong with a model leaves this class."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lexicon = Lexicon()
        self._trained: LinearModel | None = None
        self._seen: tuple[int, int] | None = (0, 0)
        self.refresh()

    def refresh(self) -> None:
        """Loads the champion if the pointer changed since; costs one look at a file if not."""
        try:
            stat = (self._folder / POINTER).stat()
            seen = stat.st_mtime_ns, stat.st_ino
        except OSError:
            seen = None
        if seen != self._seen:
            self._seen, self._trained = seen, None
            try:
                self._trained = champion(self._folder)
            except Exception as error:  # whatever is in the folder must not stop a stream
                self._use_lexicon(error)
            else:
                self._tell("")

    def score(self, text: str) -> Sentiment:
        """The champion's sentiment of a text; the lexicon's if there is no champion or it fails."""
        if self._trained is not None:
            try:
                return self._trained.score(text)
            except Exception as error:  # as above; the model is not tried again until another is promoted
                self._use_lexicon(error)
        return self._lexicon.score(text)

    def _use_lexicon(self, error: Exception) -> None:
        self._trained = None
        # The error's text may quote what was scored.
        why = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        log.error("the champion cannot be used (%s): the lexicon scores until another model is promoted", why)
        self._tell(why)

    def _tell(self, problem: str) -> None:
        scoring = {"model": self._trained.model if self._trained else LEXICON, "problem": problem}
        with suppress(OSError):  # a folder that cannot be written is no reason to stop
            if self._seen is not None or (self._folder / STATUS).exists():
                drafts.replace(self._folder / STATUS, json.dumps(scoring).encode())


def status(folder: Path) -> dict[str, str]:
    """Which model scores, and what is wrong if it is not the champion, as the stream last told; the lexicon if it told nothing."""
    try:
        told = json.loads((folder / STATUS).read_bytes())
        return {"model": str(told["model"]), "problem": str(told["problem"])}
    except (OSError, ValueError, LookupError, TypeError):
        return {"model": LEXICON, "problem": ""}


def champion(folder: Path) -> LinearModel | None:
    """The model that the folder's pointer names; None if that is the lexicon. ConfigurationError if it is not there or not whole."""
    try:
        pointer = json.loads((folder / POINTER).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise ConfigurationError(f"{POINTER} cannot be read; promote a model again") from None
    if pointer["file"] is None:
        return None
    try:
        content = (folder / pointer["file"]).read_bytes()
    except OSError:
        raise ConfigurationError(f"{pointer['file']} is not there; promote {pointer['model']} again") from None
    if hashlib.sha256(content).hexdigest() != pointer["sha256"]:
        raise ConfigurationError(f"{pointer['file']} is not what was promoted; promote {pointer['model']} again")
    return read(content, pointer["model"])


def release(folder: Path, model: str, content: bytes | None) -> None:
    """Makes `content` (None: the lexicon) what every worker scores with from its next micro-batch on."""
    folder.mkdir(parents=True, exist_ok=True)
    name = None if content is None else f"{model.replace('/', '-')}.npz"
    if name is not None and content is not None:
        drafts.replace(folder / name, content)
    sha = None if content is None else hashlib.sha256(content).hexdigest()
    drafts.replace(folder / POINTER, json.dumps({"model": model, "file": name, "sha256": sha}).encode())


def written(model: LinearModel) -> bytes:
    """The model as a file of plain numbers: no word of the training data, no code, no pickle."""
    arrays: dict[str, Any] = {"format": np.array(_FORMAT)}
    for name, block in (("words", model.words), ("letters", model.letters)):
        features = np.empty(len(block.rows), np.uint32)
        features[list(block.rows.values())] = list(block.rows)
        arrays |= {
            f"{name}_features": features,
            f"{name}_idf": block.idf.astype(np.float32),
            f"{name}_coefficients": block.coefficients.astype(np.float32),
        }
    arrays |= {name: getattr(model, name) for name in _SMALL}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


_SMALL = ("intercept", "calibration", "calibration_intercept")


def read(content: bytes, model: str) -> LinearModel:
    """The model in such a file, under that name; ConfigurationError if it is none."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise ConfigurationError(f"{model} has another format; train it again with this version of Paxtrail")
            small = {name: arrays[name].astype(float) for name in _SMALL}
            return LinearModel(model, _block(arrays, "words"), _block(arrays, "letters"), **small, compound=compound)
    except ConfigurationError:
        raise
    except Exception as error:  # zip, header, names, shapes: whatever is wrong, it is no model
        raise ConfigurationError(f"{model} cannot be read ({type(error).__name__}); promote another model") from None


def _block(arrays: Mapping[str, Any], name: str) -> Block:
    rows = {feature: row for row, feature in enumerate(arrays[f"{name}_features"].tolist())}
    return Block(rows, arrays[f"{name}_idf"].astype(float), arrays[f"{name}_coefficients"].astype(float))
