"""Precision-recall and ROC curves of one class against all others, by scikit-learn."""

from dataclasses import dataclass

import numpy as np

from fercore.metrics.validation import Labels, Probabilities, Vector, probabilities_and_labels

# Of a curve with thousands of steps, as many points show the same line.
MAX_POINTS = 400


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """How well the probability of one class ranks its samples before all others.

    Attributes:
        recall: `(m,)` float64, of the precision-recall curve, falling.
        precision: `(m,)` float64, of the same thresholds.
        average_precision: area under the precision-recall curve as a step function.
        false_positive_rate: `(r,)` float64, of the ROC curve, rising.
        true_positive_rate: `(r,)` float64, of the same thresholds.
        auc: area under the ROC curve.
        prevalence: share of the class among the samples: the precision of a random ranking.
    """

    recall: Vector
    precision: Vector
    average_precision: float
    false_positive_rate: Vector
    true_positive_rate: Vector
    auc: float
    prevalence: float


def class_curves(
    probabilities: Probabilities, labels: Labels, class_index: int
) -> ClassCurves | None:
    """Compute the curves of one class against all others.

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
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    p, true = probabilities_and_labels(probabilities, labels)
    if not 0 <= class_index < p.shape[1]:
        raise ValueError(f"received class {class_index}, expected 0 to {p.shape[1] - 1}")
    positive, scores = true == class_index, p[:, class_index]
    if positive.all() or not positive.any():
        return None
    precision, recall, _ = precision_recall_curve(positive, scores)
    false_rate, true_rate, _ = roc_curve(positive, scores)
    return ClassCurves(
        recall=_thinned(recall),
        precision=_thinned(precision),
        average_precision=float(average_precision_score(positive, scores)),
        false_positive_rate=_thinned(false_rate),
        true_positive_rate=_thinned(true_rate),
        auc=float(auc(false_rate, true_rate)),
        prevalence=float(positive.mean()),
    )


def _thinned(values: Vector) -> Vector:
    """Return at most `MAX_POINTS` of the values, both ends among them."""
    if len(values) <= MAX_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(np.intp)]
