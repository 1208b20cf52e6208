"""Intervals for samples that are not independent: frames of one person, or copies of one image.

The groups are independent of each other, the samples of one group are not. With one sample in each
group, every function returns the same as its counterpart for independent samples.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.metrics.counts import normal_quantile, wilson_interval
from fercore.metrics.validation import Counts, Labels, Vector, class_indices, require_same_length

Groups = NDArray[Any]


def clustered_interval(
    values: NDArray[Any],
    groups: Groups,
    weights: NDArray[Any] | None = None,
    *,
    confidence: float = 0.95,
    max_size: int | None = None,
) -> tuple[float, float]:
    """Return the confidence interval of a proportion of samples that come in groups.

    It is Wilson's interval at the effective sample size: that many independent samples would give
    the share the same variance. The variance is the linearised (cluster-robust) one of a ratio,
    with the factor `k / (k - 1)` for `k` groups, and the quantile is Student's with `k - 1` degrees
    of freedom. The effective size is at most the number of samples; where all samples are right, or
    all are wrong, there is no variance to estimate, and it is the number of groups.

    Args:
        values: `(n,)` bool or floats in [0, 1], such as whether each sample is predicted correctly.
        groups: `(n,)` names or numbers; equal ones are of one group.
        weights: `(n,)` positive, such as one over the number of samples of each fold; all equal if
            absent.
        confidence: coverage, strictly between 0 and 1.
        max_size: upper limit of the effective size; the number of samples if absent.

    Returns:
        The lower and the upper end, each in [0, 1]; 0 and 1 for a single group with values
        that differ, which says nothing about other groups.

    Raises:
        ValueError: for an empty array, lengths that differ, or values out of range.

    Source: Korn & Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24 (1998); Dean & Pagano,
    "Evaluating confidence interval methods for binomial proportions in clustered surveys", Journal
    of Survey Statistics and Methodology 3 (2015).
    """
    x = np.asarray(values, np.float64)
    require_same_length(x, groups, "values", "groups")
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    require_same_length(x, w, "values", "weights")
    if not len(x) or x.min() < 0 or x.max() > 1 or w.min() <= 0:
        raise ValueError(
            f"received {len(x)} values, expected at least one, from 0 to 1, with positive weights"
        )
    z = normal_quantile(confidence)
    n = len(x) if max_size is None else max_size
    w = w / w.sum()
    share = min(1.0, float(w @ x))
    codes = group_codes(groups)
    k = int(codes.max()) + 1
    if x.min() == x.max() and x[0] in (0, 1):
        return wilson_interval(float(x[0]), min(k, n), z)
    if k == len(x) and weights is None:
        return wilson_interval(share, n, z)
    if k == 1:
        return 0.0, 1.0
    from scipy.special import stdtrit

    residuals = np.bincount(codes, weights=w * (x - share))
    variance = k / (k - 1) * float(residuals @ residuals)
    # The effective size is limited even where groups differ less than independent samples would.
    size = min(n, share * (1 - share) / variance) if variance > 0 else n
    return wilson_interval(share, size, float(stdtrit(k - 1, 0.5 + confidence / 2)))


def clustered_mean_interval(
    correct: Sequence[NDArray[np.bool_]], groups: Sequence[Groups], max_size: int
) -> tuple[float, float]:
    """Return the 95% confidence interval of the mean accuracy of runs, over the groups of them all.

    Every run has the same weight in the mean, whatever its number of samples. A group that several
    runs tested is one group.

    Args:
        correct: for each run, `(n,)` bool, whether each sample is predicted correctly.
        groups: for each run, `(n,)` names or numbers, the groups of its samples.
        max_size: upper limit of the effective size: the samples of one seed, all folds together.

    Returns:
        The lower and the upper end, each in [0, 1]; see `clustered_interval`.

    Raises:
        ValueError: if there are no samples, or lengths differ.
    """
    weights = [np.full(len(own), 1 / max(len(own), 1)) for own in correct]
    if not weights:
        raise ValueError("received the samples of 0 runs, expected those of at least one")
    return clustered_interval(
        np.concatenate(correct), np.concatenate(groups), np.concatenate(weights), max_size=max_size
    )


def clustered_recall_interval(
    labels: Labels, predictions: Labels, groups: Groups, num_classes: int, confidence: float = 0.95
) -> Vector:
    """Return the `clustered_interval` of the recall of each class.

    Args:
        labels: `(n,)` integers in [0, num_classes), the true classes.
        predictions: `(n,)` integers in [0, num_classes).
        groups: `(n,)` names or numbers.
        num_classes: `k`.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        `(k, 2)` float64, lower and upper ends in [0, 1]; NaN for a class with no sample.

    Raises:
        ValueError: for empty arrays, lengths that differ, or a class out of range.
    """
    true = class_indices(labels, num_classes, "labels")
    predicted = class_indices(predictions, num_classes, "predictions")
    require_same_length(true, predicted, "labels", "predictions")
    require_same_length(true, groups, "labels", "groups")
    ends = np.full((num_classes, 2), math.nan)
    for label in np.unique(true):
        in_class = true == label
        ends[label] = clustered_interval(
            predicted[in_class] == label, np.asarray(groups)[in_class], confidence=confidence
        )
    return ends


def group_codes(groups: Groups) -> Counts:
    """Number the groups from 0: `(n,)` int64."""
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    return np.asarray(codes, np.int64)


def merge_groups(first: Groups, second: Groups) -> Counts:
    """Merge two groupings: samples that share a group in either one share a group in the result.

    Args:
        first: `(n,)` names or numbers.
        second: `(n,)` of the same samples; names need not be those of `first`.

    Returns:
        `(n,)` int64.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    require_same_length(first, second, "groups", "groups")
    one, two = group_codes(first), group_codes(second)
    if not len(one):
        return one
    offset = int(one.max()) + 1
    nodes = offset + int(two.max()) + 1
    links = coo_array((np.ones(len(one)), (one, offset + two)), shape=(nodes, nodes))
    _, component = connected_components(links, directed=False)
    return group_codes(component[one])
