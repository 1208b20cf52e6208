"""The predictions of several runs, aligned and filtered."""

import io

import numpy as np
import pandas as pd
import pytest

from dashboard.analysis.side_by_side import select_images, share_predictions
from dashboard.tables.side_by_side_table import predictions_csv, predictions_table
from fercore.evaluation.paired_runs import SamplePredictions

NAMES = ["happy", "sad", "fear"]


def samples(ids: list[str], labels: list[int], predicted: list[int], confidence: list[float]):
    return SamplePredictions(
        np.array(ids),
        np.array(labels),
        np.full((len(ids), 3), 1 / 3, np.float32),
        np.array(predicted),
        np.array(confidence, np.float32),
    )


@pytest.fixture
def shared():
    # The second run has the same images in another order, the third has others.
    return share_predictions(
        {
            "a": samples(["1", "2", "3", "4"], [0, 1, 2, 0], [0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6]),
            "b": samples(["4", "3", "1", "2"], [0, 2, 0, 1], [0, 0, 0, 2], [0.5, 0.4, 0.95, 0.3]),
            "c": samples(["1", "2", "3", "9"], [0, 1, 2, 0], [0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6]),
        }
    )


def chosen(shared, **filters) -> list[str]:
    return shared.ids[select_images(shared, **filters)].tolist()


def test_runs_are_aligned_by_image(shared):
    assert shared.run_ids == ("a", "b")
    assert shared.ids.tolist() == ["1", "2", "3", "4"]
    assert shared.predicted.tolist() == [[0, 1, 0, 1], [0, 2, 0, 0]]
    assert shared.confidence[1] == pytest.approx([0.95, 0.3, 0.4, 0.5])
    assert shared.correct.tolist() == [[True, True, False, False], [True, False, False, True]]
    assert share_predictions({}) is None


def test_other_labels_of_the_same_images_are_not_shared():
    one = samples(["1", "2"], [0, 1], [0, 1], [0.9, 0.8])
    other = samples(["1", "2"], [0, 2], [0, 1], [0.9, 0.8])
    assert share_predictions({"a": one, "b": other}).run_ids == ("a",)


def test_filters(shared):
    assert chosen(shared) == ["1", "2", "3", "4"]
    assert chosen(shared, true=0) == ["1", "4"]
    assert chosen(shared, correct=["a"]) == ["1", "2"]
    assert chosen(shared, correct=["a"], wrong=["b"]) == ["2"]
    assert chosen(shared, wrong=["a", "b"]) == ["3"]
    assert chosen(shared, agreement="same") == ["1", "3"]
    assert chosen(shared, agreement="differ") == ["2", "4"]
    assert chosen(shared, min_confidence=0.5) == ["1", "4"]
    assert chosen(shared, true=1, agreement="same") == []


def test_a_run_without_probabilities_excludes_nothing():
    shared = share_predictions(
        {
            "a": samples(["1", "2"], [0, 1], [0, 1], [0.9, 0.2]),
            "b": samples(["1", "2"], [0, 1], [0, 1], [np.nan, np.nan]),
        }
    )
    assert chosen(shared, min_confidence=0.5) == ["1"]
    table = predictions_table(shared, np.array([0]), NAMES, {"a": "A", "b": "B"})
    assert table["B"][0] == "✓ happy"


def test_the_table_and_its_csv(shared):
    labels = {"a": "A · s0", "b": "B"}
    places = select_images(shared, correct=["a"], wrong=["b"])
    table = predictions_table(shared, places, NAMES, labels)
    assert list(table.columns) == ["Image", "True", "A · s0", "B"]
    assert table.iloc[0].tolist() == ["2", "sad", "✓ sad 80\u202f%", "✗ fear 30\u202f%"]
    back = pd.read_csv(io.StringIO(predictions_csv(shared, places, NAMES, labels)))
    assert back.iloc[0].to_dict() == {
        "sample": 2,
        "true": "sad",
        "A-s0 predicted": "sad",
        "A-s0 confidence": pytest.approx(0.8),
        "B predicted": "fear",
        "B confidence": pytest.approx(0.3),
    }
