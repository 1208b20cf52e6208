"""A finished run's network on ONNX Runtime: grey levels in, probabilities out. No Keras."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.io.files import open_regular


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
        UserError: if the file cannot be loaded, or is a network of other inputs or outputs.
    """

    def __init__(self, source: Path | bytes, threads: int = 1):
        name = source if isinstance(source, Path) else "the content"
        try:
            if isinstance(source, Path):
                open_regular(source).close()  # to read a FIFO would never end
            self._session = open_session(source, threads)
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}") from None
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
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
        (at_once, height, width, _), (_, self.num_classes) = shapes
        self._input = ends[0].name
        self.image_shape: tuple[int, int] = (height, width)
        # A network of another project may take single images alone, or just so many.
        self._at_once = at_once if isinstance(at_once, int) else None

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
            asked = pad_batch(batch, self._at_once)
            results.append(self._session.run(None, {self._input: asked})[0][: len(batch)])
        empty = np.empty((0, self.num_classes), np.float32)
        return np.concatenate(results) if results else empty


def pad_batch(batch: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
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
