"""Test `fercore train`: from the first minute to interrupts, resumptions and limits of time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fercore.config.loading import load_config
from fercore.runs.checks import check_run
from fercore.runs.listing import list_runs
from fercore.runs.locks import HOST
from fercore.runs.reader import read_run
from fercore.runs.writer import RunWriter
from tests.format_1 import downgrade_run

# A command in a process of its own, with few faces and without the exporter.
CALL = """
from fercore.cli import main
from fercore.data.datasets import synthetic
from fercore.training import onnx_export
synthetic.SIZES = {"train": 600, "validation": 140, "test": 140}
onnx_export.is_available = lambda: False
main()
"""


@pytest.mark.keras
@pytest.mark.usefixtures("few_faces")
def test_the_first_minute(fercore, tmp_path):
    """Train, list, show, check, evaluate, delete, on the synthetic faces."""
    status, out, err = fercore("train", "synthetic-quick", "--epochs", "2", "--seed", "4")
    assert status == 0, err
    assert "epoch   2/2" in out
    (run,) = list_runs(tmp_path / "runs")
    assert check_run(run.path) == []
    assert run.config.seed == 4
    assert run.environment.synthetic
    assert run.environment.command == "fercore train synthetic-quick --epochs 2 --seed 4"

    assert run.id in fercore("runs", "list")[1]
    assert "conv1" in fercore("runs", "show", run.id)[1]
    assert fercore("runs", "check", run.id)[0] == 0
    status, out, _ = fercore("evaluate", run.id, "--json")
    assert json.loads(out)["accuracy"] == run.results.splits["test"].accuracy
    assert fercore("evaluate", run.id, "--split", "sideways")[0] == 2
    status, out, _ = fercore("evaluate", run.id, "--tta", "--json")
    views = json.loads(out)
    assert views["tta"]
    assert fercore("ensemble", run.id)[2].count("expected two or more, or --tta") == 1
    status, out, err = fercore("ensemble", run.id, "--tta", "--name", "ten-views")
    assert status == 0, err
    (made,) = (run for run in list_runs(tmp_path / "runs") if run.origin == "combined")
    assert made.config.name == "ten-views"
    assert made.results.splits["test"].accuracy == views["accuracy"]
    assert made.environment.synthetic
    assert made.environment.command == f"fercore ensemble {run.id} --tta --name ten-views"
    assert fercore("runs", "check", made.id)[0] == 0
    assert "--tta --name ten-views" in fercore("runs", "show", made.id)[1]
    assert fercore("runs", "rm", made.id, "--yes")[0] == 0

    status, _, err = fercore("train", "--resume", run.id)
    assert status == 2
    assert "has all of its 2 epochs" in err
    status, out, err = fercore("train", "--resume", run.id, "--epochs", "3")
    assert status == 0, err
    assert [row.epoch for row in read_run(run.path).log()] == [1, 2, 3]
    assert read_run(run.path).config.epochs == 3
    assert fercore("train", "--resume", run.id, "--seed", "5")[0] == 2

    # Killed after its last epoch, a run is evaluated when it is resumed.
    (run.path / "results.json").unlink()
    assert fercore("runs", "check", run.id)[0] == 1
    status, _, err = fercore("train", "--resume", run.id)
    assert status == 0, err
    assert fercore("runs", "check", run.id)[0] == 0
    assert fercore("runs", "rm", run.id, "--yes")[0] == 0
    assert list_runs(tmp_path / "runs") == []


# One small convolution without augmentation, which begins to train in half the time.
SMALL_FIELDS = {
    "model": "rath2021",
    "model_options.variant": "one",
    "image.size": 16,
    "augmentation.rotation": 0,
    "augmentation.horizontal_flip": False,
}


SMALL = [
    word
    for field, value in SMALL_FIELDS.items()
    for word in (f"--{field.replace('_', '-')}", str(value).lower())
]


def wait_for_epochs(root, number, seconds=120):
    """Wait until the one run under this root has logged so many epochs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        runs = list_runs(root)
        if runs and len(runs[0].log()) >= number:
            return
        time.sleep(0.2)
    raise TimeoutError(f"no run of {number} epochs in {root}")


