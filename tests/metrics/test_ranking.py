import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fercore.metrics.ranking import MAX_POINTS, class_curves, macro_average


def two_classes(scores: list[float]) -> np.ndarray:
    return np.array([[1 - score, score] for score in scores])


def test_a_perfect_ranking():
    found = class_curves(two_classes([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]), 1)
    assert (found.auc, found.average_precision, found.prevalence) == (1, 1, 0.5)


def test_the_area_is_the_share_of_pairs_that_are_in_order():
    rng = np.random.default_rng(3)
    scores, labels = rng.random(400), rng.integers(0, 2, 400)
    found = class_curves(two_classes(scores.tolist()), labels, 1)
    pairs = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    assert found.auc == pytest.approx(pairs / ((labels == 1).sum() * (labels == 0).sum()))


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit; the precisions at the hits are 1 and 2/3.
    found = class_curves(two_classes([0.9, 0.5, 0.4]), np.array([1, 0, 1]), 1)
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)


def test_a_class_without_samples_or_with_all_has_no_curve():
    p = two_classes([0.9, 0.5])
    assert class_curves(p, np.array([1, 1]), 1) is None
    assert class_curves(p, np.array([1, 1]), 0) is None
    with pytest.raises(ValueError, match="received class 2, expected 0 to 1"):
        class_curves(p, np.array([1, 0]), 2)


def test_long_curves_are_thinned_between_their_ends():
    rng = np.random.default_rng(0)
    found = class_curves(two_classes(rng.random(3000).tolist()), rng.integers(0, 2, 3000), 1)
    assert len(found.recall) == len(found.precision) == MAX_POINTS
    assert (found.recall[0], found.recall[-1]) == (1, 0)
    assert (found.false_positive_rate[0], found.false_positive_rate[-1]) == (0, 1)
    assert np.all(np.diff(found.true_positive_rate) >= 0)


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_as_scikit_learn_with_and_without_ties(digits: int):
    rng = np.random.default_rng(digits)
    p = rng.dirichlet(np.ones(4), 700)
    labels = np.array([rng.choice(4, p=row) for row in p])
    p = np.maximum(p.round(digits), 1e-9)
    p /= p.sum(axis=1, keepdims=True)
    for k in range(4):
        found, scores = class_curves(p, labels, k), p[:, k]
        assert found.auc == pytest.approx(roc_auc_score(labels == k, scores))
        assert found.average_precision == pytest.approx(
            average_precision_score(labels == k, scores)
        )
        assert (found.positives, found.n) == ((labels == k).sum(), 700)
        own = found.false_positive_rate, found.true_positive_rate
        assert np.trapezoid(own[1], own[0]) == pytest.approx(found.auc, abs=1e-3)
        expected = roc_curve(labels == k, scores, drop_intermediate=False)[:2]
        assert points(own) <= points(expected)


def points(curve) -> set[tuple[float, float]]:
    return set(zip(*(np.round(values, 12).tolist() for values in curve), strict=True))


def test_the_area_under_the_steps_is_the_average_precision():
    rng = np.random.default_rng(5)
    p = two_classes(rng.random(200).tolist())
    found = class_curves(p, rng.integers(0, 2, 200), 1)
    widths = -np.diff(found.recall)
    assert np.sum(widths * found.precision[:-1]) == pytest.approx(found.average_precision)


def test_a_rare_class_keeps_its_steps():
    """Thinning by samples would leave a handful of points where recall rises."""
    rng = np.random.default_rng(7)
    labels = (np.arange(3000) < 60).astype(int)
    scores = np.where(labels == 1, rng.beta(5, 2, 3000), rng.beta(2, 5, 3000))
    found = class_curves(two_classes(scores.tolist()), labels, 1)
    assert len(found.recall) == 61


def test_macro_average():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), 900)
    labels = np.array([rng.choice(3, p=row) for row in p])
    curves = [class_curves(p, labels, k) for k in range(3)]
    mean = macro_average(curves)
    assert mean.auc == pytest.approx(roc_auc_score(labels, p, multi_class="ovr"))
    assert mean.average_precision == pytest.approx(np.mean([c.average_precision for c in curves]))
    assert np.trapezoid(mean.true_positive_rate, mean.false_positive_rate) == pytest.approx(
        mean.auc, abs=0.01
    )
    assert -np.trapezoid(mean.precision, mean.recall) == pytest.approx(
        mean.average_precision, abs=0.01
    )
    with pytest.raises(ValueError, match="at least one class"):
        macro_average([])
