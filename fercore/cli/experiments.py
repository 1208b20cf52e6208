"""`fercore configs`, `train` and `export`."""

import json
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fercore.budget import DOES_NOT_FIT, ScheduleTooLong, budget_for, shortened
from fercore.cli.jobs import Job, as_options, do, done
from fercore.cli.options import (
    AsJson,
    DataRoot,
    RunsRoot,
    plain_table,
    print_evaluations,
    print_json,
    print_table,
)
from fercore.cli.quiet import native_notes_silenced
from fercore.config import ExperimentConfig, field_names, list_configs, load_config, nearest
from fercore.errors import UserError
from fercore.recreate import require_checkpoint, train_command
from fercore.roots import data_root, runs_root
from fercore.runs import Run, find_run, list_runs, read_run

if TYPE_CHECKING:
    from fercore.budget import TrainingBudget
    from fercore.data.splits import Splits
    from fercore.recorder import RunWriter
    from fercore.records import Ancestor, LogRow, Results
    from fercore.trainee import OnProgress
    from fercore.trainee import Progress as TrainingProgress


def register(app: typer.Typer) -> None:
    """Add these commands to the top level."""
    app.command()(configs)
    app.command(context_settings={"ignore_unknown_options": True})(train)
    app.command()(export)


def configs(as_json: AsJson = False) -> None:
    """List every experiment, with the paper's figure.

    Example: fercore configs
    """
    loaded = [load_config(name) for name in list_configs()]
    if as_json:
        print_json([config.model_dump(mode="json") for config in loaded])
        return
    table = plain_table("experiment", "dataset", "model", ">paper %", "title")
    for config in loaded:
        figure = f"{config.published.test_accuracy:.2f}" if config.published else "-"
        table.add_row(config.name, config.dataset, config.model, figure, config.title)
    print_table(table)


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
        opened = _resumed(find_run(root, resume), overrides, command, data_root(data))
    else:
        assert config is not None
        opened = _begun(load_config(config, overrides), command, root, data_root(data))
    with opened as training, _Display(quiet=as_json) as display:
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
            from fercore.recorder import RunWriter

            with RunWriter.create(root, experiment) as writer:
                training = replace(training, config=experiment, writer=writer, command=command)
                outcome = _train_once(training, display, budget)
        if isinstance(outcome, ScheduleTooLong):
            display.say(f"{training.config.name} is skipped, no run was made: {outcome}")
            raise typer.Exit(DOES_NOT_FIT)
    _print_results(training.writer.path.name, outcome, as_json)


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
def _begun(config: ExperimentConfig, command: str, root: Path, data: Path) -> Iterator[_Training]:
    """Make a new run directory, after everything that can be wrong with the request."""
    from fercore.ancestry import check_ancestors
    from fercore.data import load
    from fercore.lineage import find_start, find_teachers
    from fercore.models import require
    from fercore.protocol import plan
    from fercore.recorder import RunWriter

    splits = load(config.dataset, data)
    require(config.model)
    find_start(root, config, splits)
    plan(config, splits)
    # The teachers' names stand for what is there now: the run names them one by one.
    teachers = [run.id for run in find_teachers(root, config, splits)]
    if teachers:
        taught = config.distillation.model_copy(update={"teachers": tuple(teachers)})
        config = config.model_copy(update={"distillation": taught})
    ancestors = check_ancestors(root, config, splits, data)
    for ancestor in ancestors:
        if ancestor.tested_images_seen is None:
            typer.echo(
                f"note: the images that {ancestor.run} was trained on "
                f"({ancestor.dataset or 'unknown'}) are not here: whether tested images are among "
                "them is not known",
                err=True,
            )
    if config.devices > 1:
        with native_notes_silenced():
            from fercore.device import require_devices

            require_devices(config.devices)
    with RunWriter.create(root, config) as writer:
        yield _Training(config, splits, writer, command, resume=False, ancestors=ancestors)


