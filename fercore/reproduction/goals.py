"""Accuracy goals for our own networks, compared with the runs that exist.

`goals.toml` lists the goals and the experiments that are meant to reach them. The results are
computed from completed runs of exactly these experiments.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from fercore import metrics
from fercore.config.base import FrozenModel
from fercore.config.loading import load_config
from fercore.config.run import CombinedConfig, TestTimeAugmentation, is_run_name
from fercore.reproduction._shared import completed_runs_of_fold, newest_by_seed, read_toml
from fercore.runs.reader import Run, full_size_epochs, read_run
from fercore.runs.schema import SplitResult

SEEDS = 3
Status = Literal["reached", "reached_cpu", "short", "missing"]

STATUS_WORDS: dict[Status, str] = {
    "reached": "reached",
    "reached_cpu": "CPU target reached",
    "short": "below target",
    "missing": "not trained yet",
}


class Goal(FrozenModel):
    """One accuracy goal.

    Attributes:
        key: safe as a file name.
        title: one line for people.
        experiments: names of the experiments that are meant to reach the goal; the one that is best
            on PublicTest counts.
        accuracy: target on PrivateTest, in percent, for the mean over the seeds.
        accuracy_cpu: target without a GPU; `None` if the goal needs a GPU.
        tta: test-time augmentation: the views of each image that a network predicts.
        select: largest number of members of an ensemble that is selected on PublicTest among all
            seeds of all experiments (`fercore ensemble --select`); 0 for single networks.
        seconds: longest time of a training; 0 for no limit.
    """

    key: str
    title: str
    experiments: tuple[str, ...] = Field(min_length=1)
    accuracy: float = Field(gt=0, le=100)
    accuracy_cpu: float | None = Field(default=None, gt=0, le=100)
    tta: TestTimeAugmentation = "none"
    select: int = Field(default=0, ge=0)
    seconds: float = Field(default=0, ge=0)

    @property
    def combines(self) -> bool:
        """Whether the goal is for ensembles or test-time augmentation."""
        return self.select > 0 or self.tta != "none"


class _Goals(FrozenModel):
    notes: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()
    goal: tuple[Goal, ...]


@dataclass(frozen=True)
class GoalResult:
    """Result of our networks for a goal. Accuracies are on PrivateTest, in percent.

    Attributes:
        experiment: the best experiment on PublicTest, among those with three seeds if there are
            any; empty for an ensemble.
        runs: ids of the runs that the mean is over.
        mean: mean accuracy over the runs.
        spread: standard deviation over the runs; `None` for a single run.
        low: lower end of the 95% CI (Wilson) of the mean, for other samples, not for other seeds.
        high: upper end of the 95% CI.
        unrepeated: mean accuracy without the test images that also occur in training.
        n: number of test images.
        parameters: number of parameters of the network, or of all members of an ensemble.
        seconds: mean training time; `None` for ensembles.
        device: device of the training; empty for ensembles.
        passed: mean seconds of training until the accuracy on PublicTest first reached that of the
            goal; `None` if a run never reached it.
    """

    experiment: str
    runs: tuple[str, ...]
    mean: float
    spread: float | None
    low: float
    high: float
    unrepeated: float | None
    n: int
    parameters: int
    seconds: float | None
    device: str
    passed: float | None


@dataclass(frozen=True)
class GoalStatus:
    """A goal and its result.

    Attributes:
        goal: the goal.
        reached: the result; `None` until a network is trained.
    """

    goal: Goal
    reached: GoalResult | None

    @property
    def status(self) -> Status:
        """Whether the mean over three seeds reaches the target, within the time limit if any."""
        result = self.reached
        if result is None:
            return "missing"
        is_in_time = not self.goal.seconds or (
            result.seconds is not None and result.seconds <= self.goal.seconds
        )
        has_enough_seeds = self.goal.select > 0 or len(result.runs) >= SEEDS
        if not (has_enough_seeds and is_in_time):
            return "short"
        if result.mean >= self.goal.accuracy:
            return "reached"
        cpu_target = self.goal.accuracy_cpu
        return "reached_cpu" if cpu_target is not None and result.mean >= cpu_target else "short"


def goals() -> tuple[Goal, ...]:
    """Return all goals, in the order of `goals.toml`."""
    return _catalogue().goal


def notes() -> tuple[str, ...]:
    """Return what a reader needs to know about our networks, as Markdown."""
    return _catalogue().notes


def needs_gpu(experiment: str) -> bool:
    """Return whether an experiment is trained on a GPU only, since a CPU would take days."""
    return experiment in _catalogue().gpu


def experiments(wanted: Sequence[Goal]) -> tuple[str, ...]:
    """Return the experiments of the goals, each after its teachers."""
    return with_teachers([name for goal in wanted for name in goal.experiments])


def with_teachers(names: Sequence[str]) -> tuple[str, ...]:
    """Return experiments, each once and after its teachers; teachers that are runs are left out."""
    ordered: list[str] = []
    for name in names:
        teachers = load_config(name).distillation.teachers
        experiments = [teacher for teacher in teachers if not is_run_name(teacher)]
        ordered += [*with_teachers(experiments), name]
    return tuple(dict.fromkeys(ordered))


def absent_teachers(name: str, root: Path) -> list[str]:
    """Return the runs that an experiment names as teachers and that lack the file it needs.

    This is `model.onnx` with `distillation.mode = "precomputed"`, and the checkpoint otherwise.
    """
    distillation = load_config(name).distillation
    is_precomputed = distillation.mode == "precomputed"
    absent = []
    for teacher in filter(is_run_name, distillation.teachers):
        run = read_run(root / teacher)
        if not (run.onnx_path if is_precomputed else run.best_path.is_file()):
            absent.append(teacher)
    return absent


def compare(runs: Sequence[Run]) -> tuple[GoalStatus, ...]:
    """Return the result of the completed runs for every goal."""
    by_experiment = {name: runs_of(name, runs) for name in experiments(goals())}
    return tuple(GoalStatus(goal, _best_result(goal, by_experiment, runs)) for goal in goals())


def missing_points(statuses: Sequence[GoalStatus]) -> dict[str, float]:
    """Return the percentage points that the goals of each experiment lack, summed over the goals.

    A goal without a trained network lacks its whole accuracy. The goals of a network are also goals
    of its teachers.
    """
    points: dict[str, float] = {}
    for status in statuses:
        mean = status.reached.mean if status.reached else 0.0
        for name in experiments([status.goal]):
            points[name] = points.get(name, 0.0) + max(status.goal.accuracy - mean, 0.0)
    return points


def runs_of(experiment: str, runs: Sequence[Run]) -> dict[int, Run]:
    """Return the newest completed run of each seed of a committed experiment, by seed.

    If the experiment has teachers, only runs with the same teachers as the newest run count: a mean
    over students of other teachers would be one over different experiments. If the experiment has
    folds, only runs of the fold that its file names count: a mean over seeds is over the same
    images.
    """
    completed = completed_runs_of_fold(load_config(experiment), runs)
    if not completed:
        return {}
    teachers = set(completed[-1][0].distillation.teachers)
    return newest_by_seed(
        [
            (config, run)
            for config, run in completed
            if set(config.distillation.teachers) == teachers
        ]
    )


def combination_of(
    members: Sequence[Run], tta: TestTimeAugmentation, runs: Sequence[Run]
) -> Run | None:
    """Return the newest finished ensemble of exactly these members, with this augmentation."""
    names = {run.id for run in members}
    for run in _newest_first(runs):
        config = run.config
        if (
            run.results is not None
            and isinstance(config, CombinedConfig)
            and set(config.combined.members) == names
            and config.combined.tta == tta
            and config.combined.average == "arithmetic"
        ):
            return run
    return None


def selection_of(goal: Goal, candidates: Sequence[Run], runs: Sequence[Run]) -> Run | None:
    """Return the newest finished ensemble that was selected among exactly these candidates."""
    names = {run.id for run in candidates}
    for run in _newest_first(runs):
        config = run.config
        if (
            run.results is not None
            and isinstance(config, CombinedConfig)
            and config.name == selection_name(goal)
            and config.combined.candidates == len(names)
            and names.issuperset(config.combined.members)
        ):
            return run
    return None


def _newest_first(runs: Sequence[Run]) -> list[Run]:
    return sorted(runs, key=lambda r: r.results.finished if r.results else "", reverse=True)


def selection_name(goal: Goal) -> str:
    """Return the name of the ensemble that is selected for a goal."""
    return f"goal-{goal.key}"


def candidates_of(
    goal: Goal, by_experiment: Mapping[str, Mapping[int, Run]], runs: Sequence[Run]
) -> list[Run]:
    """Return the runs of a goal, or the candidates for its ensemble.

    If the goal has test-time augmentation, these are the runs with augmentation.
    """
    every = [run for name in goal.experiments for run in by_experiment[name].values()]
    if goal.tta == "none":
        return every
    augmented = [combination_of([run], goal.tta, runs) for run in every]
    return [run for run in augmented if run]


def _best_result(
    goal: Goal, by_experiment: Mapping[str, Mapping[int, Run]], runs: Sequence[Run]
) -> GoalResult | None:
    if goal.select:
        selected = selection_of(goal, candidates_of(goal, by_experiment, runs), runs)
        return _result_of(goal, "", [selected]) if selected else None
    ranked: list[tuple[tuple[bool, float], GoalResult]] = []
    for name in goal.experiments:
        single = goal.model_copy(update={"experiments": (name,)})
        candidates = candidates_of(single, by_experiment, runs)
        if candidates:
            accuracy = statistics.fmean(_split(run, "validation").accuracy for run in candidates)
            # An experiment with all seeds goes before one with a single lucky seed.
            rank = (len(candidates) >= SEEDS, accuracy)
            ranked.append((rank, _result_of(goal, name, candidates)))
    return max(ranked, key=lambda entry: entry[0])[1] if ranked else None


def _result_of(goal: Goal, experiment: str, runs: Sequence[Run]) -> GoalResult:
    tested = [_split(run, "test") for run in runs]
    accuracies = [100 * split.accuracy for split in tested]
    unrepeated = [
        100 * run.results.splits["test_unique"].accuracy
        for run in runs
        if run.results and "test_unique" in run.results.splits
    ]
    mean, n = statistics.fmean(accuracies), tested[0].n
    low, high = metrics.accuracy_interval(round(mean * n / 100), n)
    results = [run.results for run in runs if run.results]
    seconds = [result.train_seconds for result in results if result.train_seconds]
    times_to_target = [_seconds_to_target(run, goal.accuracy) for run in runs]
    environments = [run.environment for run in runs if run.environment and run.experiment]
    devices = {device for environment in environments for device in environment.devices}
    return GoalResult(
        experiment=experiment,
        runs=tuple(run.id for run in runs),
        mean=mean,
        spread=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        low=100 * low,
        high=100 * high,
        unrepeated=statistics.fmean(unrepeated) if unrepeated else None,
        n=n,
        parameters=results[0].parameters or 0,
        seconds=statistics.fmean(seconds) if len(seconds) == len(runs) else None,
        device=", ".join(sorted(devices)),
        passed=statistics.fmean(s for s in times_to_target if s) if all(times_to_target) else None,
    )


def _seconds_to_target(run: Run, accuracy: float) -> float | None:
    rows = full_size_epochs(run.log())
    return next((row.elapsed for row in rows if 100 * row.val_accuracy >= accuracy), None)


def _split(run: Run, name: str) -> SplitResult:
    assert run.results is not None
    return run.results.splits[name]


@cache
def _catalogue() -> _Goals:
    return _Goals.model_validate(read_toml("goals.toml"))
