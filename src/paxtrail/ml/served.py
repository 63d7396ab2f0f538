"""The sentiment model as MLflow loads it (model from code, nothing pickled): texts in; label, confidence and model out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from paxtrail.adapters.scoring import Lexicon, read
from paxtrail.core.sentiment import Scorer


class SentimentModel(PythonModel):
    """Weights if the version has any, else the lexicon."""

    _scorer: Scorer = Lexicon()

    def load_context(self, context: Any) -> None:
        if "weights" in (context.artifacts or {}):
            self._scorer = read(Path(context.artifacts["weights"]).read_bytes(), "sentiment")

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return [self._scorer.score(text)._asdict() for text in model_input]


set_model(SentimentModel())
