"""The trainer: trains, evaluates and exports an experiment, and writes its run directory.

It is the same for every experiment, dataset and Keras backend; all differences are in the config.
All random numbers (order, dropout, augmentation) depend only on the seed and the epoch, so a
resumed run continues as if it had never stopped.
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
from fercore.training.layer_table import summarize_layers
from fercore.training.model import TrainingModel
from fercore.training.prediction import predict, require_finite
from fercore.training.preparation import EVALUATION_BATCH, ModelBuilder, TrainingData, prepare_data

# Shortest time between two checkpoints. On a GPU, saving takes as long as training a short epoch.
SAVE_SECONDS = 10.0
StopReason = Literal["epochs", "early stopping", "interrupt"]


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
    """Train, select the checkpoint with the best validation accuracy, evaluate it and export it.

    An interrupt (Ctrl-C) ends the training at the last epoch that was saved, which is the last
    complete one if epochs take ten seconds or more. That checkpoint is evaluated and written like
    any other run. After a second interrupt, the run can be resumed.

    Args:
        config: the experiment.
        splits: its dataset.
        run: an open run directory.
        command: the command that starts this run again, for the record.
        resume: whether to continue from the last epoch that was saved in the run directory; if none
            was saved, the training starts from the beginning.
        ancestors: the result of `fercore.evaluation.leakage.check_ancestors`, for the record. A
            resumed run already has this record.
        on_progress: called often; must return quickly.

    Returns:
        The content of `results.json`.

    Raises:
        UserError: if the run cannot be resumed, or its initial weights or a teacher cannot be used.
        DivergedError: if a loss or an output of the network is not a finite number. The log is
            kept; nothing is evaluated or exported.
        KeyboardInterrupt: after an interrupt before the end of the first epoch, or a second one.
        OSError: if the run directory cannot be written, for example because the disk is full.
    """
    with run:
        try:
            return _train(config, splits, run, command, resume, ancestors, on_progress)
        except KeyboardInterrupt:
            is_saved = (run.checkpoints / "last.npz").is_file()
            detail = "resume it to continue" if is_saved else "before its first epoch ended"
            run.set_status(state="interrupted", message=f"interrupted; {detail}")
            raise
        except DivergedError as error:
            run.set_status(state="diverged", message=str(error)[:500])
            raise DivergedError(f"{run.path.name} diverged: {error}; its log is kept") from None
        except BaseException as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            run.set_status_best_effort(state="failed", message=lines[0][:500])
            raise


@dataclass(frozen=True)
class _FitResult:
    """The result of all epochs.

    Attributes:
        log: the rows of the saved epochs.
        best: the weights of the selected epoch.
        stopped_by: the reason why the training ended.
    """

    log: list[EpochLog]
    best: checkpoints.Weights
    stopped_by: StopReason


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
    run.write_layers(summarize_layers(builder.final))
    fit_result = _fit_epochs(config, data, builder, model, log, best, run, on_progress)
    return _finalize(config, protocol, data, builder.final, fit_result, run, on_progress)


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
    """Return the environment of the run with this session.

    For a new training, also write the environment, the configuration and an empty log.
    """
    recorded = read_run(run.path).environment
    current = provenance.describe_environment(
        command,
        splits,
        protocol,
        backend=keras.backend.backend(),
        device=device.describe_device(config.devices),
        precision=device.resolve_precision(config.precision),
        ancestors=recorded.ancestors if recorded else ancestors,
    )
    epochs_done = checkpoints.epoch_of(run.checkpoints / "last.npz") if resume else 0
    environment = provenance.add_session(recorded, current, first_epoch=epochs_done + 1)
    if changed := provenance.last_change(environment):
        on_progress(Progress("preparing", note=f"resumed with another {changed}"))
    if not resume:
        run.write_record(environment)
        # A run that was killed before its first checkpoint may have rows in its log, and may be
        # resumed with more epochs.
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
    """Write the environment and the configuration, and cut the log after the checkpoint's epoch."""
    if read_log(run.path)[: len(log)] != log:
        note = "log.jsonl is damaged; its rows are restored from the checkpoint"
        on_progress(Progress("preparing", note=note))
    run.write_record(environment)
    # The run may be resumed with more epochs than before.
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
) -> _FitResult:
    """Train and log every epoch, and save the state for a resumption and the best weights."""
    last_path = run.checkpoints / "last.npz"
    size = schedules.image_size(config, len(log) + 1, data.size)
    stopped_by: StopReason = "epochs"
    epochs_saved, saved_at = len(log), -math.inf
    run.set_status(state="running", phase="training", epoch=len(log), epochs=config.epochs)
    try:
        while len(log) < config.epochs:
            if schedules.should_stop(config.early_stopping, log):
                stopped_by = "early stopping"
                break
            epoch = len(log) + 1
            if (new_size := schedules.image_size(config, epoch, data.size)) != size:
                size = new_size
                resized_model = builder.build(size)
                model.copy_state_to(resized_model)
                model = resized_model
            row, weights = _run_epoch(config, data, model, run, epoch, log, size, on_progress)
            # The checkpoint is written last: if killed before, a resumption repeats the epoch.
            with device.defer_interrupts():
                run.append_log(row)
                log.append(row)
                is_best = schedules.best_epoch(log) is row
                is_last = epoch == config.epochs or schedules.should_stop(
                    config.early_stopping, log
                )
                is_due = time.perf_counter() - saved_at >= SAVE_SECONDS
                if is_last or is_due or (is_best and config.keep == "best"):
                    if is_best or config.keep == "last":
                        best = checkpoints.Weights(epoch, weights)
                    checkpoints.save_training(last_path, model.state(), best, log)
                    epochs_saved, saved_at = epoch, time.perf_counter()
            run.set_status(epoch=epoch, step=0)
            on_progress(Progress("training", epoch, config.epochs, row=row))
    except KeyboardInterrupt:
        if not log:
            raise
        # An interrupt during the save of the last epoch does not shorten the training.
        stopped_by = "interrupt" if len(log) < config.epochs else "epochs"
    if epochs_saved < len(log):
        log = log[:epochs_saved]
        run.rewrite_log(log)
        run.set_status(epoch=epochs_saved)
    return _FitResult(log, best, stopped_by)


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
        The row of the log, and copies of the evaluated weights.

    Raises:
        DivergedError: if a loss is not a finite number.
    """
    start_time = time.perf_counter()
    samples = len(data.images)
    model.reseed(config.seed, epoch)
    model.optimizer.learning_rate.assign(schedules.learning_rate(config, log))
    permutation = np.random.default_rng([config.seed, epoch]).permutation(samples)
    order = permutation[: samples - samples % config.devices].astype(np.int32)
    steps = math.ceil(len(order) / config.batch_size)
    labels = data.labels[order]
    with device.distribute_batches(config.devices):
        history = model.fit(
            **make_fit_inputs(order, labels, config.batch_size, data.class_weights[labels]),
            shuffle=False,  # `order` depends on seed and epoch only
            verbose=0,
            callbacks=[ProgressCallback(run, on_progress, epoch, config.epochs, steps)],
        ).history
    fit_end_time = time.perf_counter()
    model.reset_ema_during_warmup(epoch, steps)
    with model.ema_weights(order):
        scores = model.evaluate(
            **make_fit_inputs(data.validation_positions, data.validation_labels, EVALUATION_BATCH),
            verbose=0,
            return_dict=True,
        )
        # Copies, because the next step replaces the weights.
        weights = [np.array(ops.convert_to_numpy(v)) for v in model.network.variables]
    end_time = time.perf_counter()

    # With the SVM loss, the softmax of the scores is not a probability and has no likelihood.
    loss = float(history["loss"][-1])
    val_loss = float(scores["nll" if config.loss == "cross_entropy" else "loss"])
    _require_finite_loss("training", loss, epoch, config)
    _require_finite_loss("validation", val_loss, epoch, config)
    row = EpochLog(
        epoch=epoch,
        loss=loss,
        accuracy=float(history["accuracy"][-1]),
        val_loss=val_loss,
        val_accuracy=float(scores["accuracy"]),
        learning_rate=float(model.optimizer.learning_rate.value),
        seconds=fit_end_time - start_time,
        val_seconds=end_time - fit_end_time,
        images_per_second=len(order) / (fit_end_time - start_time),
        elapsed=(log[-1].elapsed if log else 0.0) + end_time - start_time,
        image_size=size,
    )
    return row, weights


def _finalize(
    config: ExperimentConfig,
    protocol: Protocol,
    data: TrainingData,
    final: keras.Model,
    fit_result: _FitResult,
    run: RunWriter,
    on_progress: OnProgress,
) -> Results:
    """Evaluate and export the weights of the selected epoch, and write the results."""
    run.set_status(phase="evaluating")
    on_progress(Progress("evaluating"))
    log, best = fit_result.log, fit_result.best
    for variable, array in zip(final.variables, best.arrays, strict=True):
        variable.assign(array)
    checkpoints.save(run.checkpoints / "best.npz", best.arrays, best.epoch)
    onnx_export.round_kernels(final)  # to the values that model.onnx stores
    probabilities = _predict_splits(config, protocol, data, final)
    predictions = predictions_of(protocol, probabilities)
    run.write_predictions(predictions)
    final.save(run.checkpoints / "model.keras")

    run.set_status(phase="exporting")
    on_progress(Progress("exporting"))
    onnx = None
    if onnx_export.is_available() and config.head == "network":
        onnx = onnx_export.export_run(
            final, run, data.evaluated["test"], probabilities["test"], protocol.class_names
        )
    if onnx is None:  # an export of an earlier session has other weights
        (run.path / "model.onnx").unlink(missing_ok=True)
    selected_row = log[best.epoch - 1]
    results = Results(
        class_names=list(protocol.class_names),
        splits=evaluate_predictions(protocol, predictions),
        selection=Selection(
            epoch=selected_row.epoch,
            split=protocol.views["validation"].title,
            metric="accuracy" if config.keep == "best" else "epoch",
            value=selected_row.val_accuracy,
        ),
        stopped_by=fit_result.stopped_by,
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
    run.set_status(state="finished", phase="", message=f"stopped by {fit_result.stopped_by}")
    return results


def _predict_splits(
    config: ExperimentConfig, protocol: Protocol, data: TrainingData, final: keras.Model
) -> dict[str, NDArray[np.float32]]:
    """Return the probabilities of every evaluated split, `(n, k)` float32, by role."""
    if config.head == "random_forest":
        training = (data.images, data.labels)
        return random_forest_head.predict_all(
            final, training, data.evaluated, config.seed, EVALUATION_BATCH
        )
    probabilities = {
        role: predict(final, pixels, EVALUATION_BATCH) for role, pixels in data.evaluated.items()
    }
    for role, outputs in probabilities.items():
        require_finite(outputs, protocol.views[role].title)
    return probabilities


def _require_finite_loss(name: str, loss: float, epoch: int, config: ExperimentConfig) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the {name} loss of epoch {epoch} is {loss} (learning rate "
            f"{config.optimizer.learning_rate:g}); lower --optimizer.learning-rate or set "
            "--optimizer.clip-norm"
        )
