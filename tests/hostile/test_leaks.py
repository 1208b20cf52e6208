"""Test that initial weights and teachers that have seen the test data are refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dashboard.analysis import run_properties
from dashboard.tables import run_details_tables
from fercore.cli import app
from fercore.config.experiment import ExperimentConfig
from fercore.data import store
from fercore.data.quality import find_copies
from fercore.data.registry import load_dataset
from fercore.data.splitting import split_dataset
from fercore.errors import UserError
from fercore.evaluation.leakage import check_ancestors
from fercore.inference.run_evaluation import seen_images_note
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from tests.hostile import leaks
from tests.tiny import make_splits, tiny_config

RANDOM = {"split": "random"}
FAULTY = RANDOM | {"leak_free": False}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with the dataset that is tested on.

    The others hold its images in reverse, so that another share of them is tested.
    """
    leaks.install(tmp_path / "data", "asked", leaks.smooth_images(140, seed=0))
    return tmp_path / "data"


def config_on(dataset: str, **changes: object) -> ExperimentConfig:
    return tiny_config(dataset=dataset, protocol=RANDOM, **changes)


def check(data: Path, **changes: object):
    config = tiny_config(dataset="asked", **({"protocol": RANDOM} | changes))
    return check_ancestors(data.parent / "runs", config, load_dataset("asked", data), data)


def source(data: Path, dataset: str, **changes: object) -> Run:
    return leaks.trained(data.parent / "runs", data, config_on(dataset, **changes))


@pytest.mark.parametrize(
    "change",
    [np.copy, leaks.mirrored, leaks.enlarged, leaks.reduced, leaks.recompressed],
    ids=["equal", "mirrored", "enlarged", "reduced", "recompressed"],
)
def test_a_test_set_under_another_name_is_found(data: Path, change: Callable):
    images = load_dataset("asked", data)["all"].images
    leaks.install(data, "mine", change(images)[::-1])
    run = source(data, "mine")
    with pytest.raises(UserError, match=r"of the tested images in the dataset mine, such as asked"):
        check(data, init_from=run.id)
    tested = split_dataset(config_on("asked"), load_dataset("asked", data))["test"]
    seen = split_dataset(config_on("mine"), load_dataset("mine", data))
    places = {int(name[-4:]) for name in tested.ids}
    known = {139 - int(name[-4:]) for role in ("train", "validation") for name in seen[role].ids}
    (recorded,) = check(data, init_from=run.id, protocol=FAULTY)
    assert recorded.model_dump() == {
        "run": run.id,
        "dataset": "mine",
        "tested_images_seen": len(places & known),
    }
    assert 0 < len(places & known) < len(places)


def test_other_images_and_those_of_the_same_training_are_no_leak(data: Path):
    splits = load_dataset("asked", data)
    leaks.install(data, "others", leaks.smooth_images(140, seed=1))
    leaks.install(data, "training", split_dataset(config_on("asked"), splits)["train"].images)
    for dataset in ("others", "training", "asked"):
        (recorded,) = check(data, init_from=source(data, dataset).id)
        assert (recorded.dataset, recorded.tested_images_seen) == (dataset, 0)


def test_what_cannot_be_compared_is_recorded_as_unknown(data: Path):
    leaks.install(data, "mine", load_dataset("asked", data)["all"].images[::-1])
    run = source(data, "mine")
    leaks.install(data, "mine", leaks.smooth_images(140, seed=2))
    (recorded,) = check(data, init_from=run.id)
    assert (recorded.dataset, recorded.tested_images_seen) == ("mine", None)


@pytest.mark.parametrize("tie", ["init_from", "teacher"])
def test_a_leak_is_found_behind_another_run(data: Path, tie: str):
    leaks.install(data, "mine", load_dataset("asked", data)["all"].images[::-1])
    leaks.install(data, "others", leaks.smooth_images(140, seed=1))
    first = source(data, "mine")
    ties = {"init_from": {"init_from": first.id}}
    ties["teacher"] = {"distillation": {"teachers": [first.id]}}
    between = source(data, "others", **ties[tie])
    with pytest.raises(UserError, match=f"goes back to {first.id}"):
        check(data, distillation={"teachers": [between.id]})
    recorded = check(data, init_from=between.id, protocol=FAULTY)
    assert [(own.dataset, bool(own.tested_images_seen)) for own in recorded] == [
        ("others", False),
        ("mine", True),
    ]


