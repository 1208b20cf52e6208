"""Per-sample predictions of a run, and the paired comparison of two runs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fercore import metrics
from fercore.metrics import McNemar, PairedDifference, PairedMetric
from fercore.runs.predictions import Predictions, common_groups
from fercore.runs.schema import grouping

Outcome = Literal["wrong", "right", "all"]

# Significance level of the paired test.
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class SamplePredictions:
    """The samples of one split that a run's figures are computed on, and its predictions.

    Attributes:
        ids: `(n,)` unicode.
        labels: `(n,)` int64.
        probabilities: `(n, k)` float32.
        predicted: `(n,)` int64.
        confidence: `(n,)` float32, probability of the predicted class; NaN where the run stores
            no probabilities.
        groups: `(n,)` unicode, see `fercore.runs.predictions.Predictions`; `None` where there are
            none.
        group_kind: of them.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    groups: NDArray[np.str_] | None = None
    group_kind: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: NDArray[np.intp]) -> "SamplePredictions":
        """Return the samples at these positions, in their order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays: dict[str, Any] = {
            name: value[places] for name, value in values.items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)


@dataclass(frozen=True, eq=False)
class PairedPredictions:
    """The predictions of two runs for the samples that both were evaluated on.

    Attributes:
        places: `(n,)` positions in the first run's samples.
        others: `(n,)` positions of the same in the second's.
        labels: `(n,)` int64.
        first: `(n,)` int64, classes that the first run predicts.
        second: `(n,)` int64, classes that the second run predicts.
        groups: `(n,)` of dependent samples; `None` where neither run knows any.
        group_kind: of them.
        groups_differ: whether the two runs divide the samples into different groups.
    """

    places: NDArray[np.intp]
    others: NDArray[np.intp]
    labels: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    groups: NDArray[Any] | None = None
    group_kind: str = ""
    groups_differ: bool = False

    def test(self) -> McNemar:
        """Return McNemar's test on the errors; with groups, the sign-flip test on them."""
        return metrics.mcnemar(self.labels, self.first, self.second, self.groups)

    @property
    def grouping(self) -> str:
        """Describe the groups: `by subject, 24 groups`; empty where there are none."""
        if self.groups is None:
            return ""
        words = grouping(len(np.unique(self.groups)), self.group_kind)
        return f"{words}, merged from those of both runs" if self.groups_differ else words

    def difference(self, num_classes: int, metric: PairedMetric = "accuracy") -> PairedDifference:
        """Return the metric of the second run less that of the first, with its 95% interval."""
        return metrics.paired_bootstrap(
            self.labels, self.first, self.second, num_classes, metric, groups=self.groups
        )


@dataclass(frozen=True)
class PairedComparison:
    """The difference of a run from a baseline on the samples that they share.

    Attributes:
        n: samples.
        accuracy: of the other run less that of the baseline, as fractions.
        uar: the same of the unweighted average recall.
        test: on the errors, the baseline first.
        grouping: of dependent samples, in words; empty where there are no groups.
    """

    n: int
    accuracy: PairedDifference
    uar: PairedDifference
    test: McNemar
    grouping: str = ""

    def verdict(self, p: float) -> str:
        """Return "better", "worse" or "not distinguishable", for the other run.

        Args:
            p: of the test, maybe corrected for several comparisons.
        """
        if p >= ALPHA:
            return "not distinguishable"
        return "better" if self.accuracy.difference > 0 else "worse"


def sample_predictions(
    predictions: Predictions, dropped: Sequence[int] = (), *, gives_probabilities: bool = True
) -> SamplePredictions | None:
    """Return the samples of the classes that count.

    Args:
        predictions: of a run on one split.
        dropped: positions of the classes that do not count.
        gives_probabilities: false where a run stores predicted classes alone.

    Returns:
        `None` if no sample is left, a probability is not finite, or a label is out of range.
    """
    keep = ~np.isin(predictions.labels, list(dropped))
    labels = predictions.labels[keep].astype(np.int64)
    probabilities = predictions.probabilities[keep]
    valid = len(labels) > 0 and np.isfinite(probabilities).all()
    if not valid or labels.max() >= probabilities.shape[1]:
        return None
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(labels)), predicted]
    if not gives_probabilities:
        confidence = np.full_like(confidence, np.nan)
    groups = None if predictions.groups is None else predictions.groups[keep]
    return SamplePredictions(
        predictions.ids[keep],
        labels,
        probabilities,
        predicted,
        confidence,
        groups,
        predictions.group_kind,
    )


def join_samples(parts: Sequence[SamplePredictions]) -> SamplePredictions | None:
    """Join the predictions of several folds of one dataset; `None` if there are none.

    Groups are kept if every part knows some.
    """
    if not parts:
        return None
    grouped = all(part.groups is not None for part in parts)

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    return SamplePredictions(
        ids=joined("ids"),
        labels=joined("labels"),
        probabilities=joined("probabilities"),
        predicted=joined("predicted"),
        confidence=joined("confidence"),
        groups=joined("groups") if grouped else None,
        group_kind=parts[0].group_kind if grouped else "",
    )


def select_samples(
    samples: SamplePredictions,
    true: int | None,
    predicted: int | None,
    outcome: Outcome = "wrong",
) -> NDArray[np.intp]:
    """Return the positions of the samples of a cell, the most confident first.

    Args:
        samples: of one run.
        true: only samples of that class.
        predicted: only samples that were predicted as that class.
        outcome: errors, correct predictions or both; without effect where both classes are given.
    """
    keep = np.ones(len(samples), bool)
    if true is not None:
        keep &= samples.labels == true
    if predicted is not None:
        keep &= samples.predicted == predicted
    if outcome != "all" and (true is None or predicted is None):
        keep &= (samples.predicted == samples.labels) == (outcome == "right")
    places = np.flatnonzero(keep)
    return places[np.argsort(-samples.confidence[places], kind="stable")]


def pair_samples(first: SamplePredictions, second: SamplePredictions) -> PairedPredictions | None:
    """Pair two runs by sample; `None` where they share none, or their labels differ."""
    _, places, others = np.intersect1d(first.ids, second.ids, return_indices=True)
    labels = first.labels[places]
    if not len(labels) or not np.array_equal(labels, second.labels[others]):
        return None
    groups_of_runs = [
        (None if run.groups is None else run.groups[at], run.group_kind)
        for run, at in ((first, places), (second, others))
    ]
    groups, kind = common_groups(groups_of_runs)
    differ = groups is not None and any(
        one is not None and one_kind == kind and len(np.unique(one)) != len(np.unique(groups))
        for one, one_kind in groups_of_runs
    )
    return PairedPredictions(
        places,
        others,
        labels,
        first.predicted[places],
        second.predicted[others],
        groups,
        kind,
        differ,
    )


def compare_pair(baseline: SamplePredictions, other: SamplePredictions) -> PairedComparison | None:
    """Compare a run with the baseline; `None` if they share no samples with equal labels."""
    shared = pair_samples(baseline, other)
    if shared is None:
        return None
    k = baseline.probabilities.shape[1]
    return PairedComparison(
        n=len(shared.labels),
        accuracy=shared.difference(k),
        uar=shared.difference(k, "uar"),
        test=shared.test(),
        grouping=shared.grouping,
    )
