"""A finished run's network on ONNX Runtime: grey levels in, probabilities out. No Keras."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError


class OnnxNetwork:
    """One `model.onnx`, loaded. Safe to call from many threads at once.

    Args:
        source: the file, or its content.
        threads: processor cores for one call, 0 for all; more than one pays off for large
            batches alone.

    Attributes:
        image_shape: `(height, width)` that the network takes.
        num_classes: width of its output.

    Raises:
        UserError: if the file cannot be loaded.
    """

    def __init__(self, source: Path | bytes, threads: int = 1):
        try:
            self._session = open_session(source, threads)
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            name = source if isinstance(source, Path) else "the content"
            raise UserError(f"{name} cannot be loaded as an ONNX network: {error}") from None
        pixels = self._session.get_inputs()[0]
        self._input = pixels.name
        self.image_shape: tuple[int, int] = (int(pixels.shape[1]), int(pixels.shape[2]))
        # A network of another project may take single images alone, or just so many.
        self._at_once = pixels.shape[0] if isinstance(pixels.shape[0], int) else None
        self.num_classes = int(self._session.get_outputs()[0].shape[1])

    def __call__(self, images: NDArray[Any], batch_size: int = 64) -> NDArray[np.float32]:
        """Probabilities of every image.

        Args:
            images: `(n, height, width)`, grey levels 0 to 255, any real dtype.
            batch_size: images in one call of the runtime.

        Returns:
            `(n, num_classes)` float32, each row summing to 1.
        """
        if images.ndim != 3 or images.shape[1:] != self.image_shape:
            raise ValueError(
                f"received images of shape {images.shape}, expected (n, {self.image_shape[0]}, "
                f"{self.image_shape[1]})"
            )
        batch_size = self._at_once or batch_size
        results = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size, :, :, None].astype("f4")
            asked = filled(batch, self._at_once)
            results.append(self._session.run(None, {self._input: asked})[0][: len(batch)])
        empty = np.empty((0, self.num_classes), np.float32)
        return np.concatenate(results) if results else empty


def filled(batch: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    """A last, smaller batch with empty images up to the size that a network insists on, if any."""
    missing = (size or len(batch)) - len(batch)
    return np.pad(batch, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else batch


def open_session(source: Path | bytes, threads: int = 1) -> Any:
    """An ONNX Runtime session on the processor, for a file or its content."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads that spin take the processor from whatever finds the faces.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
