"""Several networks, or several views of an image, asked together, as one network.

The members are joined in one graph of ONNX, which averages their probabilities: what is judged,
compared and run live is then a `model.onnx` like any other.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore import machine
from fercore.config.protocol import ImageConfig
from fercore.config.run import Average, Combination, CombinedConfig, TestTimeAugmentation
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.evaluation.ensemble_selection import average_probabilities, stored_predictions
from fercore.evaluation.protocol import (
    build_protocol,
    require_same_splits,
    require_unchanged_copies,
)
from fercore.evaluation.results import (
    evaluate_predictions,
    fit_validation_temperature,
    predictions_of,
)
from fercore.inference.onnx_session import OnnxNetwork
from fercore.metrics.calibration import SMALLEST_PROBABILITY
from fercore.runs.provenance import describe_environment, now
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network
from fercore.runs.schema import OnnxExport, Results
from fercore.runs.writer import write_finished_run

# Pixels by which the shifted views are moved, at the papers' 48.
_SHIFT_SHARE = 1 / 24


def combine(
    runs: Sequence[Run],
    splits: Splits,
    root: Path,
    *,
    name: str,
    title: str,
    tta: TestTimeAugmentation,
    command: str,
    average: Average = "arithmetic",
    network: bool = True,
    candidates: int | None = None,
) -> Path:
    """Make a run of the mean of several runs' probabilities.

    Args:
        runs: finished, of one protocol and label set; with networks for one image size unless
            `network` is false.
        splits: their dataset.
        root: of the runs.
        name: of the new run, file-name safe.
        title: one line for people.
        tta: test-time augmentation: the views of each image that every member predicts.
        command: that makes the run again.
        average: how the probabilities are averaged.
        network: join the members' networks into the new run's `model.onnx`; otherwise average
            their stored probabilities (half precision), and the new run has no network.
        candidates: number of runs that the members were selected from on the validation split;
            `None` where they were named.

    Returns:
        The new run directory.

    Raises:
        UserError: if the runs do not fit together; nothing is written then.
    """
    if tta != "none" and not network:
        raise UserError(f"received tta = {tta!r} without networks, expected tta = 'none'")
    first = _together(runs, network)
    for run in runs:
        require_unchanged_copies(run)
        require_same_splits(run, splits)
        known = run.environment.dataset_fingerprint if run.environment else splits.fingerprint
        if not network and known != splits.fingerprint:
            raise UserError(
                f"{run.id} stores predictions on another {splits.name} (fingerprint {known}); "
                f"expected {splits.fingerprint}, the dataset that is here"
            )
    config = CombinedConfig(
        name=name,
        title=title,
        dataset=first.dataset,
        # What the members excluded from their training is theirs.
        protocol=first.protocol.model_copy(update={"exclude": None}),
        image=first.image if len(_images(runs)) == 1 else ImageConfig(),
        drop_classes=first.drop_classes,
        model="mean of networks",
        combined=Combination(
            members=tuple(run.id for run in runs),
            tta=tta,
            imported=any(map(_from_elsewhere, runs)),
            average=average,
            selected_on="validation" if candidates else None,
            candidates=candidates,
        ),
    )
    protocol = build_protocol(config, splits)
    content = None
    if network:
        files = [require_network(run) for run in runs]
        content = build_ensemble_onnx(files, protocol.class_names, tta, average)
        session = OnnxNetwork(content, threads=0)
        probabilities = {role: session(split.images) for role, split in protocol.judged.items()}
    else:
        probabilities = {
            role: average_probabilities(
                [stored_predictions(run, role, split).probabilities for run in runs], average
            )
            for role, split in protocol.judged.items()
        }
    predictions = predictions_of(protocol, probabilities)
    members = [run.results for run in runs if run.results]
    results = Results(
        class_names=list(protocol.class_names),
        splits=evaluate_predictions(protocol, predictions),
        finished=now(),
        parameters=_sum([result.parameters for result in members]),
        trainable_parameters=_sum([result.trainable_parameters for result in members]),
        temperature=fit_validation_temperature(protocol, predictions),
        onnx=None
        if content is None
        else OnnxExport(
            bytes=len(content),
            opset=max(r.onnx.opset for r in members if r.onnx),
            sha256=hashlib.sha256(content).hexdigest(),
        ),
    )
    environment = describe_environment(
        command,
        splits,
        protocol,
        backend="onnxruntime" if network else "numpy",
        device=machine.cpu_name(),
        precision="float32",
    )
    return write_finished_run(root, config, environment, predictions, results, content)


def ensemble_probabilities(
    runs: Sequence[Run], images: NDArray[np.uint8], mirrored: bool
) -> NDArray[np.float32]:
    """What several runs' networks say together of images.

    Args:
        runs: finished, with networks, of one image size and label set.
        images: `(n, height, width)` uint8.
        mirrored: whether each network is asked about every image's mirror image, too.

    Returns:
        `(n, k)` float32, the mean of their probabilities.
    """
    networks = [OnnxNetwork(require_network(run), threads=0) for run in runs]
    views = [images, images[:, :, ::-1]] if mirrored else [images]
    said = [network(view) for network in networks for view in views]
    return np.asarray(np.mean(said, axis=0), np.float32)


def why_no_network(runs: Sequence[Run]) -> str:
    """Return why the runs cannot be joined into one network; empty if nothing is known."""
    lacking = [run.id for run in runs if run.onnx_path is None]
    if lacking:
        more = f" (nor have {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        return f"{lacking[0]} has no model.onnx{more}"
    return "the members take images of different sizes" if len(_images(runs)) > 1 else ""


def build_ensemble_onnx(
    files: Sequence[Path],
    class_names: Sequence[str],
    tta: TestTimeAugmentation = "none",
    average: Average = "arithmetic",
) -> bytes:
    """Networks as one that returns the mean of their probabilities over all views of an image.

    Args:
        files: `model.onnx` of each; they take images of one size.
        class_names: of their outputs, in one order.
        tta: `"none"`; `"flip"`, the image and its mirror image; `"ten_view"`, these two, each in
            its place and moved by a 24th of the side to the left, the right, up and down, where the
            last pixels fill the edge.
        average: how the probabilities of all networks and views are averaged, as
            `fercore.evaluation.ensemble_selection.average_probabilities` does.

    Returns:
        The content of a file that takes and gives what each of them does.

    Raises:
        UserError: if they differ in size or operator set, or take one image at a time.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    models = [onnx.load(file) for file in files]
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
    if batch and tta != "none":
        raise UserError(f"the network takes {batch} images at a time; views need any number")
    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(name: str, value: Any, dtype: type = np.int64) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"combined/{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    shown = ["pixels"]
    if tta == "ten_view":
        down, across = (max(1, round(side * _SHIFT_SHARE)) for side in (height, width))
        pads = constant("combined/pads", [0, down, across, 0, 0, down, across, 0])
        padded = add("Pad", "pixels", pads, mode="edge")
        axes = constant("combined/axes", [1, 2])
        for number, (y, x) in enumerate(((0, 1), (2, 1), (1, 0), (1, 2))):
            begin = np.array([y * down, x * across])
            starts = constant(f"combined/starts_{number}", begin)
            ends = constant(f"combined/ends_{number}", begin + np.array([height, width]))
            shown.append(add("Slice", padded, starts, ends, axes))
    if tta != "none":
        mirror = [
            constant(f"combined/{name}", [value])
            for name, value in (("last", -1), ("before", -(2**31)), ("across", 2), ("back", -1))
        ]
        shown += [add("Slice", view, *mirror) for view in shown]
    asked = add("Concat", *shown, axis=0) if len(shown) > 1 else "pixels"

    said = []
    for number, model in enumerate(models):
        graph = onnx.compose.add_prefix(model, f"member{number}/").graph
        entrance = graph.input[0].name
        nodes.append(helper.make_node("Identity", [asked], [entrance]))
        nodes.extend(graph.node)
        constants.extend(graph.initializer)
        said.append(graph.output[0].name)
    if average == "geometric":
        least = constant("combined/least", SMALLEST_PROBABILITY, np.float32)
        said = [add("Log", add("Clip", output, least)) for output in said]
    mean = add("Mean", *said) if len(said) > 1 else said[0]
    if len(shown) > 1:
        by_view = constant("combined/by_view", [len(shown), -1, len(class_names)])
        # ReduceMean took its axes otherwise before operator set 18.
        total = add(
            "ReduceSum", add("Reshape", mean, by_view), constant("combined/first", [0]), keepdims=0
        )
        mean = add("Mul", total, constant("combined/share", 1 / len(shown), np.float32))
    if average == "geometric":
        mean = add("Softmax", mean, axis=1)
    nodes.append(helper.make_node("Identity", [mean], ["probabilities"]))
    graph = helper.make_graph(
        nodes,
        "combined",
        [
            helper.make_tensor_value_info(
                "pixels", TensorProto.FLOAT, [batch or "batch", height, width, 1]
            )
        ],
        [
            helper.make_tensor_value_info(
                "probabilities", TensorProto.FLOAT, [batch or "batch", len(class_names)]
            )
        ],
        constants,
    )
    functions = [function for model in models for function in model.functions]
    whole = helper.make_model(
        graph,
        opset_imports=list(models[0].opset_import),
        functions=functions,
        ir_version=max(model.ir_version for model in models),
    )
    helper.set_model_props(whole, {"class_names": json.dumps(list(class_names))})
    onnx.checker.check_model(whole)
    content: bytes = whole.SerializeToString()
    return content


def _together(runs: Sequence[Run], network: bool) -> Any:
    """The config that all runs share in what matters for their figures."""
    for run in runs:
        if network:
            require_network(run)
        elif run.config is None or run.results is None:
            raise UserError(f"{run.id} is {run.state}; expected a finished run")
    first = runs[0]
    if len({run.id for run in runs}) < len(runs):
        raise UserError("received a run twice, expected each once")
    shared = ["dataset", "protocol", *(["image"] if network else []), "drop_classes"]
    for run in runs[1:]:
        assert run.config is not None
        assert first.config is not None
        for what in shared:
            own, others = getattr(run.config, what), getattr(first.config, what)
            same = own.has_same_splits(others) if what == "protocol" else own == others
            if not same:
                raise UserError(
                    f"{run.id} and {first.id} differ in {what}, expected runs on the same samples"
                )
    return first.config


def _images(runs: Sequence[Run]) -> set[ImageConfig]:
    return {run.config.image for run in runs if run.config}


def _from_elsewhere(run: Run) -> bool:
    if isinstance(run.config, CombinedConfig):
        return run.config.combined.imported
    return run.origin == "imported"


def _sum(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count or 0 for count in counts)
