"""Keras layer that augments whole batches of training images on the training device.

One affine map per image combines flip, rotation, shear, shift, zoom and crop, so that an image is
resampled once. The operations on grey levels follow. All operations are `keras.ops`: TensorFlow and
JAX run the same code.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.augmentation.affine import resample
from fercore.config.augmentation import AugmentationConfig
from fercore.data.splits import Split

WHITE = 255.0
# Range of the erased share of the image's area, and the largest ratio of the rectangle's sides.
ERASED = (0.02, 0.2)
ERASED_ASPECT = 3.3
# Separates the random numbers of augmentation from those of dropout under one seed.
_SEED_OFFSET = 1_000_003


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Apply one random affine map to each image, then random changes of its grey levels.

    The map rotates, shears and zooms about the image's centre, then shifts, then flips. The ranges
    are those of Keras's `ImageDataGenerator`, which rotates the shift with the image: each strength
    is the half-width of a uniform distribution. A crop is a zoom into a window anywhere in the
    image. Contrast, brightness, blur, noise and erasing follow, in that order.

    Args:
        config: operations and their strengths.
        seed: seed of the layer's generator; the trainer resets the generator in every epoch.

    Example:
        >>> augment = Augment(AugmentationConfig(rotation=30, horizontal_flip=True), seed=0)
        >>> changed = augment(images)  # (n, 48, 48, 1) float32, grey levels 0 to 255
    """

    def __init__(self, config: AugmentationConfig, seed: int = 0, **kwargs: Any):
        # Grey levels need more than the 8 bits of bfloat16 while they are interpolated.
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.config = config
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, mirrored: Any = None) -> Any:
        """Augment a batch.

        Args:
            images: `(n, height, width, 1)` float32, grey levels, 0 to 255.
            mirrored: `(n,)` bool, the images to flip; by default, if the config has
                `horizontal_flip`, each image is flipped with probability 1/2.

        Returns:
            As `images`.
        """
        config = self.config
        n = ops.shape(images)[0]
        height, width = images.shape[1:3]
        if config.moves:
            images = resample(images, self.draw(n, height, width, mirrored), config.fill)
        moved = images
        if config.contrast:
            mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
            images = mean + (images - mean) * (1 + _per_image(self._uniform(n, config.contrast)))
        if config.brightness:
            images = images + WHITE * _per_image(self._uniform(n, config.brightness))
        if config.blur:
            images = self._blur(images, n)
        if config.noise:
            deviation = WHITE * self._fraction(n) * config.noise
            noise = keras.random.normal(ops.shape(images), seed=self.seed_generator)
            images = images + _per_image(deviation) * noise
        if config.erasing:
            images = self._erase(images, n)
        return images if images is moved else ops.clip(images, 0.0, WHITE)

    def draw(self, n: Any, height: int, width: int, mirrored: Any = None) -> Any:
        """Draw random affine maps.

        Args:
            n: number of images.
            height: height of the images, in pixels.
            width: width of the images, in pixels.
            mirrored: as in `call`.

        Returns:
            `(n, 6)` float32, the maps from output to input pixels, as
            `fercore.augmentation.affine.resample` takes them.
        """
        config = self.config
        angle = self._uniform(n, math.radians(config.rotation))
        shear = self._uniform(n, math.radians(config.shear))
        zoom_x = 1 + self._uniform(n, config.zoom)
        zoom_y = 1 + self._uniform(n, config.zoom)
        shift_x = self._uniform(n, config.width_shift * width)
        shift_y = self._uniform(n, config.height_shift * height)
        if config.crop:
            side = 1 - config.crop * self._fraction(n)
            zoom_x, zoom_y = zoom_x * side, zoom_y * side
            # The offset of the window's centre keeps the window inside the image.
            shift_x = shift_x + self._uniform(n, 1.0) * (1 - side) / 2 * width
            shift_y = shift_y + self._uniform(n, 1.0) * (1 - side) / 2 * height
        if mirrored is not None:
            flip = ops.where(mirrored, -1.0, 1.0)
        elif config.horizontal_flip:
            flip = ops.where(self._fraction(n) < 0.5, -1.0, 1.0)
        else:
            flip = ops.ones((n,))

        cos, sin = ops.cos(angle), ops.sin(angle)
        shear_cos, shear_sin = ops.cos(shear), ops.sin(shear)
        # rotation @ shear @ diag(zoom) @ diag(flip, 1). The shear tilts columns, not rows.
        a = cos * zoom_x * flip
        b = (-cos * shear_sin - sin * shear_cos) * zoom_y
        c = sin * zoom_x * flip
        d = (-sin * shear_sin + cos * shear_cos) * zoom_y
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        t_x = centre_x + shift_x - a * centre_x - b * centre_y
        t_y = centre_y + shift_y - c * centre_x - d * centre_y
        return ops.stack([a, b, t_x, c, d, t_y], axis=1)

    def reseed(self, seed: int, epoch: int) -> None:
        """Set the generator to its state for an epoch, which does not depend on the network."""
        sequence = np.random.SeedSequence([seed, epoch, _SEED_OFFSET])
        self.seed_generator.state.assign(sequence.generate_state(2))

    def _blur(self, images: Any, n: Any) -> Any:
        radius = math.ceil(2 * self.config.blur)
        deviation = ops.maximum(self._fraction(n) * self.config.blur, 1e-3)
        offsets = ops.arange(-radius, radius + 1, dtype="float32")
        weights = ops.exp(-ops.square(offsets)[None] / (2 * ops.square(deviation)[:, None]))
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        height, width = images.shape[1:3]
        for axis, size in ((1, height), (2, width)):
            pad = [(0, 0)] * 4
            pad[axis] = (radius, radius)
            padded = ops.pad(images, pad, mode="symmetric")
            terms = []
            for offset in range(2 * radius + 1):
                window = slice(offset, offset + size)
                shifted = padded[:, window] if axis == 1 else padded[:, :, window]
                terms.append(shifted * _per_image(weights[:, offset]))
            images = sum(terms[1:], terms[0])
        return images

    def _erase(self, images: Any, n: Any) -> Any:
        height, width = images.shape[1:3]
        area = ERASED[0] + (ERASED[1] - ERASED[0]) * self._fraction(n)
        aspect = ops.exp(self._uniform(n, math.log(ERASED_ASPECT)))
        inside = rectangle_masks(
            ops.sqrt(area * aspect), ops.sqrt(area / aspect), self._fraction, n, height, width
        )
        erased = _per_image(ops.cast(self._fraction(n) < self.config.erasing, "float32")) * inside
        noise = WHITE * keras.random.uniform(ops.shape(images), seed=self.seed_generator)
        return images * (1 - erased) + noise * erased

    def _fraction(self, n: Any) -> Any:
        return keras.random.uniform((n,), seed=self.seed_generator)

    def _uniform(self, n: Any, half_width: float) -> Any:
        if half_width == 0:
            return ops.zeros((n,))
        return keras.random.uniform((n,), -half_width, half_width, seed=self.seed_generator)


