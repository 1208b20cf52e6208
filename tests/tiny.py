"""A tiny dataset and a config for it, that several tests share."""

import numpy as np

from fercore.config import ExperimentConfig
from fercore.data.splits import Split, Splits, fingerprint
from fercore.labels import FER2013


def make_split(n: int, prefix: str, seed: int) -> Split:
    """Noise with a bright bar whose height tells the class: learnable in an epoch or two."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, n).astype(np.uint8)
    images = rng.integers(0, 120, (n, 48, 48)).astype(np.uint8)
    for number, label in enumerate(labels):
        images[number, 6 * label + 2 : 6 * label + 6, 8:40] += 100
    return Split(images, labels, np.array([f"{prefix}_{i:05d}" for i in range(n)]))


def make_splits() -> Splits:
    """A dataset whose test split repeats three training images."""
    train, validation = make_split(600, "Training", 0), make_split(140, "PublicTest", 1)
    test = make_split(140, "PrivateTest", 2)
    test.images[:3], test.labels[:3] = train.images[:3], train.labels[:3]
    parts = {"train": train, "validation": validation, "test": test}
    titles = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    return Splits("tiny", FER2013, parts, titles, fingerprint(parts))


def tiny_config(**changes: object) -> ExperimentConfig:
    """Three epochs of Katkar's Model 2 on the tiny dataset."""
    fields: dict[str, object] = {
        "name": "tiny",
        "title": "Tiny",
        "dataset": "tiny",
        "model": "katkar2021",
        "model_options": {"variant": "model2"},
        "batch_size": 32,
        "epochs": 3,
    }
    return ExperimentConfig.model_validate(fields | changes)