def interrupt_a_process(number, root, fercore):
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, "train", "synthetic-quick", "--epochs", "500", *SMALL],
        env=os.environ | {"FERCORE_RUNS": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_epochs(root, 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, err


def interrupt_this_process(number, root, fercore):
    """Spare a second process, which has to import Keras and to draw the faces."""

    def interrupt():
        wait_for_epochs(root, 2)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    sender = threading.Thread(target=interrupt)
    sender.start()
    try:
        return fercore("train", "synthetic-quick", "--epochs", "500", *SMALL)
    finally:
        sender.join()
        signal.signal(number, before)


@pytest.mark.keras
@pytest.mark.usefixtures("few_faces", "no_export")
@pytest.mark.parametrize(
    ("number", "interrupt"),
    [(signal.SIGINT, interrupt_a_process), (signal.SIGTERM, interrupt_this_process)],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_a_training_cleanly(fercore, tmp_path, number, interrupt):
    code, out, err = interrupt(number, tmp_path / "runs", fercore)
    assert code == 0, err
    assert "stopped by interrupt" in out
    assert "Traceback" not in out + err
    (run,) = list_runs(tmp_path / "runs")
    assert run.state == "finished"
    assert check_run(run.path) == []
    assert 2 <= run.results.epochs_run < 500


def test_a_run_without_its_checkpoint_stays_as_it_is(fercore, tmp_path):
    """As in a clone: a request for more epochs must not change the run."""
    writer = RunWriter.create(tmp_path / "runs", load_config("synthetic-quick"))
    writer.set_status(state="interrupted", message="stopped", epoch=2)
    writer.release()
    before = {path.name: path.read_bytes() for path in writer.path.iterdir() if path.is_file()}
    status, _, err = fercore("train", "--resume", writer.path.name, "--epochs", "100")
    assert status == 2
    assert "has no checkpoint to resume from" in err
    assert before == {
        path.name: path.read_bytes() for path in writer.path.iterdir() if path.is_file()
    }


@pytest.mark.keras
def test_only_one_of_two_simultaneous_resumptions_trains(tmp_path):
    """The run was killed before its first epoch, so it is trained from the start."""
    config = load_config("synthetic-quick", SMALL_FIELDS | {"epochs": 2})
    RunWriter.create(tmp_path, config).release()
    (run,) = list_runs(tmp_path)
    assert (run.state, run.problem) == ("interrupted", "")
    command = [sys.executable, "-m", "fercore", "train", "--resume", run.id]
    both = [
        subprocess.Popen(
            [*command, "--runs-root", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in both]
    finally:
        for process in both:
            process.kill()
    assert sorted(process.returncode for process in both) == [0, 2]
    loser = both[0].returncode == 0
    winner = both[not loser]
    error = outputs[loser][1]
    assert f"{run.id} is in use by process {winner.pid} on {HOST}" in error
    assert error.count("\n") == 1
    assert [row.epoch for row in run.log()] == [1, 2]
    assert check_run(run.path) == []
    trained = read_run(run.path)
    assert trained.state == "finished"
    assert trained.environment.command == f"fercore train {run.id}/config.json"
    assert [session.first_epoch for session in trained.environment.sessions] == [1]


@pytest.mark.keras
@pytest.mark.usefixtures("few_faces", "no_export")
def test_a_run_of_format_1_is_resumed_by_the_command(fercore, tmp_path):
    writer = RunWriter.create(tmp_path / "runs", load_config("synthetic-quick", {"epochs": 1}))
    writer.release()
    present = (writer.path / "config.json").read_bytes()
    downgrade_run(writer.path)
    assert (writer.path / "config.json").read_bytes() != present
    status, _, err = fercore("train", "--resume", writer.path.name)
    assert status == 0, err
    run = read_run(writer.path)
    assert (run.state, run.completed) == ("finished", True)
    assert (writer.path / "config.json").read_bytes() == present
    assert check_run(writer.path) == []
