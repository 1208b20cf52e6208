import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fercore.data import exclusion
from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import predictions_of
from fercore.runs.activity import gives_signs_of_life
from fercore.runs.checks import check_run
from fercore.runs.listing import completed_runs, find_run, list_runs
from fercore.runs.predictions import Predictions, common_groups
from fercore.runs.reader import Run, read_log, read_run
from fercore.runs.schema import Environment, EpochLog, Status
from fercore.runs.writer import RunWriter
from tests.tiny import UntrainedRun, make_probabilities, make_splits, tiny_config

ENVIRONMENT = Environment(
    command="fercore train tiny",
    started="2026-01-02T03:04:05+00:00",
    commit="",
    python="3.12",
    platform="Linux x86_64",
    packages={},
    backend="tensorflow",
    device="CPU",
    cores=2,
    precision="float32",
    dataset_fingerprint="0" * 16,
    dataset_counts={},
    synthetic=False,
)


def row(epoch, val_accuracy=0.5):
    return EpochLog(
        epoch=epoch,
        loss=1.0,
        accuracy=0.5,
        val_loss=1.0,
        val_accuracy=val_accuracy,
        learning_rate=1e-3,
        seconds=1.0,
        val_seconds=0.1,
        images_per_second=100.0,
        elapsed=1.1 * epoch,
    )


@pytest.fixture
def writer(tmp_path):
    made = RunWriter.create(tmp_path / "runs", tiny_config(seed=3))
    made.write_record(ENVIRONMENT)
    return made


def test_a_new_run_is_starting_and_named_after_its_experiment(writer):
    run = read_run(writer.path)
    assert run.state == "starting"
    assert run.problem == ""
    assert run.id.startswith("tiny-s3-")
    assert run.config.seed == 3


def test_two_runs_of_one_second_get_two_folders(tmp_path):
    made = {RunWriter.create(tmp_path, tiny_config()).path for _ in range(5)}
    assert len(made) == 5
    assert sorted(made) == sorted(run.path for run in list_runs(tmp_path))


def test_the_heartbeat_goes_on_by_itself_and_survives_a_full_disk(writer, monkeypatch):
    monkeypatch.setattr("fercore.runs.writer.HEARTBEAT_SECONDS", 0.01)
    calls = []

    def fail_once(name, content):
        calls.append(content["heartbeat"])
        if len(calls) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_json", fail_once)
    with writer:
        deadline = time.monotonic() + 5
        while len(calls) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(calls) >= 3
    assert calls == sorted(calls)


def test_a_torn_last_line_of_the_log_is_ignored(writer):
    writer.append_log(row(1))
    writer.append_log(row(2))
    with (writer.path / "log.jsonl").open("a") as file:
        file.write(row(3).model_dump_json()[:40])
    assert [r.epoch for r in read_log(writer.path)] == [1, 2]


def test_an_epoch_that_stands_twice_counts_once(writer):
    for entry in (row(1), row(2, 0.1), row(2, 0.9)):
        writer.append_log(entry)
    assert [(r.epoch, r.val_accuracy) for r in read_log(writer.path)] == [(1, 0.5), (2, 0.9)]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", "{", "config.json"),
        ("config.json", '{"name": "x"}', "config.json"),
        ("environment.json", "[]", "environment.json"),
        ("status.json", '{"state": "asleep"}', "status.json"),
        ("results.json", '{"format_version": 1}', "results.json"),
        ("results.json", "\x00\xff", "results.json"),
    ],
)
def test_a_broken_file_makes_a_row_that_says_so(writer, file, content, problem):
    (writer.path / file).write_text(content)
    run = read_run(writer.path)
    assert run.state == "broken"
    assert problem in run.problem
    assert "\n" not in run.problem


