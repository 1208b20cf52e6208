"""Interrupted trainings, and their resumption from a checkpoint."""

import errno
import json
import shutil

import numpy as np
import pytest

from fercore.errors import UserError
from fercore.runs.checks import check_run
from fercore.runs.locks import HOST
from fercore.runs.reader import read_run
from fercore.runs.schema import FORMAT_VERSION
from fercore.runs.writer import RunWriter
from tests.format_1 import downgrade_run
from tests.tiny import make_splits, small_config

pytestmark = [pytest.mark.keras, pytest.mark.usefixtures("no_export")]

AUGMENTED = {"rotation": 10, "horizontal_flip": True}


def train(config, splits, writer, **options):
    from fercore.training.trainer import train

    return train(config, splits, writer, command="fercore train tiny", **options)


def test_a_resumed_run_equals_an_uninterrupted_one(splits, tmp_path):
    optimizer = {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True}
    config = small_config(
        augmentation=AUGMENTED,
        schedule={"kind": "cosine"},
        optimizer=optimizer | {"ema_momentum": 0.9},
    )
    uninterrupted = RunWriter.create(tmp_path, config)
    train(config, splits, uninterrupted)

    interrupted_run = RunWriter.create(tmp_path, config)

    def interrupt(progress):
        if progress.epoch == 2 and progress.step > 5:
            raise KeyboardInterrupt

    results = train(config, splits, interrupted_run, on_progress=interrupt)
    assert results.stopped_by == "interrupt"
    assert results.epochs_run == 1
    assert check_run(interrupted_run.path) == []

    results = train(config, splits, RunWriter(interrupted_run.path), resume=True)
    assert results.stopped_by == "epochs"
    sessions = read_run(interrupted_run.path).environment.sessions
    assert [(session.first_epoch, session.host) for session in sessions] == [(1, HOST), (2, HOST)]
    expected, log = read_run(uninterrupted.path).log(), read_run(interrupted_run.path).log()
    assert [row.epoch for row in log] == [1, 2, 3]
    for left, right in zip(expected, log, strict=True):
        assert right.learning_rate == left.learning_rate
        assert right.loss == pytest.approx(left.loss, rel=1e-6)
        assert right.val_loss == pytest.approx(left.val_loss, rel=1e-6)
    assert check_run(interrupted_run.path) == []


def test_epochs_that_were_not_saved_are_trained_again(splits, tmp_path, monkeypatch):
    """As on a GPU, where saving every epoch would take as long as training it."""
    config = small_config(keep="last", epochs=4)
    writer = RunWriter.create(tmp_path, config)
    monkeypatch.setattr("fercore.training.trainer.SAVE_SECONDS", 1000)

    def interrupt(progress):
        if progress.epoch == 3 and progress.step > 5:
            raise KeyboardInterrupt

    results = train(config, splits, writer, on_progress=interrupt)
    assert (results.epochs_run, results.selection.epoch) == (1, 1)
    stopped = read_run(writer.path)
    assert [row.epoch for row in stopped.log()] == [1]
    assert stopped.status.epoch == 1
    assert check_run(writer.path) == []
    results = train(config, splits, RunWriter(writer.path), resume=True)
    assert (results.epochs_run, results.selection.epoch) == (4, 4)
    assert [row.epoch for row in read_run(writer.path).log()] == [1, 2, 3, 4]
    monkeypatch.setattr("fercore.training.trainer.SAVE_SECONDS", 0)
    every = RunWriter.create(tmp_path, config)
    assert train(config, splits, every, on_progress=interrupt).epochs_run == 2


def test_an_epoch_in_the_log_without_a_checkpoint_is_trained_again(splits, tmp_path):
    """A process that is killed between the two writes leaves such a log."""
    config = small_config()
    writer = RunWriter.create(tmp_path, config)
    train(config.model_copy(update={"epochs": 2}), splits, writer)
    log = writer.path / "log.jsonl"
    orphan = json.loads(log.read_text().splitlines()[-1]) | {"epoch": 3, "val_accuracy": 1.0}
    log.write_text(log.read_text() + json.dumps(orphan) + "\n" + '{"epoch": 4, "lo')
    results = train(config, splits, RunWriter(writer.path), resume=True)
    rows = read_run(writer.path).log()
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert rows[2].val_accuracy == pytest.approx(results.selection.value) or (
        rows[2].val_accuracy < results.selection.value < 1
    )


def test_an_interrupt_after_the_last_epoch_does_not_shorten_the_run(splits, tmp_path):
    config = small_config(epochs=2)
    writer = RunWriter.create(tmp_path, config)

    def interrupt(progress):
        if progress.row and progress.row.epoch == 2:
            raise KeyboardInterrupt

    results = train(config, splits, writer, on_progress=interrupt)
    assert (results.stopped_by, results.epochs_run) == ("epochs", 2)
    assert read_run(writer.path).completed


