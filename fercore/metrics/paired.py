"""Two classifiers on the same samples: how far apart, and how surely."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fercore.metrics.checks import Counts, Labels, Vector, class_indices, require_same_length

PairedMetric = Literal["accuracy", "macro_f1", "uar"]


@dataclass(frozen=True)
class McNemar:
    """McNemar's test on two classifiers' errors.

    Attributes:
        only_a: samples that only the first gets right.
        only_b: samples that only the second gets right.
        p: two-sided, exact: the chance of counts at least as uneven if neither is better.
    """

    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class PairedDifference:
    """A difference of two classifiers with its bootstrap interval, the second less the first.

    Attributes:
        difference: of the metric, in [-1, 1].
        low: lower end of the percentile interval.
        high: upper end.
    """

    difference: float
    low: float
    high: float


def mcnemar(labels: Labels, first: Labels, second: Labels) -> McNemar:
    """The exact form of McNemar's test.

    Args:
        labels: `(n,)` integers, the true classes.
        first: `(n,)` integers, what one classifier predicts.
        second: `(n,)` integers, what the other predicts for the same samples.

    Raises:
        ValueError: for empty arrays or lengths that differ.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947); the binomial form as in Fleiss, "Statistical Methods
    for Rates and Proportions" (1981).
    """
    true, a, b = _checked(labels, first, second)
    only_a = int(((a == true) & (b != true)).sum())
    only_b = int(((a != true) & (b == true)).sum())
    discordant = only_a + only_b
    # Whole numbers as they are: exact for any number of samples.
    tail = sum(math.comb(discordant, k) for k in range(min(only_a, only_b) + 1)) / 2**discordant
    return McNemar(only_a, only_b, min(1.0, 2 * tail))


def paired_bootstrap(
    labels: Labels,
    first: Labels,
    second: Labels,
    num_classes: int,
    metric: PairedMetric = "accuracy",
    *,
    draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Percentile interval of a difference, resampling the samples that both have judged.

    A sample counts by its label and the two predictions alone, so that a resample of `n` samples is
    one multinomial draw over the combinations that occur: the same distribution, without `n`
    indices a draw.

    Args:
        labels: `(n,)` integers in [0, num_classes), the true classes.
        first: `(n,)` integers in [0, num_classes), what one classifier predicts.
        second: `(n,)` integers in [0, num_classes), what the other predicts for the same samples.
        num_classes: at least 2.
        metric: what is compared; macro-F1 and UAR over the classes that occur in a resample.
        draws: resamples.
        confidence: coverage, strictly between 0 and 1.
        seed: of the resampling.

    Raises:
        ValueError: for empty arrays, lengths that differ, or an argument out of its range.

    Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    if not 0 < confidence < 1 or draws < 1:
        raise ValueError(
            f"received confidence={confidence}, draws={draws}, expected a share and at least 1"
        )
    true, a, b = _checked(labels, first, second, num_classes)
    if metric != "macro_f1":
        # Which wrong class was predicted says nothing here: fewer combinations to draw.
        true, a, b = _right_or_wrong(true, a, b, num_classes, merge=metric == "accuracy")
    keys = (true * num_classes + a) * num_classes + b
    found, counts = np.unique(keys, return_counts=True)
    cells = np.stack(np.unravel_index(found, (num_classes,) * 3))
    rng = np.random.default_rng(seed)
    resampled = rng.multinomial(len(true), counts / len(true), size=draws)
    measure = _MEASURES[metric]
    differences = measure(resampled, cells, num_classes)
    observed = measure(counts[None], cells, num_classes)
    outside = (1 - confidence) / 2
    low, high = np.quantile(differences, [outside, 1 - outside])
    return PairedDifference(float(observed[0]), float(low), float(high))


def bootstrap_mean(
    gains: Vector, *, draws: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Percentile interval of a mean, resampling the samples.

    Args:
        gains: `(n,)` of each sample, such as the share of seeds by which it is got right more
            often.
        draws: resamples.
        confidence: coverage, strictly between 0 and 1.
        seed: of the resampling.

    Raises:
        ValueError: for an empty array, or an argument out of its range.

    Source: as `paired_bootstrap`.
    """
    if not 0 < confidence < 1 or draws < 1 or not len(gains):
        raise ValueError(
            f"received {len(gains)} samples, confidence={confidence}, draws={draws}, expected at "
            "least one sample, a share and at least 1"
        )
    values, counts = np.unique(gains, return_counts=True)
    rng = np.random.default_rng(seed)
    means = rng.multinomial(len(gains), counts / len(gains), size=draws) @ values / len(gains)
    outside = (1 - confidence) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return PairedDifference(float(np.mean(gains)), float(low), float(high))


def _accuracy(counts: Counts, cells: Counts, num_classes: int) -> Vector:
    true, a, b = cells
    gain = (b == true).astype(np.int64) - (a == true)
    difference: Vector = counts @ gain / counts.sum(axis=1)
    return difference


def _macro_f1(counts: Counts, cells: Counts, num_classes: int) -> Vector:
    true, a, b = cells

    def mean(predicted: Counts) -> Vector:
        support = _by_class(counts, true, num_classes)
        claimed = _by_class(counts, predicted, num_classes)
        hits = _by_class(counts * (predicted == true), true, num_classes)
        f1 = 2 * hits / np.maximum(support + claimed, 1)
        return _mean_over_present(f1, support)

    return mean(b) - mean(a)


def _uar(counts: Counts, cells: Counts, num_classes: int) -> Vector:
    true, a, b = cells

    def mean(predicted: Counts) -> Vector:
        support = _by_class(counts, true, num_classes)
        hits = _by_class(counts * (predicted == true), true, num_classes)
        return _mean_over_present(hits / np.maximum(support, 1), support)

    return mean(b) - mean(a)


_MEASURES: dict[PairedMetric, Callable[[Counts, Counts, int], Vector]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "uar": _uar,
}


def _right_or_wrong(
    true: Counts, a: Counts, b: Counts, num_classes: int, merge: bool
) -> tuple[Counts, Counts, Counts]:
    """The same samples with one wrong class for each right one, or one right class for all."""
    a_right, b_right = a == true, b == true
    if merge:
        true = np.zeros_like(true)
    wrong = (true + 1) % num_classes
    return true, np.where(a_right, true, wrong), np.where(b_right, true, wrong)


def _by_class(counts: Counts, classes: Counts, num_classes: int) -> Vector:
    """Samples of each class in each resample: `(draws, cells)` to `(draws, num_classes)`."""
    summed: Vector = counts @ np.eye(num_classes)[classes]
    return summed


def _mean_over_present(values: Vector, support: Vector) -> Vector:
    present = support > 0
    mean: Vector = (values * present).sum(axis=1) / present.sum(axis=1)
    return mean


def _checked(
    labels: Labels, first: Labels, second: Labels, num_classes: int | None = None
) -> tuple[Counts, Counts, Counts]:
    true = class_indices(labels, num_classes, "labels")
    a = class_indices(first, num_classes, "predictions")
    b = class_indices(second, num_classes, "predictions")
    require_same_length(true, a, "labels", "predictions")
    require_same_length(true, b, "labels", "predictions")
    return true, a, b
