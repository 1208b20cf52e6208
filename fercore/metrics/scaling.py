"""Temperature scaling: one number that mends a network's confidence."""

import numpy as np

from fercore.metrics.checks import Labels, Probabilities, Vector, probabilities_and_labels
from fercore.metrics.probabilistic import SMALLEST_PROBABILITY

_BOUNDS = (0.05, 20.0)


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
    from scipy.optimize import minimize_scalar

    p, true = probabilities_and_labels(probabilities, labels)
    logits = _logits(p)
    rows = np.arange(len(true))

    def nll(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((normaliser - scaled[rows, true]).mean())

    bounds = tuple(np.log(_BOUNDS))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def apply_temperature(probabilities: Probabilities, temperature: float) -> Vector:
    """Probabilities at another temperature: `(n, k)` float64, the order of the classes kept.

    Raises:
        ValueError: for a temperature that is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"received temperature={temperature}, expected above 0")
    scaled = _logits(np.asarray(probabilities, np.float64)) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    scaled_probabilities: Vector = exponentials / exponentials.sum(axis=1, keepdims=True)
    return scaled_probabilities


def _logits(probabilities: Vector) -> Vector:
    logits: Vector = np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1.0))
    return logits
