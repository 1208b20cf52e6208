"""Trainings that a table still lacks: one after another, each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from fercore.config import ExperimentConfig
from fercore.errors import UserError
from fercore.runs import Run, list_runs


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        config: of the run.
        words: what `fercore` is told to begin it.
    """

    config: ExperimentConfig
    words: tuple[str, ...]


def as_options(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields of a config as `fercore train` takes them."""
    words: list[str] = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += [f"--{name.replace('_', '-')}", text]
    return tuple(words)


def done(config: ExperimentConfig, runs: Sequence[Run]) -> bool:
    """Whether a run of that very experiment and seed was trained to its end."""
    return any(
        run.results is not None
        and run.results.stopped_by in {"epochs", "early stopping"}
        and run.experiment is not None
        and _same(run.experiment, config)
        for run in runs
    )


def words_for(job: Job, runs: Sequence[Run]) -> list[str]:
    """What trains it, or goes on with one that was interrupted."""
    wanted = job.config
    for run in runs:
        begun = run.experiment
        ended_early = run.results is not None and run.results.stopped_by == "interrupt"
        if (
            begun is not None
            and (ended_early or run.state in {"interrupted", "stalled", "failed"})
            and _same(begun, wanted)
            and run.log()
        ):
            return ["train", "--resume", run.id]
    return list(job.words)


def do(job: Job, runs: Path, data: Path) -> None:
    """Train it to its end.

    Args:
        job: what to train.
        runs: runs root.
        data: data root.

    Raises:
        UserError: if the training fails, or is stopped before its end.
    """
    words = words_for(job, list_runs(runs))
    typer.echo(f"+ fercore {' '.join(words)}")
    command = [sys.executable, "-m", "fercore", *words]
    command += ["--runs-root", str(runs), "--data-root", str(data)]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise UserError(
            f"training {job.config.name} ended with status {status}; mend what it says, "
            "then go on with the same command"
        )
    if not done(job.config, list_runs(runs)):
        raise UserError(
            f"{job.config.name} was stopped before its end; go on with the same command"
        )


def _same(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    if (one.name, one.seed, one.protocol) != (other.name, other.seed, other.protocol):
        return False
    return _untaught(one) == _untaught(other)


def _untaught(config: ExperimentConfig) -> dict[str, Any]:
    # An experiment names its teachers' experiment, a run of it the runs.
    fields = config.recipe()
    fields["distillation"].pop("teachers")
    return fields
