"""Training that starts from the weights of a run."""

import shutil
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
    """Write synthetic faces to one folder per mood, in colour and larger than 48 pixels."""
    train = synthetic.load(folder)["train"]
    for label, mood in enumerate(NAVRAS):
        (folder / "moods" / mood).mkdir(parents=True)
        for number, image in enumerate(train.images[train.labels == label % 7][:per_class]):
            shown = image if label < 7 else 255 - image
            large = cv2.cvtColor(cv2.resize(shown, (96, 96)), cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(folder / "moods" / mood / f"{number}.png"), large)
    return folder / "moods"


def test_training_on_other_classes_starts_from_the_weights_of_a_run(trained, tmp_path: Path):
    from fercore import models
    from fercore.training.trainer import train

    source = trained(tiny_config(epochs=1))
    shutil.copytree(source.path, tmp_path / "runs" / source.id)

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


def test_initial_weights_of_another_network_are_refused(trained, tmp_path: Path):
    from fercore.training.trainer import train

    source = trained(tiny_config(epochs=1))
    shutil.copytree(source.path, tmp_path / source.id)
    other = tiny_config(model_options={"variant": "model1"}, init_from=source.path.name)
    with pytest.raises(UserError, match=r"a katkar2021 with \{'variant': 'model2'\}"):
        train(other, make_splits(), RunWriter.create(tmp_path, other), command="test")
