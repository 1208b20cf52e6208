"""Layers that Keras has, made faster, or has not."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

_LANES = 4  # bytes in a random word
_LEVELS = 256


@keras.saving.register_keras_serializable(package="fercore")
class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """Dropout (Srivastava et al., 2014) that draws one random byte per element.

    Keras draws a 32-bit word per element, which on a CPU takes a fifth of the time of a training
    step of a small network. Here four elements share a word. Every rate is therefore rounded to a
    multiple of 1/256: 0.25 and 0.5 are exact, 0.3 is trained at 0.3008; elements that stay are
    scaled by the rounded rate.

    Args:
        rate: fraction of the elements to drop, 0 to 1.

    Example:
        >>> y = Dropout(0.25)(x, training=True)  # same shape and dtype as x
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop elements in training; the identity otherwise."""
        dropped = round(self.rate * _LEVELS)
        if not training or dropped == 0:
            return inputs
        if self.noise_shape is not None or dropped == _LEVELS:
            return super().call(inputs, training=training)
        shape = inputs.shape[1:]
        elements = math.prod(shape)
        words = keras.random.randint(
            (ops.shape(inputs)[0], -(-elements // _LANES)),
            -(2**31),
            2**31 - 1,
            dtype="int32",
            seed=self.seed_generator,
        )
        lanes = ops.view(words, "uint8")[:, :elements]
        stays = ops.reshape(lanes >= dropped, (-1, *shape))
        return inputs * (ops.cast(stays, inputs.dtype) * (_LEVELS / (_LEVELS - dropped)))


@keras.saving.register_keras_serializable(package="fercore")
class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation (Ioffe & Szegedy, 2015) of images, by TensorFlow's fused kernel.

    Keras composes it of a dozen passes over the whole tensor in single precision; on a CPU that is
    a quarter of a step of Le's Deep CNN, and seven times slower than the kernel, which computes
    its statistics in single precision as well. Other backends fuse the passes themselves.
    """

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Normalise by the batch and note its statistics in training, by those noted otherwise."""
        fused = keras.backend.backend() == "tensorflow" and len(inputs.shape) == 4
        if not (fused and training and self.trainable) or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel estimates the variance of the population, Keras keeps that of the batch.
        n = ops.cast(ops.prod(ops.shape(inputs)[:3]), variance.dtype)
        variance = variance * (n - 1) / n
        for kept, seen in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + seen * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="fercore")
class FractionalMaxPooling2D(keras.layers.Layer):  # type: ignore[misc]
    """Max-pooling by a factor between one and two (Graham, "Fractional Max-Pooling", 2014).

    Regions of one or two rows and columns, disjoint and covering the image, follow each other in
    the pseudo-random order `ceil(a (i + u))`, `a` being the ratio of input to output length, with
    `u` drawn anew from (0, 1) for every batch and axis in training and 1/2 otherwise.

    Args:
        ratio: of the input's height and width to the output's, which is rounded down.
        seed: of the layer's own generator; the trainer sets its state anew for every epoch.

    Raises:
        ValueError: if the ratio is not between 1 and 2.
    """

    def __init__(self, ratio: float, seed: int = 0, **kwargs: Any):
        if not 1 < ratio < 2:
            raise ValueError(f"received ratio = {ratio}, expected between 1 and 2")
        super().__init__(**kwargs)
        self.ratio = ratio
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Pool: `(n, height, width, c)` in, `(n, height / ratio, width / ratio, c)` out."""
        for axis in (1, 2):
            first, last = self._regions(inputs.shape[axis], training)
            inputs = ops.maximum(
                ops.take(inputs, first, axis=axis), ops.take(inputs, last, axis=axis)
            )
        return inputs

    def _regions(self, length: int, training: bool) -> tuple[Any, Any]:
        """First and last position of each region along an axis."""
        regions = self._pooled(length)
        # In integers, for rounding could lose a row. The edges change only where u is a multiple of
        # 1 / length, so that its odd multiples of half of that stand for all.
        start: Any = length
        if training:
            seed = self.seed_generator
            start = 2 * keras.random.randint((), 0, length, dtype="int32", seed=seed) + 1
        places = 2 * length * np.arange(regions, dtype=np.int32)
        edges = (places + start + 2 * regions - 1) // (2 * regions)
        first = ops.convert_to_tensor(edges - edges[0], dtype="int32")
        return first, ops.concatenate([first[1:] - 1, ops.full((1,), length - 1, dtype="int32")])

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of a batch of any size."""
        n, height, width, channels = input_shape
        return n, self._pooled(height), self._pooled(width), channels

    def _pooled(self, length: int) -> int:
        # Short axes round down to more than half: no region is longer than two.
        return max(int(length / self.ratio), -(-length // 2))

    def get_config(self) -> dict[str, Any]:
        """What a saved network needs to build the layer again."""
        return {**super().get_config(), "ratio": self.ratio, "seed": self.seed}
