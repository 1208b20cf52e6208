import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fercore.cli import main
from fercore.cli._options import recorded_command
from fercore.cli.train import refuse_other_epochs
from fercore.config.loading import load_config
from fercore.data.datasets import synthetic
from fercore.errors import UserError
from fercore.runs.checks import check_run
from fercore.runs.listing import list_runs
from fercore.runs.locks import HOST
from fercore.runs.reader import Run, read_run
from fercore.runs.writer import RunWriter
from tests.format_1 import downgrade_run
from tests.tiny import UntrainedRun

# A command in a process of its own, with few faces and without the exporter.
CALL = """
from fercore.cli import main
from fercore.data.datasets import synthetic
from fercore.training import onnx_export
synthetic.SIZES = {"train": 600, "validation": 140, "test": 140}
onnx_export.is_available = lambda: False
main()
"""


@pytest.fixture
def few_faces(monkeypatch):
    """Draw 880 synthetic faces, not 3,500: the networks need not get good at them."""
    monkeypatch.setattr(synthetic, "SIZES", {"train": 600, "validation": 140, "test": 140})
    monkeypatch.setattr(synthetic, "_draw_all", functools.cache(synthetic._draw_all.__wrapped__))


@pytest.fixture
def fercore(monkeypatch, tmp_path, capsys):
    """Return a function that runs a command in this process, with temporary roots."""
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fercore", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "expected an experiment"),
        (["train", "--seeds", "3"], "received --seeds, expected an experiment"),
        (["train", "synthetic-quick", "--seeds", "3", "--seed", "1"], "none of --resume"),
        (["train", "synthetic-quick", "--seeds", "3", "--minutes", "5"], "--minutes"),
        (["train", "synthetic-quick", "--minutes", "0"], "0.1"),
        (
            ["train", "synthetic-quick", "--distillation.teachers", '["x"]'],
            "received the teacher 'x'",
        ),
        (["ablate", "nope"], "received 'nope', expected one of: recipe, network"),
        (["train", "nope"], "expected a .toml file or one of"),
        (["train", "absent.toml"], "cannot be read"),
        (["train", "le2019-deep", "--epoch", "3"], "did you mean 'epochs'?"),
        (["train", "le2019-deep", "--epochs"], "without a value"),
        (["train", "le2019-deep", "--epochs", "x"], "received epochs = 'x'"),
        (["train", "le2019-deep", "20"], "expected one experiment and options"),
        (["train", "le2019-deep", "--drop-classes", "["], "not valid JSON"),
        (["train", "le2019-deep", "--model-options", "{"], "not valid JSON"),
        (["train", "le2019-deep", "--optimizer", "sgd"], "did you mean 'optimizer.name'?"),
        (["train", "le2019-deep", "--optimizer", '{"rate": 1}'], "field 'optimizer.rate'"),
        (["train", "le2019-deep"], "fercore data add fer2013 PATH"),
        (["train", "--resume", "nope"], "received the run 'nope'"),
        (["train", "synthetic-quick", "--drop-classes", '["contempt"]'], "contempt"),
        (["evaluate", "nope"], "received the run 'nope'"),
        (["ensemble", "nope"], "received the run 'nope'"),
        (["export", "nope"], "received the run 'nope'"),
        (["runs", "show", "../x"], "received the run '../x'"),
        (["runs", "rm", "nope", "--yes"], "received the run 'nope'"),
        (["data", "add", "fer2013", "/no/such/file.zip"], "does not exist"),
        (["data", "add", "nope", "x"], "expected one of"),
        (["data", "add", "synthetic", "x"], "nothing to add"),
        (["bogus"], "No such command"),
        (["runs", "list", "--bogus"], "No such option"),
    ],
)
def test_every_error_is_printed_on_one_line(fercore, arguments, message):
    status, out, err = fercore(*arguments)
    assert status == 2
    assert message in err
    assert err.startswith("fercore: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


def test_a_failed_request_leaves_no_run_behind(fercore, tmp_path):
    fercore("train", "le2019-deep")
    fercore("train", "synthetic-quick", "--augmentation.rotation", "999")
    assert list_runs(tmp_path / "runs") == []


def test_configs_print_the_papers_figures(fercore):
    status, out, _ = fercore("configs", "--json")
    assert status == 0
    figures = {c["name"]: (c["published"] or {}).get("test_accuracy") for c in json.loads(out)}
    assert figures["katkar2021-model2-generated"] == 57.91
    assert figures["le2019-deep"] == 65.55
    status, out, _ = fercore("configs")
    assert "57.91" in out


def test_empty_lists_name_the_next_command(fercore):
    assert "fercore train synthetic-quick" in fercore("runs", "list")[1]
    assert "fercore data add fer2013 PATH" in fercore("data", "list")[1]


def test_a_split_that_is_evaluated_twice_is_printed_once(fercore):
    """A run may have been tested on its validation split."""
    path = next((Path(__file__).parents[2] / "runs").glob("facet-screening-recipe-s0-*"))
    assert read_run(path).config.protocol.test == "validation"
    status, out, _ = fercore("runs", "show", str(path))
    assert status == 0
    assert len([line for line in out.splitlines() if line.startswith("PublicTest  ")]) == 1


def test_help_has_an_example_for_every_command(fercore):
    for command in (
        ["configs"],
        ["train"],
        ["evaluate"],
        ["ensemble"],
        ["export"],
        ["labels"],
        ["data", "add"],
        ["data", "list"],
        *(["runs", name] for name in ("list", "show", "check", "schema", "rm")),
    ):
        status, out, _ = fercore(*command, "--help")
        assert status == 0
        assert "Example: fercore " + " ".join(command) in " ".join(out.split()), command


def test_browsing_commands_import_no_framework():
    code = (
        "import sys; sys.argv = ['fercore', 'configs']\n"
        "from fercore.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'keras', 'tensorflow', 'jax', 'cleanlab'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_foreign_folder_and_a_torn_log_do_not_stop_the_list(fercore, tmp_path):
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    status, out, _ = fercore("runs", "list")
    assert status == 0
    assert "not a run directory" in " ".join(out.split())
    assert fercore("runs", "rm", "photos", "--yes")[0] == 2
    assert (tmp_path / "runs" / "photos").is_dir()


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
    assert trained.environment.command == f"fercore train {run.path / 'config.json'}"
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


def test_old_options_train_and_name_the_present_ones(fercore):
    status, _, err = fercore(
        *("train", "synthetic-quick", "--start-from", "R", "--distillation.asked", "once"),
        *("--protocol.honest", "false"),
    )
    assert status == 2
    assert err.splitlines()[:3] == [
        "note: --start-from is now --init-from",
        "note: --distillation.asked once is now --distillation.mode precomputed",
        "note: --protocol.honest is now --protocol.leak-free",
    ]
    assert "R" in err.splitlines()[3]


def test_a_finished_run_of_a_clone_has_all_its_epochs(fercore):
    run = "facet-tiny-s0-20261121T151906"
    status, _, err = fercore("train", "--resume", run, "--runs-root", "runs")
    assert status == 2
    assert "has all of its 80 epochs" in err
    # With another number of epochs, its learning rates would have been different from the start.
    for epochs, message in (
        ("100", "falls by a cosine over 80 epochs"),
        ("40", "80 epochs already"),
    ):
        status, _, err = fercore(
            "train", "--resume", run, "--epochs", epochs, "--runs-root", "runs"
        )
        assert status == 2
        assert message in err


def test_show_prints_why_a_run_has_no_results(fercore, tmp_path):
    writer = RunWriter.create(tmp_path / "runs", load_config("synthetic-quick"))
    writer.set_status(state="diverged", message="the training loss of epoch 3 is nan")
    status, out, _ = fercore("runs", "show", writer.path.name)
    assert status == 0
    assert out.startswith(f"{writer.path.name}: diverged (the training loss of epoch 3 is nan)")


def test_a_run_with_progressive_resizing_keeps_its_number_of_epochs(tmp_path):
    config = load_config("vgg-small", {"schedule.kind": "constant"})
    run = read_run(RunWriter.create(tmp_path, config).path)
    refuse_other_epochs(run, config)
    with pytest.raises(UserError, match=r"image size of .* grows within 60 epochs"):
        refuse_other_epochs(run, config.model_copy(update={"epochs": 80}))


@pytest.mark.keras
def test_a_network_that_cannot_be_resized_leaves_no_run(fercore, tmp_path):
    status, _, err = fercore("train", "synthetic-quick", "--progressive-resizing.size", "40")
    assert status == 2
    assert "depend on the image size" in err
    assert list_runs(tmp_path / "runs") == []


def test_missing_seeds_are_trained_one_by_one(fercore, monkeypatch):
    trained = {1}
    monkeypatch.setattr("fercore.cli.train.is_done", lambda config, runs: config.seed in trained)

    def do(job, runs, data):
        assert job.config.batch_size == 32
        trained.add(job.config.seed)
        begun.append(" ".join(job.words))

    begun: list[str] = []
    monkeypatch.setattr("fercore.cli.train.run_job", do)
    call = ("train", "synthetic-quick", "--batch-size", "32", "--seeds", "3")
    status, out, _ = fercore(*call)
    assert status == 0
    assert "synthetic-quick, seed 1: already trained" in out
    assert begun == [f"train synthetic-quick --batch-size 32 --seed {seed}" for seed in (0, 2)]


def test_a_training_that_ends_early_is_not_done(monkeypatch, tmp_path, capsys):
    from fercore.cli._scheduler import TrainingJob, run_job
    from fercore.config.loading import load_config
    from fercore.errors import UserError

    job = TrainingJob(load_config("synthetic-quick"), ("train", "synthetic-quick"))
    monkeypatch.setattr("fercore.cli._scheduler.subprocess.Popen", lambda *a, **k: None)
    for status, problem in ((0, "was stopped before its end"), (2, "ended with status 2")):
        monkeypatch.setattr(
            "fercore.cli._scheduler.wait_for_process", lambda process, timeout, s=status: s
        )
        with pytest.raises(UserError, match=problem):
            run_job(job, tmp_path, tmp_path)
    results = UntrainedRun(job.config, right=20).results.model_copy(
        update={"stopped_by": "not a number"}
    )
    lost = Run(tmp_path / "lost", "diverged", job.config, results=results)
    monkeypatch.setattr("fercore.cli._scheduler.wait_for_process", lambda process, timeout: 0)
    results_of_listing = iter([[], [lost], [lost]])
    monkeypatch.setattr("fercore.cli._scheduler.list_runs", lambda root: next(results_of_listing))
    with pytest.raises(UserError, match=r"lost diverged, .*; the same command will skip it"):
        run_job(job, tmp_path, tmp_path)
    run_job(job, tmp_path, tmp_path)
    assert "seed 0: skipped, lost diverged" in capsys.readouterr().out


CHILD = """
import signal, sys, time

def end(number, frame):
    time.sleep(0.5)
    print("it ends cleanly", flush=True)
    sys.exit()

signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys
from fercore.cli._scheduler import wait_for_process
try:
    wait_for_process(subprocess.Popen([sys.executable, "-c", sys.argv[1]]))
except KeyboardInterrupt:
    print("then we do", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_is_given_the_time_to_end(number):
    # SIGTERM comes to one process, Ctrl-C to all of a terminal's.
    command = [sys.executable, "-c", PARENT, CHILD]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "ready\n"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert output == "it ends cleanly\nthen we do\n"


def test_a_process_that_exceeds_its_time_is_stopped():
    from fercore.cli._scheduler import wait_for_process

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert wait_for_process(process, timeout=0.1) == -signal.SIGTERM


def test_numbers_in_a_networks_options_are_parsed():
    from fercore.cli._overrides import parse_request

    words = ["facet-tiny", "--model-options.squeeze", "0", "--model-options.pooling", "attention"]
    _, overrides = parse_request(words)
    assert overrides == {"model_options.squeeze": 0, "model_options.pooling": "attention"}


@pytest.mark.parametrize("root", [("--runs-root", "there"), ("--data-root=here",)], ids=str)
def test_a_recorded_command_names_no_folder_of_this_machine(monkeypatch, root):
    words = ["fercore", "ensemble", "one", *root, "--title", "Two words"]
    monkeypatch.setattr(sys, "argv", words)
    assert recorded_command() == "fercore ensemble one --title 'Two words'"
