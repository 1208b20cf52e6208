"""Metrics that follow from a confusion matrix, and their intervals."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fercore.metrics.validation import (
    Counts,
    Labels,
    Vector,
    class_indices,
    counts_of,
    require_same_length,
)

_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, eq=False)
class PerClass:
    """One figure for each class, in label order.

    Attributes:
        precision: `(k,)` float64 in [0, 1]; 0 for a class that is never predicted, as scikit-learn
            gives with `zero_division=0`.
        recall: `(k,)` float64 in [0, 1]; NaN for a class with no sample.
        f1: `(k,)` float64 in [0, 1]; NaN for a class with no sample.
        support: `(k,)` int64, samples of each class.
    """

    precision: Vector
    recall: Vector
    f1: Vector
    support: Counts


def confusion_matrix(labels: Labels, predictions: Labels, num_classes: int) -> Counts:
    """Count every pair of true and predicted class.

    Args:
        labels: `(n,)` integers in [0, num_classes).
        predictions: `(n,)` integers in [0, num_classes).
        num_classes: `k`, at least 1.

    Returns:
        `(k, k)` int64, rows true, columns predicted.

    Raises:
        ValueError: for an empty array, lengths that differ, or a class out of range.
    """
    true = class_indices(labels, num_classes, "labels")
    predicted = class_indices(predictions, num_classes, "predictions")
    require_same_length(true, predicted, "labels", "predictions")
    pairs = true * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(labels: Labels, predictions: Labels) -> float:
    """Return the fraction of `(n,)` predictions that equal their `(n,)` labels, in [0, 1].

    Raises:
        ValueError: for an empty array, a negative class or lengths that differ.
    """
    true = class_indices(labels, None, "labels")
    predicted = class_indices(predictions, None, "predictions")
    require_same_length(true, predicted, "labels", "predictions")
    return float(np.mean(true == predicted))


def accuracy_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for `correct` successes in `n` trials.

    Unlike the normal interval it stays within [0, 1] and keeps its coverage for small `n` and for
    shares near 0 and 1.

    Args:
        correct: number of correct predictions, from 0 to `n`.
        n: samples, at least 1.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        The lower and the upper end, each in [0, 1].

    Raises:
        ValueError: for an argument out of its range.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA
    22 (1927).
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"received {correct} correct of {n}, expected 0 <= correct <= n, n >= 1")
    return wilson_interval(correct / n, n, normal_quantile(confidence))


def wilson_interval(share: float, n: float, z: float = _Z95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion of `n` independent samples.

    Args:
        share: in [0, 1].
        n: samples, or an effective number of them, above 0.
        z: quantile; 1.96, for 95%, by default.

    Returns:
        The lower and the upper end, each in [0, 1].
    """
    centre = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # At shares of 0 and 1 the interval touches them; rounding would leave it 1e-17 off.
    low = 0.0 if share == 0 else (centre - half) / scale
    high = 1.0 if share == 1 else (centre + half) / scale
    return low, high


def effective_size(share: float, low: float, high: float, confidence: float = 0.95) -> float:
    """Return the number of independent samples that give a Wilson interval of this width.

    Args:
        share: in [0, 1].
        low: lower end of its interval: Wilson's, or one of samples in groups.
        high: upper end.
        confidence: of the interval.

    Returns:
        0 for an interval from 0 to 1.
    """
    z, reach = normal_quantile(confidence), ((high - low) / 2) ** 2
    if reach >= 0.25:
        return 0.0
    # Wilson's interval depends on q = z^2 / n alone: its squared half-width is quadratic in q.
    a, b = 0.25 - reach, share * (1 - share) - 2 * reach
    q = (-b + math.sqrt(b**2 + 4 * a * reach)) / (2 * a)
    return z**2 / q


