"""The predictions of several runs for the images that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fercore.evaluation.paired_runs import SamplePredictions

Agreement = Literal["any", "same", "differ"]


@dataclass(frozen=True, eq=False)
class SharedPredictions:
    """Predictions of runs, in the order of the images.

    Attributes:
        run_ids: `r` runs.
        ids: `(n,)` unicode, of the images.
        labels: `(n,)` int64, true classes.
        predicted: `(r, n)` int64, predicted classes.
        confidence: `(r, n)` float32, probability of the predicted class; NaN where a run stores no
            probabilities.
    """

    run_ids: tuple[str, ...]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """`(r, n)`: whether a run predicts the true class."""
        return np.equal(self.predicted, self.labels)


def share_predictions(samples: Mapping[str, SamplePredictions]) -> SharedPredictions | None:
    """Align the predictions of the runs that have the images of the first run.

    Args:
        samples: by run id.

    Returns:
        Their predictions in the order of the first run's images; `None` without runs. A run with
        other images, or other labels, is left out.
    """
    if not samples:
        return None
    first, *_ = samples.values()
    order = np.argsort(first.ids)
    run_ids, predicted, confidence = [], [], []
    for run_id, own in samples.items():
        if len(own) != len(first):
            continue
        own_order = np.argsort(own.ids)
        # Positions in the run's samples of the images in the first run's order.
        places = np.empty_like(order)
        places[order] = own_order
        same = np.array_equal(own.ids[places], first.ids)
        if same and np.array_equal(own.labels[places], first.labels):
            run_ids.append(run_id)
            predicted.append(own.predicted[places])
            confidence.append(own.confidence[places])
    return SharedPredictions(
        tuple(run_ids), first.ids, first.labels, np.stack(predicted), np.stack(confidence)
    )


def select_images(
    shared: SharedPredictions,
    true: int | None = None,
    correct: Sequence[str] = (),
    wrong: Sequence[str] = (),
    agreement: Agreement = "any",
    min_confidence: float = 0.0,
) -> NDArray[np.intp]:
    """Return the positions of the images that pass every filter, by falling mean confidence.

    Args:
        shared: predictions of the runs.
        true: only images of that class.
        correct: ids of runs that have to be correct.
        wrong: ids of runs that have to be wrong.
        agreement: `"same"` for images of which all runs predict the same class, `"differ"` for the
            others.
        min_confidence: of every run that stores probabilities.
    """
    keep = np.ones(len(shared.labels), bool)
    if true is not None:
        keep &= shared.labels == true
    for run_ids, outcome in ((correct, True), (wrong, False)):
        for run_id in run_ids:
            keep &= shared.correct[shared.run_ids.index(run_id)] == outcome
    if agreement != "any":
        agrees = (shared.predicted == shared.predicted[0]).all(axis=0)
        keep &= agrees == (agreement == "same")
    # A comparison with NaN is false: a run without probabilities excludes nothing.
    keep &= ~(shared.confidence < min_confidence).any(axis=0)
    places = np.flatnonzero(keep)
    known = np.nan_to_num(shared.confidence, nan=0.0).mean(axis=0)
    return places[np.argsort(-known[places], kind="stable")]
