"""Inputs of `keras.Model.fit`, `evaluate` and `predict`."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def make_fit_inputs(
    positions: NDArray[np.int32],
    labels: NDArray[np.integer] | None,
    batch_size: int,
    weights: NDArray[np.floating] | None = None,
) -> dict[str, Any]:
    """Return the arguments of `fit` or `evaluate` for one pass over samples in the given order.

    Without labels, they are the arguments of `predict`.

    Args:
        positions: `(n,)` int32, positions of the images among those on the device.
        labels: `(n,)` integers.
        batch_size: the last batch may be smaller.
        weights: `(n,)` weights of the samples; 1 each if absent.
    """
    columns = tuple(column for column in (positions, labels, weights) if column is not None)
    if keras.backend.backend() != "tensorflow":
        names = ("x", "y", "sample_weight")
        return {**dict(zip(names, columns, strict=False)), "batch_size": batch_size}
    import tensorflow as tf

    # Keras's own dataset of these arrays autotunes in a thread whose sleep doubles every time, and
    # the end of an epoch waits until it wakes up: after 2.56, 5.12, 10.24... seconds.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices(columns).batch(batch_size).prefetch(2)
    return {"x": dataset.with_options(options)}
