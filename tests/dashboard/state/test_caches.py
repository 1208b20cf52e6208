import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dashboard.state import dataset_cache, network_cache
from fercore.config.augmentation import AugmentationConfig
from fercore.config.loading import list_configs, load_config
from fercore.data import store
from fercore.data.labels import FER2013
from fercore.data.quality import Audit
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.reader import Run, read_run
from tests.tiny import make_splits

COMMITTED = Path(__file__).parents[3] / "runs"
ONE = "facet-tiny-s0-20261121T151906"
OTHER = "katkar2021-model2-original-s0-20261121T024609"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with its network, and a dataset of the name of its own."""
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    parts = make_splits().parts
    store.write(
        tmp_path / "data", "fer2013", FER2013, parts, (), validation_from_train=False, audit=Audit()
    )
    shutil.copytree(COMMITTED / ONE, tmp_path / ONE)
    return read_run(tmp_path / ONE)


def test_a_network_is_asked_once_until_it_is_another(run: Run, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def counted(run, images, ask=network_cache.probabilities):
        asked.append(run.id)
        return ask(run, images)

    monkeypatch.setattr(network_cache, "probabilities", counted)
    images = make_splits()["test"].images
    for _ in range(2):
        said = network_cache.predict_split(run, "fer2013", "test")
        assert np.array_equal(said, OnnxNetwork(COMMITTED / ONE / "model.onnx", threads=0)(images))
    assert len(asked) == 1
    shutil.copyfile(COMMITTED / OTHER / "model.onnx", run.path / "model.onnx")
    said = network_cache.predict_split(run, "fer2013", "test")
    assert np.array_equal(said, OnnxNetwork(COMMITTED / OTHER / "model.onnx", threads=0)(images))
    assert len(asked) == 2
    network_cache.predict_split(run, "fer2013", "validation")
    assert len(asked) == 3


def test_shown_images_are_predicted_once_until_the_network_is_another(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    calls = []

    def counted(run, images, predict=network_cache.probabilities):
        calls.append(images.dtype)
        return predict(run, images)

    monkeypatch.setattr(network_cache, "probabilities", counted)
    images = make_splits()["test"].images[:4]
    expected = OnnxNetwork(COMMITTED / ONE / "model.onnx", threads=0)(images)
    for shown in (images, images, images.astype(np.float32), images[:2]):
        probabilities = network_cache.shown_probabilities(run, shown)
        np.testing.assert_allclose(probabilities, expected[: len(shown)], atol=1e-6)
    assert calls == [np.uint8, np.float32, np.uint8]
    shutil.copyfile(COMMITTED / OTHER / "model.onnx", run.path / "model.onnx")
    assert not np.allclose(network_cache.shown_probabilities(run, images), expected)


def test_the_experiments_of_the_package_are_read_once(monkeypatch: pytest.MonkeyPatch):
    experiments = dataset_cache.experiments()
    assert tuple(experiments) == list_configs()
    assert experiments["facet-tiny"] == load_config("facet-tiny")
    monkeypatch.setattr(dataset_cache, "load_config", None)
    assert dataset_cache.experiments() is experiments


def test_answers_are_read_otherwise_once_the_temperature_is_another(run: Run):
    before = network_cache.network_signature(run)
    assert network_cache.network_signature(run) == before
    network = network_cache.network(run)
    assert network_cache.network(run) is network
    told = json.loads((run.path / "results.json").read_bytes())
    told["temperature"] = 7.25
    (run.path / "results.json").write_text(json.dumps(told))
    again = read_run(run.path)
    assert network_cache.network_signature(again) != before
    assert network_cache.network(again).temperature == 7.25 != network.temperature


@pytest.mark.keras
def test_what_a_strength_costs_is_counted_on_what_training_would_feed(run: Run):
    part = make_splits()["test"]
    said = network_cache.predict_split(run, "fer2013", "test")
    right = said.argmax(axis=1) == part.labels
    unchanged = AugmentationConfig()
    found = network_cache.correct_under_augmentation(run, part.images, part.labels, unchanged)
    np.testing.assert_array_equal(found, right)
    # Other faces under the same policy have a count of their own.
    shown = make_splits()["validation"]
    other = network_cache.predict_split(run, "fer2013", "validation").argmax(axis=1) == shown.labels
    found = network_cache.correct_under_augmentation(run, shown.images, shown.labels, unchanged)
    np.testing.assert_array_equal(found, other)