def test_foreign_folders_and_files_do_not_hide_the_runs(writer):
    root = writer.path.parent
    (root / "holiday-photos").mkdir()
    (root / "notes.txt").write_text("hello")
    (root / ".cache").mkdir()
    (root / "empty-config").mkdir()
    (root / "empty-config" / "config.json").mkdir()
    runs = {run.id: run for run in list_runs(root)}
    assert set(runs) == {writer.path.name, "holiday-photos", "empty-config"}
    assert "not a run directory" in runs["holiday-photos"].problem
    assert runs["holiday-photos"].log() == []
    assert runs["holiday-photos"].layers() == []
    assert runs["holiday-photos"].predictions("test") is None


def test_no_root_holds_no_runs(tmp_path):
    assert list_runs(tmp_path / "absent") == []


def test_which_images_repeat_is_stored_with_the_predictions(writer):
    """By a training, an import and a combination alike: `predictions_of` says it for all."""
    protocol = build_protocol(tiny_config(), make_splits())
    said = {
        role: make_probabilities(split.labels, 100) for role, split in protocol.eval_splits.items()
    }
    writer.write_predictions(predictions_of(protocol, said))
    run = read_run(writer.path)
    keep = run.predictions("test").unique
    assert keep.tolist() == [False] * 3 + [True] * 137
    assert run.predictions("validation").unique is None


def test_predictions_come_back_in_half_precision(writer):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 20).astype(np.float32)
    written = Predictions(
        np.array([f"PrivateTest_{i}" for i in range(20)]),
        np.arange(20, dtype=np.uint8) % 7,
        probabilities,
    )
    writer.write_predictions({"test": written})
    read = read_run(writer.path).predictions("test")
    assert list(read.ids) == list(written.ids)
    assert np.array_equal(read.labels, written.labels)
    assert np.abs(read.probabilities - probabilities).max() < 5e-4
    assert read_run(writer.path).predictions("validation") is None


def test_the_groups_of_dependent_samples_come_back(writer):
    ids = np.array([f"S{i // 5:03d}_{i}" for i in range(20)])
    groups = np.array([name[:4] for name in ids.tolist()])
    probabilities = np.full((20, 7), 1 / 7, np.float32)
    part = Predictions(ids, np.zeros(20, np.uint8), probabilities, groups, "subject")
    writer.write_predictions({"validation": part, "test": part})
    with np.load(writer.path / "predictions.npz") as stored:
        assert "validation_groups" not in stored  # the same samples are stored once
        arrays = dict(stored)
    read = read_run(writer.path).predictions("test")
    assert (read.groups.tolist(), read.group_kind) == (groups.tolist(), "subject")
    np.savez(writer.path / "predictions.npz", **arrays | {"test_groups": groups[:3]})
    assert read_run(writer.path).predictions("test") is None


@pytest.mark.parametrize(
    ("fields", "unknown"),
    [
        ({}, False),
        ({"dataset": "ckplus", "protocol": {"split": "random", "leak_free": False}}, True),
        ({"dataset": "my-faces", "protocol": {"split": "subjects"}}, True),
        ({"dataset": "my-faces", "protocol": {"split": "random"}}, False),
        (
            {
                "dataset": "my-faces",
                "protocol": {"split": "random", "leak_free": False, "copies": "before_split"},
                "augmentation": {"mode": "doubled", "rotation": 5},
            },
            True,
        ),
    ],
)
def test_a_run_of_dependent_images_without_groups_is_known(fields, unknown):
    told = UntrainedRun(tiny_config(**fields), right=100)
    assert told.groups_unknown == unknown
    test = told.results.splits["test"].model_copy(update={"groups": 9, "group_kind": "subject"})
    splits = told.results.splits | {"test": test}
    results = told.results.model_copy(update={"splits": splits})
    assert not Run(told.path, "finished", told.config, results=results).groups_unknown


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense"])
def test_damaged_predictions_are_absent_ones(writer, content):
    (writer.path / "predictions.npz").write_bytes(content)
    assert read_run(writer.path).predictions("test") is None


def test_a_failed_write_leaves_the_old_file_and_no_other(writer):
    before = (writer.path / "status.json").read_bytes()
    files = set(writer.path.iterdir())
    with pytest.raises(ValueError, match="Out of range float"):
        writer.write_json("status.json", {"loss": float("nan")})
    with pytest.raises(OSError, match="No space"):
        write_half_of_it(writer)
    assert (writer.path / "status.json").read_bytes() == before
    assert set(writer.path.iterdir()) == files


