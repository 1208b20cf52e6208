"""Bilinear resampling of a batch of images with one affine map per image.

It consists of `keras.ops` in one pass that a compiler can fuse. JAX compiles it with the training
step. With TensorFlow on a CPU, XLA compiles it, which is two to three times as fast as the kernel
of `keras.ops.image.affine_transform`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops


def resample(images: Any, maps: Any, fill: str) -> Any:
    """Resample images: interpolate each output pixel at the input position its map gives.

    Args:
        images: `(n, height, width, 1)` float32; height and width are static.
        maps: `(n, 6)` float32, `x_in = t0 x + t1 y + t2` and `y_in = t3 x + t4 y + t5` in pixels.
        fill: values outside the image: `"nearest"` repeats the edge pixels, `"reflect"` mirrors the
            image about its edge, `"constant"` is black.

    Returns:
        As `images`.
    """
    return _compiled_resample()(images, maps, fill)


def _resample(images: Any, maps: Any, fill: str) -> Any:
    height, width = images.shape[1:3]
    rows, columns = np.mgrid[:height, :width].reshape(2, 1, -1).astype(np.float32)
    x = maps[:, 0:1] * columns + maps[:, 1:2] * rows + maps[:, 2:3]
    y = maps[:, 3:4] * columns + maps[:, 4:5] * rows + maps[:, 5:6]
    pixels = ops.reshape(images, (-1, height * width))
    left, right, share_x = _neighbours(x, width, fill)
    above, below, share_y = _neighbours(y, height, fill)

    def pixel(row: Any, column: Any) -> Any:
        (row, row_inside), (column, column_inside) = row, column
        values = ops.take_along_axis(pixels, row * width + column, axis=1)
        if fill == "constant":
            values = ops.where(ops.logical_and(row_inside, column_inside), values, 0.0)
        return values

    top = pixel(above, left) * (1 - share_x) + pixel(above, right) * share_x
    bottom = pixel(below, left) * (1 - share_x) + pixel(below, right) * share_x
    return ops.reshape(top * (1 - share_y) + bottom * share_y, ops.shape(images))


def _neighbours(
    position: Any, size: int, fill: str
) -> tuple[tuple[Any, Any], tuple[Any, Any], Any]:
    """Return the two pixels next to each coordinate, and the weight of the second.

    Each pixel is its index, clipped to the image, and whether it lies inside the image.
    """
    if fill == "reflect":
        # The mirror axis is the edge of the outermost pixel, half a pixel beyond its centre.
        position = ops.abs(ops.mod(position + 0.5 + size, 2 * size) - size) - 0.5
    if fill != "constant":
        position = ops.clip(position, 0.0, size - 1.0)
    first = ops.floor(position)

    def neighbour(index: Any) -> tuple[Any, Any]:
        is_inside = ops.logical_and(index >= 0, index <= size - 1)
        return ops.cast(ops.clip(index, 0.0, size - 1.0), "int32"), is_inside

    return neighbour(first), neighbour(first + 1), position - first


@cache
def _compiled_resample() -> Callable[[Any, Any, str], Any]:
    if keras.backend.backend() != "tensorflow":
        return _resample
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return _resample
    compiled: Callable[[Any, Any, str], Any] = tf.function(_resample, jit_compile=True)
    return compiled
