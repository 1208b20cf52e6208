"""Build ONNX files of other projects: valid ones of unusual form, and hostile ones.

Each function writes one file. The sound ones score the bars of `tests.tiny.make_split`: they are
right in most images, on the range of grey levels that they are made for.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 48
OPSETS = [helper.make_opsetid("", 17)]


def templates() -> np.ndarray:
    """Return the weights of a linear classifier, `(48 * 48, 7)`; each column sums to 0."""
    weights = np.zeros((SIDE, SIDE, 7), np.float32)
    for label in range(7):
        weights[6 * label + 2 : 6 * label + 6, 8:40, label] = 1
    weights -= weights.mean(axis=2, keepdims=True)
    return weights.reshape(-1, 7) / 128


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[object],
    outputs: Sequence[tuple[str, Sequence[object]]],
    constants: dict[str, np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
    kind: int = TensorProto.FLOAT,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "theirs",
        [helper.make_tensor_value_info("image", kind, list(inputs))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
    if metadata:
        helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def classifier(
    path: Path,
    *,
    shape: Sequence[object] = ("n", 1, SIDE, SIDE),
    order: Sequence[int] = range(7),
    mean: float = 0.0,
    std: float = 255.0,
    gain: float = 20.0,
    ending: str = "logits",
    least: float | None = None,
    output: Sequence[object] = ("n", 7),
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a linear classifier of images that were normalized by `mean` and `std`.

    Args:
        path: of the file.
        shape: of the input.
        order: class of each output.
        mean: of the normalization that it expects, on grey levels of 0 to 255.
        std: likewise.
        gain: factor of the logits.
        ending: what it gives: logits, softmax, percent, sigmoid or nan.
        least: grey level that the brightest pixel must pass; below it, the scores are negated.
        output: shape of the output.
        metadata: of the file.
    """
    channels = 3 if 3 in list(shape)[1:] else 1
    # Undoes the normalization; on any other range, a clipped image tells the classes worse.
    weights = templates()[:, list(order)] * gain / channels
    if channels == 3:
        first = list(shape)[1] == 3
        weights = np.tile(weights, (3, 1)) if first else np.repeat(weights, 3, axis=0)
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["numbers", "std"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mean"], ["grey"]),
        helper.make_node("Clip", ["grey", "low", "high"], ["clipped"]),
        helper.make_node("Div", ["clipped", "high"], ["unit"]),
        helper.make_node("Reshape", ["unit", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    constants = {
        "std": np.float32(std),
        "mean": np.float32(mean),
        "low": np.float32(0),
        "high": np.float32(255),
        "flat_shape": np.array([-1, len(weights)], np.int64),
        "weights": weights.astype(np.float32),
    }
    last = "scores"

    def then(kind: str, *others: str, **attributes: object) -> None:
        nonlocal last
        name = f"{last}_{kind.lower()}"
        nodes.append(helper.make_node(kind, [last, *others], [name], **attributes))
        last = name

    if least is not None:
        constants["least"] = np.float32(least / 255)
        nodes += [
            helper.make_node("ReduceMax", ["flat"], ["most"], axes=[1]),
            helper.make_node("Sub", ["most", "least"], ["passed"]),
        ]
        then("Mul", "passed")
    if ending in {"softmax", "percent"}:
        then("Softmax", axis=1)
    if ending == "percent":
        constants["hundred"] = np.float32(100)
        then("Mul", "hundred")
    if ending == "sigmoid":
        then("Sigmoid")
    if ending == "nan":
        then("Log")
    constants["out_shape"] = np.array([-1, *list(output)[1:]], np.int64)
    then("Reshape", "out_shape")
    return save(path, nodes, shape, [(last, output)], constants, metadata)


def ultralytics(names: Sequence[str]) -> dict[str, str]:
    """Return metadata in the form of Ultralytics: a Python dictionary."""
    return {"names": str(dict(enumerate(names))), "task": "classify"}


def hugging_face(names: Sequence[str]) -> dict[str, str]:
    return {"id2label": json.dumps({str(place): name for place, name in enumerate(names)})}


def several_outputs(path: Path) -> Path:
    """Write a network with scores of an auxiliary head, features, and scores."""
    names = [("aux", ["n", 7]), ("features", ["n", 2304]), ("main", ["n", 7])]
    nodes = [
        helper.make_node("Flatten", ["image"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "weights"], ["main"]),
        helper.make_node("MatMul", ["features", "reversed"], ["aux"]),
    ]
    weights = templates() * 20 / 255
    constants = {"weights": weights, "reversed": np.ascontiguousarray(weights[:, ::-1])}
    return save(path, nodes, ["n", 1, SIDE, SIDE], names, constants)


def convolutional(path: Path, *, layout: str = "nchw", channels: int = 3) -> Path:
    """Write a convolution over the full image; no axis of its input has a fixed size."""
    kernels = templates().T.reshape(7, 1, SIDE, SIDE) * 20 / 255 / channels
    nodes = []
    image = "image"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]))
        image = "first"
    nodes += [
        helper.make_node("Conv", [image, "kernels"], ["maps"]),
        helper.make_node("Flatten", ["maps"], ["scores"], axis=1),
    ]
    constants = {"kernels": np.repeat(kernels, channels, axis=1)}
    return save(path, nodes, ["a", "b", "c", "d"], [("scores", ["e", "f"])], constants)


