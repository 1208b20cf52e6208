import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from fercore.metrics.ranking import MAX_POINTS, class_curves


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
