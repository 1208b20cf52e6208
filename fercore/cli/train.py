"""`fercore train`: train an experiment, or resume a run."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fercore.cli._display import TrainingDisplay, print_results
from fercore.cli._native_output import suppress_native_stderr
from fercore.cli._options import AsJson, DataRoot, RunsRoot
from fercore.cli._overrides import parse_request, require_experiment
from fercore.cli._scheduler import TrainingJob, format_options, is_done, run_job
from fercore.cli.configs import configs
from fercore.cli.export import export
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run, list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.recreate import train_command
from fercore.training.time_budget import (
    DOES_NOT_FIT,
    ScheduleTooLong,
    make_training_budget,
    shortened_fields,
)

if TYPE_CHECKING:
    from fercore.data.splits import Splits
    from fercore.runs.schema import Ancestor, Results
    from fercore.runs.writer import RunWriter
    from fercore.training.callbacks import Progress as TrainingProgress
    from fercore.training.time_budget import TrainingBudget


Request = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CONFIG [--FIELD VALUE]...",
        help="A name that `fercore configs` lists or a TOML file, and any of its fields.",
    ),
]
ResumeRun = Annotated[
    str | None, typer.Option("--resume", help="Continue this run from its last saved epoch.")
]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Train the missing seeds from 0 to N - 1, one after another."),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.1, help="End in time; shorten the schedule if it does not fit into N minutes."
    ),
]
Shorten = Annotated[
    bool, typer.Option(help="With --minutes: shorten a schedule that does not fit.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the top level."""
    app.command()(configs)
    app.command(context_settings={"ignore_unknown_options": True})(train)
    app.command()(export)


