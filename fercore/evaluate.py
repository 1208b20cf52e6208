"""Probabilities and labels to the results that a run stores."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fercore import metrics
from fercore.protocol import Protocol
from fercore.records import ClassResult, SplitResult
from fercore.runs import Predictions


def judge(
    protocol: Protocol, probabilities: Mapping[str, NDArray[np.float32]]
) -> dict[str, SplitResult]:
    """Every figure of an experiment.

    Args:
        protocol: which samples count in which figure.
        probabilities: `(n, k)` by role, for every sample of that split.

    Returns:
        Results by the name of the view.
    """
    return {
        name: split_result(
            view.title,
            probabilities[view.role][view.keep],
            protocol.judged[view.role].labels[view.keep],
            protocol.class_names,
        )
        for name, view in protocol.views.items()
    }


def split_result(
    title: str,
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
) -> SplitResult:
    """One evaluation: `(n, k)` probabilities against `(n,)` labels."""
    summary = metrics.summarise(probabilities, labels)
    per_class = summary.per_class
    intervals = metrics.recall_interval(summary.confusion)
    classes = [
        ClassResult(
            name=name,
            support=int(per_class.support[row]),
            precision=_or_none(per_class.precision[row]),
            recall=_or_none(per_class.recall[row]),
            recall_low=_or_none(intervals[row, 0]),
            recall_high=_or_none(intervals[row, 1]),
            f1=_or_none(per_class.f1[row]),
        )
        for row, name in enumerate(class_names)
    ]
    return SplitResult(
        title=title,
        n=summary.n,
        accuracy=summary.accuracy,
        accuracy_low=summary.accuracy_low,
        accuracy_high=summary.accuracy_high,
        macro_f1=summary.macro_f1,
        uar=summary.uar,
        nll=summary.nll,
        ece=summary.ece,
        top2=summary.top2,
        classes=classes,
        confusion=summary.confusion.tolist(),
    )


def predictions_of(
    protocol: Protocol, probabilities: Mapping[str, NDArray[np.float32]]
) -> dict[str, Predictions]:
    """What `predictions.npz` stores: every judged sample, dropped classes included."""
    return {
        role: Predictions(split.ids, split.labels, probabilities[role])
        for role, split in protocol.judged.items()
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
