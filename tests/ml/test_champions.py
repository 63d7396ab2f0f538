"""The registry on a real MLflow store: better promotes, equal and worse do not, rollback restores, and nothing personal is kept."""

from __future__ import annotations

import mlflow
import pytest
from tests.ml.made import labelled

from paxtrail.adapters.registry import NAME, Registry
from paxtrail.adapters.scoring import Champion
from paxtrail.errors import NotFound
from paxtrail.ml import champions
from paxtrail.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.load("local", home=str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Registry:
    return Registry(settings)


def test_a_version_comes_in_by_being_better_and_goes_by_rollback(registry: Registry, settings: Settings) -> None:
    data, folder = labelled(600), settings.models.folder
    assert [(one.version, one.kind, one.aliases) for one in registry.versions()] == [(1, "lexicon", ("champion",))]
    with pytest.raises(NotFound):
        registry.rollback()

    version, found = champions.register(registry, data, kind="svm", seed=1)
    assert not champions.promote_if_better(registry, version), "it was compared with nothing yet"
    assert champions.compare(registry, version, data, seed=1).is_better
    assert champions.promote_if_better(registry, registry.version(version.version))
    assert found.metrics["macro_f1"] > 0.9
    assert Champion(folder).score("my bag zorbed").model == "sentiment/2"
    assert Champion(folder).score("my bag zorbed").label == "negative"

    equal, _ = champions.register(registry, data, kind="svm", seed=1)
    assert champions.compare(registry, equal, data, seed=1).mean == 0
    assert not champions.promote_if_better(registry, registry.version(equal.version))

    worse, _ = champions.register(registry, labelled(600, shuffled=True), kind="svm", seed=1)
    assert champions.compare(registry, worse, data, seed=1).upper < 0
    assert not champions.promote_if_better(registry, registry.version(worse.version))
    assert registry.champion().version == 2

    scored = mlflow.pyfunc.load_model(f"models:/{NAME}/2").predict(["my bag zorbed"])
    assert scored[0]["label"] == "negative"
    assert mlflow.pyfunc.load_model(f"models:/{NAME}/1").predict(["Terrible!"])[0]["model"] == "lexicon/1"

    assert registry.rollback().kind == "lexicon"
    assert Champion(folder).score("my bag zorbed").model == "lexicon/1"
    assert registry.champion().version == 1

    kept = [path for path in settings.home.rglob("*") if path.is_file()]
    assert any(path.name == "calibration.png" for path in kept) and any(path.name == "confusion.png" for path in kept)
    words = (b"zorbed", b"Secretname", b"Canaryword", b"secretname")
    assert not [path.name for path in kept if any(word in path.read_bytes() for word in words)]
    assert not [path.name for path in kept if path.suffix in (".pkl", ".pickle")]


def test_a_version_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no version 99"):
        registry.version(99)
