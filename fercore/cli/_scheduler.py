"""Training jobs, each of which runs `fercore train` in a separate process."""

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
        config: the config of the run.
        words: the arguments of `fercore` that start it.
    """

    config: ExperimentConfig
    words: tuple[str, ...]


def format_options(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Format fields of a config as options of `fercore train`."""
    words: list[str] = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += [f"--{name.replace('_', '-')}", text]
    return tuple(words)


def is_done(config: ExperimentConfig, runs: Sequence[Run]) -> bool:
    """Return whether a run of that experiment, seed and fold is complete."""
    return any(_is_same_training(done, config) for done, _ in completed_runs(config, runs))


def command_for(job: TrainingJob, runs: Sequence[Run]) -> list[str]:
    """Return the arguments of `fercore` that start a job, or resume its interrupted run.

    Raises:
        UserError: if a run of the job is in training now.
    """
    for run in runs_of(job, runs):
        if run.is_active:
            process = f" by process {run.status.pid} on {run.status.host}" if run.status else ""
            raise UserError(
                f"{run.id} is being trained at this moment{process}; wait for its end or stop it "
                "first"
            )
    interrupted = find_resumable_run(job, runs)
    return list(job.words) if interrupted is None else ["train", "--resume", interrupted.id]


def runs_of(job: TrainingJob, runs: Sequence[Run]) -> list[Run]:
    """Return all runs of a job's experiment, seed and fold, finished or not."""
    return [run for run in runs if run.experiment and _is_same_training(run.experiment, job.config)]


def find_resumable_run(job: TrainingJob, runs: Sequence[Run]) -> Run | None:
    """Return the interrupted run of a job that can be resumed; `None` if there is none."""
    interrupted = [run for run in runs_of(job, runs) if run.can_resume]
    # A run with saved epochs comes before one that would start from the beginning.
    return min(interrupted, key=lambda run: run.has_no_progress, default=None)


def describe_divergence(job: TrainingJob, runs: Sequence[Run]) -> str:
    """Return a message if a run of a job has diverged; an empty string if none has."""
    diverged = next((run for run in runs_of(job, runs) if run.state == "diverged"), None)
    if diverged is None:
        return ""
    return (
        f"{diverged.id} diverged, and would again; lower the learning rate of its config, or limit "
        "its gradients (optimizer.clip_norm)"
    )


@contextmanager
def claim_job(job: TrainingJob, root: Path) -> Iterator[None]:
    """Prevent other commands from starting the same training while the body runs.

    Raises:
        UserError: if another command has started it.
    """
    config = job.config
    fields = json.dumps([config.recipe(), config.seed, config.protocol.fold], sort_keys=True)
    digest = hashlib.sha256(fields.encode()).hexdigest()[:16]
    root.mkdir(parents=True, exist_ok=True)
    try:
        lock = locks.take(root / f"job-{digest}")
    except locks.LockHeldError as error:
        raise UserError(
            f"{config.name}, seed {config.seed} is being trained at this moment by {error}; wait "
            "for its end or stop it first"
        ) from None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def run_job(job: TrainingJob, runs: Path, data: Path) -> None:
    """Train a job to its end; skip it if its run is complete or has diverged.

    Args:
        job: the training.
        runs: runs root.
        data: data root.

    Raises:
        UserError: if the training fails, diverges, or is stopped before its end.
    """
    with claim_job(job, runs):
        existing_runs = list_runs(runs)
        if is_done(job.config, existing_runs):  # another command has trained it in the meantime
            return
        if problem := describe_divergence(job, existing_runs):
            typer.echo(f"{job.config.name}, seed {job.config.seed}: skipped, {problem}")
            return
        words = command_for(job, existing_runs)
        status = call_fercore(words, runs, data)
        existing_runs = list_runs(runs)
    if is_done(job.config, existing_runs):
        return
    if problem := describe_divergence(job, existing_runs):
        raise UserError(f"{problem}; the same command will skip it")
    if status:
        raise _command_error(words, status)
    raise UserError(f"{job.config.name} was stopped before its end; repeat the command to continue")


def run_fercore(
    words: Sequence[str], runs: Path, data: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run `fercore` in a separate process.

    Args:
        words: the arguments of the command.
        runs: runs root.
        data: data root.
        environment: the environment variables of the process; those of this process if absent.

    Raises:
        UserError: if the command fails.
    """
    status = call_fercore(words, runs, data, environment)
    if status:
        raise _command_error(words, status)


def _command_error(words: Sequence[str], status: int) -> UserError:
    return UserError(
        f"fercore {' '.join(words[:2])} ended with status {status}; fix the error that it printed, "
        "then repeat the command to continue"
    )


def call_fercore(
    words: Sequence[str],
    runs: Path,
    data: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> int:
    """Run `fercore` in a separate process, and return its exit status.

    Args:
        words: the arguments of the command.
        runs: runs root.
        data: data root.
        environment: the environment variables of the process; those of this process if absent.
        timeout: seconds after which the process receives SIGTERM.
    """
    typer.echo(f"+ fercore {' '.join(words)}")
    command = [sys.executable, "-m", "fercore", *words]
    command += ["--runs-root", str(runs), "--data-root", str(data)]
    return wait_for_process(subprocess.Popen(command, env=environment), timeout)


def wait_for_process(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
    """Wait for a process and return its status; if this process is stopped, let it end cleanly.

    A terminal sends Ctrl-C to both processes. SIGTERM reaches this process only, and is passed on.
    After `timeout` seconds, the process receives SIGTERM.

    Raises:
        KeyboardInterrupt: after the end of the process, if this process was stopped.
    """
    was_stopped = False

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal was_stopped
        was_stopped = True
        process.terminate()

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        while True:
            try:
                status = process.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                process.terminate()
                timeout = None
            except KeyboardInterrupt:
                was_stopped = True
    finally:
        signal.signal(signal.SIGTERM, previous)
    if was_stopped:
        raise KeyboardInterrupt
    return status


def _is_same_training(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    """Return whether two configs have the same experiment, seed and protocol."""
    same_samples = (one.seed, one.protocol) == (other.seed, other.protocol)
    return same_samples and one.is_same_experiment(other)
