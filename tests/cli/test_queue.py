"""The queue of `fercore goals --train --next` and `--minutes`: its order and its obstacles."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fercore.cli import _queue, _time_budget, app
from fercore.cli._queue import QueuedJob, find_obstacle, list_missing_jobs, order_by_value
from fercore.cli._scheduler import TrainingJob
from fercore.config.loading import load_config
from fercore.config.run import Combination, CombinedConfig
from fercore.reproduction import goals
from fercore.reproduction.published_figures import folds, minutes
from fercore.runs.reader import Run
from fercore.runs.schema import OnnxExport
from tests.tiny import UntrainedRun

GOALS = goals.goals()
EXPERIMENTS = goals.experiments(GOALS)


@pytest.fixture(autouse=True)
def every_dataset(monkeypatch):
    """Make all datasets appear installed."""
    status = _queue.datasets.DatasetStatus("any", installed=True)
    monkeypatch.setattr("fercore.cli._queue.datasets.dataset_status", lambda name, root: status)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """Simulate a machine with a GPU, which can train every experiment."""
    monkeypatch.setattr("fercore.machine.has_nvidia_gpu", lambda: True)


def trained(root: Path, name: str, seed: int, exported: bool = False) -> Run:
    """Return a finished run with its checkpoint."""
    fake = UntrainedRun(load_config(name, {"seed": seed}), right=100)
    run = Run(root / fake.id, "finished", fake.config, results=fake.results)
    run.best_path.parent.mkdir(parents=True, exist_ok=True)
    run.best_path.touch()
    if exported:
        (run.path / "model.onnx").touch()
        results = run.results.model_copy(update={"onnx": OnnxExport(bytes=1, opset=1)})
        run = replace(run, results=results)
    return run


def combined(run: Run, *members: Run) -> Run:
    config = CombinedConfig(
        name="together",
        title="Together",
        dataset="tiny",
        model="mean of networks",
        combined=Combination(members=tuple(member.id for member in members), tta="ten_view"),
    )
    return Run(Path(f"together-{members[0].id}"), "finished", config, results=run.results)


def listed(runs: list[Run], root: Path, with_papers: bool = True) -> list[QueuedJob]:
    return list_missing_jobs(GOALS, EXPERIMENTS, 3, runs, root, with_papers=with_papers)


def position(jobs: list[QueuedJob], *start: str) -> int:
    return next(n for n, job in enumerate(jobs) if job.words[: len(start)] == start)


def test_papers_come_first_then_goals_then_further_seeds(tmp_path):
    jobs = listed([], tmp_path)
    sections = [job.section for job in jobs]
    assert sections == sorted(sections, key=["papers", "goals", "seeds"].index)
    of_papers = [job.job.config.name for job in jobs if job.section == "papers"]
    costs = [minutes(name) * len(folds(name)) for name in of_papers]
    assert costs == sorted(costs)
    of_goals = [job.words[1:] for job in jobs if job.section == "goals"]
    assert of_goals[:4] == [
        ("vgg-base", "--seed", "0"),
        ("vgg-base", "--seed", "1"),
        ("vgg-base", "--seed", "2"),
        ("vgg-base-long", "--seed", "0"),
    ]
    further = [job.job.config for job in jobs if job.section == "seeds"]
    assert [config.seed for config in further] == sorted(config.seed for config in further)
    assert {config.seed for config in further} == {1, 2}
    assert {config.name.split("-")[0] for config in further} == {
        "le2019",
        "ranjan2023",
        "khopkar2021",
    }
    assert not any(config.protocol.split == "subjects" for config in further)
    assert len({job.words for job in jobs}) == len(jobs)
    assert not {job.section for job in listed([], tmp_path, with_papers=False)} - {"goals"}


def test_trained_runs_are_not_listed(tmp_path):
    runs = [trained(tmp_path, "facet-tiny", seed) for seed in (0, 1)]
    seeds = [
        job.words[3] for job in listed(runs, tmp_path) if job.words[:2] == ("train", "facet-tiny")
    ]
    assert seeds == ["2"]


def test_an_interrupted_run_comes_first(tmp_path):
    stopped = trained(tmp_path, "speedrun", 1)
    stopped.last_path.touch()
    stopped = replace(stopped, state="interrupted", results=None)
    assert listed([stopped], tmp_path)[0].words == ("train", "speedrun", "--seed", "1")


def test_exports_and_combinations_follow_when_their_members_exist(tmp_path):
    base = [trained(tmp_path, "facet-base", seed) for seed in range(3)]
    jobs = listed(base, tmp_path, with_papers=False)
    assert [job.words[0] for job in jobs[:7]] == ["export"] * 3 + ["ensemble"] * 3 + ["train"]
    assert (
        find_obstacle(jobs[3], jobs, base, tmp_path, tmp_path)
        == f"no model.onnx yet of {base[0].id}"
    )

    # The members of an ensemble are selected when all candidates are trained.
    (goal,) = [goal for goal in GOALS if goal.select]
    everything = [
        trained(tmp_path, name, seed, exported=True)
        for name in goal.experiments
        for seed in range(3)
    ]
    base = [run for run in everything if run.config.name == "facet-base"]
    everything = [with_teachers(run, base) for run in everything]

    def ensembles(runs: list[Run]) -> list[QueuedJob]:
        jobs = listed(runs, tmp_path, with_papers=False)
        return [job for job in jobs if job.words[0] == "ensemble"]

    jobs = ensembles(everything)
    assert [len(job.members) for job in jobs] == [1] * len(everything)
    assert find_obstacle(jobs[0], jobs, everything, tmp_path, tmp_path) == ""
    views = [combined(run, run) for run in everything]
    assert ensembles([*everything[1:], *views]) == []
    (selection,) = ensembles([*everything, *views])
    assert selection.words[:-4] == ("ensemble", *(run.id for run in views))
    assert selection.words[-4:] == ("--select", "6", "--name", "goal-ensemble")
    assert find_obstacle(selection, [selection], everything, tmp_path, tmp_path) == ""
    shape = {"tta": "none", "selected_on": "validation", "candidates": len(views)}
    done = combined(views[0], *views[:3])
    config = done.config.model_copy(
        update={
            "name": "goal-ensemble",
            "combined": done.config.combined.model_copy(update=shape),
        }
    )
    assert ensembles([*everything, *views, replace(done, config=config)]) == []


def test_jobs_that_need_a_gpu_are_skipped_without_one(tmp_path, monkeypatch):
    monkeypatch.setattr("fercore.machine.has_nvidia_gpu", lambda: False)
    jobs = listed([], tmp_path)
    for name in ("facet-base", "speedrun", "vgg-base-long"):
        job = jobs[position(jobs, "train", name)]
        assert find_obstacle(job, jobs, [], tmp_path, tmp_path) == "it needs a GPU"
    job = jobs[position(jobs, "train", "vgg-base")]
    assert find_obstacle(job, jobs, [], tmp_path, tmp_path) == ""
    # The ensemble does not wait for them.
    (goal,) = [goal for goal in GOALS if goal.select]
    runs = [
        trained(tmp_path, name, seed, exported=True)
        for name in goal.experiments
        if not goals.needs_gpu(name)
        for seed in range(3)
    ]
    views = [combined(run, run) for run in runs]
    jobs = listed([*runs, *views], tmp_path, with_papers=False)
    assert any("--select" in job.words for job in jobs)


def with_teachers(run: Run, teachers: list[Run]) -> Run:
    if not run.config.distillation.teachers:
        return run
    names = tuple(f"{teacher.config.name}-s0-20260101T000000" for teacher in teachers)
    taught = run.config.distillation.model_copy(update={"teachers": names})
    return replace(run, config=run.config.model_copy(update={"distillation": taught}))


def test_every_obstacle_is_described(tmp_path, monkeypatch):
    def obstacle_of(jobs: list[QueuedJob], runs: list[Run], *start: str) -> str:
        return find_obstacle(jobs[position(jobs, *start)], jobs, runs, tmp_path, tmp_path)

    jobs = listed([], tmp_path)
    assert obstacle_of(jobs, [], "train", "facet-base") == ""
    student = ("train", "facet-tiny-distilled")
    assert obstacle_of(jobs, [], *student) == "its teacher facet-base is not trained yet"
    assert "have no network in" in obstacle_of(jobs, [], "train", "facet-tiny-taught")
    base = [trained(tmp_path, "facet-base", seed) for seed in range(3)]
    jobs = listed(base, tmp_path)
    assert obstacle_of(jobs, base, *student) == ""
    for run in base:
        run.best_path.unlink()
    assert obstacle_of(jobs, base, *student) == "its teacher facet-base has no checkpoint here"
    monkeypatch.setattr("fercore.cli._queue.find_spec", lambda name: None)
    assert "TensorFlow" in obstacle_of(jobs, base, "export")
    tiny = ("train", "facet-tiny", "--seed", "0")
    running = replace(trained(tmp_path, "facet-tiny", 0), state="running", results=None)
    assert "is being trained at this moment" in obstacle_of(jobs, [running], *tiny)
    lost = replace(trained(tmp_path, "facet-tiny", 0), state="diverged", results=None)
    assert "diverged; training it again would end the same way" in obstacle_of(jobs, [lost], *tiny)
    absent = _queue.datasets.DatasetStatus("fer2013", installed=False)
    monkeypatch.setattr("fercore.cli._queue.datasets.dataset_status", lambda name, root: absent)
    assert obstacle_of(jobs, [], *tiny) == "the dataset fer2013 is not installed"


def job(name: str, section: _queue.Section = "goals", extra: bool = False) -> QueuedJob:
    config = load_config(name)
    return QueuedJob(section, (name,), TrainingJob(config, (name,)), extra=extra)


def test_the_order_by_value():
    speedrun, base, tiny = map(job, ("speedrun", "facet-base", "facet-tiny"))
    again = job("speedrun", extra=True)
    paper, further = job("le2019-deep", "papers"), job("khopkar2021", "seeds", extra=True)
    ensemble = QueuedJob("goals", ("ensemble",))
    jobs = [further, paper, again, base, tiny, speedrun, ensemble]
    points = {"speedrun": 100.0, "facet-base": 200.0, "facet-tiny": 3.0}
    known = {"speedrun": 60.0, "facet-base": 600.0, "facet-tiny": 60.0}
    expected = [ensemble, speedrun, base, tiny, again, paper, further]
    assert order_by_value(jobs, points, lambda queued: known.get(queued.words[0])) == expected
    # Of unknown duration: six seconds an epoch, of which facet-base has 300.
    assert order_by_value([base, speedrun], points, lambda queued: None) == [speedrun, base]
    late = order_by_value(jobs, points, lambda queued: None, too_long={"facet-base"})
    assert late.index(again) < late.index(base) < late.index(paper)


def test_missing_points_of_goals():
    points = goals.missing_points(goals.compare([]))
    of = {goal.key: goal.accuracy for goal in GOALS}
    assert points["speedrun"] == of["clock"] + of["clock-70"]
    # It teaches what is to reach the goal of the small networks.
    assert points["facet-base"] == of["one"] + of["views"] + of["ensemble"] + of["tiny"]
    tiny = [UntrainedRun(load_config("facet-tiny", {"seed": seed}), right=84) for seed in range(3)]
    points = goals.missing_points(goals.compare(tiny))
    assert points["facet-tiny"] == pytest.approx(of["tiny"] - 60)
    tiny = [UntrainedRun(load_config("facet-tiny", {"seed": seed}), right=112) for seed in range(3)]
    assert goals.missing_points(goals.compare(tiny))["facet-tiny"] == 0


def test_next_trains_one_run_and_reports_when_nothing_is_left(monkeypatch, tmp_path):
    runs: list[Run] = []
    begun: list[str] = []

    def do(job: TrainingJob, *_: Path) -> None:
        begun.append(" ".join(job.words))
        runs.append(trained(tmp_path, job.config.name, job.config.seed, exported=True))

    monkeypatch.setattr("fercore.cli._time_budget.list_runs", lambda root: list(runs))
    monkeypatch.setattr("fercore.cli._time_budget.run_job", do)
    call = ["goals", "--train", "--next", "clock", "--seeds", "2", "--runs-root", str(tmp_path)]
    for seed in range(2):
        done = CliRunner().invoke(app, call)
        assert (done.exit_code, done.stdout) == (0, "")
        assert begun == [f"train speedrun --seed {seed}" for seed in range(seed + 1)]
    done = CliRunner().invoke(app, call)
    assert (done.exit_code, done.stdout) == (_time_budget.NOTHING_LEFT, "Nothing left to train\n")
    # A job that cannot be trained here is skipped, with a message.
    done = CliRunner().invoke(app, [*call[:3], "facet-tiny-taught", *call[4:]])
    assert done.exit_code == _time_budget.NOTHING_LEFT
    assert done.stderr.startswith(
        "skipped: train facet-tiny-taught --seed 0: its teachers ranjan2023"
    )


class Machine:
    """Simulates the child processes, with a duration for each experiment."""

    def __init__(self, root: Path, seconds: dict[str, float], failing: str = ""):
        self.root, self.seconds, self.failing = root, seconds, failing
        self.now = 0.0
        self.runs: list[Run] = []
        self.calls: list[str] = []

    def call(self, words, runs, data, environment=None, timeout=None) -> int:
        if words[0] != "train":
            self.calls.append(" ".join(words[:2]))
            self.now += 1
            return 0
        name, seed, left = words[1], int(words[3]), 60 * float(words[5])
        self.calls.append(f"{name} {seed}" + (" whole" if "--no-shorten" in words else ""))
        if name == self.failing:
            return 2
        if self.seconds[name] <= left:
            self.now += self.seconds[name]
            self.runs.append(trained(self.root, name, seed))
            return 0
        self.now += 10
        if "--no-shorten" in words or self.seconds[name] > 4 * left:
            return _time_budget.DOES_NOT_FIT
        self.now += left - 10
        short = load_config(name, {"seed": seed, "epochs": 75, "name": f"{name}-short"})
        self.runs.append(Run(self.root / f"{name}-short-{seed}", "finished", short))
        self.runs[-1] = replace(self.runs[-1], results=UntrainedRun(short, right=90).results)
        return 0


def within(machine: Machine, monkeypatch, minutes: str, *only: str) -> list[str]:
    """Call `fercore goals --train --minutes`, and return its lines before the table."""
    monkeypatch.setattr("fercore.cli._time_budget.list_runs", lambda root: list(machine.runs))
    monkeypatch.setattr("fercore.cli._time_budget.call_fercore", machine.call)
    monkeypatch.setattr("fercore.cli._time_budget.time.monotonic", lambda: machine.now)
    call = ["goals", *only, "--train", "--minutes", minutes, "--runs-root", str(machine.root)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    return done.stdout.partition("goal  ")[0].splitlines()


def test_schedules_that_fit_are_trained_before_shortened_ones(monkeypatch, tmp_path):
    # As on a machine with JAX and without TensorFlow: nothing is exported.
    monkeypatch.setattr("fercore.cli._queue.find_spec", lambda name: None)
    machine = Machine(tmp_path, {"speedrun": 60, "facet-base": 900})
    lines = within(machine, monkeypatch, "12", "clock", "facet-base-distilled")
    assert machine.calls == [
        "speedrun 0 whole",
        "facet-base 0 whole",
        "speedrun 1 whole",
        "speedrun 2 whole",
        "facet-base 0",
    ]
    assert "train speedrun --seed 2: trained" in lines
    assert "train facet-base --seed 0: shortened to 75 epochs, facet-base-short-0" in lines
    left = [line for line in lines if line.startswith("not started, ")]
    too_long = "train facet-base --seed 1; train facet-base --seed 2"
    assert f"not started, its schedule does not fit: {too_long}" in left
    assert any("its teacher facet-base is not trained yet" in line for line in left)
    assert any("TensorFlow, which writes model.onnx, is not installed" in line for line in left)


def test_a_further_seed_that_does_not_fit_is_shortened(monkeypatch, tmp_path):
    monkeypatch.setattr("fercore.cli._queue.find_spec", lambda name: None)
    machine = Machine(tmp_path, {"speedrun": 400})
    lines = within(machine, monkeypatch, "12", "clock")
    assert machine.calls == ["speedrun 0 whole", "speedrun 1 whole", "speedrun 1"]
    assert "train speedrun --seed 1: shortened to 75 epochs, speedrun-short-1" in lines
    assert any(line.startswith("not started, ") and "--seed 2" in line for line in lines)


def test_a_failure_stops_nothing_and_combinations_are_left_without_tensorflow(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("fercore.cli._queue.find_spec", lambda name: None)
    seconds = {"facet-base": 30, "facet-base-distilled": 30, "speedrun": 30}
    machine = Machine(tmp_path, seconds, failing="speedrun")
    lines = within(machine, monkeypatch, "4", "clock", "facet-base")
    assert "train speedrun --seed 0: failed, exit status 2" in lines
    assert machine.calls.count("facet-base 2 whole") == 1
    assert not any(call.startswith(("export", "ensemble")) for call in machine.calls)
    assert any(
        line.startswith("not started, no model.onnx yet of facet-base-0: ensemble")
        for line in lines
    )


def test_no_job_is_started_that_cannot_end_in_time(monkeypatch, tmp_path):
    machine = Machine(tmp_path, {"speedrun": 30})
    lines = within(machine, monkeypatch, "0.5", "clock")
    assert machine.calls == []
    assert lines == [
        "not started, needs at least 1.0 minutes, 0.5 are left: train speedrun --seed 0; "
        "train speedrun --seed 1; train speedrun --seed 2"
    ]
    monkeypatch.setattr(
        "fercore.cli._time_budget.estimate_duration", lambda config, runs, device: 300.0
    )
    lines = within(machine, monkeypatch, "4", "clock")
    assert machine.calls == []
    assert lines[0].startswith("not started, needs about 5.0 minutes, 4.0 are left: train speedrun")


def test_the_list_has_minutes_if_they_are_known(monkeypatch, tmp_path):
    known = {"speedrun": 120.0}
    monkeypatch.setattr(
        "fercore.cli._time_budget.estimate_duration",
        lambda config, runs, device: known.get(config.name),
    )
    call = ["goals", "--list", "--runs-root", str(tmp_path)]
    table = CliRunner().invoke(app, call).stdout.splitlines()
    (speedrun,) = [line for line in table if line.startswith("train speedrun --seed 0")]
    assert speedrun.split()[-2:] == ["goals", "2"]
    assert sum("unknown" in line for line in table) > 50
    assert list(tmp_path.iterdir()) == []
    valued = CliRunner().invoke(app, [*call, "--train", "--minutes", "9"]).stdout.splitlines()
    assert valued[1].startswith("train speedrun --seed 0")
    only_goals = CliRunner().invoke(app, [*call, "--train"]).stdout
    assert "train le2019" not in only_goals


@pytest.mark.parametrize("words", [("--next",), ("--minutes", "5")])
def test_next_and_minutes_require_train(words: tuple[str, ...]):
    done = CliRunner().invoke(app, ["goals", *words])
    assert "expected --train with it" in str(done.exception)
    both = CliRunner().invoke(app, ["goals", "--train", "--next", "--minutes", "5"])
    assert "received both --next and --minutes" in str(both.exception)
