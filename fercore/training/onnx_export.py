"""Export of Keras networks to ONNX.

The exported graph takes `pixels`, `(batch, height, width, 1)` float32 grey levels from 0 to 255,
and returns `probabilities`, `(batch, classes)` float32. Its metadata hold the class names.
"""

import contextlib
import hashlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

import fercore.models._layers  # noqa: F401  # registers our layers, which Keras looks up by name in a checkpoint
from fercore.errors import UserError
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.reader import Run
from fercore.runs.recreate import require_checkpoint
from fercore.runs.schema import OnnxExport
from fercore.runs.writer import RunWriter
from fercore.training.prediction import predict

# Arrays of fewer values stay in single precision. Biases and normalization statistics are small,
# and a running variance may exceed the range of half precision.
MIN_HALF_SIZE = 1024
HALF_MAX = 65504.0

# Largest accepted difference of a probability between Keras and the exported network.
TOLERANCE = 1e-4


def round_kernels(network: keras.Model) -> None:
    """Round the large kernels to half precision, in place.

    The network that is evaluated afterwards is then exactly the one that `model.onnx` stores in 16
    bits. Kernels with values beyond the range of half precision are not changed.
    """
    for variable in network.variables:
        value = keras.ops.convert_to_numpy(variable.value)
        if _fits_half_precision(value):
            variable.assign(value.astype(np.float16).astype(np.float32))


def is_available() -> bool:
    """Return whether Keras runs on TensorFlow, which the ONNX converter needs."""
    return bool(keras.backend.backend() == "tensorflow")


def export_run(
    network: keras.Model,
    run: RunWriter,
    images: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    class_names: Sequence[str],
) -> OnnxExport:
    """Write a run's `model.onnx` and compare it with Keras on every given image.

    Args:
        network: in float32, with rounded kernels.
        run: the run directory, which receives the file.
        images: `(n, height, width)` uint8.
        probabilities: `(n, k)`, the predictions of Keras for `images`.
        class_names: label of each output.

    Raises:
        UserError: if Keras is not on TensorFlow, or the predictions differ by more than
            `TOLERANCE`; the file is not written then.
    """
    opset, content = export_onnx(network, class_names)
    onnx_probabilities = OnnxNetwork(content)(images)
    difference = float(np.abs(onnx_probabilities - probabilities).max())
    if difference > TOLERANCE:
        raise UserError(
            f"a probability of the exported network differs by {difference:.1e} from Keras's, "
            f"expected at most {TOLERANCE:.0e}; model.onnx was not written"
        )
    with run.replacing("model.onnx") as file:
        file.write(content)
    weights: Literal["float16", "float32"] = "float16" if b"__half" in content else "float32"
    return OnnxExport(
        bytes=len(content),
        weights=weights,
        opset=opset,
        max_difference=difference,
        n=len(images),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def export_finished_run(run: Run, images: NDArray[np.uint8]) -> OnnxExport:
    """Export a finished run from its Keras checkpoint, and record the export in its results.

    Args:
        run: finished, with its checkpoints.
        images: `(n, height, width)` uint8, on which the export is compared with Keras.

    Raises:
        UserError: if the run's predictions are not those of its network, the checkpoint is missing,
            Keras is not on TensorFlow, or the predictions of the export differ.
    """
    network = keras.models.load_model(require_checkpoint(run), compile=False)
    assert run.results is not None
    writer = RunWriter(run.path)
    onnx = export_run(
        network, writer, images, predict(network, images, 128), run.results.class_names
    )
    writer.write_record(run.results.model_copy(update={"onnx": onnx}))
    return onnx


def export_onnx(network: keras.Model, class_names: Sequence[str]) -> tuple[int, bytes]:
    """Convert a network to ONNX; store large kernels in half precision if that is lossless.

    Args:
        network: built in float32; takes grey levels, returns logits.
        class_names: label of each output.

    Returns:
        The version of the operator set, and the content of the file.

    Raises:
        UserError: if Keras is not on TensorFlow.
    """
    import onnx

    if not is_available():
        raise UserError(
            f"the ONNX export needs Keras on TensorFlow, but this is Keras on "
            f"{keras.backend.backend()}; where TensorFlow is installed, run without KERAS_BACKEND: "
            "fercore export RUN"
        )
    softmax = keras.layers.Softmax(dtype="float32", name="probabilities")
    classifier = keras.Model(network.input, softmax(network.output))
    # Keras refuses to export a network that has never been called.
    classifier(np.zeros((1, *network.input_shape[1:]), np.float32))
    with tempfile.TemporaryDirectory() as folder, _suppress_output():
        file = Path(folder) / "model.onnx"
        classifier.export(str(file), format="onnx", verbose=False)
        model = onnx.load(file)
    _rename_inputs_and_outputs(model)
    _store_kernels_in_half_precision(model)
    onnx.helper.set_model_props(model, {"class_names": json.dumps(list(class_names))})
    onnx.checker.check_model(model, full_check=True)
    opset = max(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    return opset, model.SerializeToString()


def _fits_half_precision(value: NDArray[Any]) -> bool:
    if value.dtype != np.float32 or value.ndim < 2 or value.size < MIN_HALF_SIZE:
        return False
    return bool(np.all(np.abs(value) <= HALF_MAX))


def _store_kernels_in_half_precision(model: Any) -> None:
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(tensor)
        if not _fits_half_precision(value):
            continue
        half = value.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), value):
            continue
        stored = f"{tensor.name}__half"
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(half, stored))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def _rename_inputs_and_outputs(model: Any) -> None:
    graph = model.graph
    new_names = {graph.input[0].name: "pixels", graph.output[0].name: "probabilities"}
    graph.input[0].name, graph.output[0].name = "pixels", "probabilities"
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = new_names.get(name, name)


@contextlib.contextmanager
def _suppress_output() -> Iterator[None]:
    """Suppress the converters' progress messages and deprecation warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
