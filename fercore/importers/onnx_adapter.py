"""Load an ONNX classifier of another project, and convert it to this package's `model.onnx`.

Its preprocessing and the order of the dataset's classes become part of the graph, so the result
runs wherever a `model.onnx` of this package runs.
"""

import itertools
import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import match_class
from fercore.errors import UserError
from fercore.importers.onnx_inputs import Layout, ModelIOSpec, list_input_specs
from fercore.importers.onnx_labels import names_in_metadata
from fercore.runs.schema import LayerSummary

_OPSET = 13
# Numeric element types of ONNX tensors: floats of 16 to 64 bits, and integers.
_INPUT_TYPES = {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 16}
_SHAPELESS = {"Constant", "Shape", "Gather", "Unsqueeze", "Identity", "Cast"}


class ImportedOnnxModel:
    """An ONNX classifier of another project.

    Loading a file of unknown origin may take any time and memory, so
    `fercore.importers.import_run` loads it in another process, with limits.

    Args:
        path: the file; external weights in the same folder are read as well.
        layout: of the input, if its shape does not fix it.
        size: `(height, width)`, if the input does not fix it.
        channels: likewise.

    Attributes:
        specs: the input formats that the shape of its input allows; normalization and output are
            not determined yet.
        spec: the first of them.
        size_is_open: whether the file does not fix the size and none was given.
        batch: number of images per call; `None` for any number.
        opset: ONNX operator set; a file with an older one is converted.
        class_names: from its metadata; empty if there are none.

    Raises:
        UserError: if it is not an ONNX file, or not a classifier of single images.
    """

    def __init__(
        self,
        path: Path,
        layout: Layout | None = None,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
    ):
        import onnx

        try:
            self._model = onnx.load(path)
            onnx.checker.check_model(self._model)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None
        except Exception as error:  # protobuf and onnx raise classes of their own
            reason = _other_format(path) or " ".join(str(error).split())[:160]
            raise UserError(f"{path.name} is not a readable ONNX file ({reason})") from None
        self._model = _upgrade_opset(self._model, path.name)
        self.opset = _opset(self._model)
        # Before its ZipMap is bypassed, which has the names of the classes.
        self.class_names = names_in_metadata(self._model)
        _bypass_zip_maps(self._model)
        graph = self._model.graph
        stored = {tensor.name for tensor in graph.initializer}
        inputs = [entry for entry in graph.input if entry.name not in stored]
        if len(inputs) != 1:
            raise UserError(f"{path.name} takes {len(inputs)} inputs, expected one: an image")
        self._input = inputs[0]
        if self._input.type.tensor_type.elem_type not in _INPUT_TYPES:
            raise UserError(
                f"{path.name} takes an input that is not a tensor of numbers, expected an image"
            )
        shape = _shape(self._input)
        self.batch = shape[0] if shape else None
        self.specs, self.size_is_open = list_input_specs(shape, path.name, layout, size, channels)
        self.spec = self.specs[0]
        self._inner = _prefix_names(self._model)

    @property
    def integer_range(self) -> tuple[int, int] | None:
        """The lowest and highest value of an integer input; `None` for a float input."""
        from onnx import helper

        kind = helper.tensor_dtype_to_np_dtype(self._input.type.tensor_type.elem_type)
        if kind.kind not in "iu":
            return None
        limits = np.iinfo(kind)
        return int(limits.min), int(limits.max)

    @property
    def outputs(self) -> list[str]:
        """Names of its outputs."""
        return [entry.name for entry in self._model.graph.output]

    def with_preprocessing(self, spec: ModelIOSpec, image_shape: tuple[int, int]) -> bytes:
        """Return the network after the preprocessing, with its outputs unchanged."""
        outputs = list(self._inner.graph.output)
        content: bytes = self._assemble(
            spec, image_shape, _NodeSequence("after"), outputs
        ).SerializeToString()
        return content

    def adapt(
        self,
        spec: ModelIOSpec,
        output_names: Sequence[str],
        class_names: Sequence[str],
        image_shape: tuple[int, int],
    ) -> bytes:
        """Convert the network to the form of this package's `model.onnx`.

        Args:
            spec: complete input and output format of the network.
            output_names: label of each of its outputs. An output without a class in `class_names`
                is left out and the others are scaled to sum to 1; a class without an output has
                probability 0.
            class_names: of the dataset, in its order.
            image_shape: of the dataset's images; the graph scales them, linearly.

        Returns:
            The content of a file that takes `pixels`, `(batch, height, width, 1)` float32 from 0
            to 255, and returns `probabilities`, `(batch, classes)` float32.
        """
        from onnx import TensorProto, helper

        name = spec.output_name or self._model.graph.output[0].name
        after = _NodeSequence("after")
        value = after.add("Cast", f"foreign/{name}", to=TensorProto.FLOAT)
        shape = after.constant("scores_shape", np.array([-1, len(output_names)], np.int64))
        value = after.add("Reshape", value, shape)
        if spec.output == "logits":
            value = after.add("Softmax", value, axis=1)
        elif spec.output != "raw":
            positive = after.add("Relu", value)
            value = after.normalize(positive, np.ones(len(output_names)), "own_epsilon")
        if tuple(output_names) != tuple(class_names):
            matched = [match_class(name, class_names) for name in output_names]
            selection = [[match == name for name in class_names] for match in matched]
            order = after.constant("our_order", np.array(selection, np.float32))
            has_output = np.array([name in matched for name in class_names], float)
            value = after.normalize(after.add("MatMul", value, order), has_output, "epsilon")
        after.add("Identity", value, output="probabilities")
        output = helper.make_tensor_value_info(
            "probabilities", TensorProto.FLOAT, [self.batch or "batch", len(class_names)]
        )
        model = self._assemble(spec, image_shape, after, [output])
        helper.set_model_props(model, {"class_names": json.dumps(list(class_names))})
        content: bytes = model.SerializeToString()
        return content

    def _assemble(
        self,
        spec: ModelIOSpec,
        image_shape: tuple[int, int],
        after: "_NodeSequence",
        outputs: Sequence[Any],
    ) -> Any:
        """Build a model of the preprocessing, the network, and the nodes of `after`."""
        from onnx import TensorProto, helper

        graph = self._inner.graph
        source = next(e for e in graph.input if e.name == f"foreign/{self._input.name}")
        before = _NodeSequence("before")
        value = before.add("Transpose", "pixels", perm=[0, 3, 1, 2])
        if spec.size != image_shape:
            # ONNX floors scale times side, so a scale that is rounded down would lose a pixel.
            ratios = (n / m for n, m in zip(spec.size, image_shape, strict=True))
            scales = [1, 1, *(np.nextafter(np.float32(ratio), np.float32(9e9)) for ratio in ratios)]
            constant = before.constant("scales", np.array(scales, np.float32))
            value = before.add("Resize", value, "", constant, mode="linear")
        if spec.channels == 3:
            value = before.add("Concat", value, value, value, axis=1)
        for kind, values in (("Sub", spec.mean), ("Div", spec.std)):
            shaped = np.reshape(np.array(values, np.float32), (1, -1, 1, 1))
            value = before.add(kind, value, before.constant(kind.lower(), shaped))
        if spec.layout == "nhwc":
            value = before.add("Transpose", value, perm=[0, 2, 3, 1])
        if spec.axes != 4:
            flat = [spec.channels * spec.size[0] * spec.size[1]]
            shape = [-1, *(flat if spec.axes == 2 else spec.size)]
            value = before.add(
                "Reshape", value, before.constant("input_shape", np.array(shape, np.int64))
            )
        before.add("Cast", value, output=source.name, to=source.type.tensor_type.elem_type)
        pixels = [self.batch or "batch", *image_shape, 1]
        wrapped = helper.make_graph(
            [*before.nodes, *graph.node, *after.nodes],
            "adapted",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, pixels)],
            list(outputs),
            [*graph.initializer, *before.constants, *after.constants],
            sparse_initializer=list(graph.sparse_initializer),
        )
        return helper.make_model(
            wrapped,
            opset_imports=list(self._inner.opset_import),
            functions=list(self._inner.functions),
            ir_version=max(8, self._inner.ir_version),
        )

    def layers(self) -> list[LayerSummary]:
        """Return the nodes that compute; a shared weight counts for the first node that uses it."""
        import onnx
        from onnx import numpy_helper

        model = onnx.shape_inference.infer_shapes(self._model)
        shapes = {
            entry.name: [size or 0 for size in _shape(entry)][1:]
            for entry in (*model.graph.value_info, *model.graph.output)
        }
        sizes = {
            tensor.name: prod(tensor.dims)
            for tensor in model.graph.initializer
            if numpy_helper.to_array(tensor).dtype.kind == "f"
        }
        rows: list[LayerSummary] = []
        for number, node in enumerate(model.graph.node):
            if node.op_type in _SHAPELESS:
                continue
            # The running mean and variance of a batch normalisation are parameters, not trainable.
            fixed = set(node.input[3:5]) if node.op_type == "BatchNormalization" else set()
            weights = {name: sizes.pop(name) for name in dict.fromkeys(node.input) if name in sizes}
            rows.append(
                LayerSummary(
                    name=f"{number}: {node.name.rpartition('/')[2] or node.op_type}",
                    kind=node.op_type,
                    detail=_detail(node),
                    output_shape=shapes.get(node.output[0], []),
                    parameters=sum(weights.values()),
                    trainable=sum(size for name, size in weights.items() if name not in fixed),
                )
            )
        return rows