def difference_interval(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two proportions of independent samples.

    Args:
        first: a share and the ends of its interval, each in [0, 1].
        second: the same of the share that is subtracted.

    Returns:
        The lower and the upper end, each in [-1, 1].

    Raises:
        ValueError: for a share outside of its interval.

    Source: Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998), method 10, where the intervals are Wilson's.
    """
    for share, low, high in (first, second):
        if not 0 <= low <= share <= high <= 1:
            raise ValueError(
                f"received a share of {share} with an interval from {low} to {high}, expected a "
                "share in its interval, each from 0 to 1"
            )
    (one, one_low, one_high), (two, two_low, two_high) = first, second
    difference = one - two
    return (
        difference - math.hypot(one - one_low, two_high - two),
        difference + math.hypot(one_high - one, two - two_low),
    )


def per_class(confusion: Counts) -> PerClass:
    """Return precision, recall, F1 and support of each class.

    Args:
        confusion: `(k, k)` non-negative integers, rows true, columns predicted.

    Raises:
        ValueError: when `confusion` is not square, is negative, or holds no sample.
    """
    counts = counts_of(confusion)
    hits = np.diag(counts)
    support, predicted = counts.sum(axis=1), counts.sum(axis=0)
    present = support > 0
    precision = np.divide(hits, predicted, out=np.zeros(len(hits)), where=predicted > 0)
    recall = np.divide(hits, support, out=np.full(len(hits), np.nan), where=present)
    f1 = np.divide(2 * hits, support + predicted, out=np.full(len(hits), np.nan), where=present)
    return PerClass(precision, recall, f1, support)


def recall_interval(confusion: Counts, confidence: float = 0.95) -> Vector:
    """Return Wilson's interval for the recall of each class.

    Args:
        confusion: `(k, k)` non-negative integers, rows true, columns predicted.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        `(k, 2)` float64, lower and upper ends in [0, 1]; NaN for a class with no sample.

    Raises:
        ValueError: as `per_class` and `accuracy_interval` do.
    """
    counts = counts_of(confusion)
    pairs = zip(np.diag(counts).tolist(), counts.sum(axis=1).tolist(), strict=True)
    undefined = (math.nan, math.nan)
    return np.array([accuracy_interval(hit, n, confidence) if n else undefined for hit, n in pairs])


def macro_f1(confusion: Counts) -> float:
    """Return the mean F1 over the classes with samples, in [0, 1].

    A class with no sample is left out even where it is predicted; scikit-learn, unless told
    `labels`, counts it as zero.

    Raises:
        ValueError: as `per_class` does.
    """
    return float(np.nanmean(per_class(confusion).f1))


def uar(confusion: Counts) -> float:
    """Unweighted average recall over the classes with samples, in [0, 1].

    It is also known as balanced accuracy.

    Raises:
        ValueError: as `per_class` does.
    """
    return float(np.nanmean(per_class(confusion).recall))


def positive_predictive_value(sensitivity: float, specificity: float, prevalence: float) -> float:
    """The chance that a detection is right, by Bayes' theorem.

    Args:
        sensitivity: share of the cases that are detected, in [0, 1].
        specificity: share of the others that are not, in [0, 1].
        prevalence: share of cases, in [0, 1].

    Returns:
        A share in [0, 1]; NaN where nothing is ever detected.

    Raises:
        ValueError: for an argument out of its range.

    Example:
        >>> round(positive_predictive_value(0.98, 0.98, 0.0007), 3)  # Rath (2021), Appendix
        0.033
    """
    if not all(0 <= share <= 1 for share in (sensitivity, specificity, prevalence)):
        raise ValueError(
            f"received {sensitivity}, {specificity}, {prevalence}, expected shares from 0 to 1"
        )
    right = sensitivity * prevalence
    detected = right + (1 - specificity) * (1 - prevalence)
    return right / detected if detected else math.nan


def balanced_class_weights(labels: Labels, num_classes: int) -> Vector:
    """Weights under which every class that is present counts the same.

    Class `c` weighs `n / (present * n_c)`: scikit-learn's "balanced", after King and Zeng,
    "Logistic regression in rare events data", Political Analysis 9 (2001). The mean weight of a
    sample is one.

    Args:
        labels: `(n,)` integers in [0, num_classes).
        num_classes: at least 1.

    Returns:
        `(num_classes,)` float64; 0 for a class with no sample.

    Raises:
        ValueError: for an empty array or a class out of range.
    """
    true = class_indices(labels, num_classes, "labels")
    counts = np.bincount(true, minlength=num_classes)
    present = counts > 0
    weights: Vector = np.zeros(num_classes)
    weights[present] = len(true) / (present.sum() * counts[present])
    return weights


def normal_quantile(confidence: float) -> float:
    """Return the two-sided quantile of the normal distribution, 1.96 for 0.95.

    Raises:
        ValueError: for a confidence that is not strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"received confidence={confidence}, expected between 0 and 1, such as .95")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
