"""The goals of our own networks: computed from runs alone, trained for in the right order."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fercore.cli import app
from fercore.config.loading import load_config
from fercore.config.run import Combination, CombinedConfig
from fercore.reproduction import goals
from fercore.runs.listing import find_run
from fercore.runs.reader import Run
from fercore.runs.schema import EpochLog
from tests.tiny import UntrainedRun

RUNS = Path(__file__).parents[2] / "runs"


def told(name: str, seed: int, right: int, chosen: int) -> UntrainedRun:
    return UntrainedRun(load_config(name, {"seed": seed}), right, chosen=chosen)


def combined(
    members: list[UntrainedRun], like: UntrainedRun, tta: str = "ten_view", **how: object
) -> Run:
    config = CombinedConfig(
        name="together",
        title="Together",
        dataset="tiny",
        model="mean of networks",
        combined=Combination(members=tuple(run.id for run in members), tta=tta, **how),
    )
    path = Path(f"together-{'-'.join(run.id for run in members)}")
    return Run(path, "finished", config, results=like.results)


def standing(key: str, runs: list[Run]) -> goals.GoalStatus:
    return next(found for found in goals.compare(runs) if found.goal.key == key)


def test_the_best_experiment_on_the_validation_split_counts():
    tiny = [told("facet-tiny", seed, right=112, chosen=90) for seed in range(3)]
    taught = [told("facet-tiny-distilled", seed, right=98 + seed, chosen=91) for seed in range(3)]
    found = standing("tiny", [*tiny, *taught])
    assert found.reached.experiment == "facet-tiny-distilled"
    assert found.reached.mean == pytest.approx(100 * 99 / 140)
    assert found.reached.spread == pytest.approx(100 / 140)
    assert found.reached.low < found.reached.mean < found.reached.high
    assert (found.reached.n, found.reached.parameters, found.status) == (140, 10, "reached")
    # Three of the test images stand in the training; all of them are got right.
    assert found.reached.unrepeated == pytest.approx(100 * 96 / 137)


def test_one_lucky_seed_stands_behind_three():
    tiny = [told("facet-tiny", seed, right=112, chosen=90) for seed in range(3)]
    lucky = told("facet-tiny-distilled", 0, right=126, chosen=100)
    assert standing("tiny", [*tiny, lucky]).reached.experiment == "facet-tiny"
    assert standing("tiny", [*tiny[:2], lucky]).reached.experiment == "facet-tiny-distilled"


def test_two_seeds_or_a_lower_mean_reach_nothing():
    two = [told("facet-tiny", seed, right=112, chosen=90) for seed in range(2)]
    assert standing("tiny", two).status == "short"
    three = [
        told("facet-tiny", seed, right=right, chosen=90) for seed, right in enumerate((95,) * 3)
    ]
    assert standing("tiny", three).status == "short"
    assert standing("tiny", []).status == "missing"


def test_a_goal_against_the_clock_is_missed_by_a_second(monkeypatch):
    runs = [told("speedrun", seed, right=112, chosen=100) for seed in range(3)]
    log = [
        EpochLog(
            epoch=epoch,
            loss=1,
            accuracy=0.5,
            val_loss=1,
            val_accuracy=accuracy,
            learning_rate=0.1,
            seconds=5,
            val_seconds=1,
            images_per_second=1,
            elapsed=6 * epoch,
        )
        for epoch, accuracy in enumerate((0.6, 0.66, 0.71), start=1)
    ]
    monkeypatch.setattr(UntrainedRun, "log", lambda run: log, raising=False)
    assert standing("clock", runs).status == "reached"
    assert (standing("clock", runs).reached.seconds, standing("clock", runs).reached.passed) == (
        25,
        12,
    )
    assert standing("clock-70", runs).reached.passed == 18
    slow = [
        Run(
            run.path,
            "finished",
            run.config,
            results=run.results.model_copy(update={"train_seconds": 31}),
        )
        for run in runs
    ]
    assert standing("clock", slow).status == "short"
    assert standing("clock-70", slow).status == "reached"


def test_views_and_ensembles_are_looked_for_among_the_combined_runs():
    base = [told("facet-base", seed, right=112, chosen=90) for seed in range(3)]
    assert standing("views", base).status == standing("ensemble", base).status == "missing"
    better = told("facet-base", 0, right=126, chosen=90)
    viewed = [combined([run], like=better) for run in base]
    assert standing("views", [*base, *viewed]).status == "reached"
    # Of another mean, or about one view, it is another run.
    others = [combined([run], like=better, average="geometric") for run in base]
    others += [combined([run], like=better, tta="none") for run in base]
    assert standing("views", [*base, *others]).status == "missing"


def test_an_ensemble_counts_if_it_was_chosen_among_exactly_the_candidates():
    base = [told("facet-base", seed, right=112, chosen=90) for seed in range(3)]
    better = told("facet-base", 0, right=126, chosen=90)
    viewed = [combined([run], like=better) for run in base]
    present = [*base, *viewed]
    assert standing("ensemble", present).status == "missing"

    def selected(members, candidates, name="goal-ensemble"):
        run = combined(members, like=better, selected_on="validation", candidates=candidates)
        config = run.config.model_copy(update={"name": name})
        return Run(run.path, "finished", config, results=run.results)

    others = [
        selected(viewed[:2], candidates=2),  # before the third seed was trained
        selected(base[:2], candidates=3),  # of single views
        selected(viewed[:2], candidates=3, name="mine"),
    ]
    assert standing("ensemble", [*present, *others]).status == "missing"
    found = standing("ensemble", [*present, *others, selected(viewed[:2], candidates=3)])
    assert found.status == "reached"
    assert len(found.reached.runs) == 1


def test_the_target_on_cpus_is_lower_and_named_as_such():
    small = [told("vgg-small", seed, right=98, chosen=90) for seed in range(3)]  # 70.0 percent
    assert standing("small", small).status == "reached_cpu"
    assert goals.STATUS_WORDS["reached_cpu"] == "CPU target reached"


def test_networks_of_other_teachers_are_another_experiment():
    taught = [told("facet-tiny-distilled", seed, right=112, chosen=90) for seed in range(3)]
    one, two = "facet-base-s0-20260101T000000", "facet-base-s1-20260101T000000"
    for run, teachers in zip(taught, ((one,), (one, two), (two, one)), strict=True):
        distillation = run.config.distillation.model_copy(update={"teachers": teachers})
        config = run.config.model_copy(update={"distillation": distillation})
        object.__setattr__(run, "config", config)
    assert sorted(goals.runs_of("facet-tiny-distilled", taught)) == [1, 2]


@pytest.mark.parametrize("goal", goals.goals(), ids=lambda goal: goal.key)
def test_every_experiment_of_a_goal_is_one_and_its_teachers_come_first(goal: goals.Goal):
    needed = goals.experiments([goal])
    assert set(goal.experiments) <= set(needed)
    for number, name in enumerate(needed):
        config = load_config(name)
        assert config.protocol.leak_free
        assert config.dataset == "fer2013"
        for teacher in config.distillation.teachers:
            # An experiment that comes before, or a committed run.
            assert teacher in needed[:number] or find_run(RUNS, teacher).results


def test_what_is_missing_is_trained_exported_and_combined(monkeypatch, tmp_path):
    def trained(name: str, seed: int) -> UntrainedRun:
        run = told(name, seed, right=112, chosen=90)
        object.__setattr__(run, "path", tmp_path / run.path)
        run.best_path.parent.mkdir(parents=True)
        run.best_path.touch()
        return run

    def do(job, *_):
        begun.append(" ".join(job.words))
        runs.append(trained(job.config.name, job.config.seed))

    def run_fercore(words, runs, data, environment=None):
        begun.append(" ".join(words))
        backends.add(environment["KERAS_BACKEND"] if environment else "any")

    runs: list[Run] = [trained("facet-base", 1)]
    begun: list[str] = []
    backends: set[str] = set()
    monkeypatch.setattr("fercore.cli.goals.list_runs", lambda root: list(runs))
    monkeypatch.setattr("fercore.cli._time_budget.run_job", do)
    monkeypatch.setattr("fercore.cli._time_budget.run_fercore", run_fercore)
    call = ["goals", "--train", "facet-base", "--seeds", "2", "--runs-root", str(tmp_path)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert begun == [
        "train facet-base --seed 0",
        "export facet-base-0",
        "export facet-base-1",
        "ensemble facet-base-0 --tta --name facet-base-s0-tta",
        "ensemble facet-base-1 --tta --name facet-base-s1-tta",
    ]
    assert backends == {"tensorflow", "any"}

    begun.clear()
    monkeypatch.setattr("fercore.cli.goals.find_spec", lambda name: None)
    done = CliRunner().invoke(app, call)
    assert "TensorFlow, which writes their model.onnx, is not installed" in str(done.exception)
    assert begun == []


def test_a_network_waits_for_its_teachers_and_says_why_it_is_left_out(monkeypatch, tmp_path):
    runs: list[Run] = []
    begun: list[str] = []

    def do(job, *_):
        begun.append(job.config.name)
        run = told(job.config.name, job.config.seed, right=112, chosen=90)
        object.__setattr__(run, "path", tmp_path / run.path)
        run.best_path.parent.mkdir(parents=True, exist_ok=True)
        run.best_path.touch()
        runs.append(run)

    monkeypatch.setattr("fercore.cli.goals.list_runs", lambda root: list(runs))
    monkeypatch.setattr("fercore.cli._time_budget.run_job", do)
    monkeypatch.setattr("fercore.cli._time_budget.run_fercore", lambda *_: None)
    monkeypatch.setattr("fercore.machine.has_nvidia_gpu", lambda: True)
    call = ["goals", "--train", "tiny", "--seeds", "1", "--runs-root", str(tmp_path)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    first = ["vgg-base", "facet-base", "vgg-small", "vgg-tiny"]
    assert begun == [*first, "facet-tiny", "facet-tiny-distilled"]
    # Nothing is exported, as on a machine without TensorFlow, so nobody teaches by model.onnx.
    why = "its teacher vgg-base has no model.onnx here"
    assert f"train vgg-tiny-distilled --seed 0 is skipped: {why}" in done.output.splitlines()
    (absent,) = [line for line in done.output.splitlines() if "its teachers, have" in line]
    teachers = load_config("facet-tiny-taught").distillation.teachers
    assert absent.startswith(f"facet-tiny-taught is skipped: {', '.join(teachers)}")


def test_the_networks_of_teachers_that_do_not_come_with_a_clone_are_named(monkeypatch, tmp_path):
    begun: list[str] = []
    monkeypatch.setattr(
        "fercore.cli._time_budget.run_job", lambda job, *_: begun.append(job.config.name)
    )
    monkeypatch.setattr("fercore.cli._time_budget.run_fercore", lambda *_: None)
    for teacher in load_config("facet-tiny-taught").distillation.teachers:
        shutil.copytree(RUNS / teacher, tmp_path / teacher)
    call = ["goals", "--train", "facet-tiny-taught", "--seeds", "1", "--runs-root", str(tmp_path)]
    done = CliRunner().invoke(app, call)
    assert "le2019-deep-s0-20261121T052505, its teachers, have no network in" in done.output
    assert (
        "train it again and use the new run instead: fercore train le2019-deep --seed 0"
        in done.output
    )
    assert begun == []
    (tmp_path / "le2019-deep-s0-20261121T052505" / "model.onnx").touch()
    CliRunner().invoke(app, call)
    assert begun == ["facet-tiny-taught"]


@pytest.mark.parametrize("teachers", [(), ("le2019-deep-s0-20260101T000000",)])
def test_whom_others_taught_is_not_the_experiment_of_a_goal(teachers: tuple[str, ...]):
    run = told("facet-tiny-distilled", 0, right=112, chosen=90)
    distillation = run.config.distillation.model_copy(update={"teachers": teachers})
    object.__setattr__(run, "config", run.config.model_copy(update={"distillation": distillation}))
    assert not goals.runs_of("facet-tiny-distilled", [run])
