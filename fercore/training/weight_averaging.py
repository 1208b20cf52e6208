"""The moving average of the weights (EMA), and the batch-norm statistics that belong to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.augmentation.layer import Augment
from fercore.augmentation.mixup_cutmix import Mix
from fercore.training import device
from fercore.training.inputs import make_fit_inputs


def ema_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the averages that an optimizer with `use_ema` keeps, in the order of its variables."""
    # Under mixed_float16, Keras wraps the optimizer in one that scales the loss.
    inner: Any = getattr(optimizer, "inner_optimizer", optimizer)
    return list(inner._model_variables_moving_average)


def is_warming_up(momentum: float, steps: int) -> bool:
    """Return whether an average still consists mostly of its initial value, the random weights.

    That is so during its first `1 / (1 - momentum)` steps.
    """
    return steps * (1 - momentum) <= 1


@contextmanager
def averaged_weights(
    network: keras.Model,
    averages: Sequence[keras.Variable],
    updater: "BatchNormUpdater",
    positions: NDArray[np.int32],
    batch_size: int,
    devices: int,
) -> Iterator[None]:
    """Replace a network's weights by their moving averages in the body; without any, do nothing.

    The statistics of batch normalization are computed again with the averaged weights: their
    activations have a smaller variance than those with the weights of any single step (Izmailov et
    al., "Averaging Weights", 2018, section 3.2).

    Args:
        network: whose weights are replaced.
        averages: of its trainable variables, in their order.
        updater: of the same network.
        positions: `(n,)` int32, positions of training images in order; only as many are used as
            the statistics need.
        batch_size: images of a batch.
        devices: that share a batch.
    """
    if not averages:
        yield
        return
    # Copies, because on JAX a step donates the memory of the arrays that it replaces.
    trained = [ops.copy(variable.value) for variable in network.variables]
    try:
        for weight, average in zip(network.trainable_variables, averages, strict=True):
            weight.assign(ops.copy(average.value))
        sample = positions[: batch_size * updater.bn_update_batches()]
        if len(sample):
            inputs = make_fit_inputs(sample, None, batch_size)
            with device.distribute_batches(devices):
                updater.predict(**inputs, verbose=0)
        yield
    finally:
        for variable, value in zip(network.variables, trained, strict=True):
            variable.assign(value)


class BatchNormUpdater(keras.Model):  # type: ignore[misc]
    """Forward pass of a network in training mode, which updates the batch-norm statistics.

    Compare `torch.optim.swa_utils.update_bn`.
    """

    def __init__(
        self,
        network: keras.Model,
        images: keras.Variable,
        augment: Augment,
        mix: Mix | None,
        mirrored: keras.Variable | None,
    ):
        super().__init__(name="batch_norm_updater")
        self.network, self.images, self.augment, self.mix = network, images, augment, mix
        self.mirrored = mirrored
        self.compile(jit_compile=device.jit_compile())
        self.built = True  # all of its parts have been built before

    def augment_batch(self, positions: Any) -> tuple[Any, Any]:
        """Return the augmented pixels of a batch, and how its images are mixed.

        The second value is `None` without mixing. Otherwise, it is a pair: `(n,)` positions of the
        partners in the batch, and `(n,)` weights of the images themselves.
        """
        mirrored = None
        if self.mirrored is not None:
            mirrored = ops.take(self.mirrored, positions, axis=0)
        pixels = self.augment(gather_pixels(self.images, positions), mirrored)
        if self.mix is None:
            return pixels, None
        pixels, partners, shares = self.mix(pixels)
        return pixels, (partners, shares)

    def call(self, positions: Any) -> Any:
        """Return the logits, `(n, k)` float32, of the images at positions, `(n,)` int32."""
        pixels, _ = self.augment_batch(positions)
        return self.network(pixels, training=True)

    def bn_update_batches(self) -> int:
        """Return how many batches determine 97% of the statistics; 0 without batch norm."""
        momenta = [
            layer.momentum
            for layer in self.network.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        return round(3.5 / (1 - max(momenta))) if momenta else 0


def gather_pixels(images: keras.Variable, positions: Any) -> Any:
    """Return the images at positions, `(n, height, width, 1)` float32 grey levels."""
    return ops.cast(ops.take(images, positions, axis=0), "float32")
