"""Compute the results that a run stores from probabilities and labels."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fercore import metrics
from fercore.evaluation.protocol import Protocol
from fercore.runs.predictions import Predictions
from fercore.runs.schema import ClassResult, SplitResult


def evaluate_predictions(
    protocol: Protocol, predictions: Mapping[str, Predictions]
) -> dict[str, SplitResult]:
    """Compute every figure of an experiment.

    Args:
        protocol: which samples count in which figure.
        predictions: by role, for every sample of that split, as stored: `predictions.npz` then
            gives exactly the figures of `results.json`.

    Returns:
        Results by the name of the view.
    """
    return {
        name: split_result(
            view.title,
            predictions[view.role].probabilities[view.keep],
            predictions[view.role].labels[view.keep],
            protocol.class_names,
            keep_groups(predictions[view.role].groups, view.keep),
            predictions[view.role].group_kind,
        )
        for name, view in protocol.views.items()
    }


def split_result(
    title: str,
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer],
    class_names: Sequence[str],
    groups: NDArray[np.str_] | None = None,
    group_kind: str = "",
) -> SplitResult:
    """Compute the figures of one evaluation.

    Args:
        title: for people, such as `"PrivateTest"`.
        probabilities: `(n, k)` in [0, 1].
        truth: `(n,)` labels in [0, k).
        class_names: `k` names.
        groups: `(n,)` names of groups of dependent samples; `None` where each is independent.
        group_kind: of the groups, such as `"subject"`.
    """
    summary = metrics.summarise(probabilities, truth, groups)
    per_class, intervals, in_groups = summary.per_class, summary.recalls, summary.class_groups
    classes = [
        ClassResult(
            name=name,
            support=int(per_class.support[row]),
            precision=_or_none(per_class.precision[row]),
            recall=_or_none(per_class.recall[row]),
            recall_low=_or_none(intervals[row, 0]),
            recall_high=_or_none(intervals[row, 1]),
            f1=_or_none(per_class.f1[row]),
            groups=None if in_groups is None else int(in_groups[row]),
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
        groups=summary.groups,
        group_kind=None if groups is None else group_kind,
    )


def without_calibration(result: SplitResult) -> SplitResult:
    """Return the figures without those that need probabilities: NLL, ECE and top-2 accuracy."""
    return result.model_copy(update={"nll": None, "ece": None, "top2": None})


def fit_validation_temperature(
    protocol: Protocol, predictions: Mapping[str, Predictions]
) -> float | None:
    """Fit a temperature on the validation split; return `None` where it was not predicted."""
    stored, view = predictions.get("validation"), protocol.views.get("validation")
    if stored is None or view is None or not view.keep.any():
        return None
    return metrics.fit_temperature(stored.probabilities[view.keep], stored.labels[view.keep])


def predictions_of(
    protocol: Protocol, probabilities: Mapping[str, NDArray[np.float32]]
) -> dict[str, Predictions]:
    """Return what `predictions.npz` stores, in half precision: also samples of dropped classes.

    Args:
        protocol: with the splits that were predicted.
        probabilities: `(n, k)` by role.
    """
    test = protocol.eval_splits["test"]
    view = protocol.views.get("test_unique")
    unique = np.zeros(len(test), bool) if view is None else view.keep
    predictions = {}
    for role, outputs in probabilities.items():
        split = protocol.eval_splits[role]
        groups, kind = split.units() or (None, "")
        predictions[role] = Predictions(
            split.ids,
            split.labels,
            as_stored(outputs),
            groups,
            kind,
            unique if role == "test" else None,
        )
    return predictions


def keep_groups(
    groups: NDArray[np.str_] | None, keep: NDArray[np.bool_]
) -> NDArray[np.str_] | None:
    """Return the groups of the samples for which `keep` is true."""
    return None if groups is None else groups[keep]


def keep_highest(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round probabilities to half precision so that the most probable class stays the same.

    Scores of other programs, such as similarities, may differ between classes by less than the
    resolution of half precision. Plain rounding would then select another class.

    Args:
        probabilities: `(n, k)`.

    Returns:
        `(n, k)`, rounded to half precision.
    """
    halves = probabilities.astype(np.float16)
    best = probabilities.argmax(axis=1)
    rows = np.flatnonzero(halves.argmax(axis=1) != best)
    halves[rows, best[rows]] = np.nextafter(halves[rows].max(axis=1), np.float16(2))
    return halves.astype(np.float32)


def as_stored(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities as `predictions.npz` stores them: rounded to half precision."""
    return probabilities.astype(np.float16).astype(np.float32)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
