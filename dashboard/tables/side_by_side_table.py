"""The table of the predictions of several runs, one row for each image."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import formats
from dashboard.analysis.side_by_side import SharedPredictions


def predictions_table(
    shared: SharedPredictions,
    places: NDArray[np.intp],
    class_names: Sequence[str],
    labels: Mapping[str, str],
) -> pd.DataFrame:
    """Return one row for each image: its id, true class, and each run's class as a text.

    A text is `✓ happy 93 %`, or `✗ sad 51 %` for a wrong prediction.

    Args:
        shared: predictions of the runs.
        places: positions of the images.
        class_names: of the dataset.
        labels: of the runs, by id.
    """
    columns: dict[str, list[str]] = {
        "Image": shared.ids[places].tolist(),
        "True": [class_names[label] for label in shared.labels[places]],
    }
    for row, run_id in enumerate(shared.run_ids):
        columns[labels[run_id]] = [
            _text(class_names[predicted], correct, confidence)
            for predicted, correct, confidence in zip(
                shared.predicted[row, places],
                shared.correct[row, places],
                shared.confidence[row, places],
                strict=True,
            )
        ]
    return pd.DataFrame(columns)


def predictions_csv(
    shared: SharedPredictions,
    places: NDArray[np.intp],
    class_names: Sequence[str],
    labels: Mapping[str, str],
) -> str:
    """Return the same as CSV, with predicted class and confidence of each run as two columns."""
    names = np.array(class_names)
    columns: dict[str, object] = {
        "sample": shared.ids[places],
        "true": names[shared.labels[places]],
    }
    for row, run_id in enumerate(shared.run_ids):
        label = formats.plain_label(labels[run_id])
        columns[f"{label} predicted"] = names[shared.predicted[row, places]]
        columns[f"{label} confidence"] = shared.confidence[row, places].round(6)
    text: str = pd.DataFrame(columns).to_csv(index=False)
    return text


def _text(name: str, correct: bool, confidence: float) -> str:
    share = "" if np.isnan(confidence) else f" {formats.percent(float(confidence), 0)}"
    return f"{'✓' if correct else '✗'} {name}{share}"
