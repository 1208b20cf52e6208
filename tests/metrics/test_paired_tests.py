"""Paired statistics against SciPy, scikit-learn, brute force and a published example."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from fercore import metrics

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 7, 600)
FIRST = np.where(RNG.random(600) < 0.55, LABELS, RNG.integers(0, 7, 600))
SECOND = np.where(RNG.random(600) < 0.60, LABELS, RNG.integers(0, 7, 600))


def outcomes(both: int, only_a: int, only_b: int, neither: int):
    """Labels and two sets of predictions with these counts."""
    a = np.repeat([1, 1, 0, 0], [both, only_a, only_b, neither])
    b = np.repeat([1, 0, 1, 0], [both, only_a, only_b, neither])
    return np.ones(len(a), int), a, b


def test_mcnemar_equals_the_binomial_test():
    found = metrics.mcnemar(LABELS, FIRST, SECOND)
    a, b = FIRST == LABELS, SECOND == LABELS
    assert (found.only_a, found.only_b) == ((a & ~b).sum(), (~a & b).sum())
    expected = binomtest(found.only_a, found.only_a + found.only_b).pvalue
    assert found.p == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(3400, 3600), (0, 7000), (3500, 3500), (1, 40_000), (19_000, 20_000)]
)
def test_mcnemar_of_thousands_is_the_binomial_test(only_a, only_b):
    found = metrics.mcnemar(*outcomes(10, only_a, only_b, 10))
    expected = binomtest(only_a, only_a + only_b).pvalue
    assert found.p == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("counts", "p"),
    [
        ((50, 0, 0, 5), 1.0),  # they never disagree
        ((10, 5, 5, 10), 1.0),
        ((0, 0, 6, 0), 2 / 2**6),  # six of six
        ((10, 1, 8, 2), 2 * (1 + 9) / 2**9),  # 1 or fewer of 9: (1 + 9) / 512 on each side
    ],
)
def test_mcnemar_by_hand(counts, p):
    assert metrics.mcnemar(*outcomes(*counts)).p == pytest.approx(p)


def test_mcnemar_on_a_published_example():
    """Approval of a politician before and after (Agresti, Categorical Data Analysis, table 10.1).

    86 and 150 of 1,600 changed their minds; z^2 = 17.36, so that p is about 3e-5.
    """
    found = metrics.mcnemar(*outcomes(794, 150, 86, 570))
    assert found.p == pytest.approx(binomtest(86, 236).pvalue, rel=1e-10)
    assert found.p == pytest.approx(3.7e-5, rel=0.1)


def score(metric: str, labels, predictions) -> float:
    if metric == "accuracy":
        return accuracy_score(labels, predictions)
    if metric == "uar":
        return balanced_accuracy_score(labels, predictions)
    return f1_score(labels, predictions, average="macro", labels=np.unique(labels))


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "uar"])
def test_the_observed_difference_is_that_of_scikit_learn(metric):
    found = metrics.paired_bootstrap(LABELS, FIRST, SECOND, 7, metric, draws=10)
    expected = score(metric, LABELS, SECOND) - score(metric, LABELS, FIRST)
    assert found.difference == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "uar"])
def test_two_classes_are_as_good_as_seven(metric):
    labels, first, second = (array % 2 for array in (LABELS, FIRST, SECOND))
    found = metrics.paired_bootstrap(labels, first, second, 2, metric, draws=10)
    expected = score(metric, labels, second) - score(metric, labels, first)
    assert found.difference == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["macro_f1", "uar"])
def test_a_class_that_a_resample_lacks_is_left_out_of_its_mean(metric):
    labels = np.array([0] * 20 + [1] * 20 + [2])
    first = np.where(np.arange(41) % 4 == 0, 1, labels)
    found = metrics.paired_bootstrap(labels, first, labels, 3, metric, draws=500)
    assert 0 < found.low < found.difference < found.high < 1


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "uar"])
def test_the_interval_is_that_of_resampled_indices(metric):
    found = metrics.paired_bootstrap(LABELS, FIRST, SECOND, 7, metric, draws=20_000)
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(1500):
        rows = rng.integers(0, len(LABELS), len(LABELS))
        differences.append(
            score(metric, LABELS[rows], SECOND[rows]) - score(metric, LABELS[rows], FIRST[rows])
        )
    spread = np.std(differences)
    low, high = np.quantile(differences, [0.025, 0.975])
    # 1,500 draws place a quantile within about a tenth of the spread.
    assert found.low == pytest.approx(low, abs=0.2 * spread)
    assert found.high == pytest.approx(high, abs=0.2 * spread)


def test_the_interval_covers_as_often_as_it_says():
    """Two classifiers that are right in 60% and 65%: 19 intervals in 20 hold the five points."""
    rng = np.random.default_rng(2)
    held = 0
    for trial in range(300):
        labels = rng.integers(0, 3, 400)
        wrong = (labels + 1) % 3
        first = np.where(rng.random(400) < 0.60, labels, wrong)
        second = np.where(rng.random(400) < 0.65, labels, wrong)
        found = metrics.paired_bootstrap(labels, first, second, 3, draws=500, seed=trial)
        held += found.low <= 0.05 <= found.high
    assert 0.91 <= held / 300 <= 0.985


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    gains = RNG.choice([-1, -0.5, 0, 0.5, 1], 2000)
    found = metrics.bootstrap_mean(gains)
    error = gains.std() / np.sqrt(len(gains))
    assert found.difference == pytest.approx(gains.mean())
    assert found.low == pytest.approx(gains.mean() - 1.96 * error, abs=0.05 * error)
    assert found.high == pytest.approx(gains.mean() + 1.96 * error, abs=0.05 * error)
    with pytest.raises(ValueError, match="received 0 samples"):
        metrics.bootstrap_mean(np.zeros(0))


def test_the_bootstrap_is_that_of_scipy():
    gain = (SECOND == LABELS).astype(float) - (FIRST == LABELS)
    expected = bootstrap(
        (gain,), np.mean, n_resamples=10_000, method="percentile", random_state=0
    ).confidence_interval
    spread = gain.std() / np.sqrt(len(gain))
    for found in (
        metrics.bootstrap_mean(gain),
        metrics.paired_bootstrap(LABELS, FIRST, SECOND, 7),
    ):
        assert found.low == pytest.approx(expected.low, abs=0.1 * spread)
        assert found.high == pytest.approx(expected.high, abs=0.1 * spread)


def test_the_same_predictions_do_not_differ():
    found = metrics.paired_bootstrap(LABELS, FIRST, FIRST, 7, "macro_f1")
    assert (found.difference, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_of_labels_drawn_at_it_is_found(true):
    logits = RNG.normal(0, 2, (20_000, 7))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    at_true = metrics.apply_temperature(probabilities, true)
    drawn = (at_true.cumsum(axis=1) < RNG.random((20_000, 1))).sum(axis=1).clip(0, 6)
    found = metrics.fit_temperature(probabilities, drawn)
    assert found == pytest.approx(true, rel=0.05)
    scaled = metrics.apply_temperature(probabilities, found)
    before = metrics.negative_log_likelihood(probabilities, drawn)
    assert metrics.negative_log_likelihood(scaled, drawn) <= before + 1e-9
    np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))


def test_the_temperature_is_where_scipy_finds_the_least_likelihood_loss():
    logits = RNG.normal(0, 3, (500, 7))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = np.where(RNG.random(500) < 0.6, logits.argmax(axis=1), RNG.integers(0, 7, 500))

    def nll(log_temperature: float) -> float:
        scaled = metrics.apply_temperature(probabilities, np.exp(log_temperature))
        return metrics.negative_log_likelihood(scaled, drawn)

    least = minimize_scalar(nll, bounds=(-2, 2), method="bounded", options={"xatol": 1e-9})
    assert metrics.fit_temperature(probabilities, drawn) == pytest.approx(np.exp(least.x), rel=1e-4)


def test_the_softmax_of_scaled_logits():
    logits = RNG.normal(0, 2, (50, 7))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.exp(logits / 3) / np.exp(logits / 3).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.apply_temperature(softmax, 3.0), expected, atol=1e-9)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="expected as many"):
        metrics.mcnemar(LABELS, FIRST[:-1], SECOND)
    with pytest.raises(ValueError, match="expected a share"):
        metrics.paired_bootstrap(LABELS, FIRST, SECOND, 7, confidence=95)
    with pytest.raises(ValueError, match="above 0"):
        metrics.apply_temperature(np.eye(3), 0.0)


def test_holm_adjusts_p_values_in_their_order():
    # By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and never less than the one before.
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert metrics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert metrics.holm([0.03]) == [0.03]
    assert metrics.holm([]) == []
    with pytest.raises(ValueError, match="expected values from 0 to 1"):
        metrics.holm([0.5, float("nan")])
