"""The queue of missing jobs of `fercore papers` and `fercore goals`, and its order."""

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
# Systems with as many seeds per experiment as the goals.
REPEATED_SYSTEMS = ("le2019", "ranjan2023", "khopkar2021")
# Assumed time of an epoch in the order by value if the duration of an experiment is unknown.
GUESSED_EPOCH_SECONDS = 6.0


@dataclass(frozen=True)
class QueuedJob:
    """A training, an export or a combination of runs.

    Attributes:
        section: its purpose: a first run of a published figure, a goal, or a further seed of a
            published figure.
        words: the arguments of `fercore`.
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
        """Return the text that is shown for the job."""
        return " ".join(self.words)


def list_missing_jobs(
    requested: Sequence[Goal],
    experiments: Sequence[str],
    seeds: int,
    runs: Sequence[Run],
    root: Path,
    *,
    with_papers: bool,
) -> list[QueuedJob]:
    """Return all missing jobs in the order of `fercore goals --train --next`.

    Interrupted trainings come first. Then follow the untrained rows of `fercore papers`, one seed
    each, the cheapest first; the exports and combinations of trained runs; the experiments of the
    goals, teachers first; and further seeds of the papers' experiments.

    Args:
        requested: the goals.
        experiments: the experiments that they need, teachers first.
        seeds: number of seeds of each experiment.
        runs: the existing runs.
        root: folder of the runs.
        with_papers: whether to add the papers' experiments.
    """
    queue = goal_jobs(requested, experiments, seeds, runs, root)
    queue.sort(key=lambda job: job.job is not None)
    if with_papers:
        further_seeds = [job for seed in range(1, goals.SEEDS) for job in paper_jobs(seed, runs)]
        queue = [*paper_jobs(0, runs), *queue, *further_seeds]
    return sorted(
        queue, key=lambda job: job.job is None or find_resumable_run(job.job, runs) is None
    )


def goal_jobs(
    requested: Sequence[Goal],
    experiments: Sequence[str],
    seeds: int,
    runs: Sequence[Run],
    root: Path,
) -> list[QueuedJob]:
    """Return the missing jobs of the goals: trainings, then exports, then combinations.

    The arguments are those of `list_missing_jobs`.
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
    for goal in requested:
        if goal.tta == "none":
            continue
        for name in goal.experiments:
            for seed, run in goals.runs_of(name, runs).items():
                if not goals.combination_of([run], goal.tta, runs):
                    words = ("ensemble", run.id, "--tta", "--name", f"{name}-s{seed}-tta")
                    if words not in (job.words for job in jobs):
                        jobs.append(QueuedJob("goals", words, members=(run,)))
    for goal in requested:
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
    """Return the missing trainings of `fercore papers` for one seed, the cheapest first.

    Args:
        seed: with 0, all experiments are listed. With another seed, only those of
            `REPEATED_SYSTEMS` without folds by subject.
        runs: the existing runs.
    """
    section: Section = "seeds" if seed else "papers"
    jobs = [
        make_job(name, seed, fold)
        for name in published_figures.experiments()
        if seed == 0 or _is_repeated(name)
        for missing_seed, fold in list_missing_runs(name, seed + 1, runs)
        if missing_seed == seed
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
    """Sort jobs by expected value; the sort is stable.

    Exports and combinations come first, because they are cheap and complete a figure. Then follow
    the goals' experiments, first runs before further seeds, sorted by the percentage points that
    their goals lack per estimated minute; untrained rows of `fercore papers`; and further seeds of
    these. A schedule that did not fit comes after the others of its kind, since it can only be
    shortened.

    Args:
        jobs: jobs in the order of the queue.
        points: the percentage points that the goals of an experiment lack, by experiment.
        seconds: returns the estimated duration of a job; if it is `None`, six seconds per epoch are
            assumed.
        too_long: experiments whose schedule did not fit.
    """

    def rank(queued: QueuedJob) -> tuple[int, int, float]:
        if queued.job is None:
            return 0, 0, 0
        config = queued.job.config
        is_too_long = config.name in too_long
        if queued.section != "goals":
            return ("papers", "seeds").index(queued.section) + 2, is_too_long, 0
        duration = seconds(queued) or GUESSED_EPOCH_SECONDS * config.epochs
        return 1, 2 * is_too_long + queued.extra, -points.get(config.name, 0.0) / duration

    return sorted(jobs, key=rank)


def find_obstacle(
    queued: QueuedJob, jobs: Sequence[QueuedJob], runs: Sequence[Run], root: Path, data: Path
) -> str:
    """Return why a job cannot run now on this machine; an empty string if it can.

    Args:
        queued: the job.
        jobs: all missing jobs, because a network is trained after all of its teachers.
        runs: the existing runs.
        root: folder of the runs.
        data: data root.
    """
    if queued.words[0] == "export":
        is_absent = find_spec("tensorflow") is None
        return "TensorFlow, which writes model.onnx, is not installed" if is_absent else ""
    if queued.job is None:
        not_exported = [run.id for run in queued.members if run.onnx_path is None]
        return f"no model.onnx yet of {', '.join(not_exported)}" if not_exported else ""
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
    """Return why the teachers of an experiment cannot be used yet; an empty string if they can.

    Args:
        config: the experiment.
        jobs: all missing jobs.
        runs: the existing runs.
        root: folder of the runs.
    """
    if absent_runs := goals.absent_teachers(config.name, root):
        return f"its teachers {', '.join(absent_runs)} have no network in {root}"
    pending = {other.job.config.name for other in jobs if other.job}
    needs_onnx = config.distillation.mode == "precomputed"
    for name in config.distillation.teachers:
        if name in pending:
            return f"its teacher {name} is not trained yet"
        if is_run_name(name):
            teachers = [run for run in runs if run.id == name]
        else:
            teachers = list(goals.runs_of(name, runs).values())
        if not any(run.onnx_path if needs_onnx else run.best_path.is_file() for run in teachers):
            lacking = "model.onnx" if needs_onnx else "checkpoint"
            return f"its teacher {name} has no {lacking} here"
    return ""


def lacks_gpu(experiment: str) -> bool:
    """Return whether an experiment needs a GPU, and this machine has none."""
    return goals.needs_gpu(experiment) and not machine.has_nvidia_gpu()
