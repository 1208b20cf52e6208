"""Preview of augmentation: the images that training sees, from the same layers and seeds."""

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.augmentation.layer import Augment
from fercore.augmentation.mixup_cutmix import Mix
from fercore.config.augmentation import AugmentationConfig


@dataclass(frozen=True, eq=False)
class Preview:
    """Images before and after augmentation.

    Attributes:
        originals: `(n, height, width)` uint8.
        changed: `(n, height, width)` float32 grey levels, as the network receives them.
        partner: `(n,)` int, the index of the image that is mixed in; the image's own index where
            nothing is mixed.
        share: `(n,)` float32, the weight of the image's own label.
    """

    originals: NDArray[np.uint8]
    changed: NDArray[np.float32]
    partner: NDArray[np.integer]
    share: NDArray[np.float32]

    @property
    def shown(self) -> NDArray[np.uint8]:
        """The augmented images, rounded to whole grey levels."""
        return np.clip(np.rint(self.changed), 0, 255).astype(np.uint8)

    @property
    def difference(self) -> NDArray[np.uint8]:
        """Half the difference from the original plus 128: `(n, height, width)` uint8."""
        return np.clip(128 + (self.changed - self.originals) / 2, 0, 255).astype(np.uint8)


def preview(
    images: NDArray[np.uint8], config: AugmentationConfig, seed: int, epoch: int = 1
) -> Preview:
    """Augment a batch as the trainer augments the first batch of an epoch.

    If the config makes copies before the training, the batch is augmented like the first copies, in
    every epoch alike.

    Args:
        images: `(n, height, width)` uint8, one batch.
        config: operations and their strengths.
        seed: seed of the training.
        epoch: epoch of the training, from 1.
    """
    augment, mix = Augment(config, seed), Mix(config)
    if config.mode == "online":
        augment.reseed(seed, epoch)
    mix.reseed(seed, epoch)
    pixels = augment(ops.convert_to_tensor(images[..., None].astype(np.float32)))
    partner = np.arange(len(images))
    share = np.ones(len(images), np.float32)
    if config.mixes:
        pixels, partners, weights = mix(pixels)
        partner, share = ops.convert_to_numpy(partners), ops.convert_to_numpy(weights)
    changed = np.asarray(ops.convert_to_numpy(pixels)[..., 0], np.float32)
    return Preview(images, changed, partner, share)


def draw_grid(images: Preview, columns: int = 8, scale: int = 2, gap: int = 4) -> NDArray[np.uint8]:
    """Return one picture with rows of originals, augmented images and differences.

    Args:
        images: a preview.
        columns: images in a row.
        scale: factor by which each image is enlarged.
        gap: white pixels between images.

    Returns:
        `(height, width)` uint8.
    """
    n, height, width = images.originals.shape
    columns = min(columns, n)
    bands = -(-n // columns)
    cell_height, cell_width = height * scale + gap, width * scale + gap
    sheet = np.full(
        (bands * (3 * cell_height + 2 * gap), columns * cell_width + gap), 255, np.uint8
    )
    for number in range(n):
        band, column = divmod(number, columns)
        for row, pictures in enumerate((images.originals, images.shown, images.difference)):
            top = gap + band * (3 * cell_height + 2 * gap) + row * cell_height
            left = gap + column * cell_width
            image = np.repeat(np.repeat(pictures[number], scale, axis=0), scale, axis=1)
            sheet[top : top + height * scale, left : left + width * scale] = image
    return sheet
