"""What our own networks are to reach, beside what they do.

`goals.toml` lists the goals and the experiments that are to reach them. What a goal is compared
with is always computed from finished runs of exactly those experiments.
"""

import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field

from fercore import metrics
from fercore.config.base import FrozenModel
from fercore.config.loading import load_config
from fercore.config.run import CombinedConfig, TestTimeAugmentation, is_run_name
from fercore.runs.listing import completed_runs
from fercore.runs.reader import Run, full_size_epochs, read_run
from fercore.runs.schema import SplitResult

SEEDS = 3
Status = Literal["reached", "reached_cpu", "short", "missing"]

STATUS_WORDS: dict[Status, str] = {
    "reached": "reached",
    "reached_cpu": "CPU target reached",
    "short": "short",
    "missing": "not trained yet",
}


class Goal(FrozenModel):
    """One thing to reach.

    Attributes:
        key: file-name safe.
        title: one line for people.
        experiments: that are to reach it; the best of them on PublicTest counts.
        accuracy: on PrivateTest, in percent, the mean over seeds.
        accuracy_cpu: the same, where no GPU is available; `None` if it makes no sense there.
        tta: test-time augmentation: the views of each image that a network predicts.
        select: how many runs an ensemble may have, which is chosen on PublicTest among all seeds of
            all experiments (`fercore ensemble --select`); 0 for single networks.
        seconds: that a training may take; 0 for any.
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
        """Whether its figure is that of combined runs."""
        return self.select > 0 or self.tta != "none"


class _Goals(FrozenModel):
    gpu: tuple[str, ...] = ()
    goal: tuple[Goal, ...]


@dataclass(frozen=True)
class GoalResult:
    """What our networks give. Accuracies in percent, of PrivateTest.

    Attributes:
        experiment: the best on PublicTest, of those with three seeds if there is one; empty for an
            ensemble.
        runs: the figure is the mean over.
        mean: over them.
        spread: standard deviation over them; `None` for a single one.
        low: lower end of Wilson's 95% interval of the mean, for other samples, not other seeds.
        high: its upper end.
        unrepeated: the mean without the images that stand in the training as well.
        n: samples tested.
        parameters: of the network, or of all of an ensemble.
        seconds: of training, the mean; `None` for a combined run.
        device: trained on; empty for a combined run.
        passed: seconds after which PublicTest first stood at the goal's accuracy, the mean;
            `None` if a run never did.
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
    """A goal, and how far we are.

    Attributes:
        goal: what is to be reached.
        reached: what is; `None` until something is trained.
    """

    goal: Goal
    reached: GoalResult | None

    @property
    def status(self) -> Status:
        """Whether the mean over three seeds reaches the target, in time where there is a limit."""
        found = self.reached
        if found is None:
            return "missing"
        in_time = not self.goal.seconds or (
            found.seconds is not None and found.seconds <= self.goal.seconds
        )
        enough_seeds = self.goal.select > 0 or len(found.runs) >= SEEDS
        if not (enough_seeds and in_time):
            return "short"
        if found.mean >= self.goal.accuracy:
            return "reached"
        on_cpu = self.goal.accuracy_cpu
        return "reached_cpu" if on_cpu is not None and found.mean >= on_cpu else "short"


def goals() -> tuple[Goal, ...]:
    """All of them, in the order in which they can be trained for."""
    text = (resources.files("fercore.reproduction") / "goals.toml").read_text(encoding="utf-8")
    return _parsed(text).goal


def needs_gpu(experiment: str) -> bool:
    """Return whether an experiment would take days on a CPU, so that only a GPU trains it."""
    text = (resources.files("fercore.reproduction") / "goals.toml").read_text(encoding="utf-8")
    return experiment in _parsed(text).gpu


def experiments(wanted: Sequence[Goal]) -> tuple[str, ...]:
    """What has to be trained for them, teachers before those that they teach."""
    return with_teachers([name for goal in wanted for name in goal.experiments])


def with_teachers(names: Sequence[str]) -> tuple[str, ...]:
    """Experiments, and before each of them those that teach it; runs that teach are there."""
    found: list[str] = []
    for name in names:
        teachers = load_config(name).distillation.teachers
        found += [*with_teachers([own for own in teachers if not is_run_name(own)]), name]
    return tuple(dict.fromkeys(found))


def absent_teachers(name: str, root: Path) -> list[str]:
    """The runs that an experiment names as teachers and that lack what they teach from here."""
    distillation = load_config(name).distillation
    absent = []
    for own in filter(is_run_name, distillation.teachers):
        run = read_run(root / own)
        once = distillation.mode == "precomputed"
        if not (run.onnx_path if once else run.best_path.is_file()):
            absent.append(own)
    return absent


