"""An ONNX classifier of another project, wrapped to take and give what ours do.

The preprocessing that the network wants becomes part of its graph, and so does the order of our
classes: whatever runs a `model.onnx` of this package runs the result.
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
from fercore.importers.onnx_inputs import Interface, Layout, interfaces_of
from fercore.importers.onnx_labels import names_in_metadata
from fercore.runs.schema import LayerSummary

_OPSET = 13
# Element types of ONNX tensors that hold numbers: floats of 16 to 64 bits, and whole numbers.
_INPUT_TYPES = {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 16}
_SHAPELESS = {"Constant", "Shape", "Gather", "Unsqueeze", "Identity", "Cast"}


class ForeignNetwork:
    """An ONNX classifier from elsewhere, read and looked at.

    Loading a file of unknown origin may take any time and memory: `fercore.importers.import_run`
        does it in
    another process, under limits.

    Args:
        path: the file; weights in files beside it are read as well.
        layout: where the shape of the input leaves it open.
        size: `(height, width)`, where the input leaves it open.
        channels: likewise.

    Attributes:
        interfaces: every reading of its input that its shape allows; range and output are not
            known yet.
        interface: the first of them.
        size_is_open: whether the file leaves the size open and none was given.
        batch: images that it takes at once; `None` for any number.
        opset: ONNX operator set that it is brought to, if it was older.
        class_names: where its metadata name them, else empty.

    Raises:
        UserError: if it is no ONNX file, or not a classifier of single images.
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
            reason = _other_kind(path) or " ".join(str(error).split())[:160]
            raise UserError(f"{path.name} is not a readable ONNX file ({reason})") from None
        self._model = _modern(self._model, path.name)
        self.opset = _opset(self._model)
        # Before its ZipMap is bypassed: that holds the names of the classes.
        self.class_names = names_in_metadata(self._model)
        _without_zip_maps(self._model)
        graph = self._model.graph
        stored = {tensor.name for tensor in graph.initializer}
        inputs = [entry for entry in graph.input if entry.name not in stored]
        if len(inputs) != 1:
            raise UserError(f"{path.name} takes {len(inputs)} inputs, expected one: an image")
        self._input = inputs[0]
        if self._input.type.tensor_type.elem_type not in _INPUT_TYPES:
            raise UserError(
                f"{path.name} takes an input that is no tensor of numbers, expected an image"
            )
        shape = _shape(self._input)
        self.batch = shape[0] if shape else None
        self.interfaces, self.size_is_open = interfaces_of(shape, path.name, layout, size, channels)
        self.interface = self.interfaces[0]
        self._inner = _prefixed(self._model)

    @property
    def integers(self) -> tuple[int, int] | None:
        """The lowest and the highest whole number that the input takes; `None` for any number."""
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

    def probe(self, interface: Interface, image_shape: tuple[int, int]) -> bytes:
        """The network behind our preprocessing, with its own outputs as they are."""
        outputs = list(self._inner.graph.output)
        content: bytes = self._assemble(
            interface, image_shape, _Steps("after"), outputs
        ).SerializeToString()
        return content

    def adapted(
        self,
        interface: Interface,
        own_names: Sequence[str],
        class_names: Sequence[str],
        image_shape: tuple[int, int],
    ) -> bytes:
        """The network in our form.

        Args:
            interface: what the network takes and gives, complete.
            own_names: label of each of its outputs. One that `class_names` lacks is left out and
                the others are scaled to sum to 1; a class that it lacks gets probability 0.
            class_names: of the dataset, in its order.
            image_shape: of the dataset's images; the graph scales them, linearly.

        Returns:
            The content of a file that takes `pixels`, `(batch, height, width, 1)` float32 from 0
            to 255, and returns `probabilities`, `(batch, classes)` float32.
        """
        from onnx import TensorProto, helper

        name = interface.output_name or self._model.graph.output[0].name
        steps = _Steps("after")
        value = steps.add("Cast", f"foreign/{name}", to=TensorProto.FLOAT)
        shape = steps.constant("scores_shape", np.array([-1, len(own_names)], np.int64))
        value = steps.add("Reshape", value, shape)
        if interface.output == "logits":
            value = steps.add("Softmax", value, axis=1)
        elif interface.output != "raw":
            positive = steps.add("Relu", value)
            value = steps.normalize(positive, np.ones(len(own_names)), "own_epsilon")
        if tuple(own_names) != tuple(class_names):
            matched = [match_class(own, class_names) for own in own_names]
            chosen = [[own == name for name in class_names] for own in matched]
            order = steps.constant("our_order", np.array(chosen, np.float32))
            known = np.array([name in matched for name in class_names], float)
            value = steps.normalize(steps.add("MatMul", value, order), known, "epsilon")
        steps.add("Identity", value, output="probabilities")
        output = helper.make_tensor_value_info(
            "probabilities", TensorProto.FLOAT, [self.batch or "batch", len(class_names)]
        )
        model = self._assemble(interface, image_shape, steps, [output])
        helper.set_model_props(model, {"class_names": json.dumps(list(class_names))})
        content: bytes = model.SerializeToString()
        return content

    def _assemble(
        self,
        interface: Interface,
        image_shape: tuple[int, int],
        after: "_Steps",
        outputs: Sequence[Any],
    ) -> Any:
        """Put our preprocessing before the network, and steps after it."""
        from onnx import TensorProto, helper

        graph = self._inner.graph
        source = next(e for e in graph.input if e.name == f"foreign/{self._input.name}")
        before = _Steps("before")
        value = before.add("Transpose", "pixels", perm=[0, 3, 1, 2])
        if interface.size != image_shape:
            # What is rounded down times the side must not fall short of the size: it is floored.
            ratios = (n / m for n, m in zip(interface.size, image_shape, strict=True))
            scales = [1, 1, *(np.nextafter(np.float32(ratio), np.float32(9e9)) for ratio in ratios)]
            constant = before.constant("scales", np.array(scales, np.float32))
            value = before.add("Resize", value, "", constant, mode="linear")
        if interface.channels == 3:
            value = before.add("Concat", value, value, value, axis=1)
        for kind, values in (("Sub", interface.mean), ("Div", interface.std)):
            shaped = np.reshape(np.array(values, np.float32), (1, -1, 1, 1))
            value = before.add(kind, value, before.constant(kind.lower(), shaped))
        if interface.layout == "nhwc":
            value = before.add("Transpose", value, perm=[0, 2, 3, 1])
        if interface.axes != 4:
            flat = [interface.channels * interface.size[0] * interface.size[1]]
            shape = [-1, *(flat if interface.axes == 2 else interface.size)]
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
        """The nodes that compute, each with the weights that it is the first to use."""
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
            # The running mean and variance of a batch normalisation are counted, not trained.
            fixed = set(node.input[3:5]) if node.op_type == "BatchNormalization" else set()
            own = {name: sizes.pop(name) for name in dict.fromkeys(node.input) if name in sizes}
            rows.append(
                LayerSummary(
                    name=f"{number}: {node.name.rpartition('/')[2] or node.op_type}",
                    kind=node.op_type,
                    detail=_detail(node),
                    output_shape=shapes.get(node.output[0], []),
                    parameters=sum(own.values()),
                    trainable=sum(size for name, size in own.items() if name not in fixed),
                )
            )
        return rows


