import shutil
from dataclasses import replace

import numpy as np
import pytest

from fercore.errors import UserError
from fercore.evaluation.comparison import (
    compare_runs,
    compare_with_baseline,
    require_common_images,
    require_predictions,
)
from fercore.evaluation.shared_images import evaluate_together
from fercore.metrics import holm, mcnemar, paired_bootstrap
from fercore.runs.reader import Run, read_run
from fercore.runs.split_results import parse_split
from tests.evaluation.conftest import COMMITTED


def test_two_runs_are_compared_on_all_images_of_the_test_split(runs: dict[str, Run]):
    deep, shallow = runs["le2019-deep"], runs["le2019-shallow"]
    found = compare_runs(deep.id, shallow.path)
    assert (found.first, found.second) == (deep.id, shallow.id)
    assert found.first_accuracy == deep.results.splits["test"].accuracy
    assert found.second_accuracy == shallow.results.splits["test"].accuracy
    assert found.difference == pytest.approx(found.second_accuracy - found.first_accuracy)
    stored = [run.predictions("test") for run in (deep, shallow)]
    labels, (a, b) = stored[0].labels, [one.probabilities.argmax(axis=1) for one in stored]
    test = mcnemar(labels, a, b)
    assert (found.p, found.only_first, found.only_second) == (test.p, test.only_a, test.only_b)
    interval = paired_bootstrap(labels, a, b, 7)
    assert (found.low, found.high) == (interval.low, interval.high)
    assert (found.groups, found.grouping) == (None, "")


def test_a_run_that_was_read_and_another_split_are_taken(runs: dict[str, Run], monkeypatch):
    monkeypatch.delenv("FERCORE_RUNS")
    deep, six = runs["le2019-deep"], runs["katkar2021-model1-original"]
    found = compare_runs(deep, six.id, "PublicTest", runs_root=six.path.parent)
    assert found.n == six.results.splits["validation"].n
    assert compare_runs(deep, six, "test_all").n == 3589


def test_images_of_a_subject_count_as_one(runs: dict[str, Run]):
    run = runs["rath2021-fold"]
    balanced = read_run(COMMITTED / "rath2021-balanced-subjects-s0-f0-20261121T064253")
    found = compare_runs(run, balanced)
    assert found.groups == 1114
    assert found.grouping == "by subject, 1,114 groups"


def test_p_values_are_corrected_for_the_number_of_runs(runs: dict[str, Run]):
    deep, shallow, six = (
        runs[name] for name in ("le2019-deep", "le2019-shallow", "katkar2021-model1-original")
    )
    compared = [deep, shallow, six]
    rows = compare_with_baseline(evaluate_together(compared, "test"), compared, deep)
    assert [row.run.id for row in rows] == [shallow.id, six.id]
    assert [row.p for row in rows] == holm([row.pair.test.p for row in rows])
    assert {row.verdict for row in rows} == {"worse"}
    other = runs["rath2021-fold"]
    compared.append(other)
    rows = compare_with_baseline(evaluate_together(compared, "test"), compared, deep)
    assert rows[-1].pair is None
    assert rows[-1].p is None
    assert rows[-1].verdict == "no images in common"
    assert [row.p for row in rows[:-1]] == holm([row.pair.test.p for row in rows[:-1]])


def test_a_comparison_says_that_groups_are_unknown(runs: dict[str, Run]):
    run = runs["rath2021-fold"]
    splits = {
        name: result.model_copy(update={"groups": None, "group_kind": None})
        for name, result in run.results.splits.items()
    }
    old = replace(run, results=run.results.model_copy(update={"splits": splits}))
    with np.load(run.path / "predictions.npz") as stored:
        np.savez(
            run.path / "predictions.npz", **{k: v for k, v in stored.items() if "group" not in k}
        )
    other = replace(old, path=shutil.copytree(run.path, run.path.with_name("another")))
    (row,) = compare_with_baseline(evaluate_together([old, other], "test"), [old, other], old)
    assert row.grouping == "interval takes images as independent"


def test_names_of_splits():
    assert parse_split("PrivateTest") == "test"
    assert parse_split("test-unique") == "test_unique"
    assert parse_split("public") == "validation"
    with pytest.raises(UserError, match=r"received the split 'train', expected one of: test, "):
        parse_split("train")


def test_runs_that_cannot_be_compared_are_refused(runs: dict[str, Run]):
    deep, shallow = runs["le2019-deep"], runs["le2019-shallow"]
    for runs_given, split, message in (
        ([deep], "test", "received 1 run, expected two or more"),
        ([deep, deep], "test", f"received {deep.id} more than once"),
        ([deep, replace(shallow, config=None, problem="torn")], "test", "cannot be read: torn"),
        ([deep, replace(shallow, results=None)], "test", "has no results, its state is finished"),
        ([deep, runs["rath2021-fold"]], "test_all_classes", "has no figures on test_all_classes"),
    ):
        with pytest.raises(UserError, match=message):
            require_predictions(runs_given, split)
    with pytest.raises(UserError, match="share no images with equal labels"):
        compare_runs(deep, runs["rath2021-fold"])
    compared = [deep, runs["rath2021-fold"]]
    evaluations = evaluate_together(compared, "test")
    with pytest.raises(UserError, match="3,589 images of PrivateTest"):
        require_common_images(evaluations, compare_with_baseline(evaluations, compared, deep))


def test_runs_without_predictions_are_refused(runs: dict[str, Run]):
    deep, shallow = runs["le2019-deep"], runs["le2019-shallow"]
    path = shallow.path / "predictions.npz"
    with np.load(path) as stored:
        np.savez(path, **{k: v for k, v in stored.items() if not k.endswith("_unique")})
    with pytest.raises(UserError, match=f"fercore runs migrate {shallow.id}"):
        compare_runs(deep, shallow, "test_unique")
    path.unlink()
    with pytest.raises(UserError, match=f"{shallow.id} has no readable predictions"):
        compare_runs(deep, shallow)
