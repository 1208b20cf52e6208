"""The one trainer: a config and a dataset in, a finished run directory out.

`train` reads from top to bottom. It is the same for every experiment, dataset and Keras backend;
what differs stands in the config. Every source of chance (order, dropout, augmentation) is drawn
from the seed and the epoch alone, so that a resumed run goes on as if it had never stopped.
"""

import math
import statistics
import time
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore import (
    checkpoints,
    combine,
    device,
    export,
    forest,
    machine,
    metrics,
    models,
    provenance,
    schedule,
)
from fercore.augment import change_copies
from fercore.config import ExperimentConfig, ImageConfig
from fercore.data.splits import Splits
from fercore.errors import DivergedError, UserError
from fercore.evaluate import judge, predictions_of, temperature_of
from fercore.layers import adapt_whitening
from fercore.lineage import find_start, find_teachers
from fercore.partition import fit_images
from fercore.protocol import plan
from fercore.recorder import RunWriter
from fercore.records import Ancestor, LogRow, Results, Selection
from fercore.runs import Run, read_log, read_run
from fercore.trainee import (
    OnProgress,
    Progress,
    Steps,
    Trainee,
    batches,
    forward,
    layer_table,
    predict,
    require_finite,
)

EVALUATION_BATCH = 128
WHITENING_IMAGES = 5000
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
        ancestors: what `fercore.ancestry.check_ancestors` found, for the record; of a resumed run
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
            run.try_status(state="failed", message=said[0][:500])
            raise


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
    protocol = plan(config, splits)
    precision = device.resolve_precision(config.precision)
    known = read_run(run.path).environment
    here = provenance.describe(
        command,
        splits,
        protocol,
        backend=keras.backend.backend(),
        device=device.describe_device(config.devices),
        precision=precision,
        ancestors=known.ancestors if known else ancestors,
    )
    done = checkpoints.epoch_of(run.checkpoints / "last.npz") if resume else 0
    environment = provenance.add_session(known, here, first_epoch=done + 1)
    if changed := provenance.last_change(environment):
        on_progress(Progress("preparing", note=f"resumed with another {changed}"))
    if not resume:
        run.write_record(environment)
        # One that was killed before its first checkpoint may have half an epoch's line, and may be
        # resumed for more epochs.
        run.rewrite_log([])
        run.write_json("config.json", config.model_dump(mode="json"))

    # The samples, what each weighs, and where they stand among the images on the device.
    on_progress(Progress("preparing"))
    num_classes = len(protocol.class_names)
    labels = protocol.train.labels
    weights = np.ones(num_classes, np.float32)
    if config.class_weights:
        weights = metrics.balanced_class_weights(labels, num_classes).astype(np.float32)
    images = change_copies(protocol.train, config.augmentation, config.seed)
    validation = change_copies(protocol.validation, config.augmentation, config.seed + 1)
    judged = {
        role: change_copies(split, config.augmentation, config.seed + 1)
        for role, split in protocol.judged.items()
    }
    samples = len(images)
    validation_positions = np.arange(samples, samples + len(validation), dtype=np.int32)

    # The finished network, in single precision, and the one that trains.
    input_shape = (*images.shape[1:], 1)
    with device.computing_in("float32"):
        final = models.build(config.model, input_shape, num_classes, config.model_options)
    start = None if resume else find_start(run.path.parent, config, splits)
    teachers = find_teachers(run.path.parent, config, splits)
    answers = None
    if teachers and config.distillation.asked == "once":
        run.set_status(phase="asking the teachers", epochs=config.epochs)
        on_progress(Progress("asking the teachers"))
        answers = combine.answers(teachers, images, config.augmentation.horizontal_flip)
        for teacher in teachers:
            if not np.isfinite(answers).all():
                _require_teaching(teacher, combine.answers([teacher], images, mirrored=False))
        teachers = ()

    def build_trainee(size: int) -> Trainee:
        keras.utils.set_random_seed(config.seed)
        pixels = fit_images(np.concatenate([images, validation]), ImageConfig(size=size))
        shape = (*pixels.shape[1:], 1)
        with device.sharing_batches(config.devices), device.computing_in(precision):
            network = models.build(config.model, shape, num_classes, config.model_options)
            _require_same_weights(network, final, config)
            # Of training images alone: those of the validation split follow them.
            adapt_whitening(network, pixels[: min(samples, WHITENING_IMAGES)])
            if start is not None:
                checkpoints.start_from(start, network)
            taught_by = [checkpoints.teacher(teacher, shape) for teacher in teachers]
            for teacher, known in zip(teachers, taught_by, strict=True):
                few = pixels[:EVALUATION_BATCH]
                _require_teaching(teacher, forward(known, few, EVALUATION_BATCH))
            return Trainee(network, config, pixels, taught_by, answers)

    last_path, best_path = run.checkpoints / "last.npz", run.checkpoints / "best.npz"
    log: list[LogRow] = []
    best = checkpoints.Weights(0, [])
    full_size = images.shape[1]
    size = schedule.image_size(config, done + 1, full_size)
    trainee = build_trainee(size)
    if resume:
        log, best = checkpoints.load_training(run.path, trainee.state(), final.variables)
        if read_log(run.path)[: len(log)] != log:
            note = "log.jsonl is damaged; the epochs behind the checkpoint are restored from it"
            on_progress(Progress("preparing", note=note))
        run.write_record(environment)
        # It may go on for more epochs than it began with.
        run.write_json("config.json", config.model_dump(mode="json"))
        run.rewrite_log(log)
    run.write_layers(layer_table(final))

    stopped_by: Stop = "epochs"
    saved = len(log)
    saved_at = -math.inf
    run.set_status(state="running", phase="training", epoch=len(log), epochs=config.epochs)
    try:
        while len(log) < config.epochs:
            if schedule.should_stop(config.early_stopping, log):
                stopped_by = "early stopping"
                break
            epoch = len(log) + 1
            began = time.perf_counter()
            if (wanted := schedule.image_size(config, epoch, full_size)) != size:
                size = wanted
                trainee = trainee.continued_by(build_trainee(size))
            trainee.reseed(config.seed, epoch)
            trainee.optimizer.learning_rate.assign(schedule.learning_rate(config, log))
            drawn = np.random.default_rng([config.seed, epoch]).permutation(samples)
            order = drawn[: samples - samples % config.devices].astype(np.int32)
            steps = math.ceil(len(order) / config.batch_size)

            with device.sharing_batches(config.devices):
                history = trainee.fit(
                    **batches(
                        order,
                        labels[order],
                        config.batch_size,
                        weights[labels[order]],
                    ),
                    shuffle=False,  # the order is ours, drawn from seed and epoch
                    verbose=0,
                    callbacks=[Steps(run, on_progress, epoch, config.epochs, steps)],
                ).history
            trained = time.perf_counter()
            trainee.begin_average(epoch, steps)
            with trainee.averaged(order):
                scores = trainee.evaluate(
                    **batches(validation_positions, protocol.validation.labels, EVALUATION_BATCH),
                    verbose=0,
                    return_dict=True,
                )
                weights_now = trainee.network.variables
                # Copies, which outlive the step that replaces the weights.
                evaluated = [np.array(ops.convert_to_numpy(variable)) for variable in weights_now]
            ended = time.perf_counter()

            # Under the SVM's loss the softmax of the scores is no probability to take logs of.
            selected_loss = scores["nll" if config.loss == "cross_entropy" else "loss"]
            loss, val_loss = float(history["loss"][-1]), float(selected_loss)
            _require_finite_loss("training", loss, epoch, config)
            _require_finite_loss("validation", val_loss, epoch, config)
            row = LogRow(
                epoch=epoch,
                loss=loss,
                accuracy=float(history["accuracy"][-1]),
                val_loss=val_loss,
                val_accuracy=float(scores["accuracy"]),
                learning_rate=float(trainee.optimizer.learning_rate.value),
                seconds=trained - began,
                val_seconds=ended - trained,
                images_per_second=len(order) / (trained - began),
                elapsed=(log[-1].elapsed if log else 0.0) + ended - began,
                image_size=size,
            )
            # The resumable state comes last: killed in between, the run repeats these epochs.
            with device.interrupts_deferred():
                run.append_log(row)
                log.append(row)
                is_best = schedule.best_epoch(log) is row
                over = epoch == config.epochs or schedule.should_stop(config.early_stopping, log)
                due = time.perf_counter() - saved_at >= SAVE_SECONDS
                if over or due or (is_best and config.keep == "best"):
                    if is_best or config.keep == "last":
                        best = checkpoints.Weights(epoch, evaluated)
                    checkpoints.save_training(last_path, trainee.state(), best, log)
                    saved = epoch
                    saved_at = time.perf_counter()
            run.set_status(epoch=epoch, step=0)
            on_progress(Progress("training", epoch, config.epochs, row=row))
    except KeyboardInterrupt:
        if not log:
            raise
        # One that came while the last epoch was saved stopped nothing.
        stopped_by = "interrupt" if len(log) < config.epochs else "epochs"
    if saved < len(log):
        log = log[:saved]
        run.rewrite_log(log)
        run.set_status(epoch=saved)

    # The best checkpoint, its kernels rounded to what model.onnx stores.
    run.set_status(phase="evaluating")
    on_progress(Progress("evaluating"))
    for variable, array in zip(final.variables, best.arrays, strict=True):
        variable.assign(array)
    checkpoints.save(best_path, best.arrays, best.epoch)
    chosen = log[best.epoch - 1]
    export.round_kernels(final)
    if config.head == "random_forest":
        fitted = (images, labels)
        probabilities = forest.predict_all(final, fitted, judged, config.seed, EVALUATION_BATCH)
    else:
        probabilities = {
            role: predict(final, pixels, EVALUATION_BATCH) for role, pixels in judged.items()
        }
        for role, outputs in probabilities.items():
            require_finite(outputs, protocol.views[role].title)
    predictions = predictions_of(protocol, probabilities)
    run.write_predictions(predictions)
    final.save(run.checkpoints / "model.keras")

    run.set_status(phase="exporting")
    on_progress(Progress("exporting"))
    onnx = None
    if export.available() and config.head == "network":
        onnx = export.export_run(
            final, run, judged["test"], probabilities["test"], protocol.class_names
        )
    if onnx is None:  # what a run that is resumed had exported before is of other weights
        (run.path / "model.onnx").unlink(missing_ok=True)
    results = Results(
        class_names=list(protocol.class_names),
        splits=judge(protocol, predictions),
        selection=Selection(
            epoch=chosen.epoch,
            split=protocol.views["validation"].title,
            metric="accuracy" if config.keep == "best" else "epoch",
            value=chosen.val_accuracy,
        ),
        stopped_by=stopped_by,
        epochs_run=len(log),
        parameters=final.count_params(),
        trainable_parameters=sum(math.prod(w.shape) for w in final.trainable_weights),
        train_seconds=log[-1].elapsed,
        images_per_second=statistics.median(row.images_per_second for row in log),
        peak_memory_bytes=machine.peak_memory_bytes(),
        finished=provenance.now(),
        temperature=temperature_of(protocol, predictions),
        onnx=onnx,
    )
    run.write_record(results)
    run.set_status(state="finished", phase="", message=f"stopped by {stopped_by}")
    return results


def _require_finite_loss(what: str, loss: float, epoch: int, config: ExperimentConfig) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the {what} loss of epoch {epoch} is {loss} (learning rate "
            f"{config.optimizer.learning_rate:g}); lower --optimizer.learning-rate or set "
            "--optimizer.clip-norm"
        )


def _require_teaching(teacher: Run, answers: NDArray[np.float32]) -> None:
    wrong = ~np.isfinite(answers).all(axis=1)
    if wrong.any():
        raise UserError(
            f"received the teacher {teacher.id}, whose outputs for {wrong.sum()} of {len(answers)} "
            "images are not finite numbers; expected a run that did not diverge"
        )


def _require_same_weights(
    network: keras.Model, final: keras.Model, config: ExperimentConfig
) -> None:
    """Refuse progressive resizing of a network whose weights depend on the image size."""
    if [v.shape for v in network.variables] != [v.shape for v in final.variables]:
        raise UserError(
            f"received progressive_resizing.size = {config.progressive_resizing.size}, but the "
            f"weights of {config.model} depend on the image size; expected a network that ends in "
            "a global pooling, such as vgg or facet"
        )
