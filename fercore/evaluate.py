"""Probabilities and labels to the results that a run stores."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fercore import metrics
from fercore.config import ImageConfig, ImportedConfig
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.onnx_session import OnnxNetwork
from fercore.partition import fit_images
from fercore.protocol import Protocol
from fercore.records import ClassResult, SplitResult
from fercore.recreate import require_network
from fercore.runs import Predictions, Run


def judge(protocol: Protocol, predictions: Mapping[str, Predictions]) -> dict[str, SplitResult]:
    """Every figure of an experiment.

    Args:
        protocol: which samples count in which figure.
        predictions: by role, for every sample of that split, as stored: what `results.json` says
            is then exactly what `predictions.npz` gives again.

    Returns:
        Results by the name of the view.
    """
    return {
        name: split_result(
            view.title,
            predictions[view.role].probabilities[view.keep],
            predictions[view.role].labels[view.keep],
            protocol.class_names,
            _kept(predictions[view.role].groups, view.keep),
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
    """One evaluation: `(n, k)` probabilities against `(n,)` labels, of `(n,)` groups if any."""
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
    """Return the figures that predicted classes alone give, without probabilities."""
    return result.model_copy(update={"nll": None, "ece": None, "top2": None})


def temperature_of(protocol: Protocol, predictions: Mapping[str, Predictions]) -> float | None:
    """The temperature that fits the validation split; `None` where that was not predicted."""
    found, view = predictions.get("validation"), protocol.views.get("validation")
    if found is None or view is None or not view.keep.any():
        return None
    return metrics.fit_temperature(found.probabilities[view.keep], found.labels[view.keep])


def evaluate_onnx(
    run: Run, splits: Splits, role: str, network: OnnxNetwork | None = None
) -> SplitResult:
    """Judge a finished run's `model.onnx` on one split of any dataset.

    Of a dataset with other classes, the samples of those that both have are judged, by the
    probabilities of these alone. Another network that takes and gives the same may stand for the
    run's own.

    Samples of classes that the run dropped are left out, as in its own headline figure, and so are
    the copies of images that a protocol asks for. Images are brought to the size that the run's
    config names, or else the network takes.

    Raises:
        UserError: if the run has no exported network, or the dataset lacks the split or shares
            fewer than two classes with it.
    """
    file = require_network(run)
    assert run.config is not None
    assert run.results is not None
    class_names = tuple(run.results.class_names)
    common = [name for name in class_names if name in splits.class_names]
    if len(common) < 2:
        raise UserError(
            f"{run.id} knows the classes {', '.join(class_names)}; {splits.name} has "
            f"{', '.join(splits.class_names)}: too few in common"
        )
    if role not in splits.parts:
        raise UserError(f"{splits.name} has no split {role!r}; it has: {', '.join(splits)}")
    split = splits[role]
    if split.copies is not None:
        split = split.take(~split.copies)
    network = network or OnnxNetwork(file, threads=0)
    images = fit_images(split.images, run.config.image)
    if images.shape[1:] != network.image_shape:
        images = fit_images(split.images, ImageConfig(size=network.image_shape[0]))
    same = splits.class_names == class_names
    judged = class_names if same else tuple(common)
    # Where each class of the dataset stands among the judged ones; -1 where it does not.
    places = np.array([judged.index(n) if n in judged else -1 for n in splits.class_names])
    truth = places[split.labels]
    dropped = [judged.index(name) for name in run.config.drop_classes if name in judged]
    keep = (truth >= 0) & ~np.isin(truth, dropped)
    probabilities = network(images[keep])
    if not same:
        probabilities = _among(probabilities, [class_names.index(name) for name in judged])
    if isinstance(run.config, ImportedConfig):
        probabilities = keep_highest(probabilities)
    # As a run stores them, or a tie in half precision makes this another figure than the run's.
    probabilities = _as_stored(probabilities)
    title = f"{splits.name}, {splits.title(role)}"
    if not same:
        title += f", {len(judged) - len(dropped)} common classes"
    groups, kind = split.units() or (None, "")
    return split_result(title, probabilities, truth[keep], judged, _kept(groups, keep), kind)


def predictions_of(
    protocol: Protocol, probabilities: Mapping[str, NDArray[np.float32]]
) -> dict[str, Predictions]:
    """What `predictions.npz` stores, in its half precision: every sample, dropped classes included.

    Args:
        protocol: whose splits were predicted.
        probabilities: `(n, k)` by role.
    """
    test = protocol.judged["test"]
    view = protocol.views.get("test_unique")
    unique = np.zeros(len(test), bool) if view is None else view.keep
    predictions = {}
    for role, found in probabilities.items():
        split = protocol.judged[role]
        groups, kind = split.units() or (None, "")
        predictions[role] = Predictions(
            split.ids,
            split.labels,
            _as_stored(found),
            groups,
            kind,
            unique if role == "test" else None,
        )
    return predictions


def _among(probabilities: NDArray[np.float32], places: Sequence[int]) -> NDArray[np.float32]:
    """Probabilities of some of the classes alone; where none has any, all alike."""
    chosen = np.maximum(probabilities[:, places].astype(np.float64), np.finfo(np.float64).tiny)
    return np.asarray(chosen / chosen.sum(axis=1, keepdims=True), np.float32)


def _kept(groups: NDArray[np.str_] | None, keep: NDArray[np.bool_]) -> NDArray[np.str_] | None:
    return None if groups is None else groups[keep]


def keep_highest(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities whose highest class stays the highest in the half precision of a run.

    Scores of other programs, such as similarities, may differ between classes by less than half
    precision tells apart. Rounding must not choose another class there.

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


def _as_stored(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return probabilities.astype(np.float16).astype(np.float32)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
