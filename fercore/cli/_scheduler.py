"""Trainings that a table still lacks: one after another, each in a process of its own."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from fercore.config.experiment import ExperimentConfig
from fercore.errors import UserError
from fercore.runs import locks
from fercore.runs.listing import completed_runs, list_runs
from fercore.runs.reader import Run


@dataclass(frozen=True)
class TrainingJob:
    """One training.

    Attributes:
        config: of the run.
        words: what `fercore` is told to begin it.
    """

    config: ExperimentConfig
    words: tuple[str, ...]


def format_options(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields of a config as `fercore train` takes them."""
    words: list[str] = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += [f"--{name.replace('_', '-')}", text]
    return tuple(words)


def is_done(config: ExperimentConfig, runs: Sequence[Run]) -> bool:
    """Whether a run of that very experiment, seed and fold was trained to its end."""
    return any(_is_same_training(own, config) for own, _ in completed_runs(config, runs))


def command_for(job: TrainingJob, runs: Sequence[Run]) -> list[str]:
    """What trains it, or goes on with one that was interrupted.

    Raises:
        UserError: if it is being trained at this moment.
    """
    for run in runs_of(job, runs):
        if run.is_active:
            who = f" by process {run.status.pid} on {run.status.host}" if run.status else ""
            raise UserError(
                f"{run.id} is being trained at this moment{who}; wait for its end or stop it first"
            )
    stopped = find_resumable_run(job, runs)
    return list(job.words) if stopped is None else ["train", "--resume", stopped.id]


def runs_of(job: TrainingJob, runs: Sequence[Run]) -> list[Run]:
    """All runs of this experiment, seed and fold, finished or not."""
    return [run for run in runs if run.experiment and _is_same_training(run.experiment, job.config)]


def find_resumable_run(job: TrainingJob, runs: Sequence[Run]) -> Run | None:
    """The run of this experiment, seed and fold that was interrupted and can be resumed."""
    stopped = [run for run in runs_of(job, runs) if run.can_resume]
    # One with epochs behind it comes before one that would begin anew.
    return min(stopped, key=lambda run: run.has_no_progress, default=None)


def describe_divergence(job: TrainingJob, runs: Sequence[Run]) -> str:
    """Say that a run of this experiment, seed and fold diverged; empty if none did."""
    lost = next((run for run in runs_of(job, runs) if run.state == "diverged"), None)
    if lost is None:
        return ""
    return (
        f"{lost.id} diverged, and would again; lower the learning rate of its config, or set a "
        "bound (optimizer.clip_norm)"
    )


@contextmanager
def claim_job(job: TrainingJob, root: Path) -> Iterator[None]:
    """Keep other commands from beginning the same training while the body runs.

    Raises:
        UserError: if another one has begun it.
    """
    config = job.config
    fields = json.dumps([config.recipe(), config.seed, config.protocol.fold], sort_keys=True)
    digest = hashlib.sha256(fields.encode()).hexdigest()[:16]
    root.mkdir(parents=True, exist_ok=True)
    try:
        lock = locks.take(root / f"job-{digest}")
    except locks.LockHeldError as holder:
        raise UserError(
            f"{config.name}, seed {config.seed} is being trained at this moment by {holder}; wait "
            "for its end or stop it first"
        ) from None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def run_job(job: TrainingJob, runs: Path, data: Path) -> None:
    """Train it to its end.

    Args:
        job: what to train.
        runs: runs root.
        data: data root.

    Raises:
        UserError: if the training fails, or is stopped before its end.
    """
    with claim_job(job, runs):
        found = list_runs(runs)
        if is_done(job.config, found):  # by another command, since it was looked for
            return
        if lost := describe_divergence(job, found):
            typer.echo(f"{job.config.name}, seed {job.config.seed}: left out, {lost}")
            return
        status = call_fercore(words := command_for(job, found), runs, data)
        found = list_runs(runs)
    if is_done(job.config, found):
        return
    if lost := describe_divergence(job, found):
        raise UserError(f"{lost}; the same command leaves it out")
    if status:
        raise _failure(words, status)
    raise UserError(f"{job.config.name} was stopped before its end; go on with the same command")


def run_fercore(
    words: Sequence[str], runs: Path, data: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run `fercore` with these words in a process of its own.

    Args:
        words: of the command line.
        runs: runs root.
        data: data root.
        environment: of the process; this one's if absent.

    Raises:
        UserError: if it fails.
    """
    status = call_fercore(words, runs, data, environment)
    if status:
        raise _failure(words, status)


def _failure(words: Sequence[str], status: int) -> UserError:
    return UserError(
        f"fercore {' '.join(words[:2])} ended with status {status}; mend what it says, then go "
        "on with the same command"
    )


def call_fercore(
    words: Sequence[str],
    runs: Path,
    data: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> int:
    """Run `fercore` with these words in a process of its own, and return its exit status.

    Args:
        words: of the command line.
        runs: runs root.
        data: data root.
        environment: of the process; this one's if absent.
        timeout: seconds after which it is sent SIGTERM.
    """
    typer.echo(f"+ fercore {' '.join(words)}")
    command = [sys.executable, "-m", "fercore", *words]
    command += ["--runs-root", str(runs), "--data-root", str(data)]
    return wait_for_process(subprocess.Popen(command, env=environment), timeout)


def wait_for_process(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
    """The status of a process, which is given the time to end cleanly when we are told to.

    A terminal sends Ctrl-C to both of us; SIGTERM, which comes to one, is passed on. After
    `timeout` seconds the process is sent SIGTERM.
    """
    stopped = False

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        process.terminate()

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        while True:
            try:
                status = process.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                process.terminate()
                timeout = None
            except KeyboardInterrupt:
                stopped = True
    finally:
        signal.signal(signal.SIGTERM, before)
    if stopped:
        raise KeyboardInterrupt
    return status


def _is_same_training(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    same_samples = (one.seed, one.protocol) == (other.seed, other.protocol)
    return same_samples and one.is_same_experiment(other)