def write_half_of_it(writer):
    with writer.replacing("status.json") as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")


def test_a_root_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="--runs-root"):
        RunWriter.create(tmp_path / "file", tiny_config())


@pytest.mark.parametrize("name", ["../outside", "..", ".", "a/b", "", "no-such-run"])
def test_a_name_cannot_leave_the_root(writer, name):
    (writer.path.parent.parent / "outside").mkdir()
    with pytest.raises(UserError, match="fercore runs"):
        find_run(writer.path.parent, name)


def test_results_of_fewer_epochs_than_the_config_asks_for_are_no_end(writer):
    """As while a run goes on for more epochs than it began with."""

    def ended(stopped_by, epochs_run):
        fields = {"class_names": ["a"], "splits": {}, "finished": "2026-01-01T00:00:00+00:00"}
        fields |= {"stopped_by": stopped_by, "epochs_run": epochs_run}
        writer.write_json("results.json", fields)
        run = read_run(writer.path)
        assert run.results, run.problem
        return run.completed

    asked = read_run(writer.path).config.epochs
    assert ended("epochs", asked)
    assert not ended("epochs", asked - 1)
    assert ended("early stopping", asked - 1)
    assert not ended("interrupt", asked)


def test_a_run_is_found_by_name_and_by_path(writer, tmp_path):
    assert find_run(writer.path.parent, writer.path.name).path == writer.path
    assert find_run(tmp_path, str(writer.path)).path == writer.path


def test_a_check_compares_figures_matrix_and_predictions(tmp_path):
    committed = Path(__file__).parents[2] / "runs" / "rath2021-original-s0-20261121T060913"
    path = tmp_path / committed.name
    shutil.copytree(committed, path)
    assert check_run(path) == []
    said = (path / "predictions.npz").read_bytes()
    with np.load(path / "predictions.npz") as stored:
        arrays = dict(stored)
    few = {
        name: value[:10] if name.startswith("test") and value.ndim else value
        for name, value in arrays.items()
    }
    np.savez_compressed(path / "predictions.npz", **few)
    assert check_run(path)[0] == "predictions.npz: test gives another matrix than results.json"
    (path / "predictions.npz").write_bytes(said)
    other = arrays | {"test_unique": np.arange(len(arrays["test_ids"])) < 100}
    np.savez_compressed(path / "predictions.npz", **other)
    assert check_run(path) == [
        "predictions.npz: test_unique gives another matrix than results.json"
    ]
    (path / "predictions.npz").write_bytes(said)
    results = json.loads((path / "results.json").read_bytes())
    results["splits"]["test"]["accuracy"] = 0.99
    (path / "results.json").write_text(json.dumps(results))
    (problem,) = check_run(path)
    assert problem.startswith("results.json: test has accuracy 0.99, its matrix 0.8")


@pytest.mark.parametrize(
    "protocol",
    [{"test": "validation"}, {"select_on": "test", "leak_free": False}],
    ids=["tested on validation", "selected on test"],
)
def test_equal_splits_are_stored_once(tmp_path, protocol):
    fields = {"protocol": protocol, "keep": "last"}
    writer = RunWriter.create(tmp_path, tiny_config(**fields))
    part = Predictions(np.array(["a", "b"]), np.zeros(2, np.uint8), np.full((2, 7), 1 / 7))
    writer.write_predictions({"validation": part, "test": part})
    with np.load(writer.path / "predictions.npz") as stored:
        assert sorted(stored) == ["test_ids", "test_labels", "test_probabilities"]
    run = read_run(writer.path)
    assert list(run.predictions("validation").ids) == list(run.predictions("test").ids)
    other = Predictions(np.array(["c", "d"]), part.labels, part.probabilities)
    writer.write_predictions({"validation": other, "test": part})
    with np.load(writer.path / "predictions.npz") as stored:
        assert "validation_ids" in stored


