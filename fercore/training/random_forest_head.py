"""Random forest on the features of a network, in place of its last layer.

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
    """Fit scikit-learn's random forest on the inputs of the network's last layer.

    Args:
        network: trained.
        images: `(n, height, width)` uint8, on which the forest is fitted.
        labels: `(n,)` integers.
        seed: random seed of the forest.
        batch_size: number of images in one call of the network.

    Returns:
        A function from images to probabilities, `(n, k)` float32. A probability is the mean over
        the trees, 0 for a class that does not occur in the labels.
    """
    from sklearn.ensemble import RandomForestClassifier

    feature_network = keras.Model(network.input, network.layers[-1].input)
    forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)
    training_features = forward(feature_network, images, batch_size)
    require_finite(training_features, "training")
    forest.fit(training_features, labels)
    num_classes = network.output.shape[-1]

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities = np.zeros((len(images), num_classes), np.float32)
        features = forward(feature_network, images, batch_size)
        require_finite(features, "evaluated")
        probabilities[:, forest.classes_] = forest.predict_proba(features)
        return probabilities

    return predict


def predict_all(
    network: keras.Model,
    train: tuple[NDArray[np.uint8], NDArray[np.integer]],
    evaluated: Mapping[str, NDArray[np.uint8]],
    seed: int,
    batch_size: int,
) -> dict[str, NDArray[np.float32]]:
    """Return the probabilities of a forest fitted on the training images, by role of a split."""
    predict = fit(network, *train, seed, batch_size)
    return {role: predict(images) for role, images in evaluated.items()}