def test_a_changed_copy_is_found_by_the_images_that_it_was_made_from(data: Path):
    images = load_dataset("asked", data)["all"].images[::-1]
    fingerprint = leaks.install(data, "mine", images)
    derived = store.Derivation(
        dataset="mine",
        fingerprint=fingerprint,
        titles={"all": "All"},
        detector="yunet",
        detector_sha256="0" * 64,
        faces_found={"all": 1.0},
    )
    leaks.install(data, "mine-turned", leaks.rotated(images), derived)
    run = source(data, "mine-turned")
    with pytest.raises(UserError, match="in the dataset mine-turned"):
        check(data, init_from=run.id)


def test_turned_copies_are_not_found():
    """A limit that the docstring of `find_copies` names."""
    images = leaks.smooth_images(20, seed=3)
    assert not find_copies(images, leaks.rotated(images)).any()
    flat = np.zeros((2, 48, 48), np.uint8)
    assert not find_copies(flat, flat).any()
    assert find_copies(images[:0], images).shape == (0,)
    assert not find_copies(images, images[:0]).any()


def test_a_training_is_refused_before_it_has_a_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    leaks.install(data, "mine", load_dataset("asked", data)["all"].images[::-1])
    run = source(data, "mine")
    # Whether its weights are here and fit is checked elsewhere.
    monkeypatch.setattr("fercore.training.new_run.resolve_initial_run", lambda *given: run)
    wanted = tmp_path / "config.json"
    wanted.write_text(config_on("asked", init_from=run.id).model_dump_json())
    roots = ["--data-root", str(data), "--runs-root", str(run.path.parent)]
    answer = CliRunner().invoke(app, ["train", str(wanted), *roots])
    assert isinstance(answer.exception, UserError)
    assert "of the tested images in the dataset mine" in str(answer.exception)
    assert [found.id for found in list_runs(run.path.parent)] == [run.id]


@pytest.mark.parametrize("mode", ["online", "doubled"])
def test_copies_of_test_images_have_no_place_in_an_official_split(mode: str):
    config = tiny_config(
        protocol={"copies": "before_split", "leak_free": False},
        augmentation={"mode": mode, "horizontal_flip": True},
    )
    with pytest.raises(UserError, match=r'"before_split" with protocol.split = "official"'):
        split_dataset(config, make_splits())


def test_an_evaluation_on_images_of_the_training_is_noted(data: Path):
    images = load_dataset("asked", data)["all"].images
    leaks.install(data, "mine", images[::-1])
    leaks.install(data, "others", leaks.smooth_images(140, seed=1))
    run = source(data, "mine")
    (note,) = seen_images_note(run.id, [(run.id, run), ("gone", None)], images, data)
    assert note.startswith(f"{run.id}, or a run that it learnt from, was trained on")
    assert "112 of these 140 images" in note
    run = source(data, "others")
    assert seen_images_note(run.id, [(run.id, run), ("gone", None)], images, data) == []


def test_what_an_ancestor_has_seen_is_shown_with_the_run(data: Path):
    leaks.install(data, "mine", load_dataset("asked", data)["all"].images[::-1])
    seen = source(data, "mine")
    recorded = check(data, init_from=seen.id, protocol=FAULTY)
    run = source(data, "asked", init_from=seen.id)
    environment = run.environment.model_copy(update={"ancestors": recorded})
    count = recorded[0].tested_images_seen
    run = replace(run, environment=environment)
    assert (
        f"{seen.id}, which this run learned from, was trained on {count} of the tested images"
        in (" ".join(run_properties.cautions(run)))
    )
    table = run_details_tables.provenance_table(run).set_index("What")["Value"]
    assert table["Learned from (tested images seen)"] == f"{seen.id} on mine ({count})"
    unknown = recorded[0].model_copy(update={"tested_images_seen": None})
    environment = run.environment.model_copy(update={"ancestors": (unknown,)})
    assert (
        "It is unknown whether" in run_properties.cautions(replace(run, environment=environment))[0]
    )
