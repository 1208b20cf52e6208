"""Random changes of training images, on whole batches, on the device that trains.

One affine map per image holds flip, rotation, shear, shift, zoom and crop together, so that an
image is resampled once; what changes grey levels follows. The operations are `keras.ops` alone:
TensorFlow and JAX run the same code.
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
# Share of the image that is erased, and how far the rectangle's sides may differ.
ERASED = (0.02, 0.2)
ERASED_ASPECT = 3.3
# What sets the generators of augmentation apart from those of dropout under one seed.
_OWN = 1_000_003


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Draw and apply one random affine map per image, then its changes of grey levels.

    Rotation, then shear, then zoom, about the image's centre, then shift, then flip. The ranges are
    those of Keras's `ImageDataGenerator`, which turns the shift with the image: each strength is
    the half-width of a uniform draw. A crop is a smaller zoom whose window may lie anywhere. Then
    contrast, brightness, blur, noise and erasing, in that order.

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

    def call(self, images: Any, mirrored: Any = None) -> Any:
        """Change a batch: `(n, height, width, 1)` float32 in, the same out.

        Args:
            images: grey levels, 0 to 255.
            mirrored: `(n,)` bool, which images to flip; by default each is flipped by chance,
                where the config flips at all.
        """
        config = self.config
        n = ops.shape(images)[0]
        height, width = images.shape[1:3]
        if config.moves:
            images = resample(images, self.draw(n, height, width, mirrored), config.fill)
        before = images
        if config.contrast:
            mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
            images = mean + (images - mean) * (1 + _each(self._uniform(n, config.contrast)))
        if config.brightness:
            images = images + WHITE * _each(self._uniform(n, config.brightness))
        if config.blur:
            images = self._blurred(images, n)
        if config.noise:
            deviation = WHITE * self._share(n) * config.noise
            drawn = keras.random.normal(ops.shape(images), seed=self.seed_generator)
            images = images + _each(deviation) * drawn
        if config.erasing:
            images = self._erased(images, n)
        return images if images is before else ops.clip(images, 0.0, WHITE)

    def draw(self, n: Any, height: int, width: int, mirrored: Any = None) -> Any:
        """Draw random maps from an output pixel to an input pixel, as `affine` takes them."""
        config = self.config
        angle = self._uniform(n, math.radians(config.rotation))
        shear = self._uniform(n, math.radians(config.shear))
        zoom_x = 1 + self._uniform(n, config.zoom)
        zoom_y = 1 + self._uniform(n, config.zoom)
        shift_x, shift_y = ops.zeros((n,)), ops.zeros((n,))
        shift_x = self._uniform(n, config.width_shift * width)
        shift_y = self._uniform(n, config.height_shift * height)
        if config.crop:
            side = 1 - config.crop * self._share(n)
            zoom_x, zoom_y = zoom_x * side, zoom_y * side
            # The window's centre, as far from the image's as keeps it inside.
            shift_x = shift_x + self._uniform(n, 1.0) * (1 - side) / 2 * width
            shift_y = shift_y + self._uniform(n, 1.0) * (1 - side) / 2 * height
        if mirrored is not None:
            flip = ops.where(mirrored, -1.0, 1.0)
        elif config.horizontal_flip:
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
        return ops.stack([a, b, t_x, c, d, t_y], axis=1)

    def reseed(self, seed: int, epoch: int) -> None:
        """Set the generator to its state for one epoch, whatever network is trained with it."""
        sequence = np.random.SeedSequence([seed, epoch, _OWN])
        self.seed_generator.state.assign(sequence.generate_state(2))

    def _blurred(self, images: Any, n: Any) -> Any:
        radius = math.ceil(2 * self.config.blur)
        deviation = ops.maximum(self._share(n) * self.config.blur, 1e-3)
        offsets = ops.arange(-radius, radius + 1, dtype="float32")
        weights = ops.exp(-ops.square(offsets)[None] / (2 * ops.square(deviation)[:, None]))
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        height, width = images.shape[1:3]
        for axis, size in ((1, height), (2, width)):
            pad = [(0, 0)] * 4
            pad[axis] = (radius, radius)
            padded = ops.pad(images, pad, mode="symmetric")
            parts = []
            for place in range(2 * radius + 1):
                window = slice(place, place + size)
                part = padded[:, window] if axis == 1 else padded[:, :, window]
                parts.append(part * _each(weights[:, place]))
            images = sum(parts[1:], parts[0])
        return images

    def _erased(self, images: Any, n: Any) -> Any:
        height, width = images.shape[1:3]
        area = ERASED[0] + (ERASED[1] - ERASED[0]) * self._share(n)
        aspect = ops.exp(self._uniform(n, math.log(ERASED_ASPECT)))
        inside = rectangle(
            ops.sqrt(area * aspect), ops.sqrt(area / aspect), self._share, n, height, width
        )
        hit = _each(ops.cast(self._share(n) < self.config.erasing, "float32")) * inside
        noise = WHITE * keras.random.uniform(ops.shape(images), seed=self.seed_generator)
        return images * (1 - hit) + noise * hit

    def _share(self, n: Any) -> Any:
        return keras.random.uniform((n,), seed=self.seed_generator)

    def _uniform(self, n: Any, half_width: float) -> Any:
        if half_width == 0:
            return ops.zeros((n,))
        return keras.random.uniform((n,), -half_width, half_width, seed=self.seed_generator)


def rectangle(
    rows: Any, columns: Any, share: Callable[[Any], Any], n: Any, height: int, width: int
) -> Any:
    """Masks of one rectangle each, anywhere inside the image.

    Args:
        rows: `(n,)` height as a fraction of the image's, at most 1 is used.
        columns: `(n,)` width, likewise.
        share: draws `(n,)` from [0, 1).
        n: images.
        height: pixels.
        width: pixels.

    Returns:
        `(n, height, width, 1)` float32, 1 inside.
    """
    sides = []
    for fraction, size in ((rows, height), (columns, width)):
        length = ops.round(ops.minimum(fraction, 1.0) * size)
        start = ops.floor(share(n) * (size - length + 1))
        places = ops.arange(size, dtype="float32")[None]
        inside = (places >= start[:, None]) & (places < (start + length)[:, None])
        sides.append(ops.cast(inside, "float32"))
    return (sides[0][:, :, None] * sides[1][:, None, :])[..., None]


def _each(values: Any) -> Any:
    """`(n,)` so that it multiplies whole images."""
    return values[:, None, None, None]


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
