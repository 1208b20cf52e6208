"""Test the quality checks of a dataset on images with known defects."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from fercore.data import quality
from fercore.data.splits import Split


def part(n: int, seed: int, prefix: str) -> Split:
    """Return a split of blurred noise, so that a shifted copy is similar to its original."""
    rng = np.random.default_rng(seed)
    images = ndimage.gaussian_filter(rng.uniform(0, 255, (n, 48, 48)), (0, 3, 3))
    images = (images - images.min()) / (images.max() - images.min()) * 255
    labels = np.arange(n, dtype=np.uint8) % 7
    ids = np.array([f"{prefix}-{i}" for i in range(n)])
    return Split(np.rint(images).astype(np.uint8), labels, ids)


@pytest.fixture
def parts() -> dict[str, Split]:
    found = {"train": part(60, 0, "train"), "test": part(40, 1, "test")}
    train, test = found["train"], found["test"]
    test.images[3] = train.images[10]  # labels 3 and 3
    test.images[4] = train.images[12]  # labels 4 and 5
    train.images[20] = train.images[21]
    test.images[30] = 128
    test.images[7] = np.clip(train.images[33].astype(int) + 3, 0, 255)
    return found


def test_equal_images_are_grouped_over_all_parts(parts):
    groups = quality.duplicate_groups(parts)
    found = {frozenset((s.role, s.index) for s in group.samples): group for group in groups}
    agreeing = found[frozenset({("test", 3), ("train", 10)})]
    assert agreeing.is_across_splits
    assert not agreeing.has_conflicting_labels
    assert found[frozenset({("test", 4), ("train", 12)})].has_conflicting_labels
    assert not found[frozenset({("train", 20), ("train", 21)})].is_across_splits
    assert len(found) == 3


def test_a_constant_image_is_found(parts):
    assert quality.constant_images(parts) == [quality.SampleRef("test", 30)]


def test_almost_equal_images_are_found_and_equal_ones_are_not(parts):
    (near,) = quality.near_duplicates(parts)
    assert (near.sample, near.match) == (
        quality.SampleRef("test", 7),
        quality.SampleRef("train", 33),
    )
    expected = np.corrcoef(parts["test"].images[7].ravel(), parts["train"].images[33].ravel())
    assert near.correlation == pytest.approx(expected[0, 1], abs=1e-5)


def test_mean_faces_are_those_of_each_class(parts):
    means = quality.mean_faces(parts["train"], 8)
    train = parts["train"]
    assert np.array_equal(means[2], np.rint(train.images[train.labels == 2].mean(axis=0)))
    assert means[7].max() == 0


def test_brightness_and_sharpness(parts):
    images = parts["train"].images
    assert quality.brightness(images) == pytest.approx(images.mean(axis=(1, 2)))
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in images])
    assert (quality.sharpness(blurred) < quality.sharpness(images)).all()
    assert quality.sharpness(np.full((1, 48, 48), 9, np.uint8))[0] == 0
