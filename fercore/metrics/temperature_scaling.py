"""Temperature scaling of predicted probabilities."""

import numpy as np

from fercore.metrics.calibration import SMALLEST_PROBABILITY
from fercore.metrics.validation import Labels, Probabilities, Vector, probabilities_and_labels

_BOUNDS = (0.05, 20.0)
_HALVINGS = 40


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Fit the temperature that minimises the negative log-likelihood of the labels.

    Args:
        probabilities: `(n, k)` floats in [0, 1], outputs of a softmax; their logarithms equal its
            logits up to a constant, which has no effect at any temperature.
        labels: `(n,)` integers in [0, k), of samples that were not trained on.

    Returns:
        The temperature, from 0.05 to 20; above 1 for an overconfident network.

    Raises:
        ValueError: for an empty array, shapes that disagree, or values out of range.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    logits = _logits(p)
    of_true = logits[np.arange(len(true)), true].mean()
    # The mean likelihood is concave in the inverse temperature: bisect its slope. The logarithm is
    # halved, so that the bounds lie as far from 1 on both sides.
    low, high = np.log(_BOUNDS)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (_softmax(logits / np.exp(middle)) * logits).sum(axis=1).mean()
        # The predictions are too confident for the labels, so the temperature is too low.
        low, high = (middle, high) if expected > of_true else (low, middle)
    return float(np.exp((low + high) / 2))


def apply_temperature(probabilities: Probabilities, temperature: float) -> Vector:
    """Return probabilities at a temperature, `(n, k)` float64, with classes in the same order.

    Raises:
        ValueError: for a temperature that is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"received temperature={temperature}, expected above 0")
    return _softmax(_logits(np.asarray(probabilities, np.float64)) / temperature)


def _softmax(logits: Vector) -> Vector:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: Vector = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax


def _logits(probabilities: Vector) -> Vector:
    logits: Vector = np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1.0))
    return logits