def compare(runs: Sequence[Run]) -> tuple[GoalStatus, ...]:
    """Every goal beside what the finished runs give."""
    found = {name: runs_of(name, runs) for name in experiments(goals())}
    return tuple(GoalStatus(goal, _best_result(goal, found, runs)) for goal in goals())


def missing_points(standings: Sequence[GoalStatus]) -> dict[str, float]:
    """How far the goals are, by experiment: percentage points, summed over the goals it serves.

    To a goal of which nothing is trained, all of its accuracy is missing. A teacher serves the
    goals of the networks that it teaches.
    """
    points: dict[str, float] = {}
    for standing in standings:
        mean = standing.reached.mean if standing.reached else 0.0
        for name in experiments([standing.goal]):
            points[name] = points.get(name, 0.0) + max(standing.goal.accuracy - mean, 0.0)
    return points


def runs_of(experiment: str, runs: Sequence[Run]) -> dict[int, Run]:
    """The finished runs of a committed experiment as it stands, by seed, the newest of each.

    Of taught networks those that the teachers of the newest have taught: others are another
    experiment, whose figures no mean is taken with. Where the experiment has folds, only runs of
    the fold that its file names count: a mean over seeds is one over the same images.
    """
    config = load_config(experiment)
    found = [
        (own, run)
        for own, run in completed_runs(config, runs)
        if own.protocol.division == config.protocol.division
    ]
    if not found:
        return {}
    teachers = set(found[-1][0].distillation.teachers)
    alike = {own.seed: run for own, run in found if set(own.distillation.teachers) == teachers}
    return dict(sorted(alike.items()))


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
    """Return the newest finished ensemble that was chosen among exactly these candidates."""
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
    """Return the name of the ensemble that is chosen for a goal."""
    return f"goal-{goal.key}"


def candidates_of(
    goal: Goal, by_experiment: Mapping[str, Mapping[int, Run]], runs: Sequence[Run]
) -> list[Run]:
    """Return the runs that a goal is computed from, or that its ensemble is chosen among.

    Where the goal asks for several views of each image, these are the combined runs over the views.
    """
    every = [run for name in goal.experiments for run in by_experiment[name].values()]
    if goal.tta == "none":
        return every
    viewed = [combination_of([run], goal.tta, runs) for run in every]
    return [run for run in viewed if run]


def _best_result(
    goal: Goal, by_experiment: Mapping[str, Mapping[int, Run]], runs: Sequence[Run]
) -> GoalResult | None:
    if goal.select:
        selected = selection_of(goal, candidates_of(goal, by_experiment, runs), runs)
        return _result_of(goal, "", [selected]) if selected else None
    candidates: list[tuple[tuple[bool, float], GoalResult]] = []
    for name in goal.experiments:
        alone = goal.model_copy(update={"experiments": (name,)})
        found = candidates_of(alone, by_experiment, runs)
        if found:
            chosen_by = statistics.fmean(_split(run, "validation").accuracy for run in found)
            # What one lucky seed says stands behind what three do.
            rank = (len(found) >= SEEDS, chosen_by)
            candidates.append((rank, _result_of(goal, name, found)))
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _result_of(goal: Goal, experiment: str, runs: Sequence[Run]) -> GoalResult:
    tested = [_split(run, "test") for run in runs]
    shares = [100 * split.accuracy for split in tested]
    unrepeated = [
        100 * run.results.splits["test_unique"].accuracy
        for run in runs
        if run.results and "test_unique" in run.results.splits
    ]
    mean, n = statistics.fmean(shares), tested[0].n
    low, high = metrics.accuracy_interval(round(mean * n / 100), n)
    results = [run.results for run in runs if run.results]
    seconds = [result.train_seconds for result in results if result.train_seconds]
    passes = [_passed(run, goal.accuracy) for run in runs]
    known = [run.environment for run in runs if run.environment and run.experiment]
    devices = {device for environment in known for device in environment.devices}
    return GoalResult(
        experiment=experiment,
        runs=tuple(run.id for run in runs),
        mean=mean,
        spread=statistics.stdev(shares) if len(shares) > 1 else None,
        low=100 * low,
        high=100 * high,
        unrepeated=statistics.fmean(unrepeated) if unrepeated else None,
        n=n,
        parameters=results[0].parameters or 0,
        seconds=statistics.fmean(seconds) if len(seconds) == len(runs) else None,
        device=", ".join(sorted(devices)),
        passed=statistics.fmean(s for s in passes if s) if all(passes) else None,
    )


def _passed(run: Run, accuracy: float) -> float | None:
    rows = full_size_epochs(run.log())
    return next((row.elapsed for row in rows if 100 * row.val_accuracy >= accuracy), None)


def _split(run: Run, name: str) -> SplitResult:
    assert run.results is not None
    return run.results.splits[name]


@cache
def _parsed(text: str) -> _Goals:
    return _Goals.model_validate(tomllib.loads(text))
