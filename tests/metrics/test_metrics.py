"""The metrics against scikit-learn, SciPy and examples worked by hand."""

import json
import math
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.utils.class_weight import compute_class_weight

from fercore import metrics
from fercore.evaluation.results import split_result

K = 7
EXACT = {"rtol": 0, "atol": 1e-12}


def sample(seed=0, n=500, classes=range(K)):
    """Probabilities and labels that agree about half the time."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array(list(classes)), size=n)
    logits = rng.normal(size=(n, K))
    logits[np.arange(n), labels] += 1.5
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("seed", range(3))
def test_counting_metrics_match_scikit_learn(seed):
    probabilities, labels = sample(seed)
    predictions = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predictions, K)
    figures = metrics.per_class(confusion)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=range(K)
    )

    np.testing.assert_array_equal(confusion, sklearn_confusion_matrix(labels, predictions))
    assert confusion.dtype == np.int64
    np.testing.assert_allclose(figures.precision, precision, **EXACT)
    np.testing.assert_allclose(figures.recall, recall, **EXACT)
    np.testing.assert_allclose(figures.f1, f1, **EXACT)
    np.testing.assert_array_equal(figures.support, support)
    assert metrics.accuracy(labels, predictions) == pytest.approx(
        accuracy_score(labels, predictions), abs=1e-12
    )
    assert metrics.macro_f1(confusion) == pytest.approx(
        f1_score(labels, predictions, average="macro"), abs=1e-12
    )
    assert metrics.uar(confusion) == pytest.approx(
        balanced_accuracy_score(labels, predictions), abs=1e-12
    )


@pytest.mark.parametrize("seed", range(3))
def test_probabilistic_metrics_match_scikit_learn(seed):
    probabilities, labels = sample(seed)

    assert metrics.negative_log_likelihood(probabilities, labels) == pytest.approx(
        log_loss(labels, probabilities, labels=range(K)), abs=1e-12
    )
    for k in (1, 2, 3):
        assert metrics.top_k_accuracy(probabilities, labels, k) == pytest.approx(
            top_k_accuracy_score(labels, probabilities, k=k, labels=range(K)), abs=1e-12
        )


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 9), (9, 9), (3, 10), (2563, 3589)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_wilson_interval_matches_scipy(correct, n, confidence):
    expected = binomtest(correct, n).proportion_ci(confidence, method="wilson")

    interval = metrics.accuracy_interval(correct, n, confidence)

    np.testing.assert_allclose(interval, (expected.low, expected.high), **EXACT)
    assert 0 <= interval[0] <= correct / n <= interval[1] <= 1


def test_wilson_interval_worked_by_hand():
    # z^2 = 3.841459: (0.5 + 0.1920729 -+ 0.4557855) / 1.3841459 for 5 of 10.
    low, high = metrics.accuracy_interval(5, 10)

    assert low == pytest.approx(0.236593, abs=1e-6)
    assert high == pytest.approx(0.763407, abs=1e-6)


@pytest.mark.parametrize(("correct", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match="correct of"):
        metrics.accuracy_interval(correct, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_wilson_interval_refuses_impossible_confidence(confidence):
    with pytest.raises(ValueError, match="confidence"):
        metrics.accuracy_interval(1, 2, confidence)


def test_per_class_worked_by_hand():
    # Class 2 is never predicted, class 3 has no sample but is predicted once.
    confusion = np.array([[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])

    figures = metrics.per_class(confusion)

    np.testing.assert_allclose(figures.precision, [3 / 5, 1 / 2, 0, 0], **EXACT)
    np.testing.assert_allclose(figures.recall, [3 / 4, 1 / 2, 0, np.nan], **EXACT)
    np.testing.assert_allclose(figures.f1, [2 / 3, 1 / 2, 0, np.nan], **EXACT)
    np.testing.assert_array_equal(figures.support, [4, 2, 2, 0])
    assert metrics.uar(confusion) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3, abs=1e-12)
    assert metrics.macro_f1(confusion) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3, abs=1e-12)


def test_recall_interval_is_wilson_for_each_class_and_undefined_without_samples():
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])

    interval = metrics.recall_interval(confusion)

    np.testing.assert_allclose(interval[0], metrics.accuracy_interval(3, 4), **EXACT)
    np.testing.assert_allclose(interval[1], metrics.accuracy_interval(2, 2), **EXACT)
    assert np.isnan(interval[2]).all()


def test_absent_class_matches_scikit_learn_over_present_classes():
    present = [0, 2, 3, 5, 6]
    probabilities, labels = sample(classes=present)
    predictions = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predictions, K)

    assert np.isin([1, 4], predictions).all()
    assert metrics.macro_f1(confusion) == pytest.approx(
        f1_score(labels, predictions, labels=present, average="macro"), abs=1e-12
    )
    assert metrics.uar(confusion) == pytest.approx(
        np.mean(
            precision_recall_fscore_support(labels, predictions, labels=present, zero_division=0)[1]
        ),
        abs=1e-12,
    )


def test_reliability_and_calibration_error_worked_by_hand():
    # Two samples at .6 in the bin (.5, .75], one right; two at .9 in (.75, 1], both right; 0.5
    # belongs to (.25, .5], for bins are closed on the right.
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    labels = np.array([0, 0, 0, 1, 1])

    points = metrics.reliability(probabilities, labels, bins=4)

    np.testing.assert_array_equal(points.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(points.counts, [0, 1, 2, 2])
    np.testing.assert_allclose(points.confidence, [np.nan, 0.5, 0.6, 0.9], **EXACT)
    np.testing.assert_allclose(points.accuracy, [np.nan, 0, 0.5, 1], **EXACT)
    error = metrics.expected_calibration_error(probabilities, labels, bins=4)
    assert error == pytest.approx((1 * 0.5 + 2 * 0.1 + 2 * 0.1) / 5, abs=1e-12)


def test_calibration_error_of_one_bin_is_the_overall_gap():
    probabilities, labels = sample()
    accuracy = metrics.top_k_accuracy(probabilities, labels, 1)

    error = metrics.expected_calibration_error(probabilities, labels, bins=1)

    assert error == pytest.approx(abs(accuracy - probabilities.max(axis=1).mean()), abs=1e-12)


def test_likelihood_worked_by_hand_and_clipped():
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0]])

    assert metrics.negative_log_likelihood(probabilities, np.array([0, 0])) == pytest.approx(
        np.log(2) / 2, abs=1e-12
    )
    assert metrics.negative_log_likelihood(probabilities, np.array([0, 1])) == pytest.approx(
        (np.log(2) - np.log(1e-7)) / 2, abs=1e-12
    )


def test_ties_are_broken_as_argmax_breaks_them():
    probabilities = np.full((3, 3), 1 / 3)
    labels = np.array([0, 1, 2])

    shares = [metrics.top_k_accuracy(probabilities, labels, k) for k in (1, 2, 3)]

    assert shares == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-12)


def test_balanced_class_weights_match_scikit_learn():
    _, labels = sample(n=200)
    expected = compute_class_weight("balanced", classes=np.arange(K), y=labels)

    np.testing.assert_allclose(metrics.balanced_class_weights(labels, K), expected, **EXACT)


def test_balanced_class_weights_leave_absent_classes_out():
    labels = np.array([0, 0, 0, 2], np.uint8)

    weights = metrics.balanced_class_weights(labels, 4)

    np.testing.assert_allclose(weights, [4 / (2 * 3), 0, 4 / (2 * 1), 0], **EXACT)
    assert weights[labels].mean() == pytest.approx(1, abs=1e-12)


def test_summary_repeats_the_single_figures():
    probabilities, labels = sample()
    predictions = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predictions, K)

    evaluation = metrics.summarise(probabilities, labels)

    assert evaluation.n == 500
    assert evaluation.accuracy == metrics.accuracy(labels, predictions)
    assert (evaluation.accuracy_low, evaluation.accuracy_high) == metrics.accuracy_interval(
        int(np.trace(confusion)), 500
    )
    assert evaluation.macro_f1 == metrics.macro_f1(confusion)
    assert evaluation.uar == metrics.uar(confusion)
    assert evaluation.nll == metrics.negative_log_likelihood(probabilities, labels)
    assert evaluation.ece == metrics.expected_calibration_error(probabilities, labels)
    assert evaluation.top2 == metrics.top_k_accuracy(probabilities, labels, 2)
    np.testing.assert_array_equal(evaluation.confusion, confusion)
    np.testing.assert_array_equal(evaluation.per_class.f1, metrics.per_class(confusion).f1)


def test_summary_of_a_single_sample_is_plain_json():
    names = ("a", "b", "c")
    found = split_result("One", np.array([[0.2, 0.7, 0.1]]), np.array([1]), names)
    fields = found.model_dump(mode="json")
    classes = {name: [row[name] for row in fields["classes"]] for name in fields["classes"][0]}
    assert json.loads(json.dumps(fields | {"classes": classes}, allow_nan=False)) == {
        "title": "One",
        "n": 1,
        "accuracy": 1.0,
        "accuracy_low": pytest.approx(0.206549, abs=1e-6),
        "accuracy_high": 1.0,
        "macro_f1": 1.0,
        "uar": 1.0,
        "nll": pytest.approx(-np.log(0.7), abs=1e-12),
        "ece": pytest.approx(0.3, abs=1e-12),
        "top2": 1.0,
        "classes": {
            "name": ["a", "b", "c"],
            "precision": [0.0, 1.0, 0.0],
            "recall": [None, 1.0, None],
            "recall_low": [None, pytest.approx(0.206549, abs=1e-6), None],
            "recall_high": [None, 1.0, None],
            "f1": [None, 1.0, None],
            "support": [0, 1, 0],
            "groups": [None, None, None],
        },
        "groups": None,
        "group_kind": None,
        "confusion": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    }


def test_half_precision_probabilities_give_nearly_the_same_summary():
    probabilities, labels = sample(n=2000)
    stored = probabilities.astype(np.float16)
    exact, rounded = (metrics.summarise(p, labels) for p in (probabilities, stored))

    assert np.abs(stored.astype(np.float64).sum(axis=1) - 1).max() > 1e-4
    assert rounded.nll == pytest.approx(exact.nll, abs=1e-3)
    assert rounded.ece == pytest.approx(exact.ece, abs=5e-3)
    assert rounded.accuracy == pytest.approx(exact.accuracy, abs=2e-3)


def test_half_precision_rows_that_sum_to_less_than_one_are_accepted():
    probabilities = np.array([[0.333, 0.333, 0.333], [0.5, 0.25, 0.249]], np.float16)

    assert metrics.summarise(probabilities, np.array([0, 0], np.uint8)).accuracy == 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.empty((0, 7)), np.empty(0, int), "n >= 1"),
        (np.full((2, 1), 1.0), np.zeros(2, int), "k >= 2"),
        (np.full(2, 0.5), np.zeros(2, int), "k >= 2"),
        (np.eye(2, dtype=int), np.zeros(2, int), "floats"),
        (np.eye(2), np.zeros(2), "integers"),
        (np.eye(2), np.eye(2, dtype=int), "integers"),
        (np.eye(2), np.zeros(3, int), "received 2 rows of probabilities and 3 labels"),
        (np.eye(2), np.array([0, 2]), "expected 0 to 1"),
        (np.eye(2), np.array([0, -1]), "from -1 to 0"),
        (np.array([[3.0, -2.0]]), np.array([0]), "softmax"),
        (np.array([[0.5, 0.4]]), np.array([0]), "softmax"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "softmax"),
    ],
)
def test_summary_refuses_what_is_no_distribution_or_class(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.summarise(probabilities, labels)


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        (np.zeros((2, 2), int), "no sample"),
        (np.zeros((0, 0), int), "no sample"),
        (np.array([[1, -1], [0, 1]]), "negative"),
        (np.ones((2, 3), int), "expected \\(k, k\\)"),
        (np.ones((2, 2)), "integers"),
    ],
)
def test_per_class_refuses_what_is_no_confusion_matrix(confusion, message):
    with pytest.raises(ValueError, match=message):
        metrics.per_class(confusion)


def test_predictions_are_checked_as_labels_are():
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match="predictions from 0 to 7, expected 0 to 6"):
        metrics.confusion_matrix(labels, np.array([0, 7]), 7)
    with pytest.raises(ValueError, match="2 labels and 1 predictions"):
        metrics.accuracy(labels, np.array([0]))
    with pytest.raises(ValueError, match="expected 0 and above"):
        metrics.accuracy(labels, np.array([0, -1]))


@pytest.mark.parametrize("k", [0, 3])
def test_top_k_refuses_k_out_of_range(k):
    with pytest.raises(ValueError, match="expected 1 to 2"):
        metrics.top_k_accuracy(np.eye(2), np.array([0, 1]), k)


def test_reliability_refuses_no_bins():
    with pytest.raises(ValueError, match="bins=0"):
        metrics.reliability(np.eye(2), np.array([0, 1]), bins=0)


def test_figures_of_classes_and_bins_cannot_be_replaced():
    probabilities, labels = sample()
    points = metrics.reliability(probabilities, labels)
    figures = metrics.per_class(metrics.confusion_matrix(labels, labels, K))
    with pytest.raises(FrozenInstanceError):
        points.accuracy = points.confidence
    with pytest.raises(FrozenInstanceError):
        figures.precision = figures.recall


def test_importing_the_metrics_imports_nothing_heavy():
    heavy = {"keras", "tensorflow", "sklearn", "scipy", "pandas"}
    code = f"import sys, fercore.metrics; print(*{heavy} & set(sys.modules))"

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (finished.returncode, finished.stdout.strip()) == (0, ""), finished.stderr


def test_the_chance_that_a_detection_is_right():
    """Of 10,000,000 images 7,000 are cases: 6,860 hits beside 199,860 false alarms."""
    assert metrics.positive_predictive_value(0.98, 0.98, 0.0007) == pytest.approx(
        6860 / (6860 + 199_860)
    )
    assert metrics.positive_predictive_value(1, 1, 0.3) == 1
    assert math.isnan(metrics.positive_predictive_value(0, 1, 0.3))
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        metrics.positive_predictive_value(98, 0.98, 0.1)
