"""Which samples a run got right and wrong: pure functions on stored predictions, no Streamlit."""

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

# Below this, McNemar's test is taken to tell two runs apart.
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class SamplePredictions:
    """The samples of one split that a run's figure is of, and what it said of them.

    Attributes:
        ids: `(n,)` unicode.
        labels: `(n,)` int64.
        probabilities: `(n, k)` float32.
        predicted: `(n,)` int64.
        confidence: `(n,)` float32, of the predicted class; NaN where it is not known.
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
        values = {own.name: getattr(self, own.name) for own in fields(self)}
        taken: dict[str, Any] = {
            name: own[places] for name, own in values.items() if isinstance(own, np.ndarray)
        }
        return replace(self, **taken)


@dataclass(frozen=True, eq=False)
class PairedPredictions:
    """What two runs said of the samples that both have judged.

    Attributes:
        places: `(n,)` positions in the first run's samples.
        others: `(n,)` positions of the same in the second's.
        labels: `(n,)` int64.
        first: `(n,)` int64, what the first predicts.
        second: `(n,)` int64, what the second does.
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
        """McNemar's test on the errors, or the test of its kind on the groups."""
        return metrics.mcnemar(self.labels, self.first, self.second, self.groups)

    @property
    def grouping(self) -> str:
        """The groups in words: `by subject, 24 groups`; empty where there are none."""
        if self.groups is None:
            return ""
        words = grouping(len(np.unique(self.groups)), self.group_kind)
        return f"{words}, merged from those of both runs" if self.groups_differ else words

    def difference(self, num_classes: int, metric: PairedMetric = "accuracy") -> PairedDifference:
        """The second's figure less the first's, with its interval."""
        return metrics.paired_bootstrap(
            self.labels, self.first, self.second, num_classes, metric, groups=self.groups
        )


@dataclass(frozen=True)
class PairedComparison:
    """How another run differs from a baseline on the samples they share.

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
        """Return which of the two is better, if the test tells; `p` may be a corrected one."""
        if p >= ALPHA:
            return "not told apart"
        return "better" if self.accuracy.difference > 0 else "worse"


def sample_predictions(
    predictions: Predictions, dropped: Sequence[int] = (), *, gives_probabilities: bool = True
) -> SamplePredictions | None:
    """The samples of the classes that count; `None` if none is left or the file is not sound."""
    keep = ~np.isin(predictions.labels, list(dropped))
    labels = predictions.labels[keep].astype(np.int64)
    probabilities = predictions.probabilities[keep]
    sound = len(labels) > 0 and np.isfinite(probabilities).all()
    if not sound or labels.max() >= probabilities.shape[1]:
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
    judged: SamplePredictions, true: int | None, said: int | None, outcome: Outcome = "wrong"
) -> NDArray[np.intp]:
    """Positions of the samples of a cell, the most confident first.

    Args:
        judged: by one run.
        true: only samples of that class.
        said: only samples that were predicted so.
        outcome: only mistakes, only hits, or both; a cell that names both classes has but one.
    """
    keep = np.ones(len(judged), bool)
    if true is not None:
        keep &= judged.labels == true
    if said is not None:
        keep &= judged.predicted == said
    if outcome != "all" and (true is None or said is None):
        keep &= (judged.predicted == judged.labels) == (outcome == "right")
    places = np.flatnonzero(keep)
    return places[np.argsort(-judged.confidence[places], kind="stable")]


def pair_samples(first: SamplePredictions, second: SamplePredictions) -> PairedPredictions | None:
    """Pair two runs by sample; `None` where they share none, or disagree on what is true."""
    _, places, others = np.intersect1d(first.ids, second.ids, return_indices=True)
    labels = first.labels[places]
    if not len(labels) or not np.array_equal(labels, second.labels[others]):
        return None
    known = [
        (None if one.groups is None else one.groups[at], one.group_kind)
        for one, at in ((first, places), (second, others))
    ]
    groups, kind = common_groups(known)
    differ = groups is not None and any(
        own is not None and own_kind == kind and len(np.unique(own)) != len(np.unique(groups))
        for own, own_kind in known
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
    """How another run differs from the baseline; `None` if they have nothing in common."""
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
