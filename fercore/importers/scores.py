"""Turn the scores of any classifier into probabilities: recognise how they are scaled first."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
# How a classifier's scores are to be read:
# - probabilities: from 0 to 1, summing to 1
# - percent: from 0 to 100, summing to 100
# - sigmoid: independent scores of 0 to 1 (or to 100), one per class
# - votes: whole numbers, such as FER+'s ten annotators
# - labels: 1 for the predicted class, 0 for every other
# - logits: real numbers that a softmax follows
Scale = Literal["probabilities", "percent", "sigmoid", "votes", "labels", "logits"]

READINGS: dict[Scale, str] = {
    "probabilities": "probabilities",
    "percent": "percent, divided by their sum",
    "sigmoid": "independent (sigmoid) scores, divided by their sum",
    "votes": "votes, divided by their sum",
    "labels": "predicted classes, without probabilities",
    "logits": "logits, through a softmax",
}
# What rounding to three decimals and half precision may leave in a sum.
_TOLERANCE = 0.02
_NEGATIVE = -1e-4


def tolerance_of(columns: int, decimals: int | None = None) -> float:
    """How far a row of probabilities may sum from 1, by the decimals that they were rounded to."""
    rounding = 0.0 if decimals is None else columns * 0.5 * 10.0**-decimals
    return max(_TOLERANCE, rounding + 1e-9)


def detect_scale(scores: Scores, decimals: int | None = None) -> Scale | None:
    """Recognise how scores are scaled, by what most rows have in common.

    Args:
        scores: `(n, k)`, finite.
        decimals: that they were rounded to, where that is known.

    Returns:
        The scale; `None` if the rows fit none.
    """
    sums, lowest = scores.sum(axis=1), scores.min(axis=1)
    if lowest.min() >= 0 and (scores == np.rint(scores)).all():
        if (sums == 1).all():
            return "labels"
        return "percent" if _most(np.abs(sums - 100) <= scores.shape[1] / 2) else "votes"
    tolerance = tolerance_of(scores.shape[1], decimals)
    positive = lowest >= _NEGATIVE
    if _most(positive & (np.abs(sums - 1) <= tolerance)):
        return "probabilities"
    if _most(positive & (np.abs(sums - 100) <= 100 * tolerance)):
        return "percent"
    largest = float(scores.max())
    if positive.all() and (largest <= 1 + 1e-3 or 30 < largest <= 100.1):
        return "sigmoid"
    return "logits" if _most(~positive) else None


def unfit_rows(scores: Scores, scale: Scale, decimals: int | None = None) -> NDArray[np.bool_]:
    """Which rows do not fit a scale: `(n,)` bool."""
    unfit: NDArray[np.bool_] = np.asarray(~np.isfinite(scores).all(axis=1))
    if scale == "logits":
        return unfit
    sums, tolerance = scores.sum(axis=1), tolerance_of(scores.shape[1], decimals)
    unfit |= (scores.min(axis=1) < _NEGATIVE) | ~(sums > 0)
    if scale in {"probabilities", "percent"}:
        total = 1.0 if scale == "probabilities" else 100.0
        unfit |= ~(np.abs(sums / total - 1) <= tolerance)
    return np.asarray(unfit, bool)


def to_probabilities(scores: Scores, scale: Scale) -> NDArray[np.float64]:
    """Scale scores to rows of probabilities that sum to 1: `(n, k)`."""
    if scale == "logits":
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)
    positive = np.clip(scores, 0, None)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True), np.float64)


def among(probabilities: NDArray[np.float64], places: list[int]) -> NDArray[np.float64]:
    """Probabilities of some of the classes alone; where none has any, all alike."""
    chosen = np.maximum(probabilities[:, places], np.finfo(np.float64).tiny)
    return np.asarray(chosen / chosen.sum(axis=1, keepdims=True), np.float64)


def _most(rows: NDArray[np.bool_]) -> bool:
    return bool(rows.mean() > 0.5)