def folding_bomb(path: Path, size: int = 700_000_000) -> Path:
    """Write a few hundred bytes with constants that take 2.8 GB when they are folded."""
    constants = {
        "shape": np.array([size], np.int64),
        "weights": templates(),
        "axes": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("Exp", ["huge"], ["huger"]),
        helper.make_node("ReduceSum", ["huger", "axes"], ["total"]),
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["raw"]),
        helper.make_node("Add", ["raw", "total"], ["scores"]),
    ]
    return save(path, nodes, ["n", 1, SIDE, SIDE], [("scores", ["n", 7])], constants)


def endless_loop(path: Path, growing: bool = False) -> Path:
    """Write an endless loop; with `growing`, each iteration keeps 9 kB."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["flat_in", "flat_in"], ["flat_out"]),
            helper.make_node("Identity", ["flat_in"], ["kept"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("flat_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("flat_out", TensorProto.FLOAT, None),
            *([helper.make_tensor_value_info("kept", TensorProto.FLOAT, None)] if growing else []),
        ],
    )
    if not growing:
        del body.node[2]
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node(
            "Loop",
            ["", "true", "flat"],
            ["looped", "all"] if growing else ["looped"],
            body=body,
        ),
        helper.make_node("MatMul", ["looped", "weights"], ["scores"]),
    ]
    constants = {"true": np.array(True), "weights": templates()}
    return save(path, nodes, ["n", 1, SIDE, SIDE], [("scores", ["n", 7])], constants)


def huge_input(path: Path) -> Path:
    """Write a network for images with sides of a million pixels."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=[2, 3], keepdims=0)]
    return save(path, nodes, ["n", 3, 1_000_000, 1_000_000], [("scores", ["n", 3])])


def wrapped(path: Path, form: str) -> Path:
    """Write a linear classifier of levels of 0 to 1 in a form that exporters produce.

    Args:
        path: of the file.
        form: `zipmap`, as skl2onnx ends a network; `branch`, with weights inside an If; `one`, for
            one image although the file leaves their number open; `int8`, on levels less 128;
            `uint8`, on levels as they are; `text`; `batch`, less the mean over the images;
            `random`, with noise; `constant`; `distance`, the lowest the likeliest; `names`, which
            names its outputs in alphabetical order; or `plain`.
    """
    kinds = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "text": TensorProto.STRING}
    constants: dict[str, np.ndarray] = {"weights": templates() * 20}
    outputs: list[tuple[str, Sequence[object]]] = [("scores", ["n", 7])]
    nodes = [helper.make_node("Flatten", ["image"], ["flat"], axis=1)]
    product = helper.make_node("MatMul", ["flat", "weights"], ["raw"])
    last = "raw"
    metadata = None
    if form in kinds:
        constants |= {"offset": np.float32(128 * (form == "int8")), "most": np.float32(255)}
        nodes = [
            helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["levels", "offset"], ["moved"]),
            helper.make_node("Div", ["moved", "most"], ["unit"]),
            helper.make_node("Flatten", ["unit"], ["flat"], axis=1),
        ]
    if form == "one":
        constants["one"] = np.array([1, SIDE * SIDE], np.int64)
        nodes = [helper.make_node("Reshape", ["image", "one"], ["flat"])]
    if form == "branch":
        value = helper.make_tensor_value_info
        branches = {
            name: helper.make_graph(
                [helper.make_node("MatMul", ["flat", "weights"], [name])],
                name,
                [],
                [value(name, TensorProto.FLOAT, ["n", 7])],
            )
            for name in ("then_branch", "else_branch")
        }
        constants["yes"] = np.array(True)
        product = helper.make_node("If", ["yes"], ["raw"], **branches)
    nodes.append(product)

    def then(kind: str, *others: str, **attributes: object) -> None:
        nonlocal last
        nodes.append(helper.make_node(kind, [last, *others], [f"{last}_"], **attributes))
        last = f"{last}_"

    if form in {"batch", "constant"}:
        nodes.append(helper.make_node("ReduceMean", ["raw"], ["mean"], axes=[0]))
        then("Sub", "mean")
    if form == "constant":
        constants["nothing"] = np.float32(0)
        then("Mul", "nothing")
    if form == "random":
        nodes.append(helper.make_node("RandomNormalLike", ["raw"], ["noise"], scale=9.0))
        then("Add", "noise")
    if form == "distance":
        then("Neg")
    if form == "names":
        metadata = {"names": json.dumps(["angry", "disgust", "fear", "happy", "neutral", "sad"])}
        metadata["names"] = metadata["names"].replace("]", ', "surprise"]')
    then("Softmax" if form == "zipmap" else "Identity", **({"axis": 1} if form == "zipmap" else {}))
    nodes[-1].output[0] = "scores"
    save(path, nodes, ["n", 1, SIDE, SIDE], outputs, constants, metadata, kinds.get(form, 1))
    return _zip_map(path) if form == "zipmap" else path


def _zip_map(path: Path) -> Path:
    """Append the output of skl2onnx to a network: dictionaries of scores by class name."""
    model = onnx.load(path)
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    model.graph.node.append(
        helper.make_node(
            "ZipMap", ["scores"], ["shares"], domain="ai.onnx.ml", classlabels_strings=names
        )
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    one = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    shares = helper.make_value_info("shares", helper.make_sequence_type_proto(one))
    model.graph.output[0].CopyFrom(shares)
    path.write_bytes(model.SerializeToString())
    return path
