"""Preparation of a training: its images, and the network with its initial weights and teachers."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from fercore import metrics, models
from fercore.augmentation.layer import augment_copies
from fercore.config.experiment import ExperimentConfig
from fercore.config.protocol import ImageConfig
from fercore.data.splits import Splits
from fercore.data.splitting import fit_images
from fercore.errors import UserError
from fercore.evaluation.protocol import Protocol
from fercore.inference import ensemble
from fercore.models._layers import adapt_whitening
from fercore.runs.reader import Run
from fercore.runs.writer import RunWriter
from fercore.training import checkpoints, device
from fercore.training.callbacks import OnProgress, Progress
from fercore.training.model import TrainingModel
from fercore.training.prediction import forward
from fercore.training.warm_start import resolve_initial_run, resolve_teachers

EVALUATION_BATCH = 128
WHITENING_IMAGES = 5000


@dataclass(frozen=True)
class TrainingData:
    """The images of a training. Copies of images are already augmented.

    Attributes:
        images: `(n, height, width)` uint8, the training images.
        labels: `(n,)` uint8, the labels of `images`.
        class_weights: `(k,)` float32, the weight of a sample of each class.
        validation: `(m, height, width)` uint8, the images that select the checkpoint.
        validation_labels: `(m,)` uint8.
        evaluated: the images of each split that the protocol evaluates, by role.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    class_weights: NDArray[np.float32]
    validation: NDArray[np.uint8]
    validation_labels: NDArray[np.uint8]
    evaluated: dict[str, NDArray[np.uint8]]

    @property
    def size(self) -> int:
        """Return the height and width of the images, in pixels."""
        return int(self.images.shape[1])

    @property
    def validation_positions(self) -> NDArray[np.int32]:
        """Return the positions of the validation images, which follow the training images."""
        first = len(self.images)
        return np.arange(first, first + len(self.validation), dtype=np.int32)


def prepare_data(config: ExperimentConfig, protocol: Protocol) -> TrainingData:
    """Compute the class weights and augment the copies of images, as configured."""
    num_classes = len(protocol.class_names)
    labels = protocol.train.labels
    weights = np.ones(num_classes, np.float32)
    if config.class_weights:
        weights = metrics.balanced_class_weights(labels, num_classes).astype(np.float32)
    return TrainingData(
        images=augment_copies(protocol.train, config.augmentation, config.seed),
        labels=labels,
        class_weights=weights,
        validation=augment_copies(protocol.validation, config.augmentation, config.seed + 1),
        validation_labels=protocol.validation.labels,
        evaluated={
            role: augment_copies(split, config.augmentation, config.seed + 1)
            for role, split in protocol.eval_splits.items()
        },
    )


class ModelBuilder:
    """Builds the network for training, once for each image size of progressive resizing.

    Attributes:
        final: the finished network, in single precision and for the full image size. The weights of
            the selected epoch are loaded into it.

    Args:
        config: the experiment.
        splits: its dataset.
        protocol: the classes and splits of the training.
        data: the images.
        run: the run directory; the runs beside it provide initial weights and teachers.
        resume: whether the run is resumed, which needs no initial weights.
        on_progress: called when the teachers predict.

    Raises:
        UserError: if the initial weights or a teacher cannot be used.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        splits: Splits,
        protocol: Protocol,
        data: TrainingData,
        run: RunWriter,
        resume: bool,
        on_progress: OnProgress,
    ):
        self._config, self._data = config, data
        self._precision = device.resolve_precision(config.precision)
        self._num_classes = len(protocol.class_names)
        with device.use_dtype_policy("float32"):
            self.final = models.build(
                config.model, (*data.images.shape[1:], 1), self._num_classes, config.model_options
            )
        root = run.path.parent
        self._initial = None if resume else resolve_initial_run(root, config, splits)
        self._teachers = resolve_teachers(root, config, splits)
        self._teacher_probabilities: NDArray[np.float32] | None = None
        if self._teachers and config.distillation.mode == "precomputed":
            run.set_status(phase="predicting with the teachers", epochs=config.epochs)
            on_progress(Progress("predicting with the teachers"))
            self._precompute_teachers()

    def _precompute_teachers(self) -> None:
        """Predict the training images with the teachers, which are not needed afterwards."""
        images, mirrored = self._data.images, self._config.augmentation.horizontal_flip
        probabilities = ensemble.ensemble_probabilities(self._teachers, images, mirrored)
        for teacher in self._teachers:
            if not np.isfinite(probabilities).all():
                outputs = ensemble.ensemble_probabilities([teacher], images, mirrored=False)
                _require_finite_teacher(teacher, outputs)
        self._teacher_probabilities, self._teachers = probabilities, ()

    def build(self, size: int) -> TrainingModel:
        """Build the network and its optimizer for images of `size` x `size` pixels."""
        config, images = self._config, self._data.images
        keras.utils.set_random_seed(config.seed)
        all_images = np.concatenate([images, self._data.validation])
        pixels = fit_images(all_images, ImageConfig(size=size))
        shape = (*pixels.shape[1:], 1)
        with device.distribute_batches(config.devices), device.use_dtype_policy(self._precision):
            network = models.build(config.model, shape, self._num_classes, config.model_options)
            _require_same_weights(network, self.final, config)
            # Only training images, which precede those of the validation split.
            adapt_whitening(network, pixels[: min(len(images), WHITENING_IMAGES)])
            if self._initial is not None:
                checkpoints.load_initial_weights(self._initial, network)
            teachers = [checkpoints.load_teacher(run, shape) for run in self._teachers]
            for run, teacher in zip(self._teachers, teachers, strict=True):
                outputs = forward(teacher, pixels[:EVALUATION_BATCH], EVALUATION_BATCH)
                _require_finite_teacher(run, outputs)
            return TrainingModel(network, config, pixels, teachers, self._teacher_probabilities)


def _require_finite_teacher(teacher: Run, outputs: NDArray[np.float32]) -> None:
    invalid = ~np.isfinite(outputs).all(axis=1)
    if invalid.any():
        raise UserError(
            f"received the teacher {teacher.id}, whose outputs for {invalid.sum()} of "
            f"{len(outputs)} images are not finite numbers; expected a run that did not diverge"
        )


def _require_same_weights(
    network: keras.Model, final: keras.Model, config: ExperimentConfig
) -> None:
    """Refuse progressive resizing if the shapes of the weights depend on the image size."""
    if [v.shape for v in network.variables] != [v.shape for v in final.variables]:
        raise UserError(
            f"received progressive_resizing.size = {config.progressive_resizing.size}, but the "
            f"weights of {config.model} depend on the image size; expected a network that ends in "
            "a global pooling, such as vgg or facet"
        )