@contextmanager
def _resumed(run: Run, overrides: dict[str, Any], command: str, data: Path) -> Iterator[_Training]:
    """Lock an existing run, before the data and the framework are loaded."""
    from fercore.data import load
    from fercore.protocol import refuse_other_exclusion
    from fercore.recorder import RunWriter

    _config_of(run)
    with RunWriter.claim(run.path) as writer:
        run = read_run(run.path)  # as it is now that nobody else changes it
        config = _resumable(run, overrides)
        if run.environment is None:  # which would name the command that begins it
            command = train_command(run)
        writer.announce(config.epochs)
        try:
            splits = load(config.dataset, data)
            known = run.environment
            if known and splits.fingerprint != known.dataset_fingerprint:
                raise UserError(
                    f"{run.id} began on {config.dataset} with the fingerprint "
                    f"{known.dataset_fingerprint}, here it is {splits.fingerprint}; add the "
                    "dataset again from the same files, or train anew"
                )
            refuse_other_exclusion(run)
        except BaseException:
            writer.withdraw()
            raise
        yield _Training(config, splits, writer, command, resume=True)


def _load_framework(training: _Training, display: "_Display") -> None:
    """Import Keras, which takes ten seconds and more, and say where it computes."""
    try:
        with native_notes_silenced():
            from fercore import train as _trainer  # noqa: F401
            from fercore.device import describe_device, overlooks_gpu, terminate_like_interrupt
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
            training.writer.try_status(
                state="interrupted", message="interrupted before its first epoch"
            )
        else:
            training.writer.discard()
        raise


def _train_once(
    training: _Training, display: "_Display", budget: "TrainingBudget | None"
) -> "Results | ScheduleTooLong":
    from fercore.train import train as train_run

    def on_progress(progress: "TrainingProgress") -> None:
        display.on_progress(progress)
        if budget is not None:
            budget.on_progress(progress)

    writer = training.writer
    try:
        return train_run(
            training.config,
            training.splits,
            writer,
            command=training.command,
            resume=training.resume,
            ancestors=training.ancestors,
            on_progress=on_progress,
        )
    except ScheduleTooLong as too_long:
        writer.discard()
        return too_long.with_traceback(None)  # which holds on to the network
    except UserError:
        # The layers are written when the training can begin: before, nothing is worth it.
        if not training.resume and not (writer.path / "layers.json").is_file():
            writer.discard()
        raise
    except OSError as error:
        raise UserError(
            f"cannot write {writer.path} ({error.strerror or error}); what was saved is "
            f"kept: mend that, then go on with: fercore train --resume {writer.path.name}"
        ) from None


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
        job = Job(wanted, ("train", *words, "--seed", str(seed)))
        if done(wanted, list_runs(runs)):
            typer.echo(f"{wanted.name}, seed {seed}: there already")
            continue
        do(job, runs, data)


