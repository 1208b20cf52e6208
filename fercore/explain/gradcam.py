"""Grad-CAM on ONNX Runtime: no framework, no checkpoint, and for imported networks too."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.inference.onnx_session import open_session
from fercore.io.files import read_regular
from fercore.runs.damage import MAX_NETWORK_BYTES

# What comes after the last feature map and only gathers, moves or shrinks it.
_PASSING = {
    "AveragePool",
    "Cast",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Pad",
    "ReduceMean",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
# Of the largest activation: small against the kinks of ReLU, large against float32's noise.
_STEP = 1e-3
_BATCH = 128


class GradCam:
    """Which places of the last feature map speak for a class (Selvaraju et al., ICCV 2017).

    Grad-CAM weighs each channel of the last convolutional feature map by the mean, over its places,
    of the derivative of the class's logit. That mean is the derivative along the change that adds
    the same to every place of the channel, so two runs of what follows the feature map give it, and
    no gradient is needed. The network is cut at the last feature map that all of it passes through;
    a residual network's is the sum of its last block.

    Args:
        source: a run's `model.onnx`, or its content.
        threads: processor cores for one call, 0 for all.

    Attributes:
        map_shape: `(height, width)` of the feature map.

    Raises:
        UserError: if the network has no feature map or takes several images alone, or the file is
            damaged.
    """

    def __init__(self, source: Path | bytes, threads: int = 1):
        import onnx

        try:
            content = (
                read_regular(source, MAX_NETWORK_BYTES) if isinstance(source, Path) else source
            )
            model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
        except Exception as error:  # protobuf and onnx raise classes without a common base
            name = source if isinstance(source, Path) else "the content"
            raise UserError(f"{name} cannot be read as an ONNX network: {error}") from None
        cut = _last_feature_map(model)
        if cut is None:
            raise UserError(
                "the network has no convolutional feature map that all of it passes through, which "
                "Grad-CAM needs; occlusion works for any network"
            )
        at_once = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        if at_once > 1:
            raise UserError(
                f"the network takes {at_once} images at once and no other number, which Grad-CAM "
                "cannot ask it; occlusion works for any network"
            )
        self._one_by_one = at_once == 1
        last = _producer(model.graph, model.graph.output[0].name)
        self._has_logits = last is not None and last.op_type == "Softmax"
        score = last.input[0] if self._has_logits else model.graph.output[0].name
        self._channel_axis = cut.channel_axis
        self.map_shape = cut.map_shape
        parts = onnx.utils.Extractor(model)
        before = parts.extract_model([model.graph.input[0].name], [cut.name])
        after = parts.extract_model([cut.name], [score])
        self._features = open_session(before.SerializeToString(), threads)
        self._head = open_session(after.SerializeToString(), threads)

    def __call__(self, crop: NDArray[np.uint8], class_index: int) -> NDArray[np.float32]:
        """The map of one image for one class.

        Args:
            crop: `(height, width)` uint8, as the network takes it.
            class_index: of the logit; of the logarithm of the probability where the network does
                not end with a softmax.

        Returns:
            `(height, width)` float32 of the crop's size, at least 0: places that speak for the
            class. All 0 where none does.
        """
        import cv2

        features = _run(self._features, crop[None, :, :, None].astype(np.float32))
        # Of several views of an image (`fercore.inference.ensemble`), the first is the image as it
        # is.
        maps = np.moveaxis(features[0], self._channel_axis - 1, 0)
        weights = self._weights(features, class_index)
        found = np.maximum(np.tensordot(weights, maps, 1), 0).astype(np.float32)
        height, width = crop.shape
        return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR))

    def _weights(self, features: NDArray[np.float32], class_index: int) -> NDArray[np.float32]:
        """Mean derivative of the score over each channel, `(channels,)`."""
        channels = features.shape[self._channel_axis]
        step = _STEP * max(float(np.abs(features).max()), 1e-6)
        shape = [1] * 4
        shape[0] = shape[self._channel_axis] = channels
        change = step * np.eye(channels, dtype=np.float32).reshape(shape)
        changed = np.concatenate([change, -change])
        batch = 1 if self._one_by_one else max(_BATCH // len(features), 1)
        scores = np.concatenate(
            [
                _run(
                    self._head,
                    # All views change together; they come view by view.
                    (features[:, None] + changed[None, start : start + batch]).reshape(
                        -1, *features.shape[1:]
                    ),
                )[:, class_index]
                for start in range(0, len(changed), batch)
            ]
        )
        if not self._has_logits:
            scores = np.log(np.maximum(scores, 1e-12))
        places = features.size / channels
        weights: NDArray[np.float32] = (scores[:channels] - scores[channels:]) / (2 * step * places)
        return weights


@dataclass(frozen=True)
class _Cut:
    name: str
    channel_axis: int
    map_shape: tuple[int, int]


def _last_feature_map(model: Any) -> _Cut | None:
    """The last tensor of four axes that everything passes through and that a convolution made."""
    shapes = {
        info.name: tuple(axis.dim_value for axis in info.type.tensor_type.shape.dim)
        for info in model.graph.value_info
    }
    kernels = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer} | shapes
    nodes = list(model.graph.node)
    for position, name in _bottlenecks(model.graph):
        if nodes[position].op_type in _PASSING or len(shapes.get(name, ())) != 4:
            continue
        made = [node for node in nodes[: position + 1] if node.op_type == "Conv"]
        if not made:
            return None
        channels = kernels.get(made[-1].input[1], (0,))[0]
        _, second, third, fourth = shapes[name]
        if second == channels and min(third, fourth) > 1:
            return _Cut(name, 1, (third, fourth))
        if fourth == channels and min(second, third) > 1:
            return _Cut(name, 3, (second, third))
    return None


def _bottlenecks(graph: Any) -> Iterator[tuple[int, str]]:
    """Tensors that all paths from the input to the output cross, from the last, with their node."""
    fixed = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if all(name in fixed for name in node.input):
            fixed.update(node.output)
    live = {graph.output[0].name}
    for position in range(len(graph.node) - 1, -1, -1):
        node = graph.node[position]
        if live.isdisjoint(node.output):
            continue
        if len(live) == 1:
            yield position, next(iter(live))
        live.difference_update(node.output)
        live.update(name for name in node.input if name not in fixed)


def _producer(graph: Any, name: str) -> Any:
    return next((node for node in graph.node if name in node.output), None)


def _run(session: Any, value: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: value})[0]
    return found