class _Steps:
    """Nodes of a graph, one after another, and their constants."""

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

    def normalize(self, value: str, known: NDArray[np.float64], name: str) -> str:
        """Divide rows by their sum; where that is 0, all `known` columns get the same."""
        epsilon = self.constant(name, np.float32(1e-12) * known.astype(np.float32)[None])
        value = self.add("Add", value, epsilon)
        axes = self.constant(f"{name}_axes", np.array([1], np.int64))
        return self.add("Div", value, self.add("ReduceSum", value, axes, keepdims=1))


def _other_kind(path: Path) -> str:
    """What a file is by its first bytes, where it is no ONNX file; empty if unknown."""
    with path.open("rb") as file:
        start = file.read(64)
    kinds = {
        b"\x89HDF": "it is an HDF5 file, such as Keras writes; export it with tf2onnx",
        b"PK": "it is a ZIP, such as PyTorch or Keras writes; export it with torch.onnx or tf2onnx",
        b"\x80": "it is a Python pickle, such as PyTorch writes; export it with torch.onnx",
        b"version https://git-lfs": "it is a Git LFS pointer; fetch the file itself",
    }
    if start[4:8] == b"TFL3":
        return "it is a TensorFlow Lite file; export it with tf2onnx"
    if not start:
        return "it is empty"
    return next((kind for mark, kind in kinds.items() if start.startswith(mark)), "")


def _prefixed(model: Any) -> Any:
    """The model with `foreign/` before each name of its graph, so that none of ours equals one."""
    import onnx

    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    tensors = [tensor.name for tensor in inner.graph.initializer]
    tensors += [tensor.values.name for tensor in inner.graph.sparse_initializer]
    # onnx itself leaves these as they are where the branch of an If or the body of a Loop uses one.
    known = {name: f"foreign/{name}" for name in tensors}
    onnx.compose.add_prefix_graph(inner.graph, "foreign/", inplace=True, name_map=known)
    return inner


def _without_zip_maps(model: Any) -> None:
    """Put the tensor of scores in the place of a list of dictionaries, as skl2onnx makes it."""
    from onnx import TensorProto, helper

    graph = model.graph
    zipped = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    for place, output in enumerate(graph.output):
        node = zipped.get(output.name)
        if node is None:
            continue
        graph.output[place].CopyFrom(
            helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, ["batch", "classes"])
        )


def _modern(model: Any, name: str) -> Any:
    from onnx import version_converter

    if _opset(model) >= _OPSET:
        return model
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter raises bare RuntimeErrors
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{name} uses ONNX operator set {_opset(model)}, which cannot be brought to "
            f"{_OPSET} ({reason}); export it with a newer one"
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
