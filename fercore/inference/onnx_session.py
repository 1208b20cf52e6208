"""`OnnxNetwork`: run a `model.onnx` on ONNX Runtime, from grey levels to probabilities."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.io.files import open_regular


class OnnxNetwork:
    """A loaded `model.onnx`. Thread-safe.

    Args:
        source: path of the file, or its content.
        threads: processor cores for one call, 0 for all. More than one is faster for large batches
            only.

    Attributes:
        image_shape: `(height, width)` of the network's input.
        num_classes: width of its output.

    Raises:
        UserError: if the file cannot be loaded, or its inputs and outputs are not
            `(images, height, width, 1)` and `(images, classes)`.
    """

    def __init__(self, source: Path | bytes, threads: int = 1):
        name = source if isinstance(source, Path) else "the content"
        try:
            if isinstance(source, Path):
                open_regular(source).close()  # refuse a FIFO, which would block
            self._session = open_session(source, threads)
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}") from None
        except Exception as error:  # the exceptions of onnxruntime have no common base
            reason = " ".join(str(error).split())
            raise UserError(f"{name} cannot be loaded as an ONNX network: {reason}") from None
        ends = (*self._session.get_inputs()[:1], *self._session.get_outputs()[:1])
        shapes = [tuple(end.shape) for end in ends]
        sizes = [size for shape in shapes for size in shape[1:]]
        if [len(shape) for shape in shapes] != [4, 2] or not all(isinstance(s, int) for s in sizes):
            raise UserError(
                f"{name} takes and returns {' and '.join(map(str, shapes)) or 'nothing'}, expected "
                "(images, height, width, 1) and (images, classes)"
            )
        (batch_size, height, width, _), (_, self.num_classes) = shapes
        self._input = ends[0].name
        self.image_shape: tuple[int, int] = (height, width)
        # An imported network may have a fixed batch size, often 1.
        self._fixed_batch_size = batch_size if isinstance(batch_size, int) else None

    def __call__(self, images: NDArray[Any], batch_size: int = 64) -> NDArray[np.float32]:
        """Return the class probabilities of every image.

        Args:
            images: `(n, height, width)`, grey levels 0 to 255, any real dtype.
            batch_size: images in one call of the runtime; ignored if the network's batch size is
                fixed.

        Returns:
            `(n, num_classes)` float32, each row summing to 1.

        Raises:
            ValueError: if the images have another shape.
        """
        if images.ndim != 3 or images.shape[1:] != self.image_shape:
            raise ValueError(
                f"received images of shape {images.shape}, expected (n, {self.image_shape[0]}, "
                f"{self.image_shape[1]})"
            )
        batch_size = self._fixed_batch_size or batch_size
        results = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size, :, :, None].astype("f4")
            padded = pad_batch(batch, self._fixed_batch_size)
            results.append(self._session.run(None, {self._input: padded})[0][: len(batch)])
        empty = np.empty((0, self.num_classes), np.float32)
        return np.concatenate(results) if results else empty


def pad_batch(batch: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    """Append black images to a batch up to a fixed size.

    Args:
        batch: `(n, height, width, 1)` float32.
        size: batch size that the network requires; `None` if it takes any.
    """
    missing = (size or len(batch)) - len(batch)
    return np.pad(batch, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else batch


def open_session(source: Path | bytes, threads: int = 1) -> Any:
    """Open an ONNX Runtime session on the processor.

    Args:
        source: path of a network, or its content.
        threads: processor cores for one call, 0 for all.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning idle threads would take processor time from the face detector.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
