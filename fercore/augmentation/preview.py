"""What training makes of images: the same layers, seeds and numbers, as pictures."""

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.augmentation.layer import Augment
from fercore.augmentation.mixup_cutmix import Mix
from fercore.config.augmentation import AugmentationConfig


@dataclass(frozen=True, eq=False)
class Preview:
    """Images before and after.

    Attributes:
        originals: `(n, height, width)` uint8.
        changed: `(n, height, width)` float32 grey levels, as the network gets them.
        partner: `(n,)` int, whose label is mixed in; each one's own where nothing is mixed.
        share: `(n,)` float32, of the image's own label.
    """

    originals: NDArray[np.uint8]
    changed: NDArray[np.float32]
    partner: NDArray[np.integer]
    share: NDArray[np.float32]

    @property
    def shown(self) -> NDArray[np.uint8]:
        """The changed images in whole grey levels."""
        return np.clip(np.rint(self.changed), 0, 255).astype(np.uint8)

    @property
    def difference(self) -> NDArray[np.uint8]:
        """What was added or taken away, about mid-grey: `(n, height, width)` uint8."""
        return np.clip(128 + (self.changed - self.originals) / 2, 0, 255).astype(np.uint8)


def preview(
    images: NDArray[np.uint8], config: AugmentationConfig, seed: int, epoch: int = 1
) -> Preview:
    """Change a batch as the trainer would if it were the first of an epoch.

    Where copies are made once, before training, it is changed as the first of those would be,
    whatever the epoch.

    Args:
        images: `(n, height, width)` uint8, one batch.
        config: which operations, how strong.
        seed: of the training.
        epoch: of the training, from 1.
    """
    augment, mix = Augment(config, seed), Mix(config)
    if config.mode == "online":
        augment.reseed(seed, epoch)
    mix.reseed(seed, epoch)
    pixels = augment(ops.convert_to_tensor(images[..., None].astype(np.float32)))
    partner = np.arange(len(images))
    share = np.ones(len(images), np.float32)
    if config.mixes:
        pixels, mixed_with, own = mix(pixels)
        partner, share = ops.convert_to_numpy(mixed_with), ops.convert_to_numpy(own)
    changed = np.asarray(ops.convert_to_numpy(pixels)[..., 0], np.float32)
    return Preview(images, changed, partner, share)


def grid(found: Preview, columns: int = 8, scale: int = 2, gap: int = 4) -> NDArray[np.uint8]:
    """One picture: bands of originals, changed images and differences.

    Args:
        found: a preview.
        columns: images side by side.
        scale: pixels a pixel.
        gap: white pixels between images.
    """
    n, height, width = found.originals.shape
    columns = min(columns, n)
    bands = -(-n // columns)
    down, across = height * scale + gap, width * scale + gap
    sheet = np.full((bands * (3 * down + 2 * gap), columns * across + gap), 255, np.uint8)
    for number in range(n):
        band, column = divmod(number, columns)
        for row, images in enumerate((found.originals, found.shown, found.difference)):
            top = gap + band * (3 * down + 2 * gap) + row * down
            left = gap + column * across
            image = np.repeat(np.repeat(images[number], scale, axis=0), scale, axis=1)
            sheet[top : top + height * scale, left : left + width * scale] = image
    return sheet
