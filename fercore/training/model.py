"""The Keras model that trains: network, images, augmentation, moving averages and teachers."""

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
from fercore.training.inputs import make_fit_inputs
from fercore.training.losses import build_loss, distillation
from fercore.training.optimizers import build_optimizer

# Keeps the draw of alternating flips apart from the other draws of one seed.
_FLIP_STREAM = 1_000_067


class TrainingModel(keras.Model):  # type: ignore[misc]
    """A network with the images and the augmentation that come before it, compiled for training.

    The images lie on the device that trains, as bytes; a batch is the positions of its images. No
    pixel goes through Python during an epoch. Images and augmentation are no part of the network,
    which is saved and exported by itself.

    Args:
        network: takes grey levels, returns logits.
        config: names augmentation, loss, optimizer and steps in one call.
        images: `(n, height, width)` uint8, all that it is to see.
        teachers: networks that take the same and whose answers it is to learn.
        answers: `(m, k)` float32, what teachers said of the first `m` images, those that are
            trained on, before the training: probabilities.
    """

    def __init__(
        self,
        network: keras.Model,
        config: ExperimentConfig,
        images: NDArray[np.uint8],
        teachers: Sequence[keras.Model] = (),
        answers: NDArray[np.float32] | None = None,
    ):
        super().__init__(name="trainee")
        self.network = network
        self.teachers = list(teachers)
        self.distillation = config.distillation
        self.answers = None
        if answers is not None:
            self.answers = keras.Variable(
                _soften(answers, config.distillation.temperature),
                dtype="float32",
                trainable=False,
                autocast=False,  # probabilities, which half precision would round
                name="answers",
            )
        self.images = keras.Variable(
            images[..., None], dtype="uint8", trainable=False, name="images"
        )
        # Copies were changed once, before training.
        online = config.augmentation.mode == "online"
        self.augment = Augment(config.augmentation if online else AugmentationConfig())
        self.mix = Mix(config.augmentation) if config.augmentation.mixes else None
        self.mirrored = None
        if config.augmentation.alternating_flip:
            self.mirrored = keras.Variable(
                np.zeros(len(images), bool), dtype="bool", trainable=False, name="mirrored"
            )
        self.sample_loss = build_loss(config)
        self._average = config.optimizer.average
        self._batch_size, self._devices = config.batch_size, config.devices
        self._pass = _BatchNormUpdater(network, self.images, self.augment, self.mix, self.mirrored)
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
        """Compile what `fit` calls, which on JAX's GPUs is a loop of steps."""
        made = getattr(self, "train_function", None) is not None
        super().make_train_function(force)
        if made and not force:
            return
        if self.steps_per_execution > 1 and device.loops_on_device():
            from fercore.training.jax_loop import multi_step_train_function

            self.train_function = multi_step_train_function(
                self.train_step, self.steps_per_execution
            )

    def call(self, positions: Any, training: bool = False) -> Any:
        """Logits of a batch: `(n,)` int32 positions in, `(n, k)` float32 out."""
        if not training:
            return self.network(_pixels(self.images, positions), training=False)
        # What the loss asks for, which follows in the same trace.
        pixels, self._mixed = self._pass.change(positions)
        if self.teachers:
            self._taught = self._teacher_outputs(pixels)
        elif self.answers is not None:
            self._taught = self._precomputed_teacher_outputs(positions)
        return self.network(pixels, training=True)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch.

        Of mixed images in the shares of both labels; with teachers, their answers have their share
        of it.
        """
        taught = bool(self.teachers) or self.answers is not None
        if not training or (self.mix is None and not taught):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        weights = ops.ones_like(y_pred[:, 0]) if sample_weight is None else sample_weight
        losses = weights * self.sample_loss.call(y, y_pred)
        if self.mix is not None:
            partner, share = self._mixed
            others = ops.take(weights, partner, axis=0)
            other = others * self.sample_loss.call(ops.take(y, partner, axis=0), y_pred)
            losses = share * losses + (1 - share) * other
            weights = share * weights + (1 - share) * others
        if taught:
            part = self.distillation.weight
            missed = distillation(self._taught, y_pred, self.distillation.temperature)
            losses = (1 - part) * losses + part * weights * missed
        return ops.mean(losses)

    def _teacher_outputs(self, pixels: Any) -> Any:
        said = []
        for teacher in self.teachers:
            logits = ops.cast(teacher(pixels, training=False), "float32")
            said.append(ops.softmax(logits / self.distillation.temperature))
        return ops.stop_gradient(sum(said) / len(said))

    def _precomputed_teacher_outputs(self, positions: Any) -> Any:
        said = ops.take(self.answers, positions, axis=0)
        if self.mix is None:
            return said
        partner, share = self._mixed
        share = share[:, None]
        return share * said + (1 - share) * ops.take(said, partner, axis=0)

    def state(self) -> list[keras.Variable]:
        """Everything that a resumption needs: the weights and what the optimizer remembers."""
        return [*self.network.variables, *self.optimizer.variables]

    def continued_by(self, other: "TrainingModel") -> "TrainingModel":
        """Hand the whole state over to another trainee of the same weights, and return that one.

        Args:
            other: built for images of another size.
        """
        for mine, its in zip(self.state(), other.state(), strict=True):
            # A copy: on JAX a step gives away the memory of what it replaces.
            its.assign(ops.copy(mine.value))
        return other

    @contextmanager
    def ema_weights(self, positions: NDArray[np.int32]) -> Iterator[None]:
        """In the body, the network's weights are their moving average, if one is kept.

        Batch normalisation then goes by what it sees with these weights, which is less spread than
        with those of any single step (Izmailov et al., "Averaging Weights", 2018, section 3.2).

        Args:
            positions: `(n,)` of images to train on, in the order to see them; as many as its
                statistics need are seen.
        """
        if not (averages := self._ema_variables()):
            yield
            return
        # Copies: on JAX a step gives away the memory of what it replaces.
        variables = self.network.variables
        trained = [ops.copy(variable.value) for variable in variables]
        try:
            for weight, average in zip(self.network.trainable_variables, averages, strict=True):
                weight.assign(ops.copy(average.value))
            seen = positions[: self._batch_size * self._pass.bn_update_batches()]
            if len(seen):
                with device.sharing_batches(self._devices):
                    self._pass.predict(**make_fit_inputs(seen, None, self._batch_size), verbose=0)
            yield
        finally:
            for variable, value in zip(variables, trained, strict=True):
                variable.assign(value)

    def reset_ema_during_warmup(self, epoch: int, steps: int) -> None:
        """After an epoch: let the average begin with these weights while it is young.

        Until it has seen `1 / (1 - average)` steps it is mostly the weights that it began with, and
        those of before the first step know nothing.

        Args:
            epoch: the one that is over, from 1.
            steps: of an epoch.
        """
        averages = self._ema_variables()
        if averages and epoch * steps * (1 - self._average) <= 1:
            for weight, average in zip(self.network.trainable_variables, averages, strict=True):
                average.assign(ops.copy(weight.value))

    def _ema_variables(self) -> list[keras.Variable]:
        if not self._average:
            return []
        # Under mixed_float16 Keras wraps the optimizer in one that scales the loss.
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return list(optimizer._model_variables_moving_average)

    def reseed(self, seed: int, epoch: int) -> None:
        """Set every generator, of dropout and of augmentation, to its state for one epoch."""
        generators = [v for v in self.network.variables if v.path.endswith("seed_generator_state")]
        for number, variable in enumerate(generators):
            sequence = np.random.SeedSequence([seed, epoch, number])
            variable.assign(sequence.generate_state(2))
        self.augment.reseed(seed, epoch)
        if self.mirrored is not None:
            self.mirrored.assign(_mirrored_images(self.mirrored.shape[0], seed, epoch))
        if self.mix is not None:
            self.mix.reseed(seed, epoch)


class _BatchNormUpdater(keras.Model):  # type: ignore[misc]
    """A network's forward pass as in training, of which batch normalisation keeps statistics."""

    def __init__(
        self,
        network: keras.Model,
        images: keras.Variable,
        augment: Augment,
        mix: Mix | None,
        mirrored: keras.Variable | None,
    ):
        super().__init__(name="training_pass")
        self.network, self.images, self.augment, self.mix = network, images, augment, mix
        self.mirrored = mirrored
        self.compile(jit_compile=device.jit_compile())
        self.built = True  # of parts that are built by themselves

    def change(self, positions: Any) -> tuple[Any, Any]:
        """Augmented pixels of a batch; if they are mixed, each one's partner and own share too."""
        mirrored = None
        if self.mirrored is not None:
            mirrored = ops.take(self.mirrored, positions, axis=0)
        pixels = self.augment(_pixels(self.images, positions), mirrored)
        if self.mix is None:
            return pixels, None
        pixels, partner, share = self.mix(pixels)
        return pixels, (partner, share)

    def call(self, positions: Any) -> Any:
        """Logits: `(n,)` int32 positions in, `(n, k)` float32 out."""
        pixels, _ = self.change(positions)
        return self.network(pixels, training=True)

    def bn_update_batches(self) -> int:
        """After how many batches 97% of the statistics are of these; 0 where none are kept."""
        momenta = [
            layer.momentum
            for layer in self.network.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        return round(3.5 / (1 - max(momenta))) if momenta else 0


def _mirrored_images(n: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Return which of `n` images an epoch mirrors: in the next epoch, the others are mirrored."""
    first = np.random.default_rng([seed, _FLIP_STREAM]).random(n) < 0.5
    return np.asarray(first ^ (epoch % 2 == 0), bool)


def _soften(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """What a network that says these probabilities says at a temperature: `(n, k)` in and out.

    Its logits are their logarithms, but for a sum that the softmax takes away.
    """
    powers = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _pixels(images: keras.Variable, positions: Any) -> Any:
    return ops.cast(ops.take(images, positions, axis=0), "float32")
