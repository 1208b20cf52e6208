"""Averages of stored probabilities, and members selected by their accuracy on validation data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fercore import cli
from fercore.config.run import Combination, CombinedConfig, ImportedConfig, ImportSource, RunConfig
from fercore.errors import UserError
from fercore.evaluation.ensemble_selection import (
    average_probabilities,
    find_candidates,
    select_members,
    stored_predictions,
)
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import (
    evaluate_predictions,
    fit_validation_temperature,
    predictions_of,
)
from fercore.inference.ensemble import combine
from fercore.inference.predictor import RunClassifier
from fercore.runs import writer
from fercore.runs.checks import check_run
from fercore.runs.listing import list_runs
from fercore.runs.provenance import describe_environment
from fercore.runs.reader import read_run
from fercore.runs.schema import Results
from tests.tiny import make_probabilities, make_splits, tiny_config

DATA = make_splits()
NAMES = [f"member-{letter}" for letter in "abcdef"]


def write_run(root, config, probabilities, stopped_by="epochs", data=DATA, **changes):
    """Write a finished run with the given probabilities by role."""
    protocol = build_protocol(config, data)
    said = predictions_of(protocol, probabilities)
    results = Results(
        class_names=list(protocol.class_names),
        splits=evaluate_predictions(protocol, said),
        stopped_by=stopped_by,
        epochs_run=3,
        parameters=10,
        trainable_parameters=10,
        finished="2026-01-01T00:00:00+00:00",
        temperature=fit_validation_temperature(protocol, said),
    )
    found = describe_environment(
        "it", data, protocol, backend="numpy", device="CPU", precision="float32"
    )
    environment = found.model_copy(update=changes)
    return read_run(writer.write_finished_run(root, config, environment, said, results))


def random_probabilities(role, seed, strength=1.5):
    """Probabilities that are right more often than not."""
    labels = DATA[role].labels
    logits = np.random.default_rng(seed).normal(size=(len(labels), 7))
    logits[np.arange(len(labels)), labels] += strength
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def both(seed):
    return {role: random_probabilities(role, seed + 100 * (role == "test")) for role in ROLES}


ROLES = ("validation", "test")


@pytest.fixture
def root(tmp_path):
    """Six finished runs on the tiny dataset."""
    for seed, name in enumerate(NAMES):
        write_run(tmp_path / "runs", tiny_config(name=name), both(seed))
    return tmp_path / "runs"


@pytest.fixture
def fercore(root, capfd, monkeypatch):
    """Run a command; exit status, standard output, standard error."""
    monkeypatch.setattr(
        "fercore.data.registry.load_dataset", lambda name, data: replace(DATA, name=name)
    )

    def run(*arguments):
        words = [*arguments, "--runs-root", str(root)]
        monkeypatch.setattr("sys.argv", ["fercore", *words])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out = capfd.readouterr()
        assert "Traceback" not in out.err
        return exit_.value.code, out.out, out.err

    return run


def names_of(steps):
    return [step.run.config.name for step in steps]


def selected(root, size, average="geometric"):
    candidates = find_candidates(root, list_runs(root), DATA, skip_unsuitable=True)
    return select_members(candidates, size, average)


def view_config(run, members=None, **changes):
    """The config of ten views of a run."""
    shared = run.config.model_dump(include=set(RunConfig.model_fields))
    own = Combination(members=members or (run.id,), tta="ten_view")
    return CombinedConfig.model_validate(shared | {"combined": own} | changes)


def test_the_two_means_of_probabilities():
    one = np.array([[0.8, 0.2], [1, 0]], np.float32)
    other = np.array([[0.4, 0.6], [0.5, 0.5]], np.float32)
    mean = average_probabilities([one, other], "arithmetic")
    assert mean == pytest.approx(np.array([[0.6, 0.4], [0.75, 0.25]]))
    geometric = average_probabilities([one, other], "geometric")
    roots = np.sqrt([[0.8 * 0.4, 0.2 * 0.6], [0.5, 1e-7 * 0.5]])
    assert geometric == pytest.approx(roots / roots.sum(axis=1, keepdims=True), rel=1e-5)
    assert geometric.dtype == mean.dtype == np.float32
    assert np.isfinite(geometric).all()


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
def test_each_step_adds_the_best_candidate_on_the_validation_split(root, average):
    steps = selected(root, 6, average)
    labels = DATA["validation"].labels
    stored = {
        run.id: stored_predictions(run, "validation", DATA["validation"]).probabilities
        for run in list_runs(root)
    }
    chosen, best = [], 0
    for step in steps:
        right = {
            run_id: int(
                (
                    average_probabilities([stored[name] for name in (*chosen, run_id)], average)
                    .astype(np.float16)
                    .argmax(axis=1)
                    == labels
                ).sum()
            )
            for run_id in stored
            if run_id not in chosen
        }
        assert right[step.run.id] == max(right.values()) > best
        assert step.accuracy == pytest.approx(right[step.run.id] / len(labels))
        chosen.append(step.run.id)
        best = right[step.run.id]
    assert len(steps) >= 3
    assert len({step.run.id for step in steps}) == len(steps)
    assert names_of(selected(root, 2, average)) == names_of(steps)[:2]


def test_of_equal_candidates_the_likelier_is_added_and_none_without_a_gain(tmp_path):
    labels = {role: DATA[role].labels for role in ROLES}
    for name, right, sure in (("a", 100, 0.5), ("b", 100, 0.88), ("c", 100, 0.6)):
        said = {role: make_probabilities(labels[role], right) for role in ROLES}
        for found in said.values():
            found[found > 0.5] = sure
            found[found < 0.1] = (1 - sure) / 6
        # Wrong answers are less sure, so that the surer network is the likelier.
        for found in said.values():
            found[right:] = 1 / 7
        write_run(tmp_path, tiny_config(name=name), said)
    steps = selected(tmp_path, 3)
    assert names_of(steps) == ["b"]


def test_the_choice_does_not_depend_on_test_probabilities(root):
    before = names_of(selected(root, 4))
    for number, run in enumerate(list_runs(root)):
        file = run.path / "predictions.npz"
        with np.load(file) as stored:
            arrays = dict(stored)
        shape = arrays["test_probabilities"].shape
        noise = np.random.default_rng(number).dirichlet(np.ones(7), shape[0])
        arrays["test_probabilities"] = noise.astype(np.float16)
        if number == 0:
            arrays["test_probabilities"][:] = np.nan
        np.savez_compressed(file, **arrays)
    assert names_of(selected(root, 4)) == before


def test_a_run_and_its_ten_views_are_one_member(root):
    steps = selected(root, 6)
    run = steps[0].run
    # A bit better than the run itself, so that it takes its place.
    said = both(NAMES.index(run.config.name))
    labels = DATA["validation"].labels
    wrong = np.flatnonzero(said["validation"].argmax(axis=1) != labels)[:3]
    said["validation"][wrong] = make_probabilities(labels, len(labels))[wrong]
    views = write_run(root, view_config(run, name="views"), said)
    chosen = [step.run.id for step in selected(root, 7)]
    assert chosen[0] == views.id
    assert run.id not in chosen


def test_unsuitable_runs_are_no_candidates(root):
    def config(name, **changes):
        return tiny_config(name=name, **changes)

    (run, other, *_) = list_runs(root)
    suited = {found.id for found in list_runs(root)}
    dishonest = {"test": "merged", "select_on": "test", "leak_free": False}
    protocol = build_protocol(config("any", protocol=dishonest), DATA).eval_splits
    source = ImportSource(kind="onnx", file="a", sha256="0", class_names=DATA.class_names)
    shared = run.config.model_dump(include=set(RunConfig.model_fields))
    imported = ImportedConfig.model_validate(shared | {"name": "imported", "imported": source})
    validation_twice = dict.fromkeys(ROLES, random_probabilities("validation", 1))
    unsuitable = {
        "lets test images into the training": write_run(
            root,
            config("merged", protocol=dishonest),
            {role: make_probabilities(split.labels, 9) for role, split in protocol.items()},
        ),
        "tested on the validation split": write_run(
            root, config("trial", protocol={"test": "validation"}, keep="last"), validation_twice
        ),
        "leaves out fear": write_run(root, config("dropped", drop_classes=("fear",)), both(1)),
        "not trained to its end here": write_run(root, config("stopped"), both(1), "interrupt"),
        "saw another tiny": write_run(
            root, config("changed"), both(1), dataset_fingerprint="another"
        ),
        "is on other": write_run(
            root, config("elsewhere", dataset="other"), both(1), data=replace(DATA, name="other")
        ),
        "not trained": write_run(root, imported, both(1)),
        "an ensemble of several": write_run(
            root, view_config(run, (run.id, other.id), name="two"), both(1)
        ),
        "whose network gone is not under": write_run(
            root, view_config(run, ("gone",), name="orphan"), both(1)
        ),
    }
    shuffled = write_run(root, config("shuffled"), both(1))
    stored = dict(np.load(shuffled.path / "predictions.npz"))
    np.savez_compressed(
        shuffled.path / "predictions.npz", **stored | {"test_ids": stored["test_ids"][::-1]}
    )
    unsuitable["test predictions for other samples"] = shuffled
    # Views of a run that is none are none.
    views = write_run(root, view_config(unsuitable["tested on the validation split"]), both(1))
    unsuitable["which is tested on the validation"] = views

    candidates = find_candidates(root, list_runs(root), DATA, skip_unsuitable=True)
    assert {found.id for found in candidates} == suited
    for message, found in unsuitable.items():
        with pytest.raises(UserError, match=message):
            find_candidates(root, [run, found], DATA, skip_unsuitable=False)
    with pytest.raises(UserError, match="a run twice"):
        find_candidates(root, [run, run], DATA, skip_unsuitable=False)
    with pytest.raises(UserError, match="received 1 candidates"):
        find_candidates(root, [run], DATA, skip_unsuitable=False)
    drawn = config("drawn", protocol={"split": "random"})
    said = {
        role: make_probabilities(split.labels, 9)
        for role, split in build_protocol(drawn, DATA).eval_splits.items()
    }
    with pytest.raises(UserError, match="divides tiny differently"):
        find_candidates(root, [run, write_run(root, drawn, said)], DATA, skip_unsuitable=False)
    # Among all runs, those that divide the dataset otherwise are left out.
    fold = config("fold", protocol={"test": "train_fold", "folds": 3}, keep="last")
    judged = build_protocol(fold, DATA).eval_splits
    write_run(
        root, fold, {role: make_probabilities(split.labels, 9) for role, split in judged.items()}
    )
    candidates = find_candidates(root, list_runs(root), DATA, skip_unsuitable=True)
    assert {found.id for found in candidates} == suited


def test_stored_probabilities_make_a_run_without_a_network(root, tmp_path):
    members = list_runs(root)[:3]
    made = combine(
        members,
        DATA,
        tmp_path / "new",
        name="three",
        title="Three",
        tta="none",
        command="it",
        average="geometric",
        network=False,
        candidates=6,
    )
    run = read_run(made)
    assert check_run(made) == []
    assert not (made / "model.onnx").exists()
    assert run.results.onnx is None
    assert run.results.parameters == 30
    assert run.results.temperature != 1
    assert set(run.results.splits) == {"validation", "test", "test_unique"}
    combined = run.config.combined
    assert (combined.average, combined.selected_on, combined.candidates) == (
        "geometric",
        "validation",
        6,
    )
    # Members and result are stored in half precision: within 1e-3 of the unrounded average.
    for role in ROLES:
        exact = average_probabilities(
            [both(NAMES.index(member.config.name))[role] for member in members], "geometric"
        )
        assert run.predictions(role).probabilities == pytest.approx(exact, abs=1e-3)
    with pytest.raises(UserError, match=r"has no network \(model.onnx\) here"):
        RunClassifier(run)


def test_predictions_that_do_not_fit_leave_nothing(root, tmp_path):
    first, second, *_ = list_runs(root)

    def refused(other, match, tta="none"):
        with pytest.raises(UserError, match=match):
            combine(
                [first, other],
                DATA,
                tmp_path / "new",
                name="it",
                title="It",
                tta=tta,
                command="it",
                network=False,
            )

    changed = second.environment.model_copy(update={"dataset_fingerprint": "another"})
    refused(replace(second, environment=changed), "another tiny")
    refused(replace(second, results=None, state="running"), "expected a finished run")
    refused(second, "without networks", tta="ten_view")
    stored = dict(np.load(second.path / "predictions.npz"))
    file = second.path / "predictions.npz"
    np.savez_compressed(file, **stored | {"test_probabilities": 2 * stored["test_probabilities"]})
    refused(second, "expected probabilities that sum to 1")
    np.savez_compressed(file, **stored | {"test_ids": stored["test_ids"][::-1]})
    refused(second, "other samples")
    file.unlink()
    refused(second, "no readable validation predictions")
    assert not (tmp_path / "new").exists()


def test_combined_runs_from_before_the_selection_are_read(root):
    (run, *_) = list_runs(root)
    fields = json.loads(view_config(run).model_dump_json())
    for new in ("average", "selected_on", "candidates"):
        del fields["combined"][new]
    combined = CombinedConfig.model_validate(fields).combined
    assert (combined.average, combined.selected_on) == ("arithmetic", None)
    with pytest.raises(ValueError, match="expected both or neither"):
        Combination(members=("a",), candidates=3)


def test_the_command_selects_and_says_each_step(root, fercore):
    steps = selected(root, 3)
    words = ("ensemble", "--select", "3", "--mean", "geometric", "--dataset", "tiny")
    status, out, err = fercore(*words)
    assert status == 0, err
    assert "6 candidates, geometric mean, selected on PublicTest" in out
    for step in steps:
        assert step.run.id in out
        assert f"{100 * step.accuracy:.2f}" in out
    (run,) = (found for found in list_runs(root) if found.origin == "combined")
    assert run.config.name == "ensemble-selected"
    assert run.config.title == "Ensemble of 3 networks, selected on PublicTest"
    assert run.config.combined.members == tuple(step.run.id for step in steps)
    assert run.config.combined.candidates == 6
    assert run.results.splits["validation"].accuracy == steps[-1].accuracy
    assert fercore("runs", "check", run.id)[0] == 0
    # The new run is an ensemble: the next selection has the same candidates.
    assert "6 candidates" in fercore(*words)[1]

    chosen = [found.id for found in list_runs(root) if found.origin == "trained"][:3]
    status, out, err = fercore("ensemble", *chosen, "--select", "2")
    assert status == 0, err
    assert "3 candidates, arithmetic mean" in out


def test_runs_without_networks_are_averaged_from_stored_predictions(root, fercore):
    first, second = (run.id for run in list_runs(root)[:2])
    status, out, err = fercore("ensemble", first, second)
    assert status == 0, err
    assert "without a model.onnx" in out
    (run,) = (found for found in list_runs(root) if found.origin == "combined")
    assert run.config.combined.selected_on is None

    for words, message in (
        ((first, second, "--tta"), "has no network (model.onnx) here"),
        ((first, "--no-network"), "received one run, expected two or more"),
        ((), "received no run"),
        ((first, second, "--no-network", "--tta"), "received --tta with --no-network"),
        (("--select", "2", "--tta"), "received --tta with --select"),
        ((first, second, "--dataset", "tiny"), "--dataset belongs to --select"),
        (("--select", "1"), "greater than or equal to 2"),
        (("--select", "2", "--dataset", "ckplus"), "received 0 candidates on ckplus"),
        ((first, run.id, "--select", "2"), "an ensemble of several"),
    ):
        before = set(Path(root).iterdir())
        status, _, err = fercore("ensemble", *words)
        assert status == 2
        assert message in err
        assert set(Path(root).iterdir()) == before
