"""Precision-recall and ROC curves of one class against all others, and their macro average."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fercore.metrics.validation import (
    Counts,
    Labels,
    Probabilities,
    Vector,
    probabilities_and_labels,
)

# As many points of a curve with thousands of steps show the same line.
MAX_POINTS = 400
_GRID = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True, eq=False)
class Curves:
    """A precision-recall and a ROC curve, with the areas under them.

    Attributes:
        recall: `(m,)` float64, of the precision-recall curve, falling from 1 to 0.
        precision: `(m,)` float64, of the same thresholds; constant between a recall and the next
            lower one.
        average_precision: area under the precision-recall curve as that step function.
        false_positive_rate: `(r,)` float64, of the ROC curve, rising.
        true_positive_rate: `(r,)` float64, of the same thresholds.
        auc: area under the ROC curve.
    """

    recall: Vector
    precision: Vector
    average_precision: float
    false_positive_rate: Vector
    true_positive_rate: Vector
    auc: float


@dataclass(frozen=True, eq=False)
class ClassCurves(Curves):
    """How well the probability of one class ranks its samples before all others.

    Attributes:
        positives: samples of the class.
        n: all samples.
    """

    positives: int
    n: int

    @property
    def prevalence(self) -> float:
        """Share of the class among the samples: the precision of a random ranking."""
        return self.positives / self.n


def class_curves(
    probabilities: Probabilities, labels: Labels, class_index: int
) -> ClassCurves | None:
    """Compute the curves of one class against all others.

    The areas are those of scikit-learn's `average_precision_score` and `roc_auc_score`.

    Args:
        probabilities: `(n, k)` floats in [0, 1], rows summing to one.
        labels: `(n,)` integers in [0, k).
        class_index: of the class, in [0, k).

    Returns:
        The curves, of at most `MAX_POINTS` points each; `None` if no sample, or every sample, is
        of the class.

    Raises:
        ValueError: for shapes that disagree, or values out of range.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    if not 0 <= class_index < p.shape[1]:
        raise ValueError(f"received class {class_index}, expected 0 to {p.shape[1] - 1}")
    scores = p[:, class_index]
    order = np.argsort(-scores, kind="stable")
    hits = (true == class_index)[order]
    n, positives = len(hits), int(hits.sum())
    if positives in {0, n}:
        return None
    # One point for each distinct score: samples that are tied share a threshold.
    last = np.append(np.flatnonzero(np.diff(scores[order])), n - 1)
    true_positives = np.cumsum(hits)[last]
    false_positives = last + 1 - true_positives
    false_rate = np.append(0, false_positives) / (n - positives)
    true_rate = np.append(0, true_positives) / positives
    # Only a threshold that adds hits begins a step of the precision-recall curve.
    steps = np.flatnonzero(np.diff(true_positives, prepend=0))
    recall = true_positives[steps] / positives
    precision = true_positives[steps] / (last[steps] + 1)
    bends = _bends(np.append(0, false_positives), np.append(0, true_positives))
    return ClassCurves(
        recall=_thinned(np.append(recall[::-1], 0.0)),
        precision=_thinned(np.append(precision[::-1], 1.0)),
        average_precision=float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        false_positive_rate=_thinned(false_rate[bends]),
        true_positive_rate=_thinned(true_rate[bends]),
        auc=float(np.trapezoid(true_rate, false_rate)),
        positives=positives,
        n=n,
    )


def macro_average(curves: Sequence[Curves]) -> Curves:
    """Return the mean of the curves of several classes: every class has the same weight.

    Precision is averaged at equal recall, the true positive rate at equal false positive rate; the
    areas are the means of the classes' areas.

    Args:
        curves: at least one.

    Raises:
        ValueError: if there is none.
    """
    if not curves:
        raise ValueError("received no curves, expected those of at least one class")
    precisions, rates = [], []
    for curve in curves:
        rising, own = curve.recall[::-1], curve.precision[::-1]
        precisions.append(own[np.minimum(np.searchsorted(rising, _GRID), len(own) - 1)])
        rates.append(np.interp(_GRID, curve.false_positive_rate, curve.true_positive_rate))
    return Curves(
        recall=_GRID[::-1],
        precision=np.mean(precisions, axis=0)[::-1],
        average_precision=float(np.mean([curve.average_precision for curve in curves])),
        false_positive_rate=_GRID,
        true_positive_rate=np.mean(rates, axis=0),
        auc=float(np.mean([curve.auc for curve in curves])),
    )


def _bends(x: Counts, y: Counts) -> NDArray[np.bool_]:
    """Return which points of a curve are not between two others on one straight line."""
    bends = np.ones(len(x), bool)
    bends[1:-1] = (np.diff(x, 2) != 0) | (np.diff(y, 2) != 0)
    return bends


def _thinned(values: Vector) -> Vector:
    """Return at most `MAX_POINTS` of the values, both ends among them."""
    if len(values) <= MAX_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(np.intp)]
