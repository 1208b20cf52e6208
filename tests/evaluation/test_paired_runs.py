from dataclasses import replace

import numpy as np
import pytest

from fercore.evaluation import paired_runs
from fercore.runs.predictions import Predictions

IDS = np.array([f"s{n}" for n in range(6)])
LABELS = np.array([0, 1, 2, 1, 1, 0], np.uint8)


def predictions(said, sure=0.8, ids=IDS, labels=LABELS) -> Predictions:
    """Predictions of three classes, the first the surest."""
    probabilities = np.full((len(said), 3), (1 - sure) / 2, np.float32)
    probabilities[np.arange(len(said)), said] = sure - np.arange(len(said)) / 100
    return Predictions(np.asarray(ids), np.asarray(labels, np.uint8), probabilities)


def test_a_cell_holds_its_samples_the_most_confident_first():
    found = paired_runs.sample_predictions(predictions([0, 0, 2, 0, 1, 1]))
    assert found.ids[paired_runs.select_samples(found, 1, 0)].tolist() == ["s1", "s3"]
    assert found.ids[paired_runs.select_samples(found, 1, 1)].tolist() == ["s4"]


def test_without_a_cell_the_outcome_counts():
    found = paired_runs.sample_predictions(predictions([0, 0, 2, 0, 1, 1]))
    assert found.ids[paired_runs.select_samples(found, None, None)].tolist() == ["s1", "s3", "s5"]
    assert len(paired_runs.select_samples(found, None, None, "right")) == 3
    assert found.ids[paired_runs.select_samples(found, 1, None, "right")].tolist() == ["s4"]
    assert len(paired_runs.select_samples(found, None, 0, "all")) == 3


def test_dropped_classes_are_left_out():
    found = paired_runs.sample_predictions(predictions([0, 0, 2, 0, 1, 1]), [1])
    assert found.labels.tolist() == [0, 2, 0]
    assert paired_runs.sample_predictions(predictions([0, 0, 2, 0, 1, 1]), [0, 1, 2]) is None


def test_unsound_predictions_are_none():
    broken = predictions([0, 0, 2, 0, 1, 1])
    broken.probabilities[2, 1] = np.nan
    assert paired_runs.sample_predictions(broken) is None
    assert paired_runs.sample_predictions(predictions([0] * 6, labels=[0, 1, 2, 7, 1, 0])) is None


def test_runs_are_paired_by_sample_whatever_their_order():
    first = paired_runs.sample_predictions(predictions([0, 0, 2, 1, 1, 1]))
    order = np.array([5, 3, 1, 0, 2])
    shuffled = predictions(
        np.array([0, 1, 2, 2, 1, 0])[order], ids=IDS[order], labels=LABELS[order]
    )
    second = paired_runs.sample_predictions(shuffled)
    shared = paired_runs.pair_samples(first, second)
    assert len(shared.labels) == 5
    assert first.ids[shared.places].tolist() == second.ids[shared.others].tolist()
    assert (shared.test().only_a, shared.test().only_b) == (1, 2)
    pair = paired_runs.compare_pair(first, second)
    assert pair.n == 5
    assert pair.accuracy.difference == pytest.approx(1 / 5)
    assert pair.verdict(pair.test.p) == "not distinguishable"
    assert pair.verdict(0.049) == "better"


def test_runs_without_common_samples_are_not_compared():
    first = paired_runs.sample_predictions(predictions([0, 0, 2, 1, 1, 1]))
    elsewhere = paired_runs.sample_predictions(
        predictions([0] * 6, ids=[f"t{n}" for n in range(6)])
    )
    relabelled = paired_runs.sample_predictions(predictions([0] * 6, labels=[0, 1, 2, 1, 1, 1]))
    assert paired_runs.compare_pair(first, elsewhere) is None
    assert paired_runs.compare_pair(first, relabelled) is None


def grouped(said, groups, kind="subject"):
    return replace(predictions(said), groups=np.asarray(groups), group_kind=kind)


def test_the_samples_of_a_group_are_compared_as_one():
    ids = np.array([f"s{n}" for n in range(40)])
    labels = np.zeros(40, np.uint8)
    said = (np.where(np.arange(40) < 8, 1, 0), np.zeros(40, int))
    groups = np.repeat(np.arange(10), 4).astype(str)

    def pair(kind, *known):
        found = [
            paired_runs.sample_predictions(
                replace(predictions(s, ids=ids, labels=labels), groups=g, group_kind=k)
            )
            for s, (g, k) in zip(said, known, strict=True)
        ]
        both = paired_runs.pair_samples(*found)
        assert both.group_kind == kind
        return paired_runs.compare_pair(*found), both

    alone, _ = pair("", (None, ""), (None, ""))
    assert alone.test.p == pytest.approx(2 / 2**8)
    assert alone.verdict(alone.test.p) == "better"
    # Two groups of four images: two of two.
    found, _ = pair("subject", (groups, "subject"), (groups, "subject"))
    assert found.test.p == pytest.approx(2 / 2**2)
    assert found.verdict(found.test.p) == "not distinguishable"
    assert found.grouping == "by subject, 10 groups"
    assert found.test.groups == 10
    assert found.accuracy.high - found.accuracy.low > 1.5 * (
        alone.accuracy.high - alone.accuracy.low
    )
    # A run of an earlier version takes the groups of the other.
    again, _ = pair("subject", (groups, "subject"), (None, ""))
    assert again == found
    # Other names for the same groups, in whatever order.
    renamed, both = pair("subject", (groups, "subject"), (groups[::-1], "subject"))
    assert not both.groups_differ
    assert renamed.test == found.test
    # Images within subjects: the coarser counts.
    coarser, both = pair("subject", (groups, "subject"), (ids, "image"))
    assert not both.groups_differ
    assert coarser == found


def test_groups_that_contradict_each_other_are_merged_and_said_so():
    first = paired_runs.sample_predictions(grouped([0, 0, 2, 1, 1, 1], list("aabbcc")))
    second = paired_runs.sample_predictions(grouped([0, 1, 2, 1, 1, 0], list("abbdee")))
    shared = paired_runs.pair_samples(first, second)
    assert shared.groups_differ
    assert shared.grouping == "by subject, 2 groups, merged from those of both runs"


def test_a_dropped_class_takes_its_groups_along():
    found = paired_runs.sample_predictions(grouped([0, 0, 2, 0, 1, 1], list("aabbcc")), [1])
    assert found.groups.tolist() == ["a", "b", "c"]