def test_a_run_interrupted_in_its_first_epoch_can_be_resumed(splits, tmp_path):
    config = small_config()
    writer = RunWriter.create(tmp_path, config)

    def interrupt(progress):
        if progress.step > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, splits, writer, on_progress=interrupt)
    run = read_run(writer.path)
    assert (run.state, run.can_resume, run.has_no_progress) == ("interrupted", True, True)
    (writer.path / "log.jsonl").write_text('{"epoch": 1, "lo')
    longer = small_config(epochs=4)
    train(longer, splits, RunWriter.claim(writer.path), resume=True)
    assert check_run(writer.path) == []
    run = read_run(writer.path)
    assert (run.config, [row.epoch for row in run.log()]) == (longer, [1, 2, 3, 4])


@pytest.fixture(scope="module")
def interrupted_once(tmp_path_factory):
    """Return the folder of a run of three epochs that was interrupted in the third."""

    def interrupt(progress):
        if progress.epoch == 3 and progress.step > 3:
            raise KeyboardInterrupt

    writer = RunWriter.create(tmp_path_factory.mktemp("interrupted"), small_config())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fercore.training.trainer.SAVE_SECONDS", 0)
        patch.setattr("fercore.training.onnx_export.is_available", lambda: False)
        train(small_config(), make_splits(), writer, on_progress=interrupt)
    return writer.path


@pytest.fixture
def interrupted(interrupted_once, tmp_path, monkeypatch):
    """Return the folder of a copy of that run, which the test may resume."""
    monkeypatch.setattr("fercore.training.trainer.SAVE_SECONDS", 0)
    return shutil.copytree(interrupted_once, tmp_path / interrupted_once.name)


def test_a_run_of_format_1_is_resumed_and_written_in_the_present_format(splits, interrupted):
    path = interrupted
    present = (path / "config.json").read_text()
    downgrade_run(path)
    assert '"honest": true' in (path / "config.json").read_text()
    run = read_run(path)
    assert run.experiment.is_same_experiment(small_config())
    train(run.experiment, splits, RunWriter.claim(path), resume=True)
    again = read_run(path)
    assert [row.epoch for row in again.log()] == [1, 2, 3]
    assert (path / "config.json").read_text() == present
    assert again.environment.format_version == again.results.format_version == FORMAT_VERSION
    assert check_run(path) == []


def damage(path, line):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = b'{"epoch": 1, "los\x00\n'
    path.write_bytes(b"".join(lines))


def test_a_damaged_log_is_restored_from_the_checkpoint(splits, interrupted):
    path = interrupted
    before = read_run(path).log()
    damage(path / "log.jsonl", 0)
    # Weights of another epoch, as a kill between two files used to leave.
    (path / "checkpoints" / "best.npz").unlink()
    notes = []
    results = train(
        small_config(),
        splits,
        RunWriter.claim(path),
        resume=True,
        on_progress=lambda progress: notes.append(progress.note),
    )
    assert [note for note in notes if note] == [
        "log.jsonl is damaged; its rows are restored from the checkpoint"
    ]
    log = read_run(path).log()
    assert log[:2] == before
    assert [row.epoch for row in log] == [1, 2, 3]
    best = max(log, key=lambda row: (row.val_accuracy, -row.epoch))
    assert results.selection.epoch == best.epoch
    assert check_run(path) == []


def test_a_checkpoint_of_an_earlier_version_needs_its_log_and_best_weights(splits, interrupted):
    """Earlier versions stored them in separate files."""
    path = interrupted
    last, best = (path / "checkpoints" / f"{name}.npz" for name in ("last", "best"))
    with np.load(last) as stored:
        arrays = {name: stored[name] for name in stored.files if name[0] in "0e"}
    np.savez(last, **arrays)
    content = (path / "log.jsonl").read_bytes()
    damage(path / "log.jsonl", 0)
    with pytest.raises(UserError, match=r"received 0 epochs in order, expected the epochs 1 to 2"):
        train(small_config(), splits, RunWriter.claim(path), resume=True)
    (path / "log.jsonl").write_bytes(content)
    with np.load(best) as stored:
        np.savez(best, **dict(stored) | {"epoch": np.int64(3)})
    with pytest.raises(UserError, match=r"is of epoch 3, but last\.npz is of epoch 2"):
        train(small_config(), splits, RunWriter.claim(path), resume=True)
    with np.load(best) as stored:
        np.savez(best, **dict(stored) | {"epoch": np.int64(1)})
    train(small_config(), splits, RunWriter.claim(path), resume=True)
    assert check_run(path) == []


def test_a_run_can_be_resumed_after_a_full_disk(splits, tmp_path, monkeypatch):
    config = small_config()
    writer = RunWriter.create(tmp_path, config)
    append = writer.append_log

    def fill(row):
        if row.epoch == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(row)

    monkeypatch.setattr(writer, "append_log", fill)
    with pytest.raises(OSError, match="No space left"):
        train(config, splits, writer)
    run = read_run(writer.path)
    assert run.state == "failed"
    assert [row.epoch for row in run.log()] == [1]
    results = train(config, splits, RunWriter(writer.path), resume=True)
    assert results.epochs_run == 3
    assert check_run(writer.path) == []
