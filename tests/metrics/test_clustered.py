"""Statistics of samples in groups, against SciPy, brute force and simulation."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap
from scipy.stats import t as student

from fercore import metrics

RNG = np.random.default_rng(0)


def grouped(rng, groups=30, size=8, share=0.85, correlation=0.3):
    """Whether each sample is right, and its group: groups differ in how often they are right."""
    scale = 1 / correlation - 1
    own = rng.beta(share * scale, (1 - share) * scale, groups)
    names = np.repeat(np.arange(groups), rng.integers(size // 2, size * 3 // 2 + 1, groups))
    return rng.random(len(names)) < own[names], names


@pytest.mark.parametrize(("correct", "n"), [(0, 9), (9, 9), (5, 9), (200, 215), (1, 1)])
def test_groups_of_one_give_wilsons_interval(correct, n):
    right = np.arange(n) < correct
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    found = metrics.clustered_interval(right, np.arange(n))
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-12)


@pytest.mark.parametrize("correct", [0, 40])
def test_without_an_error_or_a_hit_the_groups_count(correct):
    right = np.arange(40) < correct
    expected = binomtest(correct // 8, 5).proportion_ci(method="wilson")
    found = metrics.clustered_interval(right, np.repeat(np.arange(5), 8))
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-12)


def test_groups_that_are_right_or_wrong_as_a_whole_count_as_one_sample_each():
    """With 40 groups of 5 equal samples, the effective size is 39: 40 less the one for the mean."""
    right, groups = np.repeat(np.arange(40) < 28, 5), np.repeat(np.arange(40), 5)
    low, high = metrics.clustered_interval(right, groups)
    z, n, p = student.ppf(0.975, 39), 39, 28 / 40
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (low, high) == pytest.approx(
        ((centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n))
    )


def test_the_effective_size_is_at_most_that_of_independent_samples():
    """One right and one wrong sample in every group: the groups do not differ at all."""
    right, groups = np.tile([True, False], 50), np.repeat(np.arange(50), 2)
    low, high = metrics.clustered_interval(right, groups)
    wilson = metrics.accuracy_interval(50, 100)
    assert high - low == pytest.approx(wilson[1] - wilson[0], rel=0.03)
    assert high - low > wilson[1] - wilson[0]


def test_one_group_tells_nothing_about_others():
    assert metrics.clustered_interval(np.array([1, 0, 1]), np.zeros(3)) == (0, 1)


def test_neither_order_nor_names_of_the_groups_count():
    right, groups = grouped(np.random.default_rng(5))
    order = np.random.default_rng(6).permutation(len(right))
    names = np.array([f"S{999 - group}" for group in groups])
    expected = metrics.clustered_interval(right, groups)
    assert metrics.clustered_interval(right[order], names[order]) == pytest.approx(expected)
    weights = np.full(len(right), 3.0)
    assert metrics.clustered_interval(right, groups, weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("groups", "size", "share"), [(24, 8, 0.86), (118, 8, 0.86), (60, 4, 0.95), (10, 20, 0.7)]
)
def test_nineteen_intervals_in_twenty_hold_the_share(groups, size, share):
    rng = np.random.default_rng(1)
    held, naive, trials = 0, 0, 600
    for _ in range(trials):
        right, names = grouped(rng, groups, size, share)
        low, high = metrics.clustered_interval(right, names)
        assert 0 <= low <= right.mean() <= high <= 1
        held += low <= share <= high
        low, high = metrics.accuracy_interval(int(right.sum()), len(right))
        naive += low <= share <= high
    assert 0.915 <= held / trials <= 0.985
    assert naive / trials < 0.9


def test_the_interval_is_about_as_wide_as_a_bootstrap_of_groups():
    right, groups = grouped(RNG, 118)
    sums = np.stack([np.bincount(groups, weights=right), np.bincount(groups)])
    found = bootstrap(
        tuple(sums),
        lambda hits, sizes, axis: hits.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        method="percentile",
        random_state=0,
        vectorized=True,
    ).confidence_interval
    low, high = metrics.clustered_interval(right, groups)
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.15 * (high - low))


def test_every_run_has_the_same_weight_in_the_interval_of_their_mean():
    right, groups = grouped(RNG)
    folds = [slice(0, 40), slice(40, 130), slice(130, None)]
    sizes = [len(right[fold]) for fold in folds]
    weights = np.repeat([1 / size for size in sizes], sizes)
    found = metrics.clustered_mean_interval(
        [right[fold] for fold in folds], [groups[fold] for fold in folds], len(right)
    )
    assert found == metrics.clustered_interval(right, groups, weights)
    assert found != metrics.clustered_interval(right, groups)
    # The same images tested by a second seed are no further groups and no further samples.
    again = metrics.clustered_mean_interval([right, right], [groups, groups], len(right))
    assert again == pytest.approx(metrics.clustered_interval(right, groups), abs=1e-12)
    with pytest.raises(ValueError, match="0 runs"):
        metrics.clustered_mean_interval([], [], 10)


def test_recall_is_over_the_groups_that_have_the_class():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    predictions = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    groups = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    found = metrics.clustered_recall_interval(labels, predictions, groups, 3)
    own = metrics.clustered_interval(np.array([1, 1, 1, 0]), groups[:4])
    np.testing.assert_allclose(found[0], own)
    # Two groups without an error.
    np.testing.assert_allclose(found[1], metrics.accuracy_interval(2, 2))
    assert np.isnan(found[2]).all()
    probabilities = np.full((8, 3), 0.1)
    probabilities[np.arange(8), predictions] = 0.8
    summary = metrics.summarise(probabilities, labels, groups)
    np.testing.assert_array_equal(summary.recalls, found)
    assert (summary.accuracy_low, summary.accuracy_high) == metrics.clustered_interval(
        predictions == labels, groups
    )
    assert (summary.groups, summary.class_groups.tolist()) == (4, [2, 2, 0])
    plain = metrics.summarise(probabilities, labels)
    assert (plain.groups, plain.class_groups) == (None, None)
    np.testing.assert_array_equal(plain.recalls, metrics.recall_interval(plain.confusion))


def test_the_bins_of_a_reliability_diagram_have_intervals_by_group():
    probabilities = np.tile([0.7, 0.3], (8, 1))
    labels = np.array([0, 0, 0, 0, 1, 1, 0, 0])
    groups = np.repeat([0, 1, 2, 3], 2)
    alone = metrics.reliability(probabilities, labels, bins=2)
    found = metrics.reliability(probabilities, labels, bins=2, groups=groups)
    assert (alone.low[1], alone.high[1]) == pytest.approx(metrics.accuracy_interval(6, 8))
    by_group = metrics.clustered_interval(labels == 0, groups)
    assert (found.low[1], found.high[1]) == pytest.approx(by_group)
    assert np.isnan(found.low[0])


def test_groups_are_merged_where_either_division_holds_samples_together():
    first = np.array(["a", "a", "b", "c", "d", "e"])
    second = np.array([1, 2, 2, 3, 3, 4])
    found = metrics.merge_groups(first, second)
    assert found.tolist() == [0, 0, 0, 1, 1, 2]
    np.testing.assert_array_equal(metrics.merge_groups(first, first), metrics.group_codes(first))


def pairs_of(nets):
    """Labels, two predictions and groups in which the second is ahead by these numbers."""
    gains = [np.sign(net) for net in nets for _ in range(abs(net) or 1)]
    groups = [group for group, net in enumerate(nets) for _ in range(abs(net) or 1)]
    a = np.array([gain < 0 for gain in gains]).astype(int)
    b = np.array([gain > 0 for gain in gains]).astype(int)
    return np.ones(len(a), int), a, b, np.array(groups)


@pytest.mark.parametrize(
    "nets", [[3, 2, -1, 4, 0, 1], [5], [1, -1], [2, 2, 2, 2, -2], [7, -3, -3, -1, 2, 2], [0, 0]]
)
def test_the_grouped_test_is_that_of_all_signs(nets):
    labels, a, b, groups = pairs_of(nets)
    sums = [abs(np.dot(signs, np.abs(nets))) for signs in product([-1, 1], repeat=len(nets))]
    expected = np.mean([total >= abs(sum(nets)) for total in sums])
    found = metrics.mcnemar(labels, a, b, groups)
    assert found.p == pytest.approx(expected, abs=1e-12)
    assert found.groups == len(nets)
    # Whichever comes first.
    assert metrics.mcnemar(labels, b, a, groups).p == pytest.approx(expected, abs=1e-12)


def test_the_grouped_test_of_groups_of_one_is_mcnemars():
    labels = RNG.integers(0, 3, 400)
    first = np.where(RNG.random(400) < 0.6, labels, (labels + 1) % 3)
    second = np.where(RNG.random(400) < 0.66, labels, (labels + 1) % 3)
    alone = metrics.mcnemar(labels, first, second)
    found = metrics.mcnemar(labels, first, second, np.arange(400))
    assert (found.p, found.only_a, found.only_b) == (alone.p, alone.only_a, alone.only_b)
    assert (alone.groups, found.groups) == (None, 400)


def test_thousands_of_groups_are_tested_as_a_normal_sum_would_be():
    nets = RNG.choice([-3, -2, -1, 1, 2, 3], 3000)
    nets[:60] = 2
    found = metrics.mcnemar(*pairs_of(nets.tolist()))
    z = (abs(nets.sum()) - 1) / np.sqrt((nets**2).sum())
    assert found.p == pytest.approx(2 * student.sf(z, 10**9), rel=0.02)


def test_copies_of_every_sample_change_no_p_value_and_no_interval():
    labels = RNG.integers(0, 3, 200)
    first = np.where(RNG.random(200) < 0.6, labels, (labels + 1) % 3)
    second = np.where(RNG.random(200) < 0.7, labels, (labels + 1) % 3)
    three = [np.repeat(column, 3) for column in (labels, first, second)]
    groups = np.repeat(np.arange(200), 3)
    alone = metrics.mcnemar(labels, first, second).p
    assert metrics.mcnemar(*three, groups).p == pytest.approx(alone)
    assert metrics.mcnemar(*three).p < alone / 5
    for metric in ("accuracy", "uar", "macro_f1"):
        once = metrics.paired_bootstrap(labels, first, second, 3, metric)
        found = metrics.paired_bootstrap(*three, 3, metric, groups=groups)
        assert found.difference == pytest.approx(once.difference)
        assert found.low == pytest.approx(once.low, abs=0.01)
        assert found.high == pytest.approx(once.high, abs=0.01)
    gains = (second == labels).astype(float) - (first == labels)
    once = metrics.bootstrap_mean(gains)
    found = metrics.bootstrap_mean(np.repeat(gains, 3), groups=groups)
    assert (found.difference, found.low, found.high) == pytest.approx(
        (once.difference, once.low, once.high), abs=0.01
    )


def test_the_grouped_bootstrap_is_that_of_scipy():
    right, groups = grouped(RNG, 40, 10)
    other = right ^ (RNG.random(len(right)) < 0.2)
    gain = other.astype(float) - right
    sums = (np.bincount(groups, weights=gain), np.bincount(groups))
    expected = bootstrap(
        sums,
        lambda gains, sizes, axis: gains.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        method="percentile",
        random_state=0,
        vectorized=True,
    ).confidence_interval
    labels = np.ones(len(right), int)
    for found in (
        metrics.bootstrap_mean(gain, groups=groups),
        metrics.paired_bootstrap(labels, right.astype(int), other.astype(int), 2, groups=groups),
    ):
        width = expected.high - expected.low
        assert found.low == pytest.approx(expected.low, abs=0.04 * width)
        assert found.high == pytest.approx(expected.high, abs=0.04 * width)


def test_the_interval_of_a_difference_is_newcombes():
    """Newcombe (1998), table II: 56 of 70 against 48 of 80, method 10."""
    first = (56 / 70, *metrics.accuracy_interval(56, 70))
    second = (48 / 80, *metrics.accuracy_interval(48, 80))
    assert metrics.difference_interval(first, second) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = metrics.difference_interval(second, first)
    assert (low, high) == pytest.approx((-0.3339, -0.0524), abs=5e-5)
    with pytest.raises(ValueError, match="expected a share in its interval"):
        metrics.difference_interval((0.5, 0.6, 0.7), second)


@pytest.mark.parametrize(("share", "n"), [(0.0, 12), (1.0, 85), (0.5, 40), (0.97, 148.5)])
def test_the_effective_size_gives_the_interval_again(share, n):
    ends = metrics.wilson_interval(share, n)
    assert metrics.effective_size(share, *ends) == pytest.approx(n)
    assert metrics.effective_size(share, 0.0, 1.0) == 0


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="received 3 values and 2 groups"):
        metrics.clustered_interval(np.ones(3), np.zeros(2))
    with pytest.raises(ValueError, match="from 0 to 1"):
        metrics.clustered_interval(np.array([2.0]), np.zeros(1))
    with pytest.raises(ValueError, match="confidence=95"):
        metrics.clustered_interval(np.ones(3), np.zeros(3), confidence=95)
    labels = np.ones(3, int)
    with pytest.raises(ValueError, match="expected as many"):
        metrics.mcnemar(labels, labels, labels, np.zeros(2))
    with pytest.raises(ValueError, match="expected as many"):
        metrics.paired_bootstrap(labels, labels, labels, 2, groups=np.zeros(2))
    with pytest.raises(ValueError, match="expected as many"):
        metrics.bootstrap_mean(np.ones(3), groups=np.zeros(2))


def test_a_single_group_tells_nothing_about_a_difference():
    """As in a fold that holds one subject: to resample one group gives the same each time."""
    truth, first = np.zeros(9, int), np.arange(9) % 2
    found = metrics.paired_bootstrap(truth, first, truth, 7, groups=np.zeros(9))
    assert (found.difference, found.low, found.high) == (pytest.approx(4 / 9), -1, 1)
    mean = metrics.bootstrap_mean(first / 2, groups=np.full(9, "S052"))
    assert (mean.difference, mean.low, mean.high) == (pytest.approx(2 / 9), -1, 1)