def test_runs_without_other_images_are_another_experiment(tmp_path):
    """The file of `protocol.exclude` may change while its name stays."""
    listed = tmp_path / "doubtful.csv"
    listed.write_text("id\nTraining_00001\n")
    now = exclusion.read(str(listed)).sha256
    config = tiny_config(protocol={"exclude": str(listed)})

    def run(seed, sha256):
        told = UntrainedRun(config.model_copy(update={"seed": seed}), right=100)
        environment = ENVIRONMENT.model_copy(
            update={"excluded_sha256": sha256, "excluded_images": 1}
        )
        return replace(
            Run(told.path, "finished", told.config, results=told.results), environment=environment
        )

    runs = [run(0, "another"), run(1, now)]
    assert [own.seed for own, _ in completed_runs(config, runs)] == [1]
    listed.unlink()  # nobody knows any more: those of the newest have a mean in common
    assert len(completed_runs(config, runs)) == 1


@pytest.mark.parametrize(
    ("ids", "probabilities"),
    [
        *(((2, 2), (2, 8)), ((2,), (16,)), ((0,), (0, 8)), ((2,), (2, 0)), ((3,), (2, 8))),
        *(((2,), (2,)), ((2,), (2, 8, 1)), ((2,), (2, 7))),
    ],
)
def test_predictions_of_another_shape_are_none(tmp_path, ids, probabilities):
    committed = Path(__file__).parents[2] / "runs" / "rath2021-original-s0-20261121T060913"
    path = tmp_path / committed.name
    shutil.copytree(committed, path)
    np.savez_compressed(
        path / "predictions.npz",
        test_ids=np.full(ids, "a"),
        test_labels=np.zeros(ids, np.uint8),
        test_probabilities=np.zeros(probabilities, np.float16),
    )
    assert read_run(path).predictions("test") is None


@pytest.mark.parametrize(("age", "alive"), [(119.9, True), (120.0, False)])
def test_a_run_is_taken_for_alive_until_it_was_silent_for_two_minutes(
    tmp_path, monkeypatch, age, alive
):
    status = Status(state="running", heartbeat=time.time(), pid=1)
    (tmp_path / "status.json").write_text(status.model_dump_json())
    monkeypatch.setattr("fercore.runs.locks.seconds_since_written", lambda file: age)
    assert gives_signs_of_life(tmp_path, status) is alive


@pytest.mark.parametrize(
    ("code", "whole"), [(0xD7FF, True), (0xD800, False), (0xDFFF, False), (0xE000, True)]
)
def test_ids_that_no_text_can_hold_are_no_predictions(tmp_path, code, whole):
    committed = Path(__file__).parents[2] / "runs" / "rath2021-original-s0-20261121T060913"
    path = tmp_path / committed.name
    shutil.copytree(committed, path)
    np.savez_compressed(
        path / "predictions.npz",
        test_ids=np.full(2, code, np.uint32).view("<U1"),
        test_labels=np.zeros(2, np.uint8),
        test_probabilities=np.full((2, 8), 1 / 8, np.float16),
    )
    assert (read_run(path).predictions("test") is not None) is whole


def test_unreadable_predictions_are_one_problem(tmp_path):
    committed = Path(__file__).parents[2] / "runs" / "rath2021-original-s0-20261121T060913"
    path = tmp_path / committed.name
    shutil.copytree(committed, path)
    (path / "predictions.npz").write_bytes(b"PK\x03\x04nonsense")
    assert sum("predictions.npz" in problem for problem in check_run(path)) == 1


def test_groups_that_several_runs_know_keep_together_what_any_of_them_does():
    images = np.array(["a", "a", "b", "b", "c"])
    subjects = np.array([0, 1, 1, 2, 3])
    assert common_groups([(None, ""), (None, "")]) == (None, "")
    same, kind = common_groups([(images, "image"), (None, ""), (images.copy(), "image")])
    assert (same.tolist(), kind) == (images.tolist(), "image")
    merged, kind = common_groups([(images, "image"), (subjects, "subject")])
    assert kind == "subject"
    assert len(set(merged[:4].tolist())) == 1
    assert merged[4] != merged[0]
