"""Paired comparison of two classifiers: difference, bootstrap interval and exact test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fercore.metrics.clustered import Groups, group_codes
from fercore.metrics.validation import Counts, Labels, Vector, class_indices, require_same_length

PairedMetric = Literal["accuracy", "macro_f1", "uar"]

# Numbers of one array of resampled counts: 64 MB.
_CHUNK = 8_000_000


@dataclass(frozen=True)
class McNemar:
    """McNemar's test on two classifiers' errors.

    Attributes:
        only_a: samples that only the first classifies correctly.
        only_b: samples that only the second classifies correctly.
        p: two-sided, exact: the probability of counts at least as uneven if neither is better;
            with groups, of net differences of the groups at least as uneven.
        groups: number of groups of dependent samples; `None` where each is independent.
    """

    only_a: int
    only_b: int
    p: float
    groups: int | None = None


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


def mcnemar(labels: Labels, first: Labels, second: Labels, groups: Groups | None = None) -> McNemar:
    """Compute McNemar's exact test.

    With groups it is the exact sign-flip test on them: if neither classifier is better, the net
    difference of each group (samples that only the second classifies correctly, less those that
    only the first does) is as likely to have the other sign. With groups of one sample this equals
    McNemar's exact test.

    Args:
        labels: `(n,)` integers, the true classes.
        first: `(n,)` integers, predictions of one classifier.
        second: `(n,)` integers, predictions of the other for the same samples.
        groups: `(n,)` names or numbers; samples of one group are not independent.

    Raises:
        ValueError: for empty arrays or lengths that differ.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947); the binomial form as in Fleiss, "Statistical Methods
    for Rates and Proportions" (1981); the test on the signs of groups, Fisher, "The Design of
    Experiments" (1935), section 21.
    """
    true, a, b = _validate(labels, first, second)
    gain = (b == true).astype(np.int64) - (a == true)
    only_a, only_b = int((gain < 0).sum()), int((gain > 0).sum())
    if groups is None:
        return McNemar(only_a, only_b, _sign_flip(gain))
    require_same_length(true, groups, "labels", "groups")
    codes = group_codes(groups)
    nets = np.rint(np.bincount(codes, weights=gain)).astype(np.int64)
    return McNemar(only_a, only_b, _sign_flip(nets), len(nets))


def _sign_flip(nets: Counts) -> float:
    """Return the probability of a sum at least as far from 0 if both signs are equally likely.

    The sum is `total - 2 T`, with `T` the sum of the sizes whose sign is flipped.
    """
    from scipy.special import bdtr, gammaln

    sizes, times = np.unique(np.abs(nets[nets != 0]), return_counts=True)
    total = int(sizes @ times)
    tail = (total - abs(int(nets.sum()))) // 2
    if not total:
        return 1.0
    if sizes[-1] == 1:
        return min(1.0, 2 * float(bdtr(tail, total, 0.5)))
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), times.tolist(), strict=True):
        # Of `count` groups of this size, any number may be flipped. Only the tail is needed.
        flipped = np.arange(min(count, tail // size) + 1)
        ways = gammaln(count + 1) - gammaln(flipped + 1) - gammaln(count - flipped + 1)
        spread = np.zeros(size * (len(flipped) - 1) + 1)
        spread[::size] = np.exp(ways - count * np.log(2))
        chances = np.convolve(chances, spread)[: tail + 1]
    return min(1.0, 2 * float(chances.sum()))


def paired_bootstrap(
    labels: Labels,
    first: Labels,
    second: Labels,
    num_classes: int,
    metric: PairedMetric = "accuracy",
    *,
    groups: Groups | None = None,
    draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compute the difference of two classifiers with its paired bootstrap interval.

    The metrics depend on the label and the two predictions of a sample only, so a resample of `n`
    samples is one multinomial draw over the combinations that occur: the same distribution, without
    `n` indices a draw. With groups, whole groups are resampled, and groups of the same combinations
    are drawn together. A single group says nothing about others: the interval is from -1 to 1.

    Args:
        labels: `(n,)` integers in [0, num_classes), the true classes.
        first: `(n,)` integers in [0, num_classes), predictions of one classifier.
        second: `(n,)` integers in [0, num_classes), predictions of the other for the same samples.
        num_classes: at least 2.
        metric: to compare; macro-F1 and UAR are over the classes that occur in a resample.
        groups: `(n,)` names or numbers; samples of one group are not independent.
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
    true, a, b = _validate(labels, first, second, num_classes)
    if metric != "macro_f1":
        # It does not matter which wrong class was predicted: fewer combinations to draw.
        true, a, b = _binarize_predictions(true, a, b, num_classes, merge=metric == "accuracy")
    keys = (true * num_classes + a) * num_classes + b
    unique_keys, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    cells = np.stack(np.unravel_index(unique_keys, (num_classes,) * 3))
    rng = np.random.default_rng(seed)
    measure = _MEASURES[metric]
    if groups is None:
        resampled = rng.multinomial(len(true), counts / len(true), size=draws)
        differences = measure(resampled, cells, num_classes)
    else:
        require_same_length(true, groups, "labels", "groups")
        codes = group_codes(groups)
        if not codes.any():
            observed = measure(counts[None], cells, num_classes)
            return PairedDifference(float(observed[0]), -1.0, 1.0)
        table = np.zeros((codes.max() + 1, len(unique_keys)), np.int64)
        np.add.at(table, (codes, places), 1)
        chunks = _resampled_sums(table, draws, rng)
        differences = np.concatenate([measure(chunk, cells, num_classes) for chunk in chunks])
    observed = measure(counts[None], cells, num_classes)
    outside = (1 - confidence) / 2
    low, high = np.quantile(differences, [outside, 1 - outside])
    return PairedDifference(float(observed[0]), float(low), float(high))


def bootstrap_mean(
    gains: Vector,
    *,
    groups: Groups | None = None,
    draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compute the mean of per-sample values with its bootstrap interval, over samples or groups.

    Args:
        gains: `(n,)` values of the samples, from -1 to 1, such as a difference in the fraction of
            seeds that classify the sample correctly.
        groups: `(n,)` names or numbers; samples of one group are not independent. A single group
            gives the interval from -1 to 1.
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
    rng = np.random.default_rng(seed)
    if groups is None:
        values, counts = np.unique(gains, return_counts=True)
        means = rng.multinomial(len(gains), counts / len(gains), size=draws) @ values / len(gains)
    else:
        require_same_length(gains, groups, "samples", "groups")
        codes = group_codes(groups)
        if not codes.any():
            return PairedDifference(float(np.mean(gains)), -1.0, 1.0)
        table = np.stack([np.bincount(codes, weights=gains), np.bincount(codes)], axis=1)
        sums = np.concatenate(list(_resampled_sums(table, draws, rng)))
        means = sums[:, 0] / sums[:, 1]
    outside = (1 - confidence) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return PairedDifference(float(np.mean(gains)), float(low), float(high))


def _resampled_sums(
    table: NDArray[Any], draws: int, rng: np.random.Generator
) -> Iterator[NDArray[Any]]:
    """Sums of the rows of resampled groups, `(draws, columns)` in parts; a row for each group."""
    rows, times = np.unique(table, axis=0, return_counts=True)
    # Floats: NumPy multiplies matrices of whole numbers far slower, and these stay exact.
    rows = rows.astype(np.float64)
    step = max(1, _CHUNK // max(rows.shape))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = rng.multinomial(len(table), times / len(table), size=size)
        yield drawn.astype(np.float64) @ rows


def _accuracy(counts: Counts, cells: Counts, num_classes: int) -> Vector:
    true, a, b = cells
    gain = (b == true).astype(np.int64) - (a == true)
    difference: Vector = counts @ gain / counts.sum(axis=1)
    return difference


def _macro_f1(counts: Counts, cells: Counts, num_classes: int) -> Vector:
    true, a, b = cells

    def mean(predicted: Counts) -> Vector:
        support = _by_class(counts, true, num_classes)
        predictions = _by_class(counts, predicted, num_classes)
        hits = _by_class(counts * (predicted == true), true, num_classes)
        f1 = 2 * hits / np.maximum(support + predictions, 1)
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


def _binarize_predictions(
    true: Counts, a: Counts, b: Counts, num_classes: int, merge: bool
) -> tuple[Counts, Counts, Counts]:
    """Replace every wrong prediction by one class; with `merge`, every label by class 0 as well."""
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


def _validate(
    labels: Labels, first: Labels, second: Labels, num_classes: int | None = None
) -> tuple[Counts, Counts, Counts]:
    true = class_indices(labels, num_classes, "labels")
    a = class_indices(first, num_classes, "predictions")
    b = class_indices(second, num_classes, "predictions")
    require_same_length(true, a, "labels", "predictions")
    require_same_length(true, b, "labels", "predictions")
    return true, a, b
