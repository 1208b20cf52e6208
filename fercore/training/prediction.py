"""Predict with a Keras network, in batches."""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fercore.errors import DivergedError
from fercore.training import device


def predict(
    network: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """Probabilities by Keras: `(n, height, width)` uint8 in, `(n, k)` float32 out."""
    logits = forward(network, images, batch_size)
    return np.asarray(ops.convert_to_numpy(ops.softmax(logits)), np.float32)


def forward(
    network: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """What a network returns: `(n, height, width)` uint8 in, `(n, ...)` float32 out."""
    results = []
    compiled = keras.backend.backend() == "jax"  # which compiles every operation by itself else
    with device.exact_products():
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size, :, :, None].astype(np.float32)
            if compiled:
                whole = np.pad(batch, ((0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)))
                output = network.predict_on_batch(whole)[: len(batch)]
            else:
                output = network(ops.convert_to_tensor(batch), training=False)
            results.append(ops.convert_to_numpy(ops.cast(output, "float32")))
    return np.concatenate(results)


def require_finite(outputs: NDArray[np.floating], of: str) -> None:
    """Check what a trained network returned.

    Args:
        outputs: `(n, ...)`.
        of: the images, for people.

    Raises:
        DivergedError: if some of it is not a finite number.
    """
    wrong = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
    if wrong.any():
        raise DivergedError(
            f"the network's outputs for {wrong.sum()} of {len(outputs)} {of} images are not finite "
            "numbers; lower --optimizer.learning-rate or set --optimizer.clip-norm"
        )
