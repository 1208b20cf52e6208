"""The one trainer: a config and a dataset in, a finished run directory out.

`train` reads from top to bottom. It is the same for every experiment, dataset and Keras backend;
what differs stands in the config. Every source of chance (order, dropout, augmentation) is drawn
from the seed and the epoch alone, so that a resumed run goes on as if it had never stopped.
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore import machine
from fercore.config.experiment import ExperimentConfig
from fercore.data.splits import Splits
from fercore.errors import DivergedError
from fercore.evaluation.protocol import Protocol, build_protocol
from fercore.evaluation.results import (
    evaluate_predictions,
    fit_validation_temperature,
    predictions_of,
)
from fercore.runs import provenance
from fercore.runs.reader import read_log, read_run
from fercore.runs.schema import Ancestor, Environment, EpochLog, Results, Selection
from fercore.runs.writer import RunWriter
from fercore.training import checkpoints, device, onnx_export, random_forest_head, schedules
from fercore.training.callbacks import OnProgress, Progress, ProgressCallback
from fercore.training.inputs import make_fit_inputs
from fercore.training.layer_table import layer_table
from fercore.training.model import TrainingModel
from fercore.training.prediction import predict, require_finite
from fercore.training.preparation import EVALUATION_BATCH, ModelBuilder, TrainingData, prepare_data

# Of shorter epochs not every one is saved: on a GPU writing would take as long as training.
SAVE_SECONDS = 10.0
Stop = Literal["epochs", "early stopping", "interrupt"]


def train(
    config: ExperimentConfig,
    splits: Splits,
    run: RunWriter,
    *,
    command: str,
    resume: bool = False,
    ancestors: Sequence[Ancestor] = (),
    on_progress: OnProgress = lambda progress: None,
) -> Results:
    """Train, keep the best checkpoint by validation accuracy, evaluate it, export it.

    An interrupt (Ctrl-C) ends the training at the last epoch that was saved, the last whole one
    where epochs take ten seconds; what there is is evaluated and written like any other run. A
    second interrupt leaves the run to be resumed.

    Args:
        config: the experiment.
        splits: its dataset.
        run: an open run directory.
        command: what starts this run again, for the record.
        resume: go on from the last epoch that was saved in the run directory, or begin anew if
            none was.
        ancestors: what `fercore.evaluation.leakage.check_ancestors` found, for the record; of a
            resumed run
            they are recorded.
        on_progress: called often; must be quick.

    Returns:
        What `results.json` holds.

    Raises:
        UserError: if the run cannot be resumed, or a teacher cannot teach.
        DivergedError: if the loss, or an output of the network, is not a finite number. The log is
            kept; nothing is evaluated or exported.
        KeyboardInterrupt: if it is interrupted before the end of the first epoch, or twice.
        OSError: if the run directory cannot be written, as on a full disk.
    """
    with run:
        try:
            return _train(config, splits, run, command, resume, ancestors, on_progress)
        except KeyboardInterrupt:
            saved = (run.checkpoints / "last.npz").is_file()
            how = "resume it to go on" if saved else "before its first epoch ended"
            run.set_status(state="interrupted", message=f"interrupted; {how}")
            raise
        except DivergedError as error:
            run.set_status(state="diverged", message=str(error)[:500])
            raise DivergedError(f"{run.path.name} diverged: {error}; its log is kept") from None
        except BaseException as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            run.set_status_best_effort(state="failed", message=said[0][:500])
            raise


@dataclass(frozen=True)
class _Fitted:
    """The outcome of the epochs: their log, the chosen weights, and what ended them."""

    log: list[EpochLog]
    best: checkpoints.Weights
    stopped_by: Stop


def _train(
    config: ExperimentConfig,
    splits: Splits,
    run: RunWriter,
    command: str,
    resume: bool,
    ancestors: Sequence[Ancestor],
    on_progress: OnProgress,
) -> Results:
    resume = resume and (run.checkpoints / "last.npz").is_file()
    protocol = build_protocol(config, splits)
    environment = _record_session(
        config, splits, protocol, run, command, resume, ancestors, on_progress
    )
    on_progress(Progress("preparing"))
    data = prepare_data(config, protocol)
    builder = ModelBuilder(config, splits, protocol, data, run, resume, on_progress)
    last_path = run.checkpoints / "last.npz"
    epochs_done = checkpoints.epoch_of(last_path) if resume else 0
    model = builder.build(schedules.image_size(config, epochs_done + 1, data.size))
    log, best = list[EpochLog](), checkpoints.Weights(0, [])
    if resume:
        log, best = checkpoints.load_training(run.path, model.state(), builder.final.variables)
        _record_resumption(config, environment, log, run, on_progress)
    run.write_layers(layer_table(builder.final))
    fitted = _fit_epochs(config, data, builder, model, log, best, run, on_progress)
    return _finalize(config, protocol, data, builder.final, fitted, run, on_progress)


def _record_session(
    config: ExperimentConfig,
    splits: Splits,
    protocol: Protocol,
    run: RunWriter,
    command: str,
    resume: bool,
    ancestors: Sequence[Ancestor],
    on_progress: OnProgress,
) -> Environment:
    """Describe the machine and the data; a new training writes them, with an empty log."""
    known = read_run(run.path).environment
    here = provenance.describe_environment(
        command,
        splits,
        protocol,
        backend=keras.backend.backend(),
        device=device.describe_device(config.devices),
        precision=device.resolve_precision(config.precision),
        ancestors=known.ancestors if known else ancestors,
    )
    epochs_done = checkpoints.epoch_of(run.checkpoints / "last.npz") if resume else 0
    environment = provenance.add_session(known, here, first_epoch=epochs_done + 1)
    if changed := provenance.last_change(environment):
        on_progress(Progress("preparing", note=f"resumed with another {changed}"))
    if not resume:
        run.write_record(environment)
        # A run that was killed before its first checkpoint may have lines in its log, and may be
        # resumed for more epochs.
        run.rewrite_log([])
        run.write_json("config.json", config.model_dump(mode="json"))
    return environment


def _record_resumption(
    config: ExperimentConfig,
    environment: Environment,
    log: list[EpochLog],
    run: RunWriter,
    on_progress: OnProgress,
) -> None:
    """Write the environment and the configuration anew, and make the log end at the checkpoint."""
    if read_log(run.path)[: len(log)] != log:
        note = "log.jsonl is damaged; the epochs behind the checkpoint are restored from it"
        on_progress(Progress("preparing", note=note))
    run.write_record(environment)
    # It may be resumed for more epochs than it began with.
    run.write_json("config.json", config.model_dump(mode="json"))
    run.rewrite_log(log)


def _fit_epochs(
    config: ExperimentConfig,
    data: TrainingData,
    builder: ModelBuilder,
    model: TrainingModel,
    log: list[EpochLog],
    best: checkpoints.Weights,
    run: RunWriter,
    on_progress: OnProgress,
) -> _Fitted:
    """Train epoch by epoch, log each, and keep the resumable state and the best weights."""
    last_path = run.checkpoints / "last.npz"
    size = schedules.image_size(config, len(log) + 1, data.size)
    stopped_by: Stop = "epochs"
    saved, saved_at = len(log), -math.inf
    run.set_status(state="running", phase="training", epoch=len(log), epochs=config.epochs)
    try:
        while len(log) < config.epochs:
            if schedules.should_stop(config.early_stopping, log):
                stopped_by = "early stopping"
                break
            epoch = len(log) + 1
            if (wanted := schedules.image_size(config, epoch, data.size)) != size:
                size = wanted
                model = model.continued_by(builder.build(size))
            row, weights = _run_epoch(config, data, model, run, epoch, log, size, on_progress)
            # The resumable state comes last: killed in between, the run repeats these epochs.
            with device.interrupts_deferred():
                run.append_log(row)
                log.append(row)
                is_best = schedules.best_epoch(log) is row
                over = epoch == config.epochs or schedules.should_stop(config.early_stopping, log)
                due = time.perf_counter() - saved_at >= SAVE_SECONDS
                if over or due or (is_best and config.keep == "best"):
                    if is_best or config.keep == "last":
                        best = checkpoints.Weights(epoch, weights)
                    checkpoints.save_training(last_path, model.state(), best, log)
                    saved, saved_at = epoch, time.perf_counter()
            run.set_status(epoch=epoch, step=0)
            on_progress(Progress("training", epoch, config.epochs, row=row))
    except KeyboardInterrupt:
        if not log:
            raise
        # An interrupt while the last epoch was saved stopped nothing.
        stopped_by = "interrupt" if len(log) < config.epochs else "epochs"
    if saved < len(log):
        log = log[:saved]
        run.rewrite_log(log)
        run.set_status(epoch=saved)
    return _Fitted(log, best, stopped_by)


def _run_epoch(
    config: ExperimentConfig,
    data: TrainingData,
    model: TrainingModel,
    run: RunWriter,
    epoch: int,
    log: Sequence[EpochLog],
    size: int,
    on_progress: OnProgress,
) -> tuple[EpochLog, list[NDArray[np.float32]]]:
    """Train one epoch and evaluate it on the validation images.

    Returns:
        The epoch's line of the log, and copies of the evaluated weights.

    Raises:
        DivergedError: if a loss is not a finite number.
    """
    began = time.perf_counter()
    samples = len(data.images)
    model.reseed(config.seed, epoch)
    model.optimizer.learning_rate.assign(schedules.learning_rate(config, log))
    drawn = np.random.default_rng([config.seed, epoch]).permutation(samples)
    order = drawn[: samples - samples % config.devices].astype(np.int32)
    steps = math.ceil(len(order) / config.batch_size)
    labels = data.labels[order]
    with device.sharing_batches(config.devices):
        history = model.fit(
            **make_fit_inputs(order, labels, config.batch_size, data.class_weights[labels]),
            shuffle=False,  # the order is ours, drawn from seed and epoch
            verbose=0,
            callbacks=[ProgressCallback(run, on_progress, epoch, config.epochs, steps)],
        ).history
    trained = time.perf_counter()
    model.reset_ema_during_warmup(epoch, steps)
    with model.ema_weights(order):
        scores = model.evaluate(
            **make_fit_inputs(data.validation_positions, data.validation_labels, EVALUATION_BATCH),
            verbose=0,
            return_dict=True,
        )
        # Copies, which outlive the step that replaces the weights.
        weights = [np.array(ops.convert_to_numpy(v)) for v in model.network.variables]
    ended = time.perf_counter()

    # Under the SVM's loss the softmax of the scores is no probability to take logs of.
    selected_loss = scores["nll" if config.loss == "cross_entropy" else "loss"]
    loss, val_loss = float(history["loss"][-1]), float(selected_loss)
    _require_finite_loss("training", loss, epoch, config)
    _require_finite_loss("validation", val_loss, epoch, config)
    row = EpochLog(
        epoch=epoch,
        loss=loss,
        accuracy=float(history["accuracy"][-1]),
        val_loss=val_loss,
        val_accuracy=float(scores["accuracy"]),
        learning_rate=float(model.optimizer.learning_rate.value),
        seconds=trained - began,
        val_seconds=ended - trained,
        images_per_second=len(order) / (trained - began),
        elapsed=(log[-1].elapsed if log else 0.0) + ended - began,
        image_size=size,
    )
    return row, weights


def _finalize(
    config: ExperimentConfig,
    protocol: Protocol,
    data: TrainingData,
    final: keras.Model,
    fitted: _Fitted,
    run: RunWriter,
    on_progress: OnProgress,
) -> Results:
    """Evaluate and export the chosen weights, and write the results."""
    run.set_status(phase="evaluating")
    on_progress(Progress("evaluating"))
    log, best = fitted.log, fitted.best
    for variable, array in zip(final.variables, best.arrays, strict=True):
        variable.assign(array)
    checkpoints.save(run.checkpoints / "best.npz", best.arrays, best.epoch)
    onnx_export.round_kernels(final)  # as model.onnx stores them
    probabilities = _predict_splits(config, protocol, data, final)
    predictions = predictions_of(protocol, probabilities)
    run.write_predictions(predictions)
    final.save(run.checkpoints / "model.keras")

    run.set_status(phase="exporting")
    on_progress(Progress("exporting"))
    onnx = None
    if onnx_export.available() and config.head == "network":
        onnx = onnx_export.export_run(
            final, run, data.evaluated["test"], probabilities["test"], protocol.class_names
        )
    if onnx is None:  # one that an earlier session exported is of other weights
        (run.path / "model.onnx").unlink(missing_ok=True)
    chosen = log[best.epoch - 1]
    results = Results(
        class_names=list(protocol.class_names),
        splits=evaluate_predictions(protocol, predictions),
        selection=Selection(
            epoch=chosen.epoch,
            split=protocol.views["validation"].title,
            metric="accuracy" if config.keep == "best" else "epoch",
            value=chosen.val_accuracy,
        ),
        stopped_by=fitted.stopped_by,
        epochs_run=len(log),
        parameters=final.count_params(),
        trainable_parameters=sum(math.prod(w.shape) for w in final.trainable_weights),
        train_seconds=log[-1].elapsed,
        images_per_second=statistics.median(row.images_per_second for row in log),
        peak_memory_bytes=machine.peak_memory_bytes(),
        finished=provenance.now(),
        temperature=fit_validation_temperature(protocol, predictions),
        onnx=onnx,
    )
    run.write_record(results)
    run.set_status(state="finished", phase="", message=f"stopped by {fitted.stopped_by}")
    return results


def _predict_splits(
    config: ExperimentConfig, protocol: Protocol, data: TrainingData, final: keras.Model
) -> dict[str, NDArray[np.float32]]:
    """Return the probabilities of every evaluated split, `(n, k)` by role."""
    if config.head == "random_forest":
        fitted = (data.images, data.labels)
        return random_forest_head.predict_all(
            final, fitted, data.evaluated, config.seed, EVALUATION_BATCH
        )
    probabilities = {
        role: predict(final, pixels, EVALUATION_BATCH) for role, pixels in data.evaluated.items()
    }
    for role, outputs in probabilities.items():
        require_finite(outputs, protocol.views[role].title)
    return probabilities


def _require_finite_loss(what: str, loss: float, epoch: int, config: ExperimentConfig) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the {what} loss of epoch {epoch} is {loss} (learning rate "
            f"{config.optimizer.learning_rate:g}); lower --optimizer.learning-rate or set "
            "--optimizer.clip-norm"
        )