def export(
    run: Annotated[str, typer.Argument(help="A run's name or path.")],
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Write a run's model.onnx from its checkpoint, and compare it with Keras.

    Training does this by itself where Keras computes on TensorFlow; a run that was trained on JAX
    is exported afterwards, without KERAS_BACKEND.

    Example: fercore export RUN
    """
    from fercore.data import load
    from fercore.partition import divide
    from fercore.recorder import held

    found = find_run(runs_root(runs), run)
    _exportable(found)
    with held(found.path):  # a resumption would change the checkpoint meanwhile
        found = read_run(found.path)
        config = _exportable(found)
        splits = divide(config, load(config.dataset, data_root(data)))
        with native_notes_silenced():
            from fercore.export import export_finished
        onnx = export_finished(found, splits["test"].images)
    typer.echo(
        f"{found.path / 'model.onnx'}: {onnx.bytes / 1e6:.2f} MB, kernels in {onnx.weights}, "
        f"probabilities equal to Keras's within {onnx.max_difference:.1e} over {onnx.n} images"
    )


def _exportable(run: Run) -> ExperimentConfig:
    config = _config_of(run)
    if run.results is None:
        raise UserError(f"{run.id} is {run.state}, expected a finished run")
    require_checkpoint(run)
    return config


def parse_request(words: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """An experiment and its changed fields, in any order: `le2019-deep --epochs 20 --seed=1`.

    A value that begins with a bracket, a brace or a quote is read as JSON, anything else as text
    that the config converts; options of a network are numbers and truth values where they look like
    them. A JSON object replaces a whole table: `--model-options '{"variant": "small"}'`.

    Returns:
        The experiment, if one is named, and values by dotted field.

    Raises:
        UserError: if an option has no value or names no field, or two experiments are named.
    """
    config: str | None = None
    overrides: dict[str, Any] = {}
    rest = list(words)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--"):
            if config is not None:
                raise UserError(
                    f"received {option!r} after {config!r}, expected one experiment and options "
                    "such as --epochs 20"
                )
            config = option
            continue
        name, equals, value = option[2:].partition("=")
        name = name.replace("-", "_")
        given = value if equals else next(iter(rest), "")
        table = given.startswith("{") and name in ExperimentConfig.model_fields
        if not (table or name.startswith("model_options.") or name in field_names()):
            raise UserError(f"received --{option[2:]}, no such field{nearest(name)}")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UserError(f"received {option} without a value, expected {option} VALUE")
            value = rest.pop(0)
        overrides[name] = _value(option, name, value)
    return config, overrides


def _value(option: str, name: str, text: str) -> Any:
    # Of a network's options the config knows no types: what looks like a number is one.
    free = name.startswith("model_options.")
    try:
        return json.loads(text) if free or text[:1] in {"[", "{", '"'} else text
    except ValueError:
        if free:
            return text
        raise UserError(f"received {option} {text}, which is not valid JSON") from None


def _config_of(run: Run) -> ExperimentConfig:
    if run.config is None:
        raise UserError(f"{run.id} cannot be read: {run.problem}")
    if run.experiment is None:
        raise UserError(f"{run.id} was {run.origin}; expected a run that was trained here")
    return run.experiment


def _resumable(run: Run, overrides: dict[str, Any]) -> ExperimentConfig:
    config = _config_of(run)
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
    if config.schedule.kind == "cosine" and config.epochs != _config_of(run).epochs:
        raise UserError(
            f"received --epochs {config.epochs} for {run.id}, whose learning rate falls by a "
            f"cosine over {_config_of(run).epochs} epochs: a run of that many would have had other "
            "rates from the beginning; train it anew"
        )
    resized = config.progressive_resizing.size is not None
    if resized and config.epochs != _config_of(run).epochs:
        raise UserError(
            f"received --epochs {config.epochs} for {run.id}, whose image size grows within "
            f"{_config_of(run).epochs} epochs: a run of {config.epochs} would grow it in another "
            "epoch; train it anew"
        )


def _print_results(run_id: str, results: "Results", as_json: bool) -> None:
    if as_json:
        print_json({"run": run_id, **results.model_dump(mode="json")})
        return
    chosen = results.selection
    assert chosen is not None  # of a run that was just trained
    typer.echo(
        f"{run_id}: stopped by {results.stopped_by} after {results.epochs_run} epochs, "
        f"checkpoint of epoch {chosen.epoch}, chosen on {chosen.split}"
    )
    print_evaluations(results)


class _Display:
    """A progress bar on a terminal, a line an epoch elsewhere."""

    def __init__(self, quiet: bool):
        from rich.console import Console

        self._console = Console(stderr=quiet, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("loading Keras", total=None)

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, markup=False)

    @property
    def on_progress(self) -> "OnProgress":
        """What the trainer calls."""
        return self._show

    def _show(self, progress: "TrainingProgress") -> None:
        if progress.note:
            self.say(progress.note)
        if progress.row is not None:
            self.say(_epoch_line(progress.row, progress.epochs))
            return
        if progress.epoch:
            self._bar.update(
                self._task,
                description=f"epoch {progress.epoch}/{progress.epochs}",
                completed=progress.step,
                total=progress.steps,
            )
        else:
            self._bar.update(self._task, description=progress.phase, completed=0, total=None)


def _epoch_line(row: "LogRow", epochs: int) -> str:
    return (
        f"epoch {row.epoch:>3}/{epochs}  loss {row.loss:.4f}  accuracy {row.accuracy:.4f}  "
        f"val_loss {row.val_loss:.4f}  val_accuracy {row.val_accuracy:.4f}  "
        f"{row.images_per_second:,.0f} images/s"
    )
