"""The registry: runs and versions of the sentiment model in MLflow, and the alias `champion`. Importing MLflow is left to its users."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from paxtrail.adapters import scoring
from paxtrail.core.sentiment import LEXICON, Scorer
from paxtrail.errors import NotFound, Unavailable
from paxtrail.settings import ROOT, Settings

NAME = "paxtrail-sentiment"
CHAMPION, PREVIOUS = "champion", "previous"
WEIGHTS = "weights.npz"
_CODE = ROOT / "src" / "paxtrail" / "ml" / "served.py"
_REQUIREMENTS = ["mlflow", "numpy", "vaderSentiment"]


class Version(NamedTuple):
    """One registered version; `kind` is lexicon, svm or logistic, `metrics` those on the texts held back."""

    version: int
    kind: str
    created: int
    """Milliseconds since 1970, UTC."""
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def model(self) -> str:
        """The name its labels carry."""
        return LEXICON if self.kind == "lexicon" else f"sentiment/{self.version}"


class Registry:
    """One tracking store. A new one holds the lexicon as version 1 and champion.

    Unavailable where the store does not answer, or what stands there is not MLflow's.
    """

    def __init__(self, settings: Settings) -> None:
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
        import mlflow
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
        from sqlalchemy.exc import SQLAlchemyError

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._folder = settings.models.folder
        home = settings.home / "mlflow"
        home.mkdir(parents=True, exist_ok=True)
        tracking = settings.models.tracking or f"sqlite:///{home / 'mlflow.db'}"
        self._mlflow: Any = mlflow
        artifacts = settings.models.artifacts or (home / "artifacts").as_uri()
        try:
            mlflow.set_tracking_uri(tracking)
            mlflow.set_registry_uri(tracking)
            self._client: Any = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
            self._open(artifacts)
        except (MlflowException, SQLAlchemyError) as error:
            # The error's own text can hold the address of the store, and that a password.
            raise Unavailable(
                f"the tracking store ([models] tracking, by default {home / 'mlflow.db'}) cannot be used: {type(error).__name__}"
            ) from None

    def _open(self, artifacts: str) -> None:
        """The experiment is there, and the lexicon as the first version."""
        found = self._client.get_experiment_by_name(NAME)
        self._experiment: str = found.experiment_id if found else self._client.create_experiment(NAME, artifact_location=artifacts)
        if not self._client.search_registered_models(f"name = '{NAME}'"):
            lexicon = self.register("lexicon", None, {"kind": "lexicon"}, {}, {})
            self._client.set_registered_model_alias(NAME, CHAMPION, str(lexicon))

    def register(
        self, kind: str, weights: bytes | None, parameters: Mapping[str, Any], metrics: Mapping[str, float], figures: Mapping[str, Any]
    ) -> int:
        """Logs one run with its model and gives the new version's number. The caller sees to it that nothing of it is personal."""
        with tempfile.TemporaryDirectory() as folder, self._mlflow.start_run(experiment_id=self._experiment, run_name=f"sentiment-{kind}"):
            self._mlflow.log_params(dict(parameters))
            self._mlflow.log_metrics(dict(metrics))
            for name, figure in figures.items():
                self._mlflow.log_figure(figure, f"{name}.png")
            artifacts = {}
            if weights is not None:
                file = Path(folder) / WEIGHTS
                file.write_bytes(weights)
                artifacts["weights"] = str(file)
            logged = self._mlflow.pyfunc.log_model(
                name="sentiment",
                python_model=str(_CODE),
                artifacts=artifacts or None,
                pip_requirements=_REQUIREMENTS,
                registered_model_name=NAME,
            )
        version = int(logged.registered_model_version)
        self._client.set_model_version_tag(NAME, str(version), "kind", kind)
        return version

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        aliases = self._client.get_registered_model(NAME).aliases
        found = [self._version(one, aliases) for one in self._client.search_model_versions(f"name = '{NAME}'")]
        return sorted(found, key=lambda one: -one.version)

    def version(self, number: int) -> Version:
        """That version; NotFound if there is none."""
        for one in self.versions():
            if one.version == number:
                return one
        raise NotFound(f"there is no version {number}; `paxtrail models list` shows them")

    def champion(self) -> Version:
        """The version that scores."""
        return next(one for one in self.versions() if CHAMPION in one.aliases)

    def _version(self, one: Any, aliases: Mapping[str, str]) -> Version:
        metrics = self._client.get_run(one.run_id).data.metrics
        own = tuple(sorted(alias for alias, version in aliases.items() if int(version) == int(one.version)))
        return Version(int(one.version), one.tags.get("kind", ""), int(one.creation_timestamp), metrics, dict(one.tags), own)

    def weights(self, version: Version) -> bytes | None:
        """The model's file; None for the lexicon."""
        if version.kind == "lexicon":
            return None
        with tempfile.TemporaryDirectory() as folder:
            got = self._mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{NAME}/{version.version}", dst_path=folder)
            return (Path(got) / "artifacts" / WEIGHTS).read_bytes()

    def scorer(self, version: Version) -> Scorer:
        """The version as it scores."""
        content = self.weights(version)
        return scoring.Lexicon() if content is None else scoring.read(content, version.model)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Notes something about a version: what it was compared with, and how that went."""
        for name, value in tags.items():
            self._client.set_model_version_tag(NAME, str(version.version), name, value)

    def promote(self, version: Version) -> None:
        """Makes it the champion; workers score with it from their next micro-batch on. Twice is once."""
        before = self.champion()
        content = self.weights(version)
        if before.version != version.version:
            self._client.set_registered_model_alias(NAME, PREVIOUS, str(before.version))
        self._client.set_registered_model_alias(NAME, CHAMPION, str(version.version))
        scoring.release(self._folder, version.model, content)

    def rollback(self) -> Version:
        """Makes the champion before this one the champion again; NotFound if there was none."""
        before = next((one for one in self.versions() if PREVIOUS in one.aliases), None)
        if before is None:
            raise NotFound("there was no champion before this one; `paxtrail models promote VERSION` takes any version")
        self.promote(before)
        return before
