"""Join networks and views of an image in one ONNX graph that averages their probabilities."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fercore.config.run import Average, TestTimeAugmentation
from fercore.errors import UserError
from fercore.metrics.calibration import SMALLEST_PROBABILITY

# Shift of the moved views as a fraction of the side: 2 pixels at the papers' 48.
_SHIFT_SHARE = 1 / 24


def build_ensemble_onnx(
    files: Sequence[Path],
    class_names: Sequence[str],
    tta: TestTimeAugmentation = "none",
    average: Average = "arithmetic",
) -> bytes:
    """Join networks into one that averages their probabilities over all views of an image.

    Args:
        files: `model.onnx` of each; their images have one size.
        class_names: of the outputs, in the same order for all members.
        tta: `"none"`: the image; `"flip"`: the image and its mirror image; `"ten_view"`: these two,
            each unmoved and moved by a 24th of the side to the left, the right, up and down, where
            the border pixels fill the edge.
        average: mean over all networks and views, as in
            `fercore.evaluation.ensemble_selection.average_probabilities`.

    Returns:
        The content of an ONNX file with the same input and output as each member's.

    Raises:
        UserError: if the members differ in image size or operator set, or have a fixed batch size
            and `tta` is not `"none"`.
    """
    import onnx

    models = [onnx.load(file) for file in files]
    batch, height, width = _common_input_shape(models)
    if batch and tta != "none":
        raise UserError(
            f"the network takes {batch} images at a time; views need a network for any number"
        )
    graph = _GraphBuilder()
    inputs = _add_views(graph, tta, height, width)
    pixels = graph.add("Concat", *inputs, axis=0) if len(inputs) > 1 else "pixels"
    outputs = _add_members(graph, models, pixels)
    mean = _add_mean(graph, outputs, average, len(inputs), len(class_names))
    return _serialize(graph, models, mean, class_names, (batch or "batch", height, width))


class _GraphBuilder:
    """Collect the nodes and constants of the combined ONNX graph."""

    def __init__(self) -> None:
        self.constants: list[Any] = []
        self.nodes: list[Any] = []

    def constant(self, name: str, value: Any, dtype: type = np.int64) -> str:
        """Add a constant; return its full name."""
        from onnx import numpy_helper

        full_name = f"combined/{name}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), full_name))
        return full_name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        name = f"combined/{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def connect(self, source: str, target: str) -> None:
        """Copy one tensor to another name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [source], [target]))


def _common_input_shape(models: Sequence[Any]) -> tuple[int, int, int]:
    """Return batch size (0 if free), height and width of the networks' input.

    Raises:
        UserError: if the networks differ in it, or in their operator set.
    """
    shapes = {
        tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
        for model in models
    }
    opsets = {entry.version for m in models for entry in m.opset_import if not entry.domain}
    if len(shapes) > 1 or len(opsets) > 1:
        raise UserError(
            f"received networks for images of {sorted(shape[1:3] for shape in shapes)} in the ONNX "
            f"operator sets {sorted(opsets)}, expected one size and one set"
        )
    batch, height, width, _ = next(iter(shapes))
    return batch, height, width


def _add_views(
    graph: _GraphBuilder, tta: TestTimeAugmentation, height: int, width: int
) -> list[str]:
    """Add the views of the input `pixels`; return their names, the image itself first."""
    names = ["pixels"]
    if tta == "ten_view":
        down, across = (max(1, round(side * _SHIFT_SHARE)) for side in (height, width))
        pads = graph.constant("pads", [0, down, across, 0, 0, down, across, 0])
        padded = graph.add("Pad", "pixels", pads, mode="edge")
        axes = graph.constant("axes", [1, 2])
        for number, (y, x) in enumerate(((0, 1), (2, 1), (1, 0), (1, 2))):
            begin = np.array([y * down, x * across])
            starts = graph.constant(f"starts_{number}", begin)
            ends = graph.constant(f"ends_{number}", begin + np.array([height, width]))
            names.append(graph.add("Slice", padded, starts, ends, axes))
    if tta != "none":
        # Start, end, axis and step of a slice that reverses the width.
        reverse = [
            graph.constant(name, [value])
            for name, value in (("last", -1), ("before", -(2**31)), ("across", 2), ("back", -1))
        ]
        names += [graph.add("Slice", view, *reverse) for view in names]
    return names


def _add_members(graph: _GraphBuilder, models: Sequence[Any], pixels: str) -> list[str]:
    """Add the members' graphs, all fed with `pixels`; return the names of their outputs."""
    import onnx

    outputs = []
    for number, model in enumerate(models):
        member = onnx.compose.add_prefix(model, f"member{number}/").graph
        graph.connect(pixels, member.input[0].name)
        graph.nodes.extend(member.node)
        graph.constants.extend(member.initializer)
        outputs.append(member.output[0].name)
    return outputs


def _add_mean(
    graph: _GraphBuilder,
    outputs: Sequence[str],
    average: Average,
    num_views: int,
    num_classes: int,
) -> str:
    """Add the mean over members and views; return the name of the mean probabilities."""
    if average == "geometric":
        minimum = graph.constant("least", SMALLEST_PROBABILITY, np.float32)
        outputs = [graph.add("Log", graph.add("Clip", output, minimum)) for output in outputs]
    mean = graph.add("Mean", *outputs) if len(outputs) > 1 else outputs[0]
    if num_views > 1:
        by_view = graph.constant("by_view", [num_views, -1, num_classes])
        # ReduceSum instead of ReduceMean: before operator set 18, ReduceMean takes its axes as an
        # attribute.
        reshaped = graph.add("Reshape", mean, by_view)
        total = graph.add("ReduceSum", reshaped, graph.constant("first", [0]), keepdims=0)
        mean = graph.add("Mul", total, graph.constant("share", 1 / num_views, np.float32))
    return graph.add("Softmax", mean, axis=1) if average == "geometric" else mean


def _serialize(
    graph: _GraphBuilder,
    models: Sequence[Any],
    mean: str,
    class_names: Sequence[str],
    input_shape: tuple[int | str, int, int],
) -> bytes:
    """Check the combined network and return the content of its file."""
    import onnx
    from onnx import TensorProto, helper

    batch, height, width = input_shape
    graph.connect(mean, "probabilities")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, height, width, 1])
    probabilities = helper.make_tensor_value_info(
        "probabilities", TensorProto.FLOAT, [batch, len(class_names)]
    )
    combined = helper.make_graph(
        graph.nodes, "combined", [pixels], [probabilities], graph.constants
    )
    model = helper.make_model(
        combined,
        opset_imports=list(models[0].opset_import),
        functions=[function for member in models for function in member.functions],
        ir_version=max(member.ir_version for member in models),
    )
    helper.set_model_props(model, {"class_names": json.dumps(list(class_names))})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
