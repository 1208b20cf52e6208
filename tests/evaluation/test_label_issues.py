"""Doubtful labels: from the runs of all folds to a CSV file, and training without its images."""

import csv
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fercore.cli import main
from fercore.config.loading import load_config
from fercore.data.splits import Splits
from fercore.data.splitting import split_dataset
from fercore.errors import UserError
from fercore.evaluation.label_issues import collect, find, runs_of
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import evaluate_predictions, predictions_of
from fercore.reproduction import ablations, goals, papers
from fercore.runs.listing import list_runs
from fercore.runs.provenance import describe_environment, now
from fercore.runs.reader import Run, read_run
from fercore.runs.schema import Results
from fercore.runs.writer import write_finished_run
from tests.tiny import make_splits, small_config, tiny_config

FOLDS = 3


def noisy() -> tuple[Splits, dict[str, int]]:
    """The tiny dataset with 30 wrong training labels, and the right labels of these images."""
    data = make_splits()
    train = data["train"]
    right = {str(train.ids[place]): int(train.labels[place]) for place in range(0, 600, 20)}
    train.labels[::20] = (train.labels[::20] + 1) % 7
    return data, right


def fold_config(fold: int, seed: int = 0, **changes: object):
    fields = {"name": "crossfit", "keep": "last", "epochs": 3}
    protocol = {"test": "train_fold", "folds": FOLDS, "fold": fold}
    protocol |= changes.pop("protocol", {})
    return tiny_config(**fields | changes, seed=seed, protocol=protocol)


def write_run(
    root: Path, config, data: Splits, right: dict[str, int], confidence: float = 0.9
) -> Run:
    """A finished run that gives the right class of each image this probability."""
    layout = build_protocol(config, data)

    def answers(split):
        truth = [
            right.get(name, label)
            for name, label in zip(split.ids.tolist(), split.labels.tolist(), strict=True)
        ]
        rest = (1 - confidence) / 6
        return (rest + (confidence - rest) * np.eye(7)[truth]).astype(np.float32)

    said = {role: answers(split) for role, split in layout.eval_splits.items()}
    predictions = predictions_of(layout, said)
    results = Results.model_validate(
        {
            "class_names": layout.class_names,
            "splits": evaluate_predictions(layout, predictions),
            "stopped_by": "epochs",
            "epochs_run": config.epochs,
            "finished": now(),
        }
    )
    environment = describe_environment(
        "test", data, layout, backend="none", device="none", precision="float32"
    )
    return read_run(write_finished_run(root, config, environment, predictions, results))


