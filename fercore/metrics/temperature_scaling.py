"""Temperature scaling: one number that mends a network's confidence."""

import numpy as np

from fercore.metrics.calibration import SMALLEST_PROBABILITY
from fercore.metrics.validation import Labels, Probabilities, Vector, probabilities_and_labels

_BOUNDS = (0.05, 20.0)
_HALVINGS = 40


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """The temperature under which the labels are most likely.

    Args:
        probabilities: `(n, k)` floats in [0, 1], a softmax's; their logarithms are its logits but
            for a constant, which no temperature feels.
        labels: `(n,)` integers in [0, k), of samples that were not trained on.

    Returns:
        Above 1 for a network that is too sure of itself; from 0.05 to 20.

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
        # More than the labels have: sharper than they are, so the temperature is too low.
        low, high = (middle, high) if expected > of_true else (low, middle)
    return float(np.exp((low + high) / 2))


def apply_temperature(probabilities: Probabilities, temperature: float) -> Vector:
    """Probabilities at another temperature: `(n, k)` float64, the order of the classes kept.

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
