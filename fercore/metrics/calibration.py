"""Metrics of predicted probabilities: calibration, likelihood and top-k accuracy."""

from dataclasses import dataclass

import numpy as np

from fercore.metrics.clustered import Groups, clustered_interval
from fercore.metrics.counts import accuracy_interval
from fercore.metrics.validation import (
    Counts,
    Labels,
    Probabilities,
    Vector,
    probabilities_and_labels,
)

ECE_BINS = 15
# Half precision tells no smaller probability from zero (its least step is 6e-8), so predictions
# stored in 16 bits keep their likelihood. It is also Keras's own epsilon.
SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, in equal-width bins of the top-1 probability.

    Attributes:
        edges: `(bins + 1,)` float64 from 0 to 1; bin `b` is `(edges[b], edges[b + 1]]`.
        counts: `(bins,)` int64, samples in each bin.
        confidence: `(bins,)` float64, mean top-1 probability; NaN in an empty bin.
        accuracy: `(bins,)` float64, fraction predicted correctly; NaN in an empty bin.
        low: `(bins,)` float64, lower end of the 95% interval of `accuracy`; NaN in an empty bin.
        high: `(bins,)` float64, upper end.
    """

    edges: Vector
    counts: Counts
    confidence: Vector
    accuracy: Vector
    low: Vector
    high: Vector


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    """Return the mean of `-ln p(true class)`, in nats.

    Args:
        probabilities: `(n, k)` floats in [0, 1], rows summing to one within `SUM_TOLERANCE`; they
            are not normalised, and clipped from below at `SMALLEST_PROBABILITY`.
        labels: `(n,)` integers in [0, k).

    Raises:
        ValueError: for an empty array, shapes that disagree, or values out of range.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    of_true = p[np.arange(len(true)), true]
    return float(-np.log(np.clip(of_true, SMALLEST_PROBABILITY, 1.0)).mean())


def top_k_accuracy(probabilities: Probabilities, labels: Labels, k: int) -> float:
    """Return the fraction of samples with the true class among the `k` most probable.

    The lower of two classes with equal probability ranks first, as in `argmax`, so that `k=1` gives
    the accuracy.

    Args:
        probabilities: `(n, num_classes)`, as in `negative_log_likelihood`.
        labels: `(n,)` integers in [0, num_classes).
        k: from 1 to num_classes.

    Raises:
        ValueError: as `negative_log_likelihood` does, or for `k` out of range.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    if not 1 <= k <= p.shape[1]:
        raise ValueError(f"received k={k}, expected 1 to {p.shape[1]}, the number of classes")
    of_true = p[np.arange(len(true)), true][:, None]
    tied_before = (p == of_true) & (np.arange(p.shape[1]) < true[:, None])
    rank = ((p > of_true) | tied_before).sum(axis=1)
    return float(np.mean(rank < k))


def reliability(
    probabilities: Probabilities,
    labels: Labels,
    bins: int = ECE_BINS,
    groups: Groups | None = None,
) -> Reliability:
    """Compute the points of a reliability diagram: accuracy against top-1 confidence.

    Args:
        probabilities: `(n, k)`, as in `negative_log_likelihood`.
        labels: `(n,)` integers in [0, k).
        bins: number of equal-width bins over (0, 1], at least 1.
        groups: `(n,)` names or numbers; samples of one group are not independent, which the
            intervals take into account.

    Raises:
        ValueError: as `negative_log_likelihood` does, or for `bins` below 1.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    if bins < 1:
        raise ValueError(f"received bins={bins}, expected at least 1")
    edges = np.linspace(0.0, 1.0, bins + 1)
    confidence = p.max(axis=1)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(place, minlength=bins)

    def mean_of(values: Vector) -> Vector:
        sums = np.bincount(place, weights=values, minlength=bins)
        means: Vector = np.full(bins, np.nan)
        return np.divide(sums, counts, out=means, where=counts > 0)

    correct = (p.argmax(axis=1) == true).astype(np.float64)
    ends = np.full((bins, 2), np.nan)
    for number in np.flatnonzero(counts):
        in_bin = place == number
        ends[number] = (
            accuracy_interval(int(correct[in_bin].sum()), int(counts[number]))
            if groups is None
            else clustered_interval(correct[in_bin], np.asarray(groups)[in_bin])
        )
    return Reliability(edges, counts, mean_of(confidence), mean_of(correct), ends[:, 0], ends[:, 1])


def expected_calibration_error(
    probabilities: Probabilities, labels: Labels, bins: int = ECE_BINS
) -> float:
    """Return the mean gap between confidence and accuracy, weighted by bin size, in [0, 1].

    Arguments, errors and source are those of `reliability` (equation 3 of Guo et al.).
    """
    points = reliability(probabilities, labels, bins)
    gaps = np.nan_to_num(np.abs(points.accuracy - points.confidence))
    return float(np.average(gaps, weights=points.counts))
