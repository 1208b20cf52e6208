"""The queue: everything that `fercore papers` and `fercore goals` still lack, in order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fercore import machine
from fercore.cli._scheduler import TrainingJob, find_resumable_run, runs_of
from fercore.cli.papers import list_missing_runs, make_job
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.config.run import is_run_name
from fercore.data import registry as datasets
from fercore.reproduction import goals, published_figures
from fercore.reproduction.goals import Goal
from fercore.runs.reader import Run

Section = Literal["papers", "goals", "seeds"]
# The systems whose experiments get as many seeds as the goals' do.
REPEATED_SYSTEMS = ("le2019", "ranjan2023", "khopkar2021")
# An experiment whose duration is unknown is ordered as if each of its epochs took this long.
GUESSED_EPOCH_SECONDS = 6.0


@dataclass(frozen=True)
class QueuedJob:
    """One thing to do.

    Attributes:
        section: what it is for: a first run of a published figure, a goal, or a further seed of a
            published figure.
        words: what `fercore` is told.
        job: the training; `None` for an export or a combination.
        extra: whether it is a further seed of an experiment.
        members: the runs that are exported or combined.
    """

    section: Section
    words: tuple[str, ...]
    job: TrainingJob | None = None
    extra: bool = False
    members: tuple[Run, ...] = ()

    @property
    def title(self) -> str:
        """What is shown of it."""
        return " ".join(self.words)


def list_missing_jobs(
    wanted: Sequence[Goal],
    experiments: Sequence[str],
    seeds: int,
    runs: Sequence[Run],
    root: Path,
    *,
    with_papers: bool,
) -> list[QueuedJob]:
    """Everything that is missing, in the order of `fercore goals --train --next`.

    An interrupted training comes first. Then come the untrained rows of `fercore papers`, one
    seed, the cheapest first; the exports and combinations whose members are trained; the
    experiments of the goals, teachers first; further seeds of the papers' experiments.

    Args:
        wanted: the goals.
        experiments: that they need, teachers first.
        seeds: of each of them.
        runs: what is there.
        root: of the runs.
        with_papers: whether to add the papers' experiments.
    """
    queue = goal_jobs(wanted, experiments, seeds, runs, root)
    queue.sort(key=lambda job: job.job is not None)
    if with_papers:
        further = [job for seed in range(1, goals.SEEDS) for job in paper_jobs(seed, runs)]
        queue = [*paper_jobs(0, runs), *queue, *further]
    return sorted(
        queue, key=lambda job: job.job is None or find_resumable_run(job.job, runs) is None
    )


def goal_jobs(
    wanted: Sequence[Goal], experiments: Sequence[str], seeds: int, runs: Sequence[Run], root: Path
) -> list[QueuedJob]:
    """What the goals lack: trainings, then exports, then combinations of trained runs.

    Arguments as of `list_missing_jobs`.
    """
    trained = {name: goals.runs_of(name, runs) for name in experiments}
    jobs: list[QueuedJob] = []
    for name in experiments:
        for seed in range(seeds):
            if seed in trained[name]:
                continue
            job = TrainingJob(
                load_config(name, {"seed": seed}), ("train", name, "--seed", str(seed))
            )
            jobs.append(QueuedJob("goals", job.words, job, extra=bool(seed or trained[name])))
    pending = {
        job.job.config.name
        for job in jobs
        if job.job
        and not goals.absent_teachers(job.job.config.name, root)
        and not lacks_gpu(job.job.config.name)
    }
    for by_seed in trained.values():
        for run in by_seed.values():
            if run.onnx_path is None and run.best_path.is_file():
                jobs.append(QueuedJob("goals", ("export", run.id), members=(run,)))
    for goal in wanted:
        if goal.tta == "none":
            continue
        for name in goal.experiments:
            for seed, run in goals.runs_of(name, runs).items():
                if not goals.combination_of([run], goal.tta, runs):
                    words = ("ensemble", run.id, "--tta", "--name", f"{name}-s{seed}-tta")
                    if words not in (job.words for job in jobs):
                        jobs.append(QueuedJob("goals", words, members=(run,)))
    for goal in wanted:
        if not goal.select or pending.intersection(goal.experiments):
            continue
        by_name = {name: goals.runs_of(name, runs) for name in goal.experiments}
        candidates = goals.candidates_of(goal, by_name, runs)
        if len(candidates) > 1 and not goals.selection_of(goal, candidates, runs):
            names = (run.id for run in candidates)
            select = ("--select", str(goal.select), "--name", goals.selection_name(goal))
            jobs.append(QueuedJob("goals", ("ensemble", *names, *select)))
    return jobs


def paper_jobs(seed: int, runs: Sequence[Run]) -> list[QueuedJob]:
    """What `fercore papers` lacks of one seed, the cheapest first.

    Args:
        seed: 0 for every experiment; of a further one, those of `REPEATED_SYSTEMS` are listed, but
            for those with folds by subject.
        runs: what is there.
    """
    section: Section = "seeds" if seed else "papers"
    jobs = [
        make_job(name, seed, fold)
        for name in published_figures.experiments()
        if seed == 0 or _is_repeated(name)
        for found, fold in list_missing_runs(name, seed + 1, runs)
        if found == seed
    ]
    return [QueuedJob(section, job.words, job, extra=seed > 0) for job in jobs]


def _is_repeated(experiment: str) -> bool:
    by_subject = load_config(experiment).protocol.split == "subjects"
    return experiment.startswith(REPEATED_SYSTEMS) and not by_subject


def order_by_value(
    jobs: Sequence[QueuedJob],
    points: Mapping[str, float],
    seconds: Callable[[QueuedJob], float | None],
    too_long: Collection[str] = (),
) -> list[QueuedJob]:
    """Order jobs by expected value; those that are equal keep their order.

    Exports and combinations come first: they are cheap and finish a figure. Then come the goals'
    experiments, first runs before further seeds, each by the points that are missing to its goals
    per estimated minute; untrained rows of `fercore papers`; and further seeds of these. A schedule
    that did not fit comes after the others of its kind: it can only be shortened.

    Args:
        jobs: in the order of the queue.
        points: by experiment, the percentage points that its goals miss.
        seconds: the known duration of a job; where it is `None`, six seconds an epoch are assumed.
        too_long: experiments whose schedule did not fit.
    """

    def rank(queued: QueuedJob) -> tuple[int, int, float]:
        if queued.job is None:
            return 0, 0, 0
        config = queued.job.config
        late = config.name in too_long
        if queued.section != "goals":
            return ("papers", "seeds").index(queued.section) + 2, late, 0
        duration = seconds(queued) or GUESSED_EPOCH_SECONDS * config.epochs
        return 1, 2 * late + queued.extra, -points.get(config.name, 0.0) / duration

    return sorted(jobs, key=rank)


def find_obstacle(
    queued: QueuedJob, jobs: Sequence[QueuedJob], runs: Sequence[Run], root: Path, data: Path
) -> str:
    """Why a job cannot be done now and here; empty if it can.

    Args:
        queued: the job.
        jobs: all that are missing: a network is trained after all of its teachers.
        runs: what is there.
        root: of the runs.
        data: data root.
    """
    if queued.words[0] == "export":
        absent = find_spec("tensorflow") is None
        return "TensorFlow, which writes model.onnx, is not installed" if absent else ""
    if queued.job is None:
        lacking = [run.id for run in queued.members if run.onnx_path is None]
        return f"no model.onnx yet of {', '.join(lacking)}" if lacking else ""
    for run in runs_of(queued.job, runs):
        if run.is_active:
            return f"{run.id} is being trained at this moment"
        if run.state == "diverged":
            return f"{run.id} diverged; training it again would end the same way"
    config = queued.job.config
    if lacks_gpu(config.name):
        return "it needs a GPU"
    if not datasets.dataset_status(config.dataset, data).installed:
        return f"the dataset {config.dataset} is not installed"
    return teacher_obstacle(config, jobs, runs, root)


def teacher_obstacle(
    config: ExperimentConfig, jobs: Sequence[QueuedJob], runs: Sequence[Run], root: Path
) -> str:
    """Return why the teachers of an experiment cannot teach yet; empty if they can.

    Args:
        config: the experiment.
        jobs: all that are missing.
        runs: what is there.
        root: of the runs.
    """
    if absent_runs := goals.absent_teachers(config.name, root):
        return f"its teachers {', '.join(absent_runs)} have no network in {root}"
    pending = {other.job.config.name for other in jobs if other.job}
    asked_once = config.distillation.mode == "precomputed"
    for name in config.distillation.teachers:
        if name in pending:
            return f"its teacher {name} is not trained yet"
        named = [run for run in runs if run.id == name]
        teachers = named if is_run_name(name) else list(goals.runs_of(name, runs).values())
        if not any(run.onnx_path if asked_once else run.best_path.is_file() for run in teachers):
            what = "model.onnx" if asked_once else "checkpoint"
            return f"its teacher {name} has no {what} here"
    return ""


def lacks_gpu(experiment: str) -> bool:
    """Return whether an experiment needs a GPU, and this machine has none."""
    return goals.needs_gpu(experiment) and not machine.has_nvidia_gpu()
