import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fercore.cli._options import recorded_command
from fercore.cli.train import refuse_other_epochs
from fercore.config.loading import load_config
from fercore.errors import UserError
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.writer import RunWriter
from tests.tiny import UntrainedRun


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
