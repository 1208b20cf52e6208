"""What is shown of augmentation is what trains."""

import cv2
import numpy as np
import pytest

from fercore.config.augmentation import AugmentationConfig
from tests.tiny import make_splits, tiny_config

pytestmark = pytest.mark.keras

POLICY = AugmentationConfig(
    rotation=20, crop=0.1, brightness=0.2, noise=0.05, erasing=0.5, mixup=0.4, cutmix=1.0
)


@pytest.fixture(scope="module")
def faces():
    return make_splits()["train"].images[:24]


def test_the_pixels_are_those_that_the_trainer_feeds(faces, monkeypatch):
    from fercore import models
    from fercore.augmentation.preview import preview
    from fercore.training.model import TrainingModel

    config = tiny_config(augmentation=POLICY.model_dump())
    network = models.build(config.model, (48, 48, 1), 7, config.model_options)
    trainee = TrainingModel(network, config, faces)
    fed = []

    class Spy:
        """Stands before the network and keeps what enters it."""

        def __call__(self, pixels, training):
            fed.append(np.asarray(pixels))
            return network(pixels, training=training)

        def __getattr__(self, name):
            return getattr(network, name)

    trainee.reseed(7, 3)
    object.__setattr__(trainee, "network", Spy())
    trainee.call(np.arange(24, dtype=np.int32), training=True)
    shown = preview(faces, POLICY, seed=7, epoch=3)
    assert np.array_equal(fed[0][..., 0], shown.changed)
    partner, share = (np.asarray(part) for part in trainee._mixing)
    assert np.array_equal(partner, shown.partner)
    assert np.array_equal(share, shown.share)


def test_seed_and_epoch_decide(faces):
    from fercore.augmentation.preview import preview

    first = preview(faces, POLICY, seed=1).changed
    assert np.array_equal(first, preview(faces, POLICY, seed=1).changed)
    assert not np.array_equal(first, preview(faces, POLICY, seed=2).changed)
    assert not np.array_equal(first, preview(faces, POLICY, seed=1, epoch=2).changed)


def test_nothing_switched_on_shows_nothing_changed(faces):
    from fercore.augmentation.preview import preview

    found = preview(faces, AugmentationConfig(), seed=0)
    assert np.array_equal(found.shown, faces)
    assert np.array_equal(found.partner, np.arange(24))
    assert set(np.unique(found.difference)) == {128}


def test_the_sheet_holds_every_image_three_times(faces):
    from fercore.augmentation.preview import draw_grid, preview

    found = preview(faces[:5], AugmentationConfig(horizontal_flip=True), seed=0)
    sheet = draw_grid(found, columns=4, scale=1, gap=2)
    assert sheet.shape == (2 * (3 * 50 + 4), 4 * 50 + 2)
    assert np.array_equal(sheet[2:50, 2:50], faces[0])
    assert np.array_equal(sheet[52:100, 2:50], found.shown[0])
    assert np.array_equal(sheet[156:204, 2:50], faces[4])


def test_the_command_writes_a_picture(tmp_path, monkeypatch):
    from fercore.cli import _run_command

    out = tmp_path / "preview.png"
    words = ["synthetic-quick", "--augmentation.rotation", "30", "--count", "4", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["fercore", "augment", "preview", *words])
    assert _run_command() == 0
    sheet = cv2.imread(str(out), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (3 * 100 + 8, 4 * 100 + 4)
