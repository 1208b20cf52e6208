"""A random forest on a network's features, in place of its last layer.

Ranjan (2023) tried it on Model 2 and reports that it "drastically decreases the accuracy", without
a figure.
"""

from collections.abc import Callable, Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from fercore.training.prediction import forward, require_finite

TREES = 500


def fit(
    network: keras.Model,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    seed: int,
    batch_size: int,
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Fit scikit-learn's random forest on what enters the last layer.

    Args:
        network: trained.
        images: `(n, height, width)` uint8, to fit on.
        labels: `(n,)` integers.
        seed: of the forest.
        batch_size: images in one call of the network.

    Returns:
        A function from images to probabilities, `(n, k)` float32: the share of trees, 0 for a class
        that is not among the labels.
    """
    from sklearn.ensemble import RandomForestClassifier

    features = keras.Model(network.input, network.layers[-1].input)
    forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)
    inputs = forward(features, images, batch_size)
    require_finite(inputs, "training")
    forest.fit(inputs, labels)
    num_classes = network.output.shape[-1]

    def probabilities(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        shares = np.zeros((len(images), num_classes), np.float32)
        inputs = forward(features, images, batch_size)
        require_finite(inputs, "evaluated")
        shares[:, forest.classes_] = forest.predict_proba(inputs)
        return shares

    return probabilities


def predict_all(
    network: keras.Model,
    train: tuple[NDArray[np.uint8], NDArray[np.integer]],
    judged: Mapping[str, NDArray[np.uint8]],
    seed: int,
    batch_size: int,
) -> dict[str, NDArray[np.float32]]:
    """Probabilities of a forest fitted on the training images, by role."""
    probabilities = fit(network, *train, seed, batch_size)
    return {role: probabilities(images) for role, images in judged.items()}
