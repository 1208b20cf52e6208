"""The Muon optimizer for convolutional networks."""

from typing import Any

import keras
import numpy as np


class Muon(keras.optimizers.Muon):  # type: ignore[misc]
    """Muon (Jordan et al., 2024), which orthogonalizes the rows or columns of every matrix update.

    Keras's Muon updates only matrices, and uses AdamW for convolution kernels. This one treats a
    kernel as a matrix as well: its flattened receptive field by its output channels. It uses AdamW
    for vectors, depthwise kernels and the last layer, `logits`.
    """

    def __init__(self, **settings: Any):
        super().__init__(exclude_layers=["logits"], **settings)

    def _should_use_adamw(self, variable: Any) -> bool:
        if len(variable.shape) == 4:
            return int(variable.shape[-1]) == 1
        return bool(super()._should_use_adamw(variable))

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Return the orthogonal matrix nearest to an update, by Newton-Schulz iterations."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale an update to the magnitude of AdamW's (Liu et al., 2025, section 2.2)."""
        longer_side = max(np.prod(x.shape[:-1]), x.shape[-1])
        return x * (float(longer_side) ** 0.5 * self.rms_rate)
