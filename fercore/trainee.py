"""What the trainer drives: the network with its images and augmentation, and its progress."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore import device
from fercore.augment import Augment
from fercore.config import AugmentationConfig, ExperimentConfig, OptimizerConfig
from fercore.errors import DivergedError
from fercore.losses import build_loss, distillation
from fercore.mixing import Mix
from fercore.muon import Muon
from fercore.recorder import RunWriter
from fercore.records import Layer, LogRow


@dataclass(frozen=True)
class Progress:
    """What the trainer is doing, for whoever shows it.

    Attributes:
        phase: such as `"training"`.
        epoch: the epoch under way, from 1.
        epochs: at most.
        step: steps done in it.
        steps: in all.
        row: the epoch's log row, once it is whole.
        note: one line for people, about something that is done otherwise than expected.
    """

    phase: str
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    row: LogRow | None = None
    note: str = ""


OnProgress = Callable[[Progress], None]
# Keeps the draw of alternating flips apart from the other draws of one seed.
_FLIP_STREAM = 1_000_067


class Trainee(keras.Model):  # type: ignore[misc]
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
                _warmed(answers, config.distillation.temperature),
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
        self._pass = _TrainingPass(network, self.images, self.augment, self.mix, self.mirrored)
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
            from fercore.jax_steps import fused

            self.train_function = fused(self.train_step, self.steps_per_execution)

    def call(self, positions: Any, training: bool = False) -> Any:
        """Logits of a batch: `(n,)` int32 positions in, `(n, k)` float32 out."""
        if not training:
            return self.network(_pixels(self.images, positions), training=False)
        # What the loss asks for, which follows in the same trace.
        pixels, self._mixed = self._pass.change(positions)
        if self.teachers:
            self._taught = self._ask_teachers(pixels)
        elif self.answers is not None:
            self._taught = self._look_up(positions)
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

    def _ask_teachers(self, pixels: Any) -> Any:
        said = []
        for teacher in self.teachers:
            logits = ops.cast(teacher(pixels, training=False), "float32")
            said.append(ops.softmax(logits / self.distillation.temperature))
        return ops.stop_gradient(sum(said) / len(said))

    def _look_up(self, positions: Any) -> Any:
        said = ops.take(self.answers, positions, axis=0)
        if self.mix is None:
            return said
        partner, share = self._mixed
        share = share[:, None]
        return share * said + (1 - share) * ops.take(said, partner, axis=0)

    def state(self) -> list[keras.Variable]:
        """Everything that a resumption needs: the weights and what the optimizer remembers."""
        return [*self.network.variables, *self.optimizer.variables]

    def continued_by(self, other: "Trainee") -> "Trainee":
        """Hand the whole state over to another trainee of the same weights, and return that one.

        Args:
            other: built for images of another size.
        """
        for mine, its in zip(self.state(), other.state(), strict=True):
            # A copy: on JAX a step gives away the memory of what it replaces.
            its.assign(ops.copy(mine.value))
        return other

    @contextmanager
    def averaged(self, positions: NDArray[np.int32]) -> Iterator[None]:
        """In the body, the network's weights are their moving average, if one is kept.

        Batch normalisation then goes by what it sees with these weights, which is less spread than
        with those of any single step (Izmailov et al., "Averaging Weights", 2018, section 3.2).

        Args:
            positions: `(n,)` of images to train on, in the order to see them; as many as its
                statistics need are seen.
        """
        if not (averages := self._averages()):
            yield
            return
        # Copies: on JAX a step gives away the memory of what it replaces.
        variables = self.network.variables
        trained = [ops.copy(variable.value) for variable in variables]
        try:
            for weight, average in zip(self.network.trainable_variables, averages, strict=True):
                weight.assign(ops.copy(average.value))
            seen = positions[: self._batch_size * self._pass.batches_remembered()]
            if len(seen):
                with device.sharing_batches(self._devices):
                    self._pass.predict(**batches(seen, None, self._batch_size), verbose=0)
            yield
        finally:
            for variable, value in zip(variables, trained, strict=True):
                variable.assign(value)

    def begin_average(self, epoch: int, steps: int) -> None:
        """After an epoch: let the average begin with these weights while it is young.

        Until it has seen `1 / (1 - average)` steps it is mostly the weights that it began with, and
        those of before the first step know nothing.

        Args:
            epoch: the one that is over, from 1.
            steps: of an epoch.
        """
        averages = self._averages()
        if averages and epoch * steps * (1 - self._average) <= 1:
            for weight, average in zip(self.network.trainable_variables, averages, strict=True):
                average.assign(ops.copy(weight.value))

    def _averages(self) -> list[keras.Variable]:
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


class _TrainingPass(keras.Model):  # type: ignore[misc]
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

    def batches_remembered(self) -> int:
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


def _warmed(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """What a network that says these probabilities says at a temperature: `(n, k)` in and out.

    Its logits are their logarithms, but for a sum that the softmax takes away.
    """
    powers = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _pixels(images: keras.Variable, positions: Any) -> Any:
    return ops.cast(ops.take(images, positions, axis=0), "float32")


def build_optimizer(config: OptimizerConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that a config names."""
    settings: dict[str, Any] = {"learning_rate": config.learning_rate}
    # AdamW and Muon decay by Keras's own default unless they are told not to.
    if config.weight_decay or config.name in {"adamw", "muon"}:
        settings["weight_decay"] = config.weight_decay
    if config.name == "muon":
        settings["adam_weight_decay"] = config.weight_decay
    if config.clip_norm:
        settings["clipnorm"] = config.clip_norm
    if config.average:
        settings |= {"use_ema": True, "ema_momentum": config.average}
    if config.name == "sgd":
        settings |= {"momentum": config.momentum, "nesterov": config.nesterov}
    optimizer = _OPTIMIZERS[config.name](**settings)
    if config.batch_norm_bias_rate != 1:
        _scale_rate(optimizer, "beta", config.batch_norm_bias_rate)
    # Keras puts the average in the weights' place at the end of `fit`, which here is every epoch's.
    optimizer.finalize_variable_values = lambda weights: None
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "adadelta": keras.optimizers.Adadelta,
    "rmsprop": keras.optimizers.RMSprop,
    "muon": Muon,
}


