"""MixUp and CutMix: a Keras layer that blends the images of a batch and their labels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fercore.augmentation.layer import rectangle_masks
from fercore.config.augmentation import AugmentationConfig

# Separates its random numbers from those of the other layers under one seed.
_SEED_OFFSET = 1_000_033


class Mix(keras.layers.Layer):  # type: ignore[misc]
    """Blend every image of a batch with another image of the batch.

    MixUp adds the two images with weights (Zhang et al., "mixup", ICLR 2018). CutMix replaces a
    rectangle with the same part of the other image (Yun et al., "CutMix", ICCV 2019). Each image
    draws its weight, or the rectangle's area, from a symmetric beta distribution. If both are
    switched on, each image takes one of them, with probability 1/2.

    Args:
        config: the `mixup` and `cutmix` strengths are used.
        seed: seed of the layer's generator.
    """

    def __init__(self, config: AugmentationConfig, seed: int = 0, **kwargs: Any):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.config = config
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any) -> tuple[Any, Any, Any]:
        """Mix a batch.

        Args:
            images: `(n, height, width, 1)` float32.

        Returns:
            The mixed images, as `images`; `(n,)` int32, the index of each image's partner in the
            batch; `(n,)` float32, the weight of the image itself, which its label gets as well.
        """
        n = ops.shape(images)[0]
        height, width = images.shape[1:3]
        partner = keras.random.shuffle(ops.arange(n, dtype="int32"), seed=self.seed_generator)
        others = ops.take(images, partner, axis=0)
        blended, share = images, ops.ones((n,))
        if self.config.mixup:
            share = self._beta(n, self.config.mixup)
            weight = share[:, None, None, None]
            blended = images * weight + others * (1 - weight)
        if self.config.cutmix:
            # The rectangle's area is the weight of the partner, up to rounding to whole pixels.
            side = ops.sqrt(1 - self._beta(n, self.config.cutmix))
            mask = rectangle_masks(side, side, self._uniform, n, height, width)
            pasted = images * (1 - mask) + others * mask
            visible = 1 - ops.mean(mask, axis=(1, 2, 3))
            if self.config.mixup:
                coin = self._uniform(n) < 0.5
                blended = ops.where(coin[:, None, None, None], blended, pasted)
                share = ops.where(coin, share, visible)
            else:
                blended, share = pasted, visible
        return blended, partner, share

    def reseed(self, seed: int, epoch: int) -> None:
        """Set the generator to its state for an epoch."""
        sequence = np.random.SeedSequence([seed, epoch, _SEED_OFFSET])
        self.seed_generator.state.assign(sequence.generate_state(2))

    def _beta(self, n: Any, alpha: float) -> Any:
        return keras.random.beta((n,), alpha, alpha, seed=self.seed_generator)

    def _uniform(self, n: Any) -> Any:
        return keras.random.uniform((n,), seed=self.seed_generator)
