"""Detect how the scores of a classifier are scaled, and convert them to probabilities."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
# How a classifier's scores are scaled:
# - probabilities: from 0 to 1, summing to 1
# - percent: from 0 to 100, summing to 100
# - sigmoid: independent scores of 0 to 1 (or to 100), one per class
# - votes: whole numbers, such as FER+'s ten annotators
# - labels: 1 for the predicted class, 0 for every other
# - logits: real numbers, to which a softmax is applied
Scale = Literal["probabilities", "percent", "sigmoid", "votes", "labels", "logits"]

READINGS: dict[Scale, str] = {
    "probabilities": "probabilities",
    "percent": "percent, divided by their sum",
    "sigmoid": "independent (sigmoid) scores, divided by their sum",
    "votes": "votes, divided by their sum",
    "labels": "predicted classes, without probabilities",
    "logits": "logits, through a softmax",
}
# Deviation of a sum from 1 by rounding to three decimals or by half precision.
_TOLERANCE = 0.02
_MIN_SCORE = -1e-4  # negative by rounding only


def tolerance_of(columns: int, decimals: int | None = None) -> float:
    """Return how far a row of probabilities may sum from 1.

    Args:
        columns: number of probabilities per row.
        decimals: to which they were rounded; `None` if unknown.
    """
    rounding = 0.0 if decimals is None else columns * 0.5 * 10.0**-decimals
    return max(_TOLERANCE, rounding + 1e-9)


def detect_scale(scores: Scores, decimals: int | None = None) -> Scale | None:
    """Detect how scores are scaled, by a property of most rows.

    Args:
        scores: `(n, k)`, finite.
        decimals: to which they were rounded; `None` if unknown.

    Returns:
        The scale; `None` if the rows fit no scale.
    """
    sums, lowest = scores.sum(axis=1), scores.min(axis=1)
    if lowest.min() >= 0 and (scores == np.rint(scores)).all():
        if (sums == 1).all():
            return "labels"
        return "percent" if _is_majority(np.abs(sums - 100) <= scores.shape[1] / 2) else "votes"
    tolerance = tolerance_of(scores.shape[1], decimals)
    is_positive = lowest >= _MIN_SCORE
    if _is_majority(is_positive & (np.abs(sums - 1) <= tolerance)):
        return "probabilities"
    if _is_majority(is_positive & (np.abs(sums - 100) <= 100 * tolerance)):
        return "percent"
    largest = float(scores.max())
    if is_positive.all() and (largest <= 1 + 1e-3 or 30 < largest <= 100.1):
        return "sigmoid"
    return "logits" if _is_majority(~is_positive) else None


def invalid_rows(scores: Scores, scale: Scale, decimals: int | None = None) -> NDArray[np.bool_]:
    """Return which rows do not fit a scale: `(n,)` bool."""
    is_invalid: NDArray[np.bool_] = np.asarray(~np.isfinite(scores).all(axis=1))
    if scale == "logits":
        return is_invalid
    sums, tolerance = scores.sum(axis=1), tolerance_of(scores.shape[1], decimals)
    is_invalid |= (scores.min(axis=1) < _MIN_SCORE) | ~(sums > 0)
    if scale in {"probabilities", "percent"}:
        total = 1.0 if scale == "probabilities" else 100.0
        is_invalid |= ~(np.abs(sums / total - 1) <= tolerance)
    return np.asarray(is_invalid, bool)


def to_probabilities(scores: Scores, scale: Scale) -> NDArray[np.float64]:
    """Convert scores to rows of probabilities that sum to 1: `(n, k)`."""
    if scale == "logits":
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)
    positive = np.clip(scores, 0, None)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True), np.float64)


def restrict_to_classes(
    probabilities: NDArray[np.float64], columns: list[int]
) -> NDArray[np.float64]:
    """Return the probabilities of some of the classes, scaled to sum to 1.

    A row in which all of them are 0 becomes uniform.
    """
    selected = np.maximum(probabilities[:, columns], np.finfo(np.float64).tiny)
    return np.asarray(selected / selected.sum(axis=1, keepdims=True), np.float64)


def _is_majority(rows: NDArray[np.bool_]) -> bool:
    return bool(rows.mean() > 0.5)
