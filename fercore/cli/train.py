"""`fercore train`: train an experiment, or resume a run."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fercore.cli._native_output import suppress_native_stderr
from fercore.cli._options import AsJson, DataRoot, RunsRoot
from fercore.cli._scheduler import TrainingJob, as_options, is_done, run_job
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run, list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.recreate import train_command
from fercore.training.time_budget import DOES_NOT_FIT, ScheduleTooLong, budget_for, shortened

if TYPE_CHECKING:
    from fercore.data.splits import Splits
    from fercore.runs.schema import Ancestor, Results
    from fercore.runs.writer import RunWriter
    from fercore.training.callbacks import Progress as TrainingProgress
    from fercore.training.time_budget import TrainingBudget
from fercore.cli._display import TrainingDisplay, print_results
from fercore.cli._overrides import experiment_of, parse_request
from fercore.cli.configs import configs
from fercore.cli.export import export


def register(app: typer.Typer) -> None:
    """Add these commands to the top level."""
    app.command()(configs)
    app.command(context_settings={"ignore_unknown_options": True})(train)
    app.command()(export)


def train(
    request: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG [--FIELD VALUE]...",
            help="A name that `fercore configs` lists or a TOML file, and any of its fields.",
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this run from the last epoch that was saved.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train the seeds from 0 to N - 1 that are still missing, one by one."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Stop in time; shorten the schedule if it does not fit into N minutes."
        ),
    ] = None,
    shorten: Annotated[
        bool, typer.Option(help="With --minutes: shorten a schedule that does not fit.")
    ] = True,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Train one experiment and write its run directory.

    Any field of the config can be given as an option: --seed 1 --epochs 20
    --optimizer.learning-rate 0.01 --augmentation.rotation 10. Ctrl-C ends the training at the last
    epoch that was saved and evaluates what there is; a second one leaves the run to be resumed.
    With --seeds, the same command goes on where it was stopped. A run that ended before its first
    checkpoint is resumed from the start.

    With --minutes, training ends in time for evaluation and export. If the first three epochs show
    that the full schedule does not fit, they are discarded, and the experiment is trained as
    EXPERIMENT-short with as many epochs as fit. If these are fewer than a quarter of the schedule,
    or with --no-shorten, there is no run, and the exit status is 3. A resumed run keeps its
    schedule and can be resumed again.

    Example: fercore train katkar2021-model1-original --seed 1 --epochs 20
    """
    began = time.monotonic()
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
    opened: AbstractContextManager[_Training]
    if resume is not None:
        command = shlex.join(["fercore", "train", "--resume", resume, *words])
        opened = _resume_training(find_run(root, resume), overrides, command, data_root(data))
    else:
        assert config is not None
        opened = _begin_training(load_config(config, overrides), command, root, data_root(data))
    with opened as training, TrainingDisplay(quiet=as_json) as display:
        budget = None
        if minutes is not None:
            left = 60 * minutes - (time.monotonic() - began)
            experiment = training.config
            budget = budget_for(experiment, left, list_runs(root), resumed=training.resume)
        _load_framework(training, display)
        outcome = _train_once(training, display, budget)
        if isinstance(outcome, ScheduleTooLong) and outcome.epochs and budget and shorten:
            fields = shortened(training.config, outcome.epochs)
            display.say(
                f"{training.config.name} does not fit: {outcome}; trained as {fields['name']} "
                f"with {outcome.epochs} epochs instead"
            )
            experiment = training.config.model_copy(update=fields)
            command = f"{command} {shlex.join(as_options(fields))}"
            budget.restart()
            from fercore.runs.writer import RunWriter

            with RunWriter.create(root, experiment) as writer:
                training = replace(training, config=experiment, writer=writer, command=command)
                outcome = _train_once(training, display, budget)
        if isinstance(outcome, ScheduleTooLong):
            display.say(f"{training.config.name} is skipped, no run was made: {outcome}")
            raise typer.Exit(DOES_NOT_FIT)
    print_results(training.writer.path.name, outcome, as_json)


