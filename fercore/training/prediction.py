"""Prediction with Keras networks, in batches."""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.errors import DivergedError
from fercore.training import device


def predict(
    network: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """Return probabilities, `(n, k)` float32, of images, `(n, height, width)` uint8."""
    logits = forward(network, images, batch_size)
    return np.asarray(ops.convert_to_numpy(ops.softmax(logits)), np.float32)


def forward(
    network: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """Return outputs of a network, `(n, ...)` float32, for images, `(n, height, width)` uint8."""
    outputs = []
    # Outside of a compiled function, JAX compiles every operation separately.
    is_jax = keras.backend.backend() == "jax"
    with device.disable_tf32():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size, :, :, None].astype(np.float32)
            if is_jax:
                full_batch = np.pad(batch, ((0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)))
                output = network.predict_on_batch(full_batch)[: len(batch)]
            else:
                output = network(ops.convert_to_tensor(batch), training=False)
            outputs.append(ops.convert_to_numpy(ops.cast(output, "float32")))
    return np.concatenate(outputs)


def require_finite(outputs: NDArray[np.floating], subject: str) -> None:
    """Check the outputs of a trained network.

    Args:
        outputs: `(n, ...)`.
        subject: which images they belong to, for the message.

    Raises:
        DivergedError: if a value is not a finite number.
    """
    invalid = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
    if invalid.any():
        raise DivergedError(
            f"the network's outputs for {invalid.sum()} of {len(outputs)} {subject} images are not "
            "finite numbers; lower --optimizer.learning-rate or set --optimizer.clip-norm"
        )
