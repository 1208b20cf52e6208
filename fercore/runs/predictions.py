"""Stored predictions of one split, and the groups of its dependent images."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore import metrics
from fercore.data.splits import GROUP_KINDS


@dataclass(frozen=True)
class Predictions:
    """The predictions of a run for every sample of one split.

    Attributes:
        ids: `(n,)` unicode.
        labels: `(n,)` uint8.
        probabilities: `(n, k)` float32 in [0, 1], stored in half precision.
        groups: `(n,)` unicode, the independent unit of each sample, see `Split.units`; `None` where
            each sample stands for itself, and in runs of earlier versions.
        group_kind: such as `"subject"`; empty without groups.
        unique: `(n,)` bool, the samples that `"test_unique"` is evaluated on; `None` on the
            validation split, and where a run of an earlier version does not store it.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    groups: NDArray[np.str_] | None = None
    group_kind: str = ""
    unique: NDArray[np.bool_] | None = None

    def take(self, keep: NDArray[np.bool_]) -> "Predictions":
        """Return the samples for which `keep`, `(n,)` bool, is true."""
        return Predictions(
            self.ids[keep],
            self.labels[keep],
            self.probabilities[keep],
            None if self.groups is None else self.groups[keep],
            self.group_kind,
            None if self.unique is None else self.unique[keep],
        )


def common_groups(
    groups_of_runs: Iterable[tuple[NDArray[Any] | None, str]],
) -> tuple[NDArray[Any] | None, str]:
    """Return the groups of samples that several runs have evaluated, and their kind.

    Runs that store no groups, such as those of earlier versions, take the groups of the others.
    Where the groups differ, samples that share a group in any run share one in the result.

    Args:
        groups_of_runs: groups and kind in each run, of the same samples in the same order.

    Returns:
        `(n,)` names or numbers and the coarsest of the kinds; `None` and no kind if no run stores
        groups.
    """
    stored = [(groups, kind) for groups, kind in groups_of_runs if groups is not None]
    if not stored:
        return None, ""
    merged: NDArray[Any] = stored[0][0]
    for groups, _ in stored[1:]:
        if groups is not merged and not np.array_equal(groups, merged):
            merged = metrics.merge_groups(merged, groups)
    rank = {kind: place for place, kind in enumerate(GROUP_KINDS)}
    return merged, min((kind for _, kind in stored), key=lambda kind: rank.get(kind, len(rank)))


def are_predictions(ids: NDArray[Any], labels: NDArray[Any], probabilities: NDArray[Any]) -> bool:
    """Return whether arrays of an unchecked file have the types and shapes of predictions."""
    if (ids.dtype.kind, probabilities.dtype.kind) != ("U", "f") or labels.dtype.kind not in "iu":
        return False
    if ids.ndim != 1 or probabilities.ndim != 2 or not ids.size or not probabilities.size:
        return False
    if not ids.shape == labels.shape == probabilities.shape[:1]:
        return False
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        return False
    points = np.ascontiguousarray(ids).view(ids.dtype.byteorder.replace("|", "=") + "u4")
    surrogates = (points >= 0xD800) & (points < 0xE000)
    return bool(points.max() <= sys.maxunicode and not surrogates.any())
