import numpy as np
import pytest

from dashboard import judged
from fercore.runs import Predictions

IDS = np.array([f"s{n}" for n in range(6)])
LABELS = np.array([0, 1, 2, 1, 1, 0], np.uint8)


def predictions(said, sure=0.8, ids=IDS, labels=LABELS) -> Predictions:
    """Predictions of three classes, the first the surest."""
    probabilities = np.full((len(said), 3), (1 - sure) / 2, np.float32)
    probabilities[np.arange(len(said)), said] = sure - np.arange(len(said)) / 100
    return Predictions(np.asarray(ids), np.asarray(labels, np.uint8), probabilities)


def test_a_cell_holds_its_samples_the_most_confident_first():
    found = judged.judge(predictions([0, 0, 2, 0, 1, 1]))
    assert found.ids[judged.chosen(found, 1, 0)].tolist() == ["s1", "s3"]
    assert found.ids[judged.chosen(found, 1, 1)].tolist() == ["s4"]


def test_without_a_cell_the_outcome_counts():
    found = judged.judge(predictions([0, 0, 2, 0, 1, 1]))
    assert found.ids[judged.chosen(found, None, None)].tolist() == ["s1", "s3", "s5"]
    assert len(judged.chosen(found, None, None, "right")) == 3
    assert found.ids[judged.chosen(found, 1, None, "right")].tolist() == ["s4"]
    assert len(judged.chosen(found, None, 0, "all")) == 3


def test_dropped_classes_are_left_out():
    found = judged.judge(predictions([0, 0, 2, 0, 1, 1]), [1])
    assert found.labels.tolist() == [0, 2, 0]
    assert judged.judge(predictions([0, 0, 2, 0, 1, 1]), [0, 1, 2]) is None


def test_unsound_predictions_are_none():
    broken = predictions([0, 0, 2, 0, 1, 1])
    broken.probabilities[2, 1] = np.nan
    assert judged.judge(broken) is None
    assert judged.judge(predictions([0] * 6, labels=[0, 1, 2, 7, 1, 0])) is None


def test_runs_are_paired_by_sample_whatever_their_order():
    first = judged.judge(predictions([0, 0, 2, 1, 1, 1]))
    order = np.array([5, 3, 1, 0, 2])
    shuffled = predictions(
        np.array([0, 1, 2, 2, 1, 0])[order], ids=IDS[order], labels=LABELS[order]
    )
    second = judged.judge(shuffled)
    shared = judged.both(first, second)
    assert len(shared.labels) == 5
    assert first.ids[shared.places].tolist() == second.ids[shared.others].tolist()
    assert (shared.test().only_a, shared.test().only_b) == (1, 2)
    pair = judged.compare(first, second)
    assert pair.n == 5
    assert pair.accuracy.difference == pytest.approx(1 / 5)
    assert pair.verdict(pair.test.p) == "not told apart"
    assert pair.verdict(0.049) == "better"


def test_runs_without_common_samples_are_not_compared():
    first = judged.judge(predictions([0, 0, 2, 1, 1, 1]))
    elsewhere = judged.judge(predictions([0] * 6, ids=[f"t{n}" for n in range(6)]))
    relabelled = judged.judge(predictions([0] * 6, labels=[0, 1, 2, 1, 1, 1]))
    assert judged.compare(first, elsewhere) is None
    assert judged.compare(first, relabelled) is None
