"""The Keras model for training: a network with its images, augmentation, averages and teachers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.augmentation.layer import Augment
from fercore.augmentation.mixup_cutmix import Mix
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.training import device
from fercore.training.losses import build_loss, distillation_loss
from fercore.training.optimizers import build_optimizer
from fercore.training.weight_averaging import (
    BatchNormUpdater,
    averaged_weights,
    ema_variables,
    gather_pixels,
    is_warming_up,
)

# Separates the random numbers of alternating flips from the others of one seed.
_FLIP_STREAM = 1_000_067


class TrainingModel(keras.Model):  # type: ignore[misc]
    """A network with its images and its augmentation, compiled for training.

    The images are stored on the training device, as bytes. A batch holds the positions of its
    images, so no pixel goes through Python during an epoch. Images and augmentation are not part of
    the network, which is saved and exported by itself.

    Args:
        network: takes grey levels, returns logits.
        config: determines augmentation, loss, optimizer, and steps in one call.
        images: `(n, height, width)` uint8, the training and validation images.
        teachers: networks for distillation that predict during the training; they take the same
            inputs.
        teacher_probabilities: `(m, k)` float32, probabilities that teachers predicted before the
            training for the first `m` images, the training images.
    """

    def __init__(
        self,
        network: keras.Model,
        config: ExperimentConfig,
        images: NDArray[np.uint8],
        teachers: Sequence[keras.Model] = (),
        teacher_probabilities: NDArray[np.float32] | None = None,
    ):
        super().__init__(name="training_model")
        self.network = network
        self.teachers = list(teachers)
        self.distillation = config.distillation
        self.teacher_probabilities = None
        if teacher_probabilities is not None:
            self.teacher_probabilities = keras.Variable(
                _soften(teacher_probabilities, config.distillation.temperature),
                dtype="float32",
                trainable=False,
                autocast=False,  # half precision would round the probabilities
                name="teacher_probabilities",
            )
        self.images = keras.Variable(
            images[..., None], dtype="uint8", trainable=False, name="images"
        )
        # In the other modes, copies were augmented once, before the training.
        online = config.augmentation.mode == "online"
        self.augment = Augment(config.augmentation if online else AugmentationConfig())
        self.mix = Mix(config.augmentation) if config.augmentation.mixes else None
        self.mirrored = None
        if config.augmentation.alternating_flip:
            self.mirrored = keras.Variable(
                np.zeros(len(images), bool), dtype="bool", trainable=False, name="mirrored"
            )
        self.sample_loss = build_loss(config)
        self._ema_momentum = config.optimizer.ema_momentum
        self._batch_size, self._devices = config.batch_size, config.devices
        self._bn_updater = BatchNormUpdater(
            network, self.images, self.augment, self.mix, self.mirrored
        )
        self.compile(
            optimizer=build_optimizer(config.optimizer),
            loss=self.sample_loss,
            metrics=[
                keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
                keras.metrics.SparseCategoricalCrossentropy(name="nll", from_logits=True),
            ],
            jit_compile=device.jit_compile(),
            steps_per_execution=config.steps_per_execution,
        )
        self.augment.build(network.input_shape)
        if self.mix is not None:
            self.mix.build(network.input_shape)
        self(np.zeros(1, np.int32))
        self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> None:
        """Compile the function that `fit` calls; on GPUs with JAX, it is a loop of steps."""
        is_made = getattr(self, "train_function", None) is not None
        super().make_train_function(force)
        if is_made and not force:
            return
        if self.steps_per_execution > 1 and device.should_loop_on_device():
            from fercore.training.jax_loop import multi_step_train_function

            self.train_function = multi_step_train_function(
                self.train_step, self.steps_per_execution
            )

    def call(self, positions: Any, training: bool = False) -> Any:
        """Return the logits, `(n, k)` float32, of the images at positions, `(n,)` int32."""
        if not training:
            return self.network(gather_pixels(self.images, positions), training=False)
        # `compute_loss` follows in the same trace and reads the attributes that are set here.
        pixels, self._mixing = self._bn_updater.augment_batch(positions)
        if self.teachers:
            self._distillation_targets = self._predict_with_teachers(pixels)
        elif self.teacher_probabilities is not None:
            self._distillation_targets = self._look_up_teacher_probabilities(positions)
        return self.network(pixels, training=True)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of a batch, a scalar.

        The loss of a mixed image is the weighted mean of the losses for both labels. With teachers,
        it is the weighted mean of the loss for the labels and the distillation loss.
        """
        is_distilled = bool(self.teachers) or self.teacher_probabilities is not None
        if not training or (self.mix is None and not is_distilled):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        weights = ops.ones_like(y_pred[:, 0]) if sample_weight is None else sample_weight
        losses = weights * self.sample_loss.call(y, y_pred)
        if self.mix is not None:
            partners, shares = self._mixing
            partner_weights = ops.take(weights, partners, axis=0)
            partner_losses = partner_weights * self.sample_loss.call(
                ops.take(y, partners, axis=0), y_pred
            )
            losses = shares * losses + (1 - shares) * partner_losses
            weights = shares * weights + (1 - shares) * partner_weights
        if is_distilled:
            distillation_losses = distillation_loss(
                self._distillation_targets, y_pred, self.distillation.temperature
            )
            fraction = self.distillation.weight
            losses = (1 - fraction) * losses + fraction * weights * distillation_losses
        return ops.mean(losses)

    def _predict_with_teachers(self, pixels: Any) -> Any:
        """Return the teachers' mean probabilities at the temperature, `(n, k)` float32."""
        probabilities = []
        for teacher in self.teachers:
            logits = ops.cast(teacher(pixels, training=False), "float32")
            probabilities.append(ops.softmax(logits / self.distillation.temperature))
        return ops.stop_gradient(sum(probabilities) / len(probabilities))

    def _look_up_teacher_probabilities(self, positions: Any) -> Any:
        """Return the precomputed probabilities, `(n, k)` float32, mixed like the labels."""
        probabilities = ops.take(self.teacher_probabilities, positions, axis=0)
        if self.mix is None:
            return probabilities
        partners, shares = self._mixing
        shares = shares[:, None]
        partner_probabilities = ops.take(probabilities, partners, axis=0)
        return shares * probabilities + (1 - shares) * partner_probabilities

    def state(self) -> list[keras.Variable]:
        """Return all variables that a resumption needs: those of the network and the optimizer."""
        return [*self.network.variables, *self.optimizer.variables]

    def copy_state_to(self, other: "TrainingModel") -> None:
        """Copy the state into a model with the same variables, built for another image size."""
        for variable, target in zip(self.state(), other.state(), strict=True):
            # A copy, because on JAX a step donates the memory of the arrays that it replaces.
            target.assign(ops.copy(variable.value))

    @contextmanager
    def ema_weights(self, positions: NDArray[np.int32]) -> Iterator[None]:
        """Replace the network's weights by their moving averages, if there are any, in the body.

        Args:
            positions: `(n,)` int32, positions of training images in order, by which the statistics
                of batch normalization are computed again.
        """
        averages = ema_variables(self.optimizer) if self._ema_momentum else []
        with averaged_weights(
            self.network, averages, self._bn_updater, positions, self._batch_size, self._devices
        ):
            yield

    def reset_ema_during_warmup(self, epoch: int, steps: int) -> None:
        """Reset the moving averages to the current weights in the first epochs.

        Args:
            epoch: the number of the epoch that has just ended, from 1.
            steps: steps of an epoch.
        """
        if self._ema_momentum and is_warming_up(self._ema_momentum, epoch * steps):
            averages = ema_variables(self.optimizer)
            for weight, average in zip(self.network.trainable_variables, averages, strict=True):
                average.assign(ops.copy(weight.value))

    def reseed(self, seed: int, epoch: int) -> None:
        """Set the random generators of dropout and augmentation to their state for one epoch."""
        generators = [v for v in self.network.variables if v.path.endswith("seed_generator_state")]
        for number, variable in enumerate(generators):
            sequence = np.random.SeedSequence([seed, epoch, number])
            variable.assign(sequence.generate_state(2))
        self.augment.reseed(seed, epoch)
        if self.mirrored is not None:
            self.mirrored.assign(_select_mirrored(self.mirrored.shape[0], seed, epoch))
        if self.mix is not None:
            self.mix.reseed(seed, epoch)


def _select_mirrored(n: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Return which of `n` images an epoch mirrors, `(n,)`; the next epoch mirrors the others."""
    odd_epochs = np.random.default_rng([seed, _FLIP_STREAM]).random(n) < 0.5
    return np.asarray(odd_epochs ^ (epoch % 2 == 0), bool)


def _soften(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities, `(n, k)`, at a temperature.

    The logarithms of probabilities are the logits up to a constant, which the softmax ignores.
    """
    powers = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