def _scale_rate(optimizer: keras.optimizers.Optimizer, name: str, factor: float) -> None:
    """Multiply the learning rate of the variables of one name, such as `"beta"`."""
    update_step = optimizer.update_step

    def scaled(gradient: Any, variable: Any, learning_rate: Any) -> None:
        # TensorFlow passes its own variable, whose name is another than that of Keras's.
        known = optimizer._trainable_variables[optimizer._get_variable_index(variable)]
        rate = learning_rate * factor if known.name == name else learning_rate
        update_step(gradient, variable, rate)

    optimizer.update_step = scaled


def batches(
    positions: NDArray[np.int32],
    labels: NDArray[np.integer] | None,
    batch_size: int,
    weights: NDArray[np.floating] | None = None,
) -> dict[str, Any]:
    """What `fit`, `evaluate` and, without labels, `predict` take, for one pass in the order given.

    Args:
        positions: `(n,)` among the images on the device.
        labels: `(n,)` integers.
        batch_size: the last batch may be smaller.
        weights: `(n,)` of the samples; unweighted if absent.
    """
    columns = tuple(column for column in (positions, labels, weights) if column is not None)
    if keras.backend.backend() != "tensorflow":
        names = ("x", "y", "sample_weight")
        return {**dict(zip(names, columns, strict=False)), "batch_size": batch_size}
    import tensorflow as tf

    # Keras's own dataset of these arrays tunes itself in a thread that sleeps for twice as long
    # every time, and the end of an epoch waits for it to wake: after 2.56, 5.12, 10.24... seconds.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices(columns).batch(batch_size).prefetch(2)
    return {"x": dataset.with_options(options)}


class Steps(keras.callbacks.Callback):  # type: ignore[misc]
    """Tell run directory and onlooker how far the epoch is; end it when the loss is not finite."""

    def __init__(
        self, run: RunWriter, on_progress: OnProgress, epoch: int, epochs: int, steps: int
    ):
        super().__init__()
        self._run, self._on_progress = run, on_progress
        self._epoch, self._epochs, self._steps = epoch, epochs, steps

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """After a call of the compiled function: `batch` counts steps, from 0."""
        # Where the last call has fewer steps than the others, Keras counts it as whole.
        done = min(batch + 1, self._steps)
        self._run.note_step(done, self._steps)
        self._on_progress(Progress("training", self._epoch, self._epochs, done, self._steps))
        if logs and not np.isfinite(logs["loss"]):
            self.model.stop_training = True


def predict(
    network: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """Probabilities by Keras: `(n, height, width)` uint8 in, `(n, k)` float32 out."""
    logits = forward(network, images, batch_size)
    return np.asarray(ops.convert_to_numpy(ops.softmax(logits)), np.float32)


def forward(
    network: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """What a network returns: `(n, height, width)` uint8 in, `(n, ...)` float32 out."""
    results = []
    compiled = keras.backend.backend() == "jax"  # which compiles every operation by itself else
    with device.exact_products():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size, :, :, None].astype(np.float32)
            if compiled:
                whole = np.pad(batch, ((0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)))
                output = network.predict_on_batch(whole)[: len(batch)]
            else:
                output = network(ops.convert_to_tensor(batch), training=False)
            results.append(ops.convert_to_numpy(ops.cast(output, "float32")))
    return np.concatenate(results)


def require_finite(outputs: NDArray[np.floating], of: str) -> None:
    """Check what a trained network returned.

    Args:
        outputs: `(n, ...)`.
        of: the images, for people.

    Raises:
        DivergedError: if some of it is not a finite number.
    """
    wrong = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
    if wrong.any():
        raise DivergedError(
            f"the network's outputs for {wrong.sum()} of {len(outputs)} {of} images are not finite "
            "numbers; lower --optimizer.learning-rate or set --optimizer.clip-norm"
        )


def layer_table(network: keras.Model) -> list[Layer]:
    """One row per layer, in order, the input left out."""
    return [
        Layer(
            name=layer.name,
            kind=type(layer).__name__,
            detail=_detail(layer.get_config()),
            output_shape=list(layer.output.shape[1:]),
            parameters=layer.count_params(),
            trainable=sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights),
        )
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _detail(settings: dict[str, Any]) -> str:
    words = []
    if "kernel_size" in settings:
        words += ["x".join(map(str, settings["kernel_size"])), settings["padding"]]
    if "pool_size" in settings:
        words.append("x".join(map(str, settings["pool_size"])))
    if settings.get("activation", "linear") != "linear":
        words.append(str(settings["activation"]))
    if "rate" in settings:
        words.append(f"rate {settings['rate']:g}")
    return ", ".join(words)