class _NodeSequence:
    """A sequence of nodes of a graph, and their constants."""

    def __init__(self, name: str):
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names = (f"{name}_{number}" for number in itertools.count())

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or next(self._names)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def normalize(self, value: str, weights: NDArray[np.float64], name: str) -> str:
        """Divide rows by their sum; a row of zeros becomes uniform over columns of weight 1."""
        epsilon = self.constant(name, np.float32(1e-12) * weights.astype(np.float32)[None])
        value = self.add("Add", value, epsilon)
        axes = self.constant(f"{name}_axes", np.array([1], np.int64))
        return self.add("Div", value, self.add("ReduceSum", value, axes, keepdims=1))


def _other_format(path: Path) -> str:
    """Return the format of a file by its first bytes, and a remedy; empty if not recognised."""
    with path.open("rb") as file:
        start = file.read(64)
    formats = {
        b"\x89HDF": "it is an HDF5 file, such as Keras writes; export it with tf2onnx",
        b"PK": "it is a ZIP, such as PyTorch or Keras writes; export it with torch.onnx or tf2onnx",
        b"\x80": "it is a Python pickle, such as PyTorch writes; export it with torch.onnx",
        b"version https://git-lfs": "it is a Git LFS pointer; fetch the file itself",
    }
    if start[4:8] == b"TFL3":
        return "it is a TensorFlow Lite file; export it with tf2onnx"
    if not start:
        return "it is empty"
    return next((text for magic, text in formats.items() if start.startswith(magic)), "")


