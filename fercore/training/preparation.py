"""Prepare the images of a training, and build the network that trains on them."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from fercore import metrics, models
from fercore.augmentation.layer import change_copies
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
    """The images of a training, with those of copies changed once.

    Attributes:
        images: `(n, height, width)` uint8, trained on.
        labels: `(n,)` of `images`.
        class_weights: `(k,)` float32, the weight of a sample of each class.
        validation: `(m, height, width)` uint8, which choose the checkpoint.
        validation_labels: `(m,)`.
        evaluated: images of each split that the protocol evaluates, by role.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    class_weights: NDArray[np.float32]
    validation: NDArray[np.uint8]
    validation_labels: NDArray[np.uint8]
    evaluated: dict[str, NDArray[np.uint8]]

    @property
    def size(self) -> int:
        """Pixels of a side of the images."""
        return int(self.images.shape[1])

    @property
    def validation_positions(self) -> NDArray[np.int32]:
        """Where the validation images stand on the device: after the training images."""
        first = len(self.images)
        return np.arange(first, first + len(self.validation), dtype=np.int32)


def prepare_data(config: ExperimentConfig, protocol: Protocol) -> TrainingData:
    """Weigh the classes and change the images of copies, as the configuration says."""
    num_classes = len(protocol.class_names)
    labels = protocol.train.labels
    weights = np.ones(num_classes, np.float32)
    if config.class_weights:
        weights = metrics.balanced_class_weights(labels, num_classes).astype(np.float32)
    return TrainingData(
        images=change_copies(protocol.train, config.augmentation, config.seed),
        labels=labels,
        class_weights=weights,
        validation=change_copies(protocol.validation, config.augmentation, config.seed + 1),
        validation_labels=protocol.validation.labels,
        evaluated={
            role: change_copies(split, config.augmentation, config.seed + 1)
            for role, split in protocol.judged.items()
        },
    )


class ModelBuilder:
    """Builds the network that is trained, at each image size that progressive resizing asks for.

    Attributes:
        final: the finished network, in single precision and of the full image size; the chosen
            weights are loaded into it.
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
        with device.computing_in("float32"):
            self.final = models.build(
                config.model, (*data.images.shape[1:], 1), self._num_classes, config.model_options
            )
        root = run.path.parent
        self._initial = None if resume else resolve_initial_run(root, config, splits)
        self._teachers = resolve_teachers(root, config, splits)
        self._teacher_probabilities: NDArray[np.float32] | None = None
        if self._teachers and config.distillation.asked == "once":
            run.set_status(phase="predicting with the teachers", epochs=config.epochs)
            on_progress(Progress("predicting with the teachers"))
            self._precompute_teachers()

    def _precompute_teachers(self) -> None:
        images, mirrored = self._data.images, self._config.augmentation.horizontal_flip
        probabilities = ensemble.ensemble_probabilities(self._teachers, images, mirrored)
        for teacher in self._teachers:
            if not np.isfinite(probabilities).all():
                own = ensemble.ensemble_probabilities([teacher], images, mirrored=False)
                _require_finite_teacher(teacher, own)
        self._teacher_probabilities, self._teachers = probabilities, ()

    def build(self, size: int) -> TrainingModel:
        """Build the network for images of `size` pixels a side, with its optimizer."""
        config, images = self._config, self._data.images
        keras.utils.set_random_seed(config.seed)
        both = np.concatenate([images, self._data.validation])
        pixels = fit_images(both, ImageConfig(size=size))
        shape = (*pixels.shape[1:], 1)
        with device.sharing_batches(config.devices), device.computing_in(self._precision):
            network = models.build(config.model, shape, self._num_classes, config.model_options)
            _require_same_weights(network, self.final, config)
            # Of training images alone: those of the validation split follow them.
            adapt_whitening(network, pixels[: min(len(images), WHITENING_IMAGES)])
            if self._initial is not None:
                checkpoints.load_initial_weights(self._initial, network)
            teachers = [checkpoints.load_teacher(teacher, shape) for teacher in self._teachers]
            for teacher, loaded in zip(self._teachers, teachers, strict=True):
                outputs = forward(loaded, pixels[:EVALUATION_BATCH], EVALUATION_BATCH)
                _require_finite_teacher(teacher, outputs)
            return TrainingModel(network, config, pixels, teachers, self._teacher_probabilities)


def _require_finite_teacher(teacher: Run, answers: NDArray[np.float32]) -> None:
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
