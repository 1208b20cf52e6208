"""Faster replacements for Keras layers, and layers and initializers that Keras lacks."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

_WHITENING_CHUNK = 100  # images; their patches take nine or more times as much memory
_BYTES_PER_WORD = 4
_LEVELS = 256


@keras.saving.register_keras_serializable(package="fercore")
class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """Dropout (Srivastava et al., 2014) that draws one random byte per element.

    Keras draws a 32-bit word per element, which on a CPU takes a fifth of the time of a training
    step of a small network. Here four elements share a word. Every rate is therefore rounded to a
    multiple of 1/256: 0.25 and 0.5 are exact, 0.3 becomes 0.3008. The remaining elements are scaled
    by the rounded rate.

    Args:
        rate: fraction of the elements to drop, 0 to 1.

    Example:
        >>> y = Dropout(0.25)(x, training=True)  # same shape and dtype as x
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop elements in training; return the inputs otherwise."""
        dropped = round(self.rate * _LEVELS)
        if not training or dropped == 0:
            return inputs
        if self.noise_shape is not None or dropped == _LEVELS:
            return super().call(inputs, training=training)
        shape = inputs.shape[1:]
        elements = math.prod(shape)
        words = keras.random.randint(
            (ops.shape(inputs)[0], -(-elements // _BYTES_PER_WORD)),
            -(2**31),
            2**31 - 1,
            dtype="int32",
            seed=self.seed_generator,
        )
        random_bytes = ops.view(words, "uint8")[:, :elements]
        is_kept = ops.reshape(random_bytes >= dropped, (-1, *shape))
        return inputs * (ops.cast(is_kept, inputs.dtype) * (_LEVELS / (_LEVELS - dropped)))


@keras.saving.register_keras_serializable(package="fercore")
class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation (Ioffe & Szegedy, 2015) of images with TensorFlow's fused kernel.

    Keras needs a dozen passes over the tensor in single precision. On a CPU these take a quarter of
    a training step of Le's Deep CNN and seven times as long as the kernel, which computes its
    statistics in single precision as well. Other backends fuse the passes themselves.
    """

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Normalise by the batch statistics in training, and by the moving statistics otherwise."""
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
        # The kernel returns the unbiased variance; Keras accumulates that of the batch.
        n = ops.cast(ops.prod(ops.shape(inputs)[:3]), variance.dtype)
        variance = variance * (n - 1) / n
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + of_batch * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="fercore")
class FractionalMaxPooling2D(keras.layers.Layer):  # type: ignore[misc]
    """Max-pooling by a factor between one and two (Graham, "Fractional Max-Pooling", 2014).

    Disjoint regions of one or two rows and columns cover the image. Their edges follow the
    pseudo-random sequence `ceil(a (i + u))`, where `a` is the ratio of input to output length. `u`
    is drawn from (0, 1) for every batch and axis in training, and is 1/2 otherwise.

    Args:
        ratio: height and width of the input divided by those of the output, which are rounded down.
        seed: seed of the layer's generator; the trainer resets the generator in every epoch.

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
        """Pool `(n, height, width, c)` to `(n, height / ratio, width / ratio, c)`."""
        for axis in (1, 2):
            first, last = self._regions(inputs.shape[axis], training)
            inputs = ops.maximum(
                ops.take(inputs, first, axis=axis), ops.take(inputs, last, axis=axis)
            )
        return inputs

    def _regions(self, length: int, training: bool) -> tuple[Any, Any]:
        """Return the first and the last position of each region along an axis."""
        regions = self._pooled_length(length)
        # In integers, since rounding could lose a row. The edges change only where u is a multiple
        # of 1 / length, so that the odd multiples of 1 / (2 length) represent all values of u.
        start: Any = length
        if training:
            seed = self.seed_generator
            start = 2 * keras.random.randint((), 0, length, dtype="int32", seed=seed) + 1
        offsets = 2 * length * np.arange(regions, dtype=np.int32)
        edges = (offsets + start + 2 * regions - 1) // (2 * regions)
        first = ops.convert_to_tensor(edges - edges[0], dtype="int32")
        return first, ops.concatenate([first[1:] - 1, ops.full((1,), length - 1, dtype="int32")])

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the output for a batch of any size."""
        n, height, width, channels = input_shape
        return n, self._pooled_length(height), self._pooled_length(width), channels

    def _pooled_length(self, length: int) -> int:
        # On short axes, rounding down could give regions longer than two.
        return max(int(length / self.ratio), -(-length // 2))

    def get_config(self) -> dict[str, Any]:
        """Return what a saved network needs to build the layer again."""
        return {**super().get_config(), "ratio": self.ratio, "seed": self.seed}


@keras.saving.register_keras_serializable(package="fercore")
class DiracInitializer(keras.initializers.Initializer):  # type: ignore[misc]
    """Initialize a convolution so that its first output channels copy its input channels.

    The other output channels, if there are more, are initialized by `HeNormal` (Zagoruyko &
    Komodakis, "DiracNets", 2017; Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024, section 3.3).

    Args:
        seed: seed of the channels that do not copy.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self._others = keras.initializers.HeNormal(seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """Return a kernel of shape `(height, width, inputs, outputs)`."""
        height, width, inputs, outputs = shape
        copied = min(inputs, outputs)
        identity = np.zeros((height, width, inputs, copied), np.float32)
        identity[height // 2, width // 2, np.arange(copied), np.arange(copied)] = 1
        others = self._others(shape, dtype)[..., copied:]
        return ops.concatenate([ops.cast(identity, others.dtype), others], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what a saved network needs to build the initializer again."""
        return {"seed": self.seed}


@keras.saving.register_keras_serializable(package="fercore")
class WhiteningConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Fixed convolution whose outputs on the training images are uncorrelated, of variance one.

    Each filter is an eigenvector of the covariance of the images' patches, divided by the root of
    its eigenvalue; every filter occurs twice, with both signs, for the ReLU that follows (Jordan,
    "94% on CIFAR-10 in 3.29 Seconds", 2024, section 3.2). `adapt` computes the filters; training
    does not change them.

    Args:
        kernel_size: pixels, height and width.

    Example:
        >>> layer = WhiteningConv2D(3)
        >>> layer.adapt(images)  # (n, 48, 48, 1) float32
        >>> layer(images).shape
        (n, 48, 48, 18)
    """

    # Added to the eigenvalues, so that directions of pure rounding noise are not blown up.
    EPSILON = 5e-4

    def __init__(self, kernel_size: int | tuple[int, int], **kwargs: Any):
        # Keras passes these values of get_config back when it loads a network.
        for fixed in ("filters", "padding", "use_bias", "trainable"):
            kwargs.pop(fixed, None)
        super().__init__(1, kernel_size, padding="same", use_bias=False, trainable=False, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel, with one filter of each sign per element of a patch."""
        self.filters = 2 * math.prod(self.kernel_size) * int(input_shape[-1] or 0)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return `(n, height, width, filters)`, before `build` too."""
        return (*input_shape[:3], 2 * math.prod(self.kernel_size) * input_shape[-1])

    def adapt(self, images: NDArray[np.floating]) -> None:
        """Compute the filters from images as the layer sees them.

        Args:
            images: `(n, height, width, channels)` float, at least as large as the kernel.
        """
        if not self.built:
            self.build(images.shape)
        height, width = self.kernel_size
        elements = height * width * images.shape[-1]
        products, count = np.zeros((elements, elements)), 0
        for start in range(0, len(images), _WHITENING_CHUNK):
            chunk = images[start : start + _WHITENING_CHUNK]
            windows = np.lib.stride_tricks.sliding_window_view(chunk, (height, width), axis=(1, 2))
            # (n, rows, columns, channels, height, width), as one patch a row in the kernel's order.
            patches = np.moveaxis(windows, 3, -1).reshape(-1, elements).astype(np.float64)
            products += patches.T @ patches
            count += len(patches)
        values, vectors = np.linalg.eigh(products / count)
        filters = (vectors / np.sqrt(values + self.EPSILON))[:, ::-1]
        kernel = np.concatenate([filters, -filters], axis=1)
        self.kernel.assign(kernel.reshape(self.kernel.shape).astype(np.float32))


def adapt_whitening(network: keras.Model, images: NDArray[np.uint8]) -> None:
    """Adapt every `WhiteningConv2D` of a network to training images, in the order of its layers.

    Args:
        network: takes `(n, height, width, 1)` float32 grey levels.
        images: `(n, height, width)` uint8; a few thousand suffice.
    """
    for layer in network.layers:
        if isinstance(layer, WhiteningConv2D):
            before = keras.Model(network.input, layer.input)
            pixels = ops.convert_to_tensor(images[..., None].astype(np.float32))
            layer.adapt(ops.convert_to_numpy(ops.cast(before(pixels), "float32")))
