"""Training that starts from a run, a forest in place of the last layer, a user's own classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.config.loading import parse_config
from fercore.data import registry
from fercore.data.datasets import synthetic
from fercore.errors import UserError
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from fercore.runs.writer import RunWriter
from tests.tiny import make_splits, tiny_config

pytestmark = pytest.mark.keras

# Nine moods of Kathak dance: seven synthetic expressions, and two of them again in negative.
NAVRAS = (
    "adbhuta",
    "bhayanaka",
    "bibhatsa",
    "hasya",
    "karuna",
    "raudra",
    "shanta",
    "shringara",
    "veera",
)


def write_moods(folder: Path, per_class: int = 24) -> Path:
    """Faces drawn by code in a folder per mood, in colour and larger than they are stored."""
    train = synthetic.load(folder)["train"]
    for label, mood in enumerate(NAVRAS):
        (folder / "moods" / mood).mkdir(parents=True)
        for number, image in enumerate(train.images[train.labels == label % 7][:per_class]):
            shown = image if label < 7 else 255 - image
            large = cv2.cvtColor(cv2.resize(shown, (96, 96)), cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(folder / "moods" / mood / f"{number}.png"), large)
    return folder / "moods"


def test_a_users_own_classes_start_from_a_run_on_others(tmp_path: Path):
    from fercore import models
    from fercore.training.trainer import train

    source = RunWriter.create(tmp_path / "runs", tiny_config(epochs=1))
    train(tiny_config(epochs=1), make_splits(), source, command="test")

    root = tmp_path / "data"
    registry.add_dataset("navras", [write_moods(tmp_path)], root, new_size=48)
    fields = {
        "name": "navras",
        "title": "Navras",
        "dataset": "navras",
        "model": "katkar2021",
        "model_options": {"variant": "model2"},
        "protocol": {"split": "random"},
        "init_from": source.path.name,
        "epochs": 1,
        "optimizer": {"learning_rate": 1e-12},  # so that the start is still to be seen
    }
    config = parse_config(fields, "test")
    writer = RunWriter.create(tmp_path / "runs", config)
    results = train(config, registry.load_dataset("navras", root), writer, command="test")
    assert results.class_names == list(NAVRAS)
    assert check_run(writer.path) == []

    def weights(run: Path) -> list[np.ndarray]:
        from fercore.training import checkpoints

        classes = len(read_run(run).results.class_names)
        network = models.build("katkar2021", (48, 48, 1), classes, {"variant": "model2"})

        checkpoints.load(read_run(run).best_path, network.variables)
        return [layer.get_weights() for layer in network.layers if layer.get_weights()]

    for mine, other in zip(weights(writer.path)[:-1], weights(source.path)[:-1], strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    assert weights(writer.path)[-1][0].shape == (64, 9)
    assert weights(source.path)[-1][0].shape == (64, 7)


def test_only_the_same_network_can_be_started_from(tmp_path: Path):
    from fercore.training.trainer import train

    source = RunWriter.create(tmp_path, tiny_config(epochs=1))
    train(tiny_config(epochs=1), make_splits(), source, command="test")
    other = tiny_config(model_options={"variant": "model1"}, init_from=source.path.name)
    with pytest.raises(UserError, match=r"a katkar2021 with \{'variant': 'model2'\}"):
        train(other, make_splits(), RunWriter.create(tmp_path, other), command="test")


def test_a_forest_gives_the_probabilities(tmp_path: Path):
    from fercore.training.onnx_export import export_finished_run
    from fercore.training.trainer import train

    config = tiny_config(epochs=2, head="random_forest", drop_classes=["disgust"])
    writer = RunWriter.create(tmp_path, config)
    results = train(config, make_splits(), writer, command="test")
    run = read_run(writer.path)
    assert check_run(writer.path) == []
    assert results.onnx is None
    assert results.splits["test"].accuracy > 0.5
    probabilities = run.predictions("test").probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-3)
    assert not probabilities[:, 1].any()  # no tree has seen disgust
    # The network beneath would answer otherwise than the figures say.
    with pytest.raises(UserError, match="random forest"):
        export_finished_run(run, make_splits()["test"].images)
    assert not (run.path / "model.onnx").exists()


def test_training_under_the_svm_selects_by_its_own_loss(tmp_path: Path):
    from fercore.training.trainer import train

    config = tiny_config(loss="l2_svm", epochs=2)
    writer = RunWriter.create(tmp_path, config)
    train(config, make_splits(), writer, command="test")
    first = read_run(writer.path).log()[0]
    # Seven scores near zero: half of six squared margins of one.
    assert 0 < first.val_loss < 6
    assert check_run(writer.path) == []


def test_copies_are_changed_once_and_nothing_more():
    """Where the copies are made before training, no image is changed again during it."""
    from fercore import models
    from fercore.training.model import TrainingModel

    network = models.build("katkar2021", (48, 48, 1), 7)
    images = make_splits()["train"].images[:4]
    for mode, active in (("doubled", False), ("online", True)):
        config = tiny_config(augmentation={"mode": mode, "rotation": 30})
        assert TrainingModel(network, config, images).augment.config.active is active
