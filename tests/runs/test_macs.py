from pathlib import Path

import onnx
import pytest

from fercore.runs.macs import count_macs
from fercore.runs.reader import read_run
from fercore.runs.schema import LayerSummary

RUNS = Path(__file__).parents[2] / "runs"


def layer(kind: str, shape: list[int], parameters: int = 0, detail: str = "") -> LayerSummary:
    return LayerSummary(
        name=kind, kind=kind, output_shape=shape, parameters=parameters, trainable=0, detail=detail
    )


def macs_of_onnx(path: Path) -> int:
    """Count the products of every Conv and Gemm by the shapes that ONNX infers."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output, *graph.input)
    } | {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm", "MatMul"}:
            products = 1
            for size in shapes[node.input[1]]:
                products *= size
            for size in shapes[node.output[0]][2:] if node.op_type == "Conv" else ():
                products *= size
            total += products
    return total


@pytest.mark.parametrize(
    "path", sorted(RUNS.glob("*-s0-*/model.onnx")), ids=lambda path: path.parent.name[:24]
)
def test_the_count_is_that_of_the_exported_network(path: Path):
    layers = read_run(path.parent).layers()
    if layers:
        assert count_macs(layers) == macs_of_onnx(path)


def test_each_kind_of_layer():
    image = layer("InputLayer", [8, 8, 3])
    assert count_macs([image]) == 0
    assert count_macs([image, layer("Conv2D", [8, 8, 4], 108, "3x3, same")]) == 108 * 64
    # With a bias.
    assert count_macs([image, layer("Conv2D", [8, 8, 4], 112, "3x3, same")]) == 108 * 64
    assert count_macs([image, layer("DepthwiseConv2D", [8, 8, 3], 30, "3x3, same")]) == 27 * 64
    # A kernel of one pixel: the bias is told by the channels that came before.
    assert count_macs([image, layer("Conv2D", [8, 8, 4], 12, "1x1")]) == 12 * 64
    assert count_macs([image, layer("Conv2D", [8, 8, 4], 16, "1x1")]) == 12 * 64
    assert count_macs([layer("Flatten", [10]), layer("Dense", [7], 77)]) == 70
    assert count_macs([layer("Flatten", [10]), layer("Dense", [7], 70)]) == 70


def test_what_cannot_be_counted_is_none():
    assert count_macs([]) is None
    assert count_macs([layer("Conv2D", [], 9, "3x3")]) is None
