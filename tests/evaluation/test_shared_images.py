from dataclasses import replace

import numpy as np
import pytest

from fercore.config.loading import load_config
from fercore.evaluation.shared_images import evaluate_together, load_samples
from fercore.runs.reader import Run


@pytest.fixture
def pair(runs: dict[str, Run]) -> list[Run]:
    return [runs["le2019-deep"], runs["le2019-shallow"]]


def test_stored_figures_are_used_where_the_images_are_the_same(pair: list[Run]):
    found = evaluate_together(pair, "test")
    assert [found.results[run.id] for run in pair] == [run.results.splits["test"] for run in pair]
    (images,) = found.image_sets
    assert images.text == "3,589 images of PrivateTest"
    assert images.run_ids == tuple(run.id for run in pair)


def test_a_class_that_one_run_leaves_out_counts_for_none(runs: dict[str, Run]):
    both = [runs["le2019-deep"], runs["katkar2021-model1-original"]]
    found = evaluate_together(both, "test")
    assert {result.n for result in found.results.values()} == {3534}
    said = both[0].predictions("test")
    kept = said.labels != 1
    right = (said.probabilities.argmax(axis=1) == said.labels)[kept]
    assert found.results[both[0].id].accuracy == pytest.approx(right.mean())
    assert np.trace(found.results[both[0].id].confusion) == right.sum()
    (images,) = found.image_sets
    assert images.text == (
        "3,534 images that all of these runs were evaluated on (PrivateTest, without disgust)"
    )
    everything = evaluate_together(both, "test_all")
    assert {result.n for result in everything.results.values()} == {3589}


def test_other_data_and_other_classes_are_sets_of_their_own(pair: list[Run]):
    one, other = pair
    known = other.environment.model_copy(update={"dataset_fingerprint": "0123456789abcdef"})
    names = ["bored", *other.results.class_names[1:]]
    for changed in (
        replace(other, environment=known),
        replace(other, config=load_config(other.path / "config.json", {"dataset": "mine"})),
        replace(other, results=other.results.model_copy(update={"class_names": names})),
    ):
        found = evaluate_together([one, changed], "test")
        assert [own.run_ids for own in found.image_sets] == [(one.id,), (other.id,)]
        assert found.pair(one.id, other.id) is None
    # The same ids with other labels are not the same images, either.
    with np.load(other.path / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["test_labels"] = np.roll(arrays["test_labels"], 1)
    np.savez(other.path / "predictions.npz", **arrays)
    assert evaluate_together([one, other], "test").pair(one.id, other.id) is None


def test_a_run_on_some_of_the_images_is_compared_on_these(pair: list[Run]):
    one, other = pair
    with np.load(other.path / "predictions.npz") as stored:
        few = {k: v[:500] if k.startswith("test") else v for k, v in stored.items()}
    np.savez(other.path / "predictions.npz", **few)
    found = evaluate_together(pair, "test")
    assert {result.n for result in found.results.values()} == {500}
    first, second = found.pair(one.id, other.id)
    assert first.ids.tolist() == second.ids.tolist()


def test_without_predictions_a_figure_counts_where_it_is_of_these_images(runs: dict[str, Run]):
    deep, shallow = runs["le2019-deep"], runs["le2019-shallow"]
    six = runs["katkar2021-model1-original"]
    for run in (shallow, six):
        (run.path / "predictions.npz").unlink()
    found = evaluate_together([deep, shallow], "test")
    assert found.results[shallow.id] is shallow.results.splits["test"]
    assert found.pair(deep.id, shallow.id) is None
    # Without disgust, the figure of the run that leaves it out is on the same images as ever.
    found = evaluate_together([deep, shallow, six], "test")
    assert found.left_out == (shallow.id,)
    assert {result.n for result in found.results.values()} == {3534}
    assert found.results[six.id] is six.results.splits["test"]


def test_samples_of_an_evaluation_are_read_as_it_counts_them(runs: dict[str, Run]):
    six = runs["katkar2021-model1-original"]
    assert len(load_samples(six, "test")) == six.results.splits["test"].n
    assert len(load_samples(six, "test_unique")) == six.results.splits["test_unique"].n
    assert len(load_samples(six, "test_all")) == six.results.splits["test_all"].n
    assert len(load_samples(six, "validation")) == six.results.splits["validation"].n
    assert not (load_samples(six, "test", ["angry"]).labels == 0).any()
    assert load_samples(six, "test", ["bored"]) is None
    assert load_samples(replace(six, results=None), "test") is None
