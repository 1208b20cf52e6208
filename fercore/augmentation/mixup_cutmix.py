"""MixUp and CutMix: images of a batch blended with each other, and their labels with them."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fercore.augmentation.layer import rectangle
from fercore.config.augmentation import AugmentationConfig

_OWN = 1_000_033


class Mix(keras.layers.Layer):  # type: ignore[misc]
    """Blend every image of a batch with another one of it.

    MixUp adds them up in shares (Zhang et al., "mixup", ICLR 2018); CutMix replaces a rectangle of
    that share of the area (Yun et al., "CutMix", ICCV 2019). Shares are drawn from a symmetric beta
    distribution for each image. Where both are switched on, each image takes one of them, by lot.

    Args:
        config: its `mixup` and `cutmix`.
        seed: of the layer's own generator.
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
            The mixed images; `(n,)` int32, where in the batch each one's partner stands; `(n,)`
            float32, the share of the image itself, which is the share of its label.
        """
        n = ops.shape(images)[0]
        height, width = images.shape[1:3]
        partner = keras.random.shuffle(ops.arange(n, dtype="int32"), seed=self.seed_generator)
        others = ops.take(images, partner, axis=0)
        blended, share = images, ops.ones((n,))
        if self.config.mixup:
            share = self._beta(n, self.config.mixup)
            own = share[:, None, None, None]
            blended = images * own + others * (1 - own)
        if self.config.cutmix:
            # The rectangle's area is the other's share, but for whole pixels.
            side = ops.sqrt(1 - self._beta(n, self.config.cutmix))
            mask = rectangle(side, side, self._uniform, n, height, width)
            pasted = images * (1 - mask) + others * mask
            kept = 1 - ops.mean(mask, axis=(1, 2, 3))
            if self.config.mixup:
                coin = self._uniform(n) < 0.5
                blended = ops.where(coin[:, None, None, None], blended, pasted)
                share = ops.where(coin, share, kept)
            else:
                blended, share = pasted, kept
        return blended, partner, share

    def reseed(self, seed: int, epoch: int) -> None:
        """Set the generator to its state for one epoch."""
        sequence = np.random.SeedSequence([seed, epoch, _OWN])
        self.seed_generator.state.assign(sequence.generate_state(2))

    def _beta(self, n: Any, alpha: float) -> Any:
        return keras.random.beta((n,), alpha, alpha, seed=self.seed_generator)

    def _uniform(self, n: Any) -> Any:
        return keras.random.uniform((n,), seed=self.seed_generator)