@dataclass(frozen=True)
class _Training:
    """A training whose run directory is locked.

    Attributes:
        config: of the experiment.
        splits: its dataset.
        writer: of the run directory; holds its lock.
        command: for the record.
        resume: whether the run existed before.
        ancestors: the runs that it begins with or learns from; of a resumed run they are recorded.
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
    """Make a new run directory, after everything that can be wrong with the request."""
    from fercore.runs.writer import RunWriter
    from fercore.training.new_run import check_request

    request = check_request(config, root, data)
    config = request.config
    for ancestor in request.ancestors:
        if ancestor.tested_images_seen is None:
            typer.echo(
                f"note: the images that {ancestor.run} was trained on "
                f"({ancestor.dataset or 'unknown'}) are not here: whether tested images are among "
                "them is not known",
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
    """Lock an existing run, before the data and the framework are loaded."""
    from fercore.data.registry import load_dataset
    from fercore.evaluation.protocol import require_same_exclusion
    from fercore.runs.writer import RunWriter

    experiment_of(run)
    with RunWriter.claim(run.path) as writer:
        run = read_run(run.path)  # as it is now that nobody else changes it
        config = _resumable(run, overrides)
        if run.environment is None:  # which would name the command that begins it
            command = train_command(run)
        writer.announce(config.epochs)
        try:
            splits = load_dataset(config.dataset, data)
            known = run.environment
            if known and splits.fingerprint != known.dataset_fingerprint:
                raise UserError(
                    f"{run.id} began on {config.dataset} with the fingerprint "
                    f"{known.dataset_fingerprint}, here it is {splits.fingerprint}; add the "
                    "dataset again from the same files, or train anew"
                )
            require_same_exclusion(run)
        except BaseException:
            writer.withdraw()
            raise
        yield _Training(config, splits, writer, command, resume=True)


def _load_framework(training: _Training, display: "TrainingDisplay") -> None:
    """Import Keras, which takes ten seconds and more, and say where it computes."""
    try:
        with suppress_native_stderr():
            from fercore.training import trainer as _trainer  # noqa: F401
            from fercore.training.device import (
                describe_device,
                overlooks_gpu,
                terminate_like_interrupt,
            )
        terminate_like_interrupt()
        config = training.config
        where = describe_device(config.devices)
        display.say(f"{config.title}, seed {config.seed}, on {where}, into {training.writer.path}")
        if overlooks_gpu():
            display.say(
                "an NVIDIA GPU is here that the Keras backend does not see: on JAX it trains with "
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
    training: _Training, display: "TrainingDisplay", budget: "TrainingBudget | None"
) -> "Results | ScheduleTooLong":
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
        return too_long.with_traceback(None)  # which holds on to the network


def _train_seeds(
    config: str,
    overrides: dict[str, Any],
    words: Sequence[str],
    seeds: int,
    runs: Path,
    data: Path,
) -> None:
    for seed in range(seeds):
        wanted = load_config(config, {**overrides, "seed": seed})
        job = TrainingJob(wanted, ("train", *words, "--seed", str(seed)))
        if is_done(wanted, list_runs(runs)):
            typer.echo(f"{wanted.name}, seed {seed}: there already")
            continue
        run_job(job, runs, data)


def _resumable(run: Run, overrides: dict[str, Any]) -> ExperimentConfig:
    config = experiment_of(run)
    if set(overrides) - {"epochs"}:
        raise UserError(
            f"received {', '.join('--' + name for name in overrides)} with --resume, expected "
            "--epochs alone: a resumed run keeps the config it began with"
        )
    if overrides:
        config = load_config(run.path / "config.json", overrides)
        refuse_other_epochs(run, config)
    stopped = run.results.stopped_by if run.results else ""
    if stopped == "early stopping":
        raise UserError(f"{run.id} was stopped by {stopped}, as its config asks; nothing to resume")
    if run.state == "diverged":
        raise UserError(
            f"{run.id} diverged, and would again; train anew with a lower learning rate "
            "(--optimizer.learning-rate) or a bound on its gradients (--optimizer.clip-norm)"
        )
    if run.results and run.results.epochs_run >= config.epochs:
        raise UserError(
            f"{run.id} has all of its {config.epochs} epochs; for more: "
            f"fercore train --resume {run.id} --epochs N"
        )
    if not run.last_path.is_file() and not run.has_no_progress:
        raise UserError(
            f"{run.id} has no checkpoint to go on from: one is written after the first epoch and "
            "stays on the machine that trained; train it anew"
        )
    return config


def refuse_other_epochs(run: Run, config: ExperimentConfig) -> None:
    """Refuse to resume a run for a number of epochs that would have changed the ones behind it.

    Raises:
        UserError: if it would.
    """
    done = len(run.log())
    if config.epochs < done:
        raise UserError(
            f"received --epochs {config.epochs}, but {run.id} has {done} behind it; expected as "
            "many or more"
        )
    if config.schedule.kind == "cosine" and config.epochs != experiment_of(run).epochs:
        raise UserError(
            f"received --epochs {config.epochs} for {run.id}, whose learning rate falls by a "
            f"cosine over {experiment_of(run).epochs} epochs: a run of that many would have had "
            "other rates from the beginning; train it anew"
        )
    resized = config.progressive_resizing.size is not None
    if resized and config.epochs != experiment_of(run).epochs:
        raise UserError(
            f"received --epochs {config.epochs} for {run.id}, whose image size grows within "
            f"{experiment_of(run).epochs} epochs: a run of {config.epochs} would grow it in "
            "another epoch; train it anew"
        )