def _prefix_names(model: Any) -> Any:
    """Return the model with `foreign/` before each name of its graph, to avoid name clashes."""
    import onnx

    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    tensors = [tensor.name for tensor in inner.graph.initializer]
    tensors += [tensor.values.name for tensor in inner.graph.sparse_initializer]
    # onnx does not rename these where the branch of an If or the body of a Loop uses one.
    name_map = {name: f"foreign/{name}" for name in tensors}
    onnx.compose.add_prefix_graph(inner.graph, "foreign/", inplace=True, name_map=name_map)
    return inner


def _bypass_zip_maps(model: Any) -> None:
    """Replace outputs that are lists of dictionaries (of skl2onnx) by their tensors of scores."""
    from onnx import TensorProto, helper

    graph = model.graph
    zip_maps = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    for index, output in enumerate(graph.output):
        node = zip_maps.get(output.name)
        if node is None:
            continue
        graph.output[index].CopyFrom(
            helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, ["batch", "classes"])
        )


def _upgrade_opset(model: Any, name: str) -> Any:
    """Convert a model with an ONNX operator set older than `_OPSET`."""
    from onnx import version_converter

    if _opset(model) >= _OPSET:
        return model
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter raises bare RuntimeErrors
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{name} uses ONNX operator set {_opset(model)}, which cannot be converted to "
            f"{_OPSET} ({reason}); export it with a newer operator set"
        ) from None


def _opset(model: Any) -> int:
    versions = (entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    return max(versions, default=0)


def _shape(value: Any) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.dim_value > 0 else None for dim in dims]


def _detail(node: Any) -> str:
    attributes = {entry.name: list(entry.ints) for entry in node.attribute if entry.ints}
    parts = []
    if "kernel_shape" in attributes:
        parts.append("×".join(map(str, attributes["kernel_shape"])))
    if attributes.get("strides", [1]) != [1] * len(attributes.get("strides", [1])):
        parts.append("stride " + "×".join(map(str, attributes["strides"])))
    return ", ".join(parts)
