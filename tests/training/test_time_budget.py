"""Time budgets: estimates, schedules that are given up, and a schedule that is shortened."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fercore.config.loading import load_config
from fercore.runs.checks import check_run
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from fercore.runs.schema import Environment, EpochLog
from fercore.training import time_budget
from fercore.training.time_budget import Device, ScheduleTooLong, TrainingBudget
from tests.tiny import UntrainedRun

HERE = Device(frozenset({"CPU A"}), "tensorflow", 2)
ENVIRONMENT = Environment(
    command="fercore train",
    started="2026-01-01T00:00:00+00:00",
    commit="",
    python="3",
    platform="Linux",
    packages={},
    backend="tensorflow",
    device="CPU A",
    cores=2,
    precision="float32",
    dataset_fingerprint="f",
    dataset_counts={},
    synthetic=False,
)


def finished(name: str, seconds: float, overhead: float, device: str = "CPU A", **results) -> Run:
    """Return a run with a training of `seconds` and `overhead` seconds before and after it."""
    run = UntrainedRun(load_config("facet-tiny", {"name": name}), right=100)
    minutes, rest = divmod(seconds + overhead, 60)
    end = f"2026-01-01T00:{minutes:02.0f}:{rest:02.0f}+00:00"
    changed = {"train_seconds": seconds, "finished": end, **results}
    return Run(
        Path(name),
        "finished",
        run.config,
        environment=ENVIRONMENT.model_copy(update={"device": device}),
        results=run.results.model_copy(update=changed),
    )


def row(epoch: int, val_seconds: float = 1.0) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        loss=1,
        accuracy=0.5,
        val_loss=1,
        val_accuracy=0.5,
        learning_rate=0.1,
        seconds=9,
        val_seconds=val_seconds,
        images_per_second=1,
        elapsed=10 * epoch,
    )


class Training:
    """Calls a budget like the trainer, with a simulated clock."""

    def __init__(self, seconds: float, epochs: int, **options):
        self.now = 0.0
        self.budget = TrainingBudget(seconds, epochs, clock=lambda: self.now, **options)
        self.epoch = 0

    def report(self, phase: str = "training", step: int = 4, log: EpochLog | None = None) -> None:
        epoch = self.epoch + (log is None)
        progress = SimpleNamespace(phase=phase, epoch=epoch, step=step, steps=4, row=log)
        self.budget.on_progress(progress)

    def train(self, seconds: float, epochs: int = 1, compilation: float = 0) -> None:
        """Simulate epochs of `seconds` each, after `compilation` seconds."""
        self.now += compilation
        for _ in range(epochs):
            for step in (1, 2, 3, 4):
                self.now += seconds / 4
                self.report(step=step)
            self.epoch += 1
            self.report(log=row(self.epoch))


@pytest.mark.parametrize(
    ("seconds", "epochs", "fitting"),
    [(100, 8, 8), (79, 8, 7), (20, 8, 2), (19, 8, 0), (-5, 8, 0), (9, 2, 0), (10, 2, 1)],
)
def test_a_schedule_is_shortened_to_a_quarter_at_least(seconds, epochs, fitting):
    assert time_budget.count_fitting_epochs(seconds, 10, epochs) == fitting


def test_a_schedule_that_fits_is_trained_to_its_end():
    training = Training(seconds=400, epochs=20, reserve=50)
    training.report("preparing")
    training.train(10, epochs=20, compilation=20)
    training.report("evaluating")


def test_a_schedule_that_does_not_fit_is_given_up_after_three_epochs():
    training = Training(seconds=240, epochs=40, reserve=30)
    # 160 s are left, compilation takes about 20 of them again: 13 epochs of 10.5 s.
    with pytest.raises(ScheduleTooLong, match=r"its 40 epochs need about 6\.5 more") as given_up:
        training.train(10, epochs=40, compilation=20)
    assert training.epoch == 3
    assert given_up.value.epochs == 13
    training.budget.restart()
    training.epoch = 0
    training.train(10, epochs=13, compilation=20)
    training.report("evaluating")


def test_epochs_of_larger_images_are_estimated_to_take_longer():
    # Ten epochs of 10 s and ten of 22.5 s: 325 s. The first epochs alone would suggest 200 s.
    costs = [1.0] * 10 + [2.25] * 10
    cost = sum(costs) / len(costs)
    with pytest.raises(ScheduleTooLong, match="its 20 epochs need about 5"):
        Training(seconds=300, epochs=20, epoch_cost=cost, reserve=30).train(10, epochs=3)
    Training(seconds=300, epochs=20, reserve=30).train(10, epochs=3)
    Training(seconds=400, epochs=20, epoch_cost=cost, reserve=30).train(10, epochs=3)
    given = time_budget.make_training_budget(load_config("vgg-small"), 1000, [], resumed=False)
    assert given._epoch_cost == pytest.approx(0.6 + 0.4 * (48 / 32) ** 2)


def test_less_than_a_quarter_is_skipped_and_long_epochs_are_given_up_early():
    training = Training(seconds=150, epochs=40, reserve=30)
    with pytest.raises(ScheduleTooLong) as given_up:
        training.train(10, epochs=40, compilation=20)
    assert given_up.value.epochs == 0
    # An epoch of 60 s: the first one is enough to see that ten of them do not fit.
    training = Training(seconds=300, epochs=40)
    with pytest.raises(ScheduleTooLong, match="a quarter of its 40 epochs needs"):
        training.train(60)
    assert training.epoch == 0
    # The first steps include compilation and are ignored.
    training = Training(seconds=400, epochs=40)
    for step, training.now in enumerate((100, 150, 150.5, 151), start=1):
        training.report(step=step)
    training.epoch = 1
    training.report(log=row(1))
    training.train(2, epochs=39)


def test_a_training_is_interrupted_when_the_time_is_up():
    training = Training(seconds=200, epochs=10, reserve=30)
    training.train(10, epochs=5)
    training.now = 170
    training.report("evaluating")
    with pytest.raises(KeyboardInterrupt):
        training.report()
    # Without a complete epoch, there is nothing to evaluate.
    with pytest.raises(ScheduleTooLong, match="not one epoch fits"):
        Training(seconds=20, epochs=4).report(step=1)


def test_a_resumed_run_is_never_given_up():
    training = Training(seconds=100, epochs=1000, reserve=20, may_give_up=False)
    with pytest.raises(KeyboardInterrupt):
        training.train(30, epochs=4)
    assert training.epoch == 2


def test_the_reserve_is_estimated_from_the_first_epochs():
    # Compilation of 50 s and validation of 10 s: 65 s are reserved, and 10 epochs do not fit.
    training = Training(seconds=200, epochs=10)
    training.train(10, epochs=2, compilation=50)
    training.now += 10
    training.epoch += 1
    with pytest.raises(ScheduleTooLong):
        training.report(log=row(3, val_seconds=10))
    known = Training(seconds=200, epochs=10, reserve=20)
    known.train(10, epochs=3, compilation=50)


def test_durations_are_estimated_from_finished_runs_on_the_same_device():
    config = load_config("facet-tiny")
    runs = [finished("facet-tiny", seconds, 40) for seconds in (200, 300, 700)]
    other = finished("facet-tiny", 10, 1, device="CPU B")
    assert time_budget.estimate_duration(config, [other], HERE) is None
    expected = time_budget.STARTUP_SECONDS + 340
    assert time_budget.estimate_duration(config, [other, *runs], HERE) == expected
    assert time_budget.estimate_reserve(config, [other, *runs], HERE) == 40
    assert time_budget.estimate_reserve(config, [other], HERE) is None
    # A run that was resumed the next hour did not need that hour.
    paused = finished("facet-tiny", 200, 3000)
    assert (
        time_budget.estimate_duration(config, [paused], HERE) == time_budget.STARTUP_SECONDS + 260
    )
    assert time_budget.estimate_duration(load_config("facet-base"), runs, HERE) is None


def test_durations_are_estimated_from_shortened_runs_if_there_are_no_others(tmp_path):
    short = replace(finished("facet-tiny-short", 20, 30), path=tmp_path)
    (tmp_path / "log.jsonl").write_text("".join(row(e).model_dump_json() + "\n" for e in (1, 2)))
    config = load_config("facet-tiny")
    expected = time_budget.STARTUP_SECONDS + 10 * config.epochs + 30
    assert time_budget.estimate_duration(config, [short], HERE) == expected


def test_the_number_of_epochs_is_estimated_if_training_may_stop_early():
    config = load_config("le2019-deep")
    assert time_budget.estimate_epochs(config, []) == config.epochs
    runs = []
    for seed, epochs in enumerate((19, 30, 22)):
        run = UntrainedRun(load_config("le2019-deep", {"seed": seed}), right=100)
        early = {"stopped_by": "early stopping", "epochs_run": epochs}
        results = run.results.model_copy(update=early)
        runs.append(Run(run.path, "finished", run.config, results=results))
    assert time_budget.estimate_epochs(config, runs) == 22
    fixed = load_config("facet-tiny")
    assert time_budget.estimate_epochs(fixed, [finished("facet-tiny", 9, 1)]) == fixed.epochs


@pytest.fixture
def train(monkeypatch, tmp_path, capsys):
    """Return a function that runs `fercore train synthetic-quick` in this process."""
    from fercore.cli import main

    def call(*words: str) -> tuple[int, str]:
        options = ["--epochs", "8", "--batch-size", "256", "--runs-root", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["fercore", "train", "synthetic-quick", *options, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().out

    return call


@pytest.mark.keras
def test_a_schedule_is_really_shortened(train, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "fercore.training.onnx_export.is_available", lambda: False
    )  # which takes long
    ticks = iter(range(10_000))
    monkeypatch.setattr(
        "fercore.cli.train.make_training_budget",
        lambda config, seconds, runs, *, resumed: TrainingBudget(
            40, config.epochs, may_give_up=not resumed, clock=lambda: next(ticks)
        ),
    )
    status, out = train("--minutes", "60")
    assert status == 0, out
    assert "trained as synthetic-quick-short with " in out
    (run,) = list_runs(tmp_path)
    assert check_run(run.path) == []
    assert run.experiment.name == "synthetic-quick-short"
    assert 2 <= run.experiment.epochs < 8
    assert run.results.epochs_run == run.experiment.epochs
    assert run.results.stopped_by == "epochs"
    assert f"shortened from 8 to {run.experiment.epochs} epochs" in run.experiment.title
    assert run.environment.command.endswith(f"--epochs {run.experiment.epochs}")
    assert not run.experiment.is_same_experiment(load_config("synthetic-quick"))


@pytest.mark.keras
@pytest.mark.parametrize(("epochs", "words"), [(0, ()), (5, ("--no-shorten",))])
def test_a_schedule_that_is_not_shortened_leaves_no_run(
    train, monkeypatch, tmp_path, epochs, words
):
    def give_up(config, splits, run, **options):
        assert run.path.is_dir()
        raise ScheduleTooLong(epochs, "it is too long")

    monkeypatch.setattr("fercore.training.trainer.train", give_up)
    status, out = train("--minutes", "60", *words)
    assert status == time_budget.DOES_NOT_FIT
    assert "synthetic-quick is skipped, no run was made: it is too long" in out
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]