@pytest.fixture
def fercore(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fercore", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def test_the_command_finds_the_wrong_labels_and_writes_them(fercore, tmp_path):
    data, right = noisy()
    made = [
        write_run(tmp_path / "runs", fold_config(fold, seed), data, right)
        for seed in (0, 1)
        for fold in range(FOLDS)
    ]
    assert made[1].id.startswith("crossfit-s0-f1-")
    assert made[1].results.splits["test"].title == f"Training fold 2 of {FOLDS}"
    assert f"tested on Training fold 2 of {FOLDS}" in fercore("runs", "list")[1]
    file = tmp_path / "doubtful.csv"
    status, out, err = fercore("labels", "--experiment", "crossfit", "--csv", file)
    assert status == 0, err
    assert "most often suggested" in out
    assert f"--protocol.exclude {file}" in out
    rows = list(csv.DictReader(file.read_text().splitlines()))
    names = data.class_names
    labels = dict(zip(data["train"].ids.tolist(), data["train"].labels.tolist(), strict=True))
    assert {row["id"]: row["suggested"] for row in rows} == {
        name: names[label] for name, label in right.items()
    }
    for row in rows:
        assert row["label"] == names[labels[row["id"]]]
        assert float(row["self_confidence"]) == pytest.approx(0.1 / 6, abs=1e-3)
        assert float(row["probability_of_suggested"]) == pytest.approx(0.9, abs=1e-3)

    status, out, err = fercore("labels", *(run.id for run in made), "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["images"], found["doubtful"], found["share"]) == (600, 30, 0.05)
    assert sum(own["doubtful"] for own in found["classes"].values()) == 30
    assert sum(own["images"] for own in found["classes"].values()) == 600

    before = file.read_bytes()
    status, _, err = fercore("labels", "--experiment", "crossfit", "--csv", tmp_path / "no" / "x")
    assert status == 2
    assert "expected a file in a folder that exists" in err
    assert file.read_bytes() == before


def test_seeds_are_averaged_and_the_least_confident_comes_first(tmp_path):
    data, right = noisy()
    unsure = min(right)
    for seed, confidence in enumerate((0.9, 0.7)):
        for fold in range(FOLDS):
            run = write_run(tmp_path, fold_config(fold, seed), data, right, confidence)
            answer_evenly(run, unsure)
    predictions = collect(runs_of("crossfit", list_runs(tmp_path)))
    assert sorted(predictions.ids.tolist()) == sorted(data["train"].ids.tolist())
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-3)
    highest = predictions.probabilities.max(axis=1)
    assert highest[predictions.ids != unsure] == pytest.approx(0.8, abs=1e-3)
    assert highest[predictions.ids == unsure] == pytest.approx(1 / 7, abs=1e-3)
    issues = find(predictions)
    confidences = [issue.self_confidence for issue in issues]
    assert confidences == sorted(confidences)
    assert set(right) - {unsure} <= {issue.id for issue in issues} <= set(right)


def answer_evenly(run: Run, name: str) -> None:
    """Let a run give one image the same probability of each class."""
    with np.load(run.path / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["test_probabilities"][arrays["test_ids"] == name] = 1 / 7
    np.savez_compressed(run.path / "predictions.npz", **arrays)


def test_a_class_without_images_is_no_obstacle(tmp_path):
    data, right = noisy()
    parts = {role: part.take(part.labels != 1) for role, part in data.parts.items()}
    without = replace(data, parts=parts)
    right = {name: label for name, label in right.items() if label != 1}
    for fold in range(FOLDS):
        write_run(tmp_path, fold_config(fold), without, right)
    issues = find(collect(list_runs(tmp_path)))
    assert {issue.id for issue in issues} == set(right) & set(parts["train"].ids.tolist())


def test_a_missing_or_repeated_fold_is_named_with_the_command_that_trains_it(fercore, tmp_path):
    data, right = noisy()
    made = [write_run(tmp_path / "runs", fold_config(fold), data, right) for fold in (0, 2)]
    status, _, err = fercore("labels", "--experiment", "crossfit")
    assert status == 2
    # The runs of this test have no log, which is said first.
    assert len([line for line in err.splitlines() if not line.startswith("note: ")]) == 1
    assert "1 of 3 runs are missing (fold 1 of seed 0, counted from 0)" in err
    words = shlex.split(err.partition("the first: fercore train ")[2])
    config, *options = words
    assert options == ["--seed", "0", "--protocol.fold", "1"]
    wanted = load_config(config, {"seed": "0", "protocol.fold": "1"})
    assert wanted == fold_config(1)
    again = write_run(tmp_path / "runs", fold_config(2), data, right)
    status, _, err = fercore("labels", *(run.id for run in (*made, again)))
    assert status == 2
    assert f"{made[1].id} and {again.id}, both of fold 2 and seed 0" in err
    # Of a repeated fold of an experiment the newest run counts.
    write_run(tmp_path / "runs", fold_config(1), data, right)
    assert fercore("labels", "--experiment", "crossfit")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected the runs of all folds, or --experiment NAME"),
        (["x", "--experiment", "y"], "and not both"),
        (["nope"], "received the run 'nope'"),
        (["--experiment", "nope"], "which has no finished run"),
        (["--experiment", "facet-tiny"], "is not tested on folds of the training split"),
        (["--experiment", "vgg-crossfit"], "fercore train vgg-crossfit --seed 0 --protocol.fold 0"),
    ],
)
def test_a_mistake_is_answered_in_one_line(fercore, arguments, message):
    status, out, err = fercore("labels", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_runs_that_do_not_belong_together_are_refused(tmp_path):
    data, right = noisy()
    first = write_run(tmp_path, fold_config(0), data, right)
    other_data = replace(data, fingerprint="another")
    changed = tiny_config(name="crossfit", keep="last")
    for other, message in (
        (
            write_run(tmp_path, fold_config(1, protocol={"split_seed": 1}), data, right),
            "split_seed",
        ),
        (write_run(tmp_path, fold_config(1, protocol={"folds": 4}), data, right), "folds"),
        (write_run(tmp_path, fold_config(1), other_data, right), "fingerprint"),
        (write_run(tmp_path, fold_config(1, batch_size=16), data, right), "different configs"),
        (write_run(tmp_path, changed, data, right), "not tested on a fold"),
        (write_run(tmp_path, fold_config(1, drop_classes=["fear"]), data, right), "without fear"),
    ):
        with pytest.raises(UserError, match=message):
            collect([first, other])
    stopped = write_run(tmp_path, fold_config(1), data, right)
    cut = stopped.results.model_copy(update={"stopped_by": "interrupt"})
    with pytest.raises(UserError, match=f"fercore train --resume {stopped.id}"):
        collect([first, replace(stopped, results=cut)])
    others = [write_run(tmp_path, fold_config(fold), data, right) for fold in (1, 2)]
    (others[1].path / "predictions.npz").unlink()
    with pytest.raises(UserError, match=r"predictions.npz is missing"):
        collect([first, *others])


def test_folds_that_were_divided_otherwise_are_found_by_their_images(tmp_path):
    data, right = noisy()
    runs = [write_run(tmp_path, fold_config(fold), data, right) for fold in range(FOLDS)]
    with np.load(runs[1].path / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["test_ids"][0] = runs[0].predictions("test").ids[5]
    np.savez_compressed(runs[1].path / "predictions.npz", **arrays)
    with pytest.raises(UserError, match="was tested in two folds"):
        collect(runs)
    again = [write_run(tmp_path, fold_config(fold, 1), data, right) for fold in range(FOLDS)]
    with pytest.raises(UserError, match="were tested on different images"):
        collect([*runs, *again])


def test_a_fold_of_an_experiment_counts_in_no_table():
    """Neither does a run from whose training images were excluded."""
    study = ablations.studies()[0]
    paper = "katkar2021-model2-original"
    for plain, count in (
        (load_config("facet-base"), lambda runs: goals.runs_of("facet-base", runs)),
        (load_config(paper), lambda runs: papers.runs_of(paper, runs)),
        (
            ablations.config_of(study, study.changes[0]),
            lambda runs: ablations.runs_of(study, study.changes[0], runs),
        ),
    ):
        still = {
            "keep": "last",
            "schedule": {"kind": "constant"},
            "early_stopping": plain.early_stopping.model_copy(update={"patience": 0}),
        }
        folded = type(plain).model_validate(
            plain.model_dump()
            | still
            | {"protocol": plain.protocol.model_dump() | {"test": "train_fold"}}
        )
        without = plain.model_copy(
            update={"protocol": plain.protocol.model_copy(update={"exclude": "./x.csv"})}
        )
        results = Results.model_construct(
            stopped_by="epochs", epochs_run=plain.epochs, finished="2026-01-01"
        )
        for config, expected in ((plain, 1), (folded, 0), (without, 0)):
            run = Run(Path("x"), "finished", config, results=results)
            assert len(count([run])) == expected


@pytest.mark.keras
@pytest.mark.usefixtures("no_export")
def test_the_whole_chain(fercore, tmp_path):
    """Train every fold, find the wrong labels, train without them."""
    from fercore.runs.writer import RunWriter
    from fercore.training.trainer import train

    data, right = noisy()
    root = tmp_path / "runs"
    for fold in range(FOLDS):
        config = fold_config(fold, epochs=6)
        train(config, data, RunWriter.create(root, config), command="test")
    file = tmp_path / "doubtful.csv"
    status, _, err = fercore("labels", "--experiment", "crossfit", "--csv", file)
    assert status == 0, err
    rows = list(csv.DictReader(file.read_text().splitlines()))
    found = {row["id"] for row in rows}
    assert len(found & set(right)) >= 24
    assert len(found - set(right)) <= 30
    config = small_config(protocol={"exclude": str(file)}, epochs=1)
    writer = RunWriter.create(root, config)
    train(config, data, writer, command="test")
    environment = read_run(writer.path).environment
    assert environment.excluded_images == len(found)
    assert sum(environment.dataset_counts["Training"].values()) == 600 - len(found)
    assert len(split_dataset(config, data)["test"]) == 140
