"""Muon for networks of convolutions."""

from typing import Any

import keras
import numpy as np


class Muon(keras.optimizers.Muon):  # type: ignore[misc]
    """Muon (Jordan et al., 2024), which gives every update of a matrix orthogonal rows or columns.

    Keras's own takes matrices alone and leaves kernels of convolutions to AdamW. Here a kernel is a
    matrix too: what a place of the output sees, flattened, by channels out. Vectors, depthwise
    kernels and the last layer, `logits`, are left to AdamW.
    """

    def __init__(self, **settings: Any):
        super().__init__(exclude_layers=["logits"], **settings)

    def _should_use_adamw(self, variable: Any) -> bool:
        if len(variable.shape) == 4:
            return int(variable.shape[-1]) == 1
        return bool(super()._should_use_adamw(variable))

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """The orthogonal matrix nearest to an update, by five Newton-Schulz iterations."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale an update to the size of AdamW's (Liu et al., 2025, section 2.2)."""
        longer = max(np.prod(x.shape[:-1]), x.shape[-1])
        return x * (float(longer) ** 0.5 * self.rms_rate)