def rectangle_masks(
    rows: Any, columns: Any, fraction: Callable[[Any], Any], n: Any, height: int, width: int
) -> Any:
    """Return one mask per image of a rectangle at a random place inside the image.

    Args:
        rows: `(n,)` heights of the rectangles, as fractions of `height`; above 1 counts as 1.
        columns: `(n,)` widths of the rectangles, as fractions of `width`; above 1 counts as 1.
        fraction: draws `(n,)` uniform numbers from [0, 1).
        n: number of images.
        height: height of the images, in pixels.
        width: width of the images, in pixels.

    Returns:
        `(n, height, width, 1)` float32, 1 inside the rectangle and 0 outside.
    """
    masks = []
    for relative_length, size in ((rows, height), (columns, width)):
        length = ops.round(ops.minimum(relative_length, 1.0) * size)
        start = ops.floor(fraction(n) * (size - length + 1))
        positions = ops.arange(size, dtype="float32")[None]
        inside = (positions >= start[:, None]) & (positions < (start + length)[:, None])
        masks.append(ops.cast(inside, "float32"))
    return (masks[0][:, :, None] * masks[1][:, None, :])[..., None]


def _per_image(values: Any) -> Any:
    """Reshape `(n,)` to `(n, 1, 1, 1)`, so that each value multiplies one image."""
    return values[:, None, None, None]


def augment_array(
    images: NDArray[np.uint8],
    config: AugmentationConfig,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
    batch_size: int = 1024,
) -> NDArray[np.uint8]:
    """Return one augmented copy of every image, rounded to whole grey levels.

    Args:
        images: `(n, height, width)` uint8.
        config: operations and their strengths.
        seed: the same seed and images give the same copies.
        on_progress: called with the number of finished images and the number of all images.
        batch_size: number of images that are augmented together.

    Returns:
        `(n, height, width)` uint8.
    """
    augment = Augment(config, seed)
    augmented = np.empty_like(images)
    for start in range(0, len(images), batch_size):
        stop = min(start + batch_size, len(images))
        batch = ops.convert_to_tensor(images[start:stop, :, :, None].astype(np.float32))
        result = ops.convert_to_numpy(augment(batch))
        augmented[start:stop] = np.clip(np.rint(result[..., 0]), 0, 255).astype(np.uint8)
        if on_progress:
            on_progress(stop, len(images))
    return augmented


def augment_copies(split: Split, config: AugmentationConfig, seed: int) -> NDArray[np.uint8]:
    """Return the images of a split, with those that `Split.copies` marks augmented.

    Args:
        split: the training split.
        config: operations and their strengths.
        seed: the same seed and split give the same images.

    Returns:
        `(n, height, width)` uint8.
    """
    if split.copies is None or not split.copies.any():
        return split.images
    images = split.images.copy()
    images[split.copies] = augment_array(images[split.copies], config, seed)
    return images
