"""An ONNX classifier of another project, wrapped to take and give what ours do.

The preprocessing that the network wants becomes part of its graph, and so does the order of our
classes: whatever runs a `model.onnx` of this package runs the result.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.labels import canonical
from fercore.records import Layer

Layout = Literal["nhwc", "nchw"]

# What grey levels from 0 to 255 are usually turned into: mean and standard deviation.
RANGES: dict[str, tuple[float, float]] = {
    "0-255": (0.0, 1.0),
    "0-1": (0.0, 255.0),
    "-1-1": (127.5, 127.5),
}
_OPSET = 13
_SHAPELESS = {"Constant", "Shape", "Gather", "Unsqueeze", "Identity", "Cast"}


@dataclass(frozen=True)
class Interface:
    """What a foreign network takes and gives.

    Attributes:
        layout: channels last or first.
        channels: 1, or 3 for the same grey level three times.
        size: `(height, width)` in pixels.
        mean: subtracted from grey levels of 0 to 255, one value a channel or one for all.
        std: what is left is divided by it.
        output: `"probabilities"`, or `"logits"`, which a softmax follows.
    """

    layout: Layout
    channels: Literal[1, 3]
    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    output: Literal["probabilities", "logits"] = "probabilities"


class ForeignNetwork:
    """An ONNX classifier from elsewhere, read and looked at.

    Args:
        path: the file; weights in files beside it are read as well.
        layout: where the shape of the input leaves it open.
        size: `(height, width)`, where the input leaves it open.

    Attributes:
        interface: as far as the file tells: its range and output are not known yet.
        opset: ONNX operator set that it is brought to, if it was older.
        num_outputs: width of its output; `None` where the file leaves it open.
        class_names: where its metadata name them as our own exports do, else empty.

    Raises:
        UserError: if it is no ONNX file, or not a classifier of single images.
    """

    def __init__(
        self, path: Path, layout: Layout | None = None, size: tuple[int, int] | None = None
    ):
        import onnx

        try:
            self._model = onnx.load(path)
            onnx.checker.check_model(self._model)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None
        except Exception as error:  # protobuf and onnx raise classes of their own
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{path.name} is not a readable ONNX file ({reason})") from None
        self._model = _modern(self._model, path.name)
        self.opset = _opset(self._model)
        graph = self._model.graph
        stored = {tensor.name for tensor in graph.initializer}
        inputs = [entry for entry in graph.input if entry.name not in stored]
        if len(inputs) != 1:
            raise UserError(f"{path.name} takes {len(inputs)} inputs, expected one: an image")
        self._input = inputs[0]
        self._output = graph.output[0]
        self.interface = _interface(_shape(self._input), path.name, layout, size)
        width = _shape(self._output)[-1:]
        self.num_outputs = width[0] if width else None
        props = {entry.key: entry.value for entry in self._model.metadata_props}
        self.class_names = tuple(filter(None, props.get("class_names", "").split(",")))

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
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        inner = onnx.compose.add_prefix(self._model, "foreign/")
        graph = inner.graph
        source = next(e for e in graph.input if e.name == f"foreign/{self._input.name}")
        sink = next(e for e in graph.output if e.name == f"foreign/{self._output.name}")
        batch = _shape(self._input)[0] or "batch"
        before: list[Any] = []
        after: list[Any] = []
        constants: list[Any] = []
        numbers = itertools.count()

        def constant(name: str, value: Any) -> str:
            constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
            return name

        def add(nodes: list[Any], kind: str, *inputs: str, **attributes: Any) -> str:
            name = f"{kind.lower()}_{next(numbers)}"
            nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
            return name

        enter = functools.partial(add, before)
        value = enter("Transpose", "pixels", perm=[0, 3, 1, 2])
        if interface.size != image_shape:
            # What is rounded down times the side must not fall short of the size: it is floored.
            ratios = (n / m for n, m in zip(interface.size, image_shape, strict=True))
            scales = [1, 1, *(np.nextafter(np.float32(ratio), np.float32(9e9)) for ratio in ratios)]
            value = enter("Resize", value, "", constant("scales", scales), mode="linear")
        if interface.channels == 3:
            value = enter("Concat", value, value, value, axis=1)
        for kind, values in (("Sub", interface.mean), ("Div", interface.std)):
            shaped = np.reshape(values, (1, -1, 1, 1))
            value = enter(kind, value, constant(kind.lower(), shaped))
        if interface.layout == "nhwc":
            value = enter("Transpose", value, perm=[0, 2, 3, 1])
        element = source.type.tensor_type.elem_type
        before.append(helper.make_node("Cast", [value], [source.name], to=element))

        leave = functools.partial(add, after)
        value = leave("Cast", sink.name, to=TensorProto.FLOAT)
        value = leave("Flatten", value, axis=1)
        if interface.output == "logits":
            value = leave("Softmax", value, axis=1)
        if tuple(map(canonical, own_names)) != tuple(class_names):
            chosen = np.array(
                [[float(canonical(own) == name) for name in class_names] for own in own_names]
            )
            value = leave("MatMul", value, constant("our_order", chosen))
            everything = constant("ones", np.ones((len(class_names), len(class_names))))
            total = leave("MatMul", value, everything)
            value = leave("Div", value, leave("Add", total, constant("epsilon", [1e-12])))
        after.append(helper.make_node("Identity", [value], ["probabilities"]))
        wrapped = helper.make_graph(
            [*before, *graph.node, *after],
            "adapted",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, *image_shape, 1])],
            [
                helper.make_tensor_value_info(
                    "probabilities", TensorProto.FLOAT, [batch, len(class_names)]
                )
            ],
            [*graph.initializer, *constants],
        )
        model = helper.make_model(
            wrapped,
            opset_imports=list(inner.opset_import),
            functions=list(inner.functions),
            ir_version=max(8, inner.ir_version),
        )
        helper.set_model_props(model, {"class_names": ",".join(class_names)})
        content: bytes = model.SerializeToString()
        return content

    def layers(self) -> list[Layer]:
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
        rows: list[Layer] = []
        for number, node in enumerate(model.graph.node):
            if node.op_type in _SHAPELESS:
                continue
            # The running mean and variance of a batch normalisation are counted, not trained.
            fixed = set(node.input[3:5]) if node.op_type == "BatchNormalization" else set()
            own = {name: sizes.pop(name) for name in dict.fromkeys(node.input) if name in sizes}
            rows.append(
                Layer(
                    name=f"{number}: {node.name.rpartition('/')[2] or node.op_type}",
                    kind=node.op_type,
                    detail=_detail(node),
                    output_shape=shapes.get(node.output[0], []),
                    parameters=sum(own.values()),
                    trainable=sum(size for name, size in own.items() if name not in fixed),
                )
            )
        return rows


def ranged(interface: Interface, name: str) -> Interface:
    """The interface with one of `RANGES`."""
    mean, std = RANGES[name]
    return replace(interface, mean=(mean,), std=(std,))


def looks_like_probabilities(outputs: NDArray[np.floating]) -> bool:
    """Whether `(n, k)` outputs sum to 1 and none is negative."""
    return bool(outputs.min() >= -1e-4 and np.all(np.abs(outputs.sum(axis=1) - 1) < 1e-2))


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


def _interface(
    shape: list[int | None], name: str, layout: Layout | None, size: tuple[int, int] | None
) -> Interface:
    if len(shape) != 4:
        raise UserError(
            f"{name} takes an input of {len(shape)} axes, expected four: batch, height, width and "
            "channels in any order"
        )
    possible: dict[Layout, int | None] = {"nchw": shape[1], "nhwc": shape[3]}
    found = [key for key, channels in possible.items() if channels in {1, 3}]
    if layout is None:
        if len(found) != 1:
            raise UserError(
                f"the input of {name}, {shape}, does not tell where its channels are; expected "
                "--layout nchw or --layout nhwc"
            )
        layout = found[0]
    channels = possible[layout]
    if channels not in {1, 3}:
        raise UserError(f"{name} takes {channels} channels as {layout}, expected 1 or 3")
    spatial = shape[2:] if layout == "nchw" else shape[1:3]
    height, width = (fixed or given for fixed, given in zip(spatial, size or (0, 0), strict=True))
    if not height or not width:
        raise UserError(f"{name} takes images of any size; expected --size, such as --size 48")
    return Interface(layout, 1 if channels == 1 else 3, (height, width))


def _detail(node: Any) -> str:
    attributes = {entry.name: list(entry.ints) for entry in node.attribute if entry.ints}
    parts = []
    if "kernel_shape" in attributes:
        parts.append("×".join(map(str, attributes["kernel_shape"])))
    if attributes.get("strides", [1]) != [1] * len(attributes.get("strides", [1])):
        parts.append("stride " + "×".join(map(str, attributes["strides"])))
    return ", ".join(parts)
