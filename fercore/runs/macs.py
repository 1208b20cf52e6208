"""Count the multiply-accumulate operations of a network from its layer table."""

import math
import re
from collections.abc import Iterable, Sequence

from fercore.runs.schema import LayerSummary

_KERNEL = re.compile(r"(\d+)x(\d+)")
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "WhiteningConv2D")


def count_macs(layers: Iterable[LayerSummary]) -> int | None:
    """Return the multiply-accumulate operations of one forward pass over one image.

    Counted are the products of convolutions and dense layers, as fvcore and ptflops count them:
    one for each weight and output position. Biases, normalization, pooling and activations are
    left out; they are some percent at most.

    Args:
        layers: the layer table of a run, in the order of the network.

    Returns:
        The count, or `None` if the table is empty or lacks a shape that is needed.
    """
    total, channels, known = 0, set[int](), False
    for layer in layers:
        known = True
        shape = layer.output_shape
        if layer.kind in _CONVOLUTIONS or layer.kind == "Dense":
            if not shape or any(size is None or size < 1 for size in shape):
                return None
            total += _weights(layer, shape, channels) * math.prod(shape[:-1])
        if shape and shape[-1]:
            channels.add(shape[-1])
    return total if known else None


def _weights(layer: LayerSummary, shape: Sequence[int], channels: set[int]) -> int:
    """Return the number of weights of a layer without its bias, which the table does not tell."""
    outputs = shape[-1]
    kernel = _KERNEL.search(layer.detail)
    taps = int(kernel[1]) * int(kernel[2]) if kernel and layer.kind != "Dense" else 1
    if layer.kind == "DepthwiseConv2D":
        return taps * outputs
    without_bias = layer.parameters - outputs
    if taps > 1:
        # A bias is one number for each output; a kernel is a multiple of all its taps.
        return layer.parameters if layer.parameters % (taps * outputs) == 0 else without_bias
    inputs = layer.parameters // outputs
    return layer.parameters if inputs in channels and inputs - 1 not in channels else without_bias
