"""Random changes of training images, on whole batches, on the device that trains.

One affine map per image holds flip, rotation, shear, shift and zoom together, so that an image is
resampled once. The operations are `keras.ops` alone: TensorFlow and JAX run the same code.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.config import AugmentationConfig
from fercore.data.splits import Split


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Draw and apply one random affine map per image.

    The composition (rotation, then shear, then zoom, about the image's centre, then shift, then
    flip) is that of Keras's `ImageDataGenerator`, and so are the ranges: each strength is the
    half-width of a uniform draw.

    Args:
        config: which operations, how strong.
        seed: of the layer's own generator; the trainer sets its state anew for every epoch.

    Example:
        >>> augment = Augment(AugmentationConfig(rotation=30, horizontal_flip=True), seed=0)
        >>> changed = augment(images)  # (n, 48, 48, 1) float32, grey levels 0 to 255
    """

    def __init__(self, config: AugmentationConfig, seed: int = 0, **kwargs: Any):
        # Grey levels need more than the 8 bits of bfloat16 while they are interpolated.
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.config = config
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any) -> Any:
        """Change a batch: `(n, height, width, 1)` float32 in, the same out."""
        if not self.config.active:
            return images
        height, width = images.shape[1:3]
        transforms = self.draw(ops.shape(images)[0], height, width)
        return ops.image.affine_transform(
            images,
            transforms,
            interpolation="bilinear",
            fill_mode=self.config.fill,
            fill_value=0.0,
            data_format="channels_last",
        )

    def draw(self, n: Any, height: int, width: int) -> Any:
        """Random maps from an output pixel to an input pixel: `(n, 8)` float32.

        In the order that `keras.ops.image.affine_transform` takes: `x_in = t0 x + t1 y + t2` and
        `y_in = t3 x + t4 y + t5`; `t6` and `t7` are zero.
        """
        config = self.config
        angle = self._uniform(n, math.radians(config.rotation))
        shear = self._uniform(n, math.radians(config.shear))
        zoom_x = 1 + self._uniform(n, config.zoom)
        zoom_y = 1 + self._uniform(n, config.zoom)
        shift_x = self._uniform(n, config.width_shift * width)
        shift_y = self._uniform(n, config.height_shift * height)
        if config.horizontal_flip:
            coin = keras.random.uniform((n,), seed=self.seed_generator)
            flip = ops.where(coin < 0.5, -1.0, 1.0)
        else:
            flip = ops.ones((n,))

        cos, sin = ops.cos(angle), ops.sin(angle)
        shear_cos, shear_sin = ops.cos(shear), ops.sin(shear)
        # rotation @ shear @ diag(zoom) @ diag(flip, 1); the shear leaves rows level, columns lean.
        a = cos * zoom_x * flip
        b = (-cos * shear_sin - sin * shear_cos) * zoom_y
        c = sin * zoom_x * flip
        d = (-sin * shear_sin + cos * shear_cos) * zoom_y
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        t_x = centre_x + shift_x - a * centre_x - b * centre_y
        t_y = centre_y + shift_y - c * centre_x - d * centre_y
        zero = ops.zeros((n,))
        return ops.stack([a, b, t_x, c, d, t_y, zero, zero], axis=1)

    def _uniform(self, n: Any, half_width: float) -> Any:
        if half_width == 0:
            return ops.zeros((n,))
        return keras.random.uniform((n,), -half_width, half_width, seed=self.seed_generator)


def augment_array(
    images: NDArray[np.uint8],
    config: AugmentationConfig,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
    batch_size: int = 1024,
) -> NDArray[np.uint8]:
    """One changed copy of every image, rounded to whole grey levels.

    Args:
        images: `(n, height, width)` uint8.
        config: which operations, how strong.
        seed: the same seed and images give the same copies.
        on_progress: called with images done and images in all.
        batch_size: images in one call.

    Returns:
        `(n, height, width)` uint8.
    """
    augment = Augment(config, seed)
    changed = np.empty_like(images)
    for start in range(0, len(images), batch_size):
        stop = min(start + batch_size, len(images))
        batch = ops.convert_to_tensor(images[start:stop, :, :, None].astype(np.float32))
        result = ops.convert_to_numpy(augment(batch))
        changed[start:stop] = np.clip(np.rint(result[..., 0]), 0, 255).astype(np.uint8)
        if on_progress:
            on_progress(stop, len(images))
    return changed


def change_copies(split: Split, config: AugmentationConfig, seed: int) -> NDArray[np.uint8]:
    """The images of a split, those that `Split.copies` marks changed: `(n, h, w)` uint8."""
    if split.copies is None or not split.copies.any():
        return split.images
    images = split.images.copy()
    images[split.copies] = augment_array(images[split.copies], config, seed)
    return images