def train(
    request: Request = None,
    resume: ResumeRun = None,
    seeds: Seeds = None,
    minutes: Minutes = None,
    shorten: Shorten = True,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Train one experiment and write its run directory.

    Any field of the config can be given as an option: --seed 1 --epochs 20
    --optimizer.learning-rate 0.01 --augmentation.rotation 10. Ctrl-C ends the training at the last
    saved epoch and evaluates it; after a second Ctrl-C, the run can be resumed. With --seeds, the
    same command continues where it stopped. A run that ended before its first checkpoint is resumed
    from the start.

    With --minutes, training ends in time for evaluation and export. If the first three epochs show
    that the full schedule does not fit, they are discarded, and the experiment is trained as
    EXPERIMENT-short with as many epochs as fit. If these are fewer than a quarter of the schedule,
    or with --no-shorten, there is no run, and the exit status is 3. A resumed run keeps its
    schedule and can be resumed again.

    Example: fercore train katkar2021-model1-original --seed 1 --epochs 20
    """
    start_time = time.monotonic()
    words = request or []
    config, overrides = parse_request(words)
    if seeds is not None:
        if config is None or resume is not None or as_json or "seed" in overrides or minutes:
            raise UserError(
                "received --seeds, expected an experiment with it and none of --resume, --seed, "
                "--json, --minutes"
            )
        _train_seeds(config, overrides, words, seeds, runs_root(runs), data_root(data))
        return
    if (config is None) == (resume is None):
        raise UserError(
            "expected an experiment, such as `fercore train synthetic-quick`, or --resume RUN"
        )
    root, command = runs_root(runs), shlex.join(["fercore", "train", *words])
    preparation: AbstractContextManager[_Training]
    if resume is not None:
        command = shlex.join(["fercore", "train", "--resume", resume, *words])
        preparation = _resume_training(find_run(root, resume), overrides, command, data_root(data))
    else:
        assert config is not None
        experiment = load_config(config, overrides)
        preparation = _begin_training(experiment, command, root, data_root(data))
    with preparation as training, TrainingDisplay(quiet=as_json) as display:
        budget = None
        if minutes is not None:
            left = 60 * minutes - (time.monotonic() - start_time)
            budget = make_training_budget(
                training.config, left, list_runs(root), resumed=training.resume
            )
        _load_framework(training, display)
        outcome = _train_once(training, display, budget)
        if isinstance(outcome, ScheduleTooLong) and outcome.epochs and budget and shorten:
            training, outcome = _train_shortened(training, outcome, display, budget)
        if isinstance(outcome, ScheduleTooLong):
            display.print_line(f"{training.config.name} is skipped, no run was made: {outcome}")
            raise typer.Exit(DOES_NOT_FIT)
    print_results(training.writer.path.name, outcome, as_json)


@dataclass(frozen=True)
class _Training:
    """A training with a locked run directory.

    Attributes:
        config: the experiment.
        splits: its dataset.
        writer: the run directory; it holds the lock.
        command: the command for the record.
        resume: whether the run is resumed.
        ancestors: the runs that provide initial weights or teachers; empty for a resumed run, which
            already has their record.
    """

    config: ExperimentConfig
    splits: "Splits"
    writer: "RunWriter"
    command: str
    resume: bool
    ancestors: "tuple[Ancestor, ...]" = ()


@contextmanager
def _begin_training(
    config: ExperimentConfig, command: str, root: Path, data: Path
) -> Iterator[_Training]:
    """Create a new run directory, after all checks of the request.

    Raises:
        UserError: if the request cannot be met; no run directory is created then.
    """
    from fercore.runs.writer import RunWriter
    from fercore.training.new_run import check_request

    request = check_request(config, root, data)
    config = request.config
    for ancestor in request.ancestors:
        if ancestor.tested_images_seen is None:
            typer.echo(
                f"note: the training images of {ancestor.run} "
                f"({ancestor.dataset or 'unknown'}) are not installed, so it is unknown whether "
                "they include test images",
                err=True,
            )
    if config.devices > 1:
        with suppress_native_stderr():
            from fercore.training.device import require_devices

            require_devices(config.devices)
    with RunWriter.create(root, config) as writer:
        yield _Training(
            config, request.splits, writer, command, resume=False, ancestors=request.ancestors
        )


@contextmanager
def _resume_training(
    run: Run, overrides: dict[str, Any], command: str, data: Path
) -> Iterator[_Training]:
    """Lock an existing run, then load its dataset.

    Raises:
        UserError: if the run cannot be resumed.
    """
    from fercore.data.registry import load_dataset
    from fercore.evaluation.protocol import require_same_exclusion
    from fercore.runs.writer import RunWriter

    require_experiment(run)
    with RunWriter.claim(run.path) as writer:
        run = read_run(run.path)  # again, now that no other process can change it
        config = _require_resumable(run, overrides)
        if run.environment is None:  # no command is recorded yet
            command = train_command(run)
        writer.announce(config.epochs)
        try:
            splits = load_dataset(config.dataset, data)
            recorded = run.environment
            if recorded and splits.fingerprint != recorded.dataset_fingerprint:
                raise UserError(
                    f"{run.id} was trained on {config.dataset} with the fingerprint "
                    f"{recorded.dataset_fingerprint}, but the installed one has "
                    f"{splits.fingerprint}; add the dataset again from the same files, or start a "
                    "new training"
                )
            require_same_exclusion(run)
        except BaseException:
            writer.withdraw()
            raise
        yield _Training(config, splits, writer, command, resume=True)


def _load_framework(training: _Training, display: TrainingDisplay) -> None:
    """Import Keras, which takes ten seconds or more, and print the device."""
    try:
        with suppress_native_stderr():
            from fercore.training import trainer as _trainer  # noqa: F401
            from fercore.training.device import (
                describe_device,
                has_unused_gpu,
                treat_sigterm_as_interrupt,
            )
        treat_sigterm_as_interrupt()
        config = training.config
        device_name = describe_device(config.devices)
        display.print_line(
            f"{config.title}, seed {config.seed}, on {device_name}, into {training.writer.path}"
        )
        if has_unused_gpu():
            display.print_line(
                "the Keras backend does not see the NVIDIA GPU of this machine; to train on it: "
                "KERAS_BACKEND=jax uv run --extra gpu fercore train ..."
            )
    except BaseException as error:
        if training.resume:
            training.writer.withdraw()
        elif isinstance(error, KeyboardInterrupt):
            training.writer.set_status_best_effort(
                state="interrupted", message="interrupted before its first epoch"
            )
        else:
            training.writer.discard()
        raise


def _train_once(
    training: _Training, display: TrainingDisplay, budget: "TrainingBudget | None"
) -> "Results | ScheduleTooLong":
    """Train, and return the results, or the reason why the schedule does not fit into the budget.

    Raises:
        UserError: if the training cannot begin, diverges, or cannot write the run directory.
    """
    from fercore.training.new_run import TrainingRequest, train_in

    def on_progress(progress: "TrainingProgress") -> None:
        display.on_progress(progress)
        if budget is not None:
            budget.on_progress(progress)

    try:
        return train_in(
            training.writer,
            TrainingRequest(training.config, training.splits, training.ancestors),
            command=training.command,
            resume=training.resume,
            on_progress=on_progress,
        )
    except ScheduleTooLong as too_long:
        training.writer.discard()
        return too_long.with_traceback(None)  # the traceback refers to the network


def _train_shortened(
    training: _Training,
    too_long: ScheduleTooLong,
    display: TrainingDisplay,
    budget: "TrainingBudget",
) -> "tuple[_Training, Results | ScheduleTooLong]":
    """Train an experiment with a shortened schedule, as a new run.

    Args:
        training: the training with the full schedule, which was given up.
        too_long: the number of epochs that fit, and the reason.
        display: receives the progress.
        budget: the time budget.

    Returns:
        The training with the shortened schedule, and its outcome.
    """
    from fercore.runs.writer import RunWriter

    fields = shortened_fields(training.config, too_long.epochs)
    display.print_line(
        f"{training.config.name} does not fit: {too_long}; trained as {fields['name']} "
        f"with {too_long.epochs} epochs instead"
    )
    config = training.config.model_copy(update=fields)
    command = f"{training.command} {shlex.join(format_options(fields))}"
    budget.restart()
    with RunWriter.create(training.writer.path.parent, config) as writer:
        training = replace(training, config=config, writer=writer, command=command)
        return training, _train_once(training, display, budget)


def _train_seeds(
    config: str,
    overrides: dict[str, Any],
    words: Sequence[str],
    seeds: int,
    runs: Path,
    data: Path,
) -> None:
    for seed in range(seeds):
        experiment = load_config(config, {**overrides, "seed": seed})
        job = TrainingJob(experiment, ("train", *words, "--seed", str(seed)))
        if is_done(experiment, list_runs(runs)):
            typer.echo(f"{experiment.name}, seed {seed}: already trained")
            continue
        run_job(job, runs, data)


def _require_resumable(run: Run, overrides: dict[str, Any]) -> ExperimentConfig:
    """Return the config with which a run is resumed.

    Raises:
        UserError: if the run cannot be resumed, or a field other than the epochs is changed.
    """
    config = require_experiment(run)
    if set(overrides) - {"epochs"}:
        raise UserError(
            f"received {', '.join('--' + name for name in overrides)} with --resume, expected "
            "--epochs only: a resumed run keeps the config that it began with"
        )
    if overrides:
        config = load_config(run.path / "config.json", overrides)
        refuse_other_epochs(run, config)
    if run.results and run.results.stopped_by == "early stopping":
        raise UserError(
            f"{run.id} was ended by early stopping, as its config requires; nothing to resume"
        )
    if run.state == "diverged":
        raise UserError(
            f"{run.id} diverged, and would again; start a new training with a lower learning rate "
            "(--optimizer.learning-rate) or a limit of its gradients (--optimizer.clip-norm)"
        )
    if run.results and run.results.epochs_run >= config.epochs:
        raise UserError(
            f"{run.id} has all of its {config.epochs} epochs; for more: "
            f"fercore train --resume {run.id} --epochs N"
        )
    if not run.last_path.is_file() and not run.has_no_progress:
        raise UserError(
            f"{run.id} has no checkpoint to resume from: it is written after the first epoch, and "
            "stays on the machine of the training; start a new training"
        )
    return config


def refuse_other_epochs(run: Run, config: ExperimentConfig) -> None:
    """Refuse to resume a run with a number of epochs that would have changed its earlier epochs.

    Raises:
        UserError: if the learning rate or the image size depends on the number of epochs, or the
            run has more epochs.
    """
    epochs_done = len(run.log())
    if config.epochs < epochs_done:
        raise UserError(
            f"received --epochs {config.epochs}, but {run.id} has {epochs_done} epochs already; "
            "expected as many or more"
        )
    original_epochs = require_experiment(run).epochs
    if config.epochs == original_epochs:
        return
    if config.schedule.kind == "cosine":
        raise UserError(
            f"received --epochs {config.epochs}, but the learning rate of {run.id} falls by a "
            f"cosine over {original_epochs} epochs: with another number, its first epochs would "
            "have had other rates; start a new training"
        )
    if config.progressive_resizing.size is not None:
        raise UserError(
            f"received --epochs {config.epochs}, but the image size of {run.id} grows within "
            f"{original_epochs} epochs: with another number, it would grow in another epoch; start "
            "a new training"
        )
