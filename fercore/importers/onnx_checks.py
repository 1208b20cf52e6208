"""Run an imported network, check its scores on validation images, and detect their scale."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import match_class
from fercore.errors import UserError
from fercore.importers.label_order import are_inverted, order_warning
from fercore.importers.limited_process import report_progress
from fercore.importers.onnx_adapter import ImportedOnnxModel
from fercore.importers.onnx_inputs import ModelIOSpec
from fercore.importers.onnx_task import Task
from fercore.importers.scores import READINGS, Scale, detect_scale
from fercore.inference.onnx_session import OnnxNetwork

# Maximum number of input values of a batch, which limits the memory of a call.
_BATCH_VALUES = 1 << 20
# Images that are predicted twice in different batches. Rounding in a quantized network may change
# this fraction of the predictions, and scores by this fraction of their range.
_COMPARED = 256
_MAX_CHANGED_PREDICTIONS = 0.02
_MAX_SCORE_CHANGE = 0.02


def check_scores(
    network: ImportedOnnxModel,
    spec: ModelIOSpec,
    names: Sequence[str],
    scores: NDArray[np.float32],
    task: Task,
) -> tuple[ModelIOSpec, list[str]]:
    """Check the scores of the validation images, and detect their scale.

    Returns:
        The specification with the scale of the scores, and notes.

    Raises:
        UserError: if the scores are constant, inverted, or depend on the other images of a batch.
    """
    _refuse_constant(scores, len(task.truth), task.file.name)
    _refuse_inverted(scores, names, task, task.file.name)
    content = network.adapt(spec, names, names, task.image_shape)
    notes = _check_batch_independence(network, content, spec, task, scores)
    detected = task.scale or detect_scale(scores) or "logits"
    # Rows of exact 0 and 1 are probabilities of a network that is certain.
    scale: Scale = "probabilities" if detected == "labels" else detected
    if scale not in {"probabilities", "logits"}:
        notes.append(f"scores read as {READINGS[scale]}")
    warning = order_warning(
        scores.argmax(axis=1),
        task.truth,
        names,
        task.class_names,
        f"the images of {task.validation_title}",
    )
    notes += [warning] if warning else []
    return replace(spec, output=scale), notes


def match_outputs(names: Sequence[str], task: Task) -> tuple[list[int], NDArray[np.integer]]:
    """Return the outputs that have a class in the dataset, and their classes."""
    matched = [match_class(name, task.class_names) for name in names]
    columns = [column for column, name in enumerate(matched) if name is not None]
    classes = np.array([task.class_names.index(str(matched[column])) for column in columns])
    return columns, classes


def _refuse_constant(scores: NDArray[np.float32], count: int, file: str) -> None:
    if count > 1 and (np.ptp(scores, axis=0) == 0).all():
        raise UserError(
            f"{file} gives the same scores for all of {count:,} validation images; expected "
            "different scores: check --range, --mean and --std, and that a softmax is over the "
            "classes"
        )


def _check_batch_independence(
    network: ImportedOnnxModel,
    content: bytes,
    spec: ModelIOSpec,
    task: Task,
    scores: NDArray[np.float32],
) -> list[str]:
    """Compare the scores of images in batches of another order; return a warning if they differ.

    They differ if batch normalization or dropout is in training mode, or a softmax is over the
    images of a batch.

    Raises:
        UserError: if the predicted classes differ.
    """
    order = np.random.default_rng(0).permutation(min(len(scores), _COMPARED))
    first, second = scores[order], run_network(network, content, spec, task.images[order])
    changed = float((first.argmax(axis=1) != second.argmax(axis=1)).mean())
    max_change = float(np.abs(first - second).max())
    remedy = (
        "export the network in evaluation mode (batch normalization, dropout), with a softmax over "
        "the classes"
    )
    if changed > _MAX_CHANGED_PREDICTIONS:
        raise UserError(
            f"{task.file.name}: {100 * changed:.1f} % of the predictions change when the same "
            f"images come in another order; expected the same: {remedy}"
        )
    if max_change > _MAX_SCORE_CHANGE * max(float(np.ptp(scores)), 1e-9):
        return [
            f"warning: the scores of an image change by up to {max_change:.2g} with the other "
            f"images of its batch; {remedy}"
        ]
    return []


def _refuse_inverted(
    scores: NDArray[np.float32], names: Sequence[str], task: Task, file: str
) -> None:
    columns, classes = match_outputs(names, task)
    if are_inverted(scores[:, columns], task.truth, classes):
        raise UserError(
            f"{file}: the lowest output is that of the image's class, not the highest; expected "
            "scores that are higher for the more likely class, not distances or losses"
        )


def run_network(
    network: ImportedOnnxModel, content: bytes, spec: ModelIOSpec, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the scores of every image; report progress after each batch."""
    session = OnnxNetwork(content, threads=0)
    size = max(1, min(64, _BATCH_VALUES // (spec.channels * prod(spec.size))))
    if network.batch:
        size = network.batch
    parts = [np.empty((0, session.num_classes), np.float32)]
    for start in range(0, len(images), size):
        parts.append(session(images[start : start + size], size))
        report_progress()
    return np.concatenate(parts)
