"""Create a run that averages the probabilities of several runs, or of views of each image.

The members' networks are joined in one (`fercore.inference.ensemble_graph`), which is evaluated,
compared and used like the `model.onnx` of any other run.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore import machine
from fercore.config.protocol import ImageConfig
from fercore.config.run import Average, Combination, CombinedConfig, RunConfig, TestTimeAugmentation
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.evaluation.ensemble_selection import average_probabilities, stored_predictions
from fercore.evaluation.protocol import (
    Protocol,
    build_protocol,
    require_same_splits,
    require_unchanged_copies,
)
from fercore.evaluation.results import (
    evaluate_predictions,
    fit_validation_temperature,
    predictions_of,
)
from fercore.inference.ensemble_graph import build_ensemble_onnx
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.predictions import Predictions
from fercore.runs.provenance import describe_environment, now
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network
from fercore.runs.schema import OnnxExport, Results
from fercore.runs.writer import write_finished_run


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
    """Create a run that averages the probabilities of several runs.

    Args:
        runs: finished, with the same protocol and label set; with networks of one image size unless
            `network` is false.
        splits: their dataset.
        root: folder of the runs.
        name: of the new run, safe as a file name.
        title: of the new run, one line.
        tta: test-time augmentation: the views of each image that every member predicts on.
        command: that creates the run again.
        average: mean over the probabilities, arithmetic or geometric.
        network: join the members' networks into the new run's `model.onnx`; otherwise average
            their stored probabilities (half precision), and the new run has no network.
        candidates: number of runs that the members were selected from on the validation split;
            `None` if the members were given.

    Returns:
        The new run directory.

    Raises:
        UserError: if the runs cannot be combined; nothing is written then.
    """
    if tta != "none" and not network:
        raise UserError(f"received tta = {tta!r} without networks, expected tta = 'none'")
    first = _require_compatible(runs, network)
    _require_same_dataset(runs, splits, network)
    config = CombinedConfig(
        name=name,
        title=title,
        dataset=first.dataset,
        # Images that members excluded from their training stay in the test set.
        protocol=first.protocol.model_copy(update={"exclude": None}),
        image=first.image if len(_image_configs(runs)) == 1 else ImageConfig(),
        drop_classes=first.drop_classes,
        model="mean of networks",
        combined=Combination(
            members=tuple(run.id for run in runs),
            tta=tta,
            imported=any(map(_is_imported, runs)),
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
    predictions = _predict(runs, protocol, content, average)
    environment = describe_environment(
        command,
        splits,
        protocol,
        backend="onnxruntime" if network else "numpy",
        device=machine.cpu_name(),
        precision="float32",
    )
    results = _evaluate(runs, protocol, predictions, content)
    return write_finished_run(root, config, environment, predictions, results, content)


def ensemble_probabilities(
    runs: Sequence[Run], images: NDArray[np.uint8], mirrored: bool
) -> NDArray[np.float32]:
    """Return the mean probabilities of several runs' networks.

    Args:
        runs: finished, with networks of one image size and label set.
        images: `(n, height, width)` uint8.
        mirrored: whether each network also predicts on the mirror image of every image.

    Returns:
        `(n, classes)` float32.
    """
    networks = [OnnxNetwork(require_network(run), threads=0) for run in runs]
    views = [images, images[:, :, ::-1]] if mirrored else [images]
    probabilities = [network(view) for network in networks for view in views]
    return np.asarray(np.mean(probabilities, axis=0), np.float32)


def why_no_network(runs: Sequence[Run]) -> str:
    """Return why the runs cannot be joined into one network; empty if no reason is known."""
    missing = [run.id for run in runs if run.onnx_path is None]
    if missing:
        more = f" (nor have {len(missing) - 1} more)" if len(missing) > 1 else ""
        return f"{missing[0]} has no model.onnx{more}"
    return "the members take images of different sizes" if len(_image_configs(runs)) > 1 else ""


def _require_compatible(runs: Sequence[Run], network: bool) -> RunConfig:
    """Return the config of the first run.

    Raises:
        UserError: if a run is unfinished, lacks a network that is needed or is given twice, or if
            the runs differ in dataset, protocol, dropped classes or, for networks, image config.
    """
    for run in runs:
        if network:
            require_network(run)
        elif run.config is None or run.results is None:
            raise UserError(f"{run.id} is {run.state}; expected a finished run")
    first = runs[0]
    assert first.config is not None
    if len({run.id for run in runs}) < len(runs):
        raise UserError("received a run twice, expected each once")
    shared = ["dataset", "protocol", *(["image"] if network else []), "drop_classes"]
    for run in runs[1:]:
        assert run.config is not None
        for name in shared:
            one, other = getattr(run.config, name), getattr(first.config, name)
            is_same = one.has_same_splits(other) if name == "protocol" else one == other
            if not is_same:
                raise UserError(
                    f"{run.id} and {first.id} differ in {name}, expected runs on the same samples"
                )
    return first.config


def _require_same_dataset(runs: Sequence[Run], splits: Splits, network: bool) -> None:
    """Raise a `UserError` if a run was evaluated on other data than the given dataset."""
    for run in runs:
        require_unchanged_copies(run)
        require_same_splits(run, splits)
        fingerprint = run.environment.dataset_fingerprint if run.environment else splits.fingerprint
        if not network and fingerprint != splits.fingerprint:
            raise UserError(
                f"{run.id} stores predictions on another {splits.name} (fingerprint {fingerprint});"
                f" expected {splits.fingerprint}, the dataset that is installed"
            )


def _predict(
    runs: Sequence[Run], protocol: Protocol, content: bytes | None, average: Average
) -> dict[str, Predictions]:
    """Return the ensemble's predictions on the evaluated splits.

    Args:
        runs: the members.
        protocol: of the new run.
        content: of the joint network; `None` to average the members' stored probabilities.
        average: of the stored probabilities.
    """
    if content is not None:
        network = OnnxNetwork(content, threads=0)
        probabilities = {
            role: network(split.images) for role, split in protocol.eval_splits.items()
        }
    else:
        probabilities = {
            role: average_probabilities(
                [stored_predictions(run, role, split).probabilities for run in runs], average
            )
            for role, split in protocol.eval_splits.items()
        }
    return predictions_of(protocol, probabilities)


def _evaluate(
    runs: Sequence[Run],
    protocol: Protocol,
    predictions: dict[str, Predictions],
    content: bytes | None,
) -> Results:
    """Evaluate the ensemble's predictions; its numbers of parameters are its members' sums."""
    members = [run.results for run in runs if run.results]
    onnx = None
    if content is not None:
        onnx = OnnxExport(
            bytes=len(content),
            opset=max(member.onnx.opset for member in members if member.onnx),
            sha256=hashlib.sha256(content).hexdigest(),
        )
    return Results(
        class_names=list(protocol.class_names),
        splits=evaluate_predictions(protocol, predictions),
        finished=now(),
        parameters=_sum_known([member.parameters for member in members]),
        trainable_parameters=_sum_known([member.trainable_parameters for member in members]),
        temperature=fit_validation_temperature(protocol, predictions),
        onnx=onnx,
    )


def _image_configs(runs: Sequence[Run]) -> set[ImageConfig]:
    return {run.config.image for run in runs if run.config}


def _is_imported(run: Run) -> bool:
    """Return whether a run is imported, or a combination with an imported member."""
    if isinstance(run.config, CombinedConfig):
        return run.config.combined.imported
    return run.origin == "imported"


def _sum_known(counts: Sequence[int | None]) -> int | None:
    """Return the sum; `None` if any count is unknown."""
    return None if None in counts else sum(count or 0 for count in counts)
