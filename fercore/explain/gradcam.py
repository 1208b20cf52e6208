"""Grad-CAM on ONNX Runtime, without a deep-learning framework; imported networks work, too."""

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

# Operators that only pool, move or reshape a feature map.
_RESHAPING_OPERATORS = {
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
# Step of the finite differences, as a fraction of the largest activation: small enough to cross few
# kinks of ReLU, and large against float32's rounding errors.
_STEP = 1e-3
_BATCH = 128


class GradCam:
    """Grad-CAM saliency maps (Selvaraju et al., ICCV 2017).

    Grad-CAM weights each channel of the last convolutional feature map by the spatial mean of the
    derivative of the class's logit. This mean is a directional derivative: along the change that
    adds the same value at every position of the channel. A central difference therefore gives it
    with two evaluations of the layers after the feature map, and no gradients are needed.

    The network is cut at the last feature map that every path from input to output passes through.
    In a residual network, this is the sum of the last block.

    Args:
        source: path of a run's `model.onnx`, or its content.
        threads: processor cores for one call, 0 for all.

    Attributes:
        map_shape: `(height, width)` of the feature map.

    Raises:
        UserError: if the network has no such feature map or a fixed batch size above 1, or the file
            is damaged.
    """

    def __init__(self, source: Path | bytes, threads: int = 1):
        import onnx

        try:
            content = (
                read_regular(source, MAX_NETWORK_BYTES) if isinstance(source, Path) else source
            )
            model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
        except Exception as error:  # the exceptions of protobuf and onnx have no common base
            name = source if isinstance(source, Path) else "the content"
            raise UserError(f"{name} cannot be read as an ONNX network: {error}") from None
        cut = _last_feature_map(model)
        if cut is None:
            raise UserError(
                "the network has no convolutional feature map that all paths pass through, which "
                "Grad-CAM needs; occlusion works for any network"
            )
        batch_size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        if batch_size > 1:
            raise UserError(
                f"the network takes {batch_size} images at once and no other number, which "
                "Grad-CAM does not support; occlusion works for any network"
            )
        self._has_batch_size_1 = batch_size == 1
        last = _find_producer(model.graph, model.graph.output[0].name)
        self._has_logits = last is not None and last.op_type == "Softmax"
        score = last.input[0] if self._has_logits else model.graph.output[0].name
        self._channel_axis = cut.channel_axis
        self.map_shape = cut.map_shape
        extractor = onnx.utils.Extractor(model)
        backbone = extractor.extract_model([model.graph.input[0].name], [cut.name])
        head = extractor.extract_model([cut.name], [score])
        self._backbone = open_session(backbone.SerializeToString(), threads)
        self._head = open_session(head.SerializeToString(), threads)

    def __call__(self, crop: NDArray[np.uint8], class_index: int) -> NDArray[np.float32]:
        """Return the saliency map of one image for one class.

        Args:
            crop: `(height, width)` uint8, of the network's input size.
            class_index: index of the explained class. Its logit is explained, or the logarithm of
                its probability if the network does not end with a softmax.

        Returns:
            `(height, width)` float32 of the crop's size, at least 0: high where the image supports
            the class. All 0 if nothing does.
        """
        import cv2

        features = _run(self._backbone, crop[None, :, :, None].astype(np.float32))
        # A network with several views of an image (`fercore.inference.ensemble_graph`) has one map
        # for each; the first is that of the unchanged image.
        maps = np.moveaxis(features[0], self._channel_axis - 1, 0)
        weights = self._channel_weights(features, class_index)
        saliency = np.maximum(np.tensordot(weights, maps, 1), 0).astype(np.float32)
        height, width = crop.shape
        return np.asarray(cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR))

    def _channel_weights(
        self, features: NDArray[np.float32], class_index: int
    ) -> NDArray[np.float32]:
        """Return the mean derivative of the score over each channel, `(channels,)`."""
        channels = features.shape[self._channel_axis]
        step = _STEP * max(float(np.abs(features).max()), 1e-6)
        shape = [1] * 4
        shape[0] = shape[self._channel_axis] = channels
        upward = step * np.eye(channels, dtype=np.float32).reshape(shape)
        changes = np.concatenate([upward, -upward])
        batch = 1 if self._has_batch_size_1 else max(_BATCH // len(features), 1)
        scores = np.concatenate(
            [
                _run(
                    self._head,
                    # The same change in all views; the head takes its input view by view.
                    (features[:, None] + changes[None, start : start + batch]).reshape(
                        -1, *features.shape[1:]
                    ),
                )[:, class_index]
                for start in range(0, len(changes), batch)
            ]
        )
        if not self._has_logits:
            scores = np.log(np.maximum(scores, 1e-12))
        positions = features.size / channels
        differences = scores[:channels] - scores[channels:]
        weights: NDArray[np.float32] = differences / (2 * step * positions)
        return weights


@dataclass(frozen=True)
class _Cut:
    """The tensor at which the network is cut."""

    name: str
    channel_axis: int
    map_shape: tuple[int, int]


def _last_feature_map(model: Any) -> _Cut | None:
    """Return the last convolutional feature map that all paths pass through; `None` if none."""
    shapes = {
        info.name: tuple(axis.dim_value for axis in info.type.tensor_type.shape.dim)
        for info in model.graph.value_info
    }
    kernels = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer} | shapes
    nodes = list(model.graph.node)
    for position, name in _bottlenecks(model.graph):
        if nodes[position].op_type in _RESHAPING_OPERATORS or len(shapes.get(name, ())) != 4:
            continue
        convolutions = [node for node in nodes[: position + 1] if node.op_type == "Conv"]
        if not convolutions:
            return None
        channels = kernels.get(convolutions[-1].input[1], (0,))[0]
        _, second, third, fourth = shapes[name]
        if second == channels and min(third, fourth) > 1:
            return _Cut(name, 1, (third, fourth))
        if fourth == channels and min(second, third) > 1:
            return _Cut(name, 3, (second, third))
    return None


def _bottlenecks(graph: Any) -> Iterator[tuple[int, str]]:
    """Yield the tensors that all paths from input to output pass through, last first.

    Yields:
        The position of the node that produces the tensor, and the tensor's name.
    """
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


def _find_producer(graph: Any, name: str) -> Any:
    """Return the node that produces a tensor; `None` if there is none."""
    return next((node for node in graph.node if name in node.output), None)


def _run(session: Any, value: NDArray[np.float32]) -> NDArray[np.float32]:
    output: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: value})[0]
    return output
