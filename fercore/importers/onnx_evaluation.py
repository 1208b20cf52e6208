"""Determine the input and output format of an imported ONNX network, and evaluate it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import match_class
from fercore.errors import UserError
from fercore.importers.label_order import are_inverted, best_assignment, order_warning
from fercore.importers.limited_process import is_memory_error, report_progress
from fercore.importers.onnx_adapter import ImportedOnnxModel
from fercore.importers.onnx_inputs import RANGES, ModelIOSpec, with_range
from fercore.importers.scores import READINGS, Scale, detect_scale
from fercore.inference.onnx_session import OnnxNetwork, open_session

# Maximum number of input values of a batch, which limits the memory of a call.
_BATCH_VALUES = 1 << 20
# Images that are predicted twice in different batches. Rounding in a quantized network may change
# this fraction of the predictions, and scores by this fraction of their range.
_COMPARED = 256
_MAX_CHANGED_PREDICTIONS = 0.02
_MAX_SCORE_CHANGE = 0.02


@dataclass(frozen=True)
class Task:
    """The network to evaluate, the images, and the options of the user.

    Attributes:
        file: the network.
        class_names: of the dataset.
        labels: of the outputs, as given by the user; empty if not given.
        layout: of the input, as given; `None` if not given.
        channels: likewise.
        size: likewise, `(height, width)`.
        normalizations: candidates by name: mean and standard deviation on grey levels of 0 to 255.
        output_name: name of the output with the scores, as given; `None` if not given.
        scale: of the scores, as given; `None` if not given.
        images: `(n, height, width)` uint8 validation images on which candidates are compared.
        truth: `(n,)`, their classes.
        evaluated: the images to predict, by role.
        validation_title: name of the validation split, for messages.
    """

    file: Path
    class_names: tuple[str, ...]
    labels: tuple[str, ...]
    layout: Any
    channels: int | None
    size: tuple[int, int] | None
    normalizations: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]
    output_name: str | None
    scale: Scale | None
    images: NDArray[np.uint8]
    truth: NDArray[np.integer]
    evaluated: dict[str, NDArray[np.uint8]]
    validation_title: str


@dataclass(frozen=True)
class Outcome:
    """The result of evaluating a network.

    Attributes:
        spec: its input and output format.
        names: of its outputs.
        content: of the converted network, as a `model.onnx` of this package.
        probabilities: `(n, k)` by role.
        accuracies: on validation images by candidate; empty if there was one candidate.
        notes: lines for the user on how the network was read.
        opset: ONNX operator set.
        layers: rows of the layer table.
    """

    spec: ModelIOSpec
    names: tuple[str, ...]
    content: bytes
    probabilities: dict[str, NDArray[np.float32]]
    accuracies: dict[str, float]
    notes: list[str]
    opset: int
    layers: list[dict[str, Any]]


def evaluate_network(task: Task) -> Outcome:
    """Load a network, determine its input format and its scores, and predict all images.

    Raises:
        UserError: if the network does not fit the dataset, or cannot be run.
    """
    file = task.file.name
    shape = _image_shape(task)
    network = ImportedOnnxModel(task.file, task.layout, task.size, task.channels)
    report_progress()
    try:
        runnable = _runnable_specs(network, shape, file)
    except UserError:
        if network.batch is not None:
            raise
        # A file may declare any number of images where an inner reshape fixes it.
        network.batch = 1
        runnable = _runnable_specs(network, shape, file)
    names = task.labels or network.class_names
    output, notes = _resolve_output(network, runnable[0][1], names, task)
    candidates = _candidate_specs(network, [spec for spec, _ in runnable], task, output)
    scores = {
        name: _run(network, network.adapt(spec, names, names, shape), spec, task.images)
        for name, spec in candidates.items()
    }
    selected, accuracies = _select_candidate(scores, names, task, file)
    spec, score_notes = _check_scores(network, candidates[selected], names, scores[selected], task)
    content = network.adapt(spec, names, task.class_names, shape)
    probabilities = {
        role: _run(network, content, spec, images) for role, images in task.evaluated.items()
    }
    for role, values in probabilities.items():
        missing = int((~np.isfinite(values).all(axis=1)).sum())
        if missing:
            raise UserError(
                f"{file} gives NaN for {missing:,} of {len(values):,} images of the {role} split; "
                "expected numbers. Export it in float32, or check --range, --mean and --std"
            )
    return Outcome(
        spec=spec,
        names=tuple(names),
        content=content,
        probabilities=probabilities,
        accuracies=accuracies if len(candidates) > 1 else {},
        notes=[*notes, *score_notes],
        opset=network.opset,
        layers=[layer.model_dump(mode="json") for layer in network.layers()],
    )


def _image_shape(task: Task) -> tuple[int, int]:
    return int(task.images.shape[1]), int(task.images.shape[2])


def _resolve_output(
    network: ImportedOnnxModel, widths: dict[str, int], names: Sequence[str], task: Task
) -> tuple[str, list[str]]:
    """Return the output with the scores, and notes on it and on its labels."""
    file = task.file.name
    if widths and names and not task.labels and len(names) not in widths.values():
        raise UserError(
            f"{file} has {' or '.join(map(str, sorted(set(widths.values()))))} outputs, its "
            f"metadata name {len(names)} classes ({', '.join(names)[:100]}); expected --labels "
            "with the name of each output"
        )
    output = _select_output(widths, task.output_name, names, file)
    notes = _check_names(names, task.class_names)
    if task.labels and network.class_names and _are_different(task.labels, network.class_names):
        notes.append(
            f"warning: --labels differ from the names in the file, {','.join(network.class_names)}"
        )
    if len(network.outputs) > 1:
        notes.append(f"output {output} taken, of {', '.join(network.outputs)}")
    return output, notes


def _check_scores(
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
    content = network.adapt(spec, names, names, _image_shape(task))
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


def _runnable_specs(
    network: ImportedOnnxModel, shape: tuple[int, int], file: str
) -> list[tuple[ModelIOSpec, dict[str, int]]]:
    """Return the input formats with which the network runs, each with the widths of its outputs."""
    runnable: list[tuple[ModelIOSpec, dict[str, int]]] = []
    reason = ""
    for spec in network.specs:
        try:
            runnable.append((spec, _output_widths(network, spec, shape)))
        except Exception as error:  # onnxruntime raises classes of its own
            if is_memory_error(error):
                raise
            reason = reason or " ".join(str(error).split())[:200]
        report_progress()
        if network.size_is_open and len({other.size for other, _ in runnable}) > 1:
            raise UserError(f"{file} takes images of any size; expected --size, such as --size 48")
    if not runnable:
        raise UserError(f"{file} cannot be run on an image ({reason})")
    return runnable


def _output_widths(
    network: ImportedOnnxModel, spec: ModelIOSpec, shape: tuple[int, int]
) -> dict[str, int]:
    """Return the number of values per image in each output of a network."""
    session = open_session(network.with_preprocessing(spec, shape), threads=0)
    count = network.batch or 2
    pixels = np.linspace(0, 255, count * shape[0] * shape[1], dtype=np.float32)
    outputs = session.run(None, {"pixels": pixels.reshape(count, *shape, 1)})
    return {
        entry.name.removeprefix("foreign/"): values.size // count
        for entry, values in zip(session.get_outputs(), outputs, strict=True)
        if isinstance(values, np.ndarray)
        and values.dtype.kind in "fiu"
        and (count == 1 or values.shape[:1] == (count,))
        and values.size > count
    }


def _select_output(
    widths: dict[str, int], requested: str | None, names: Sequence[str], file: str
) -> str:
    outputs = ", ".join(f"{name} ({width} numbers)" for name, width in widths.items())
    if requested is not None and requested not in widths:
        raise UserError(
            f"received --output {requested}, expected one of the outputs of {file}: "
            f"{outputs or 'none'}"
        )
    possible = {requested: widths[requested]} if requested is not None else widths
    if not possible:
        raise UserError(f"{file} has no output with several scores per image")
    if not names:
        numbers = " or ".join(map(str, sorted(set(possible.values()))))
        raise UserError(
            f"{file} does not name its classes; expected --labels with {numbers} names in the "
            "order of its outputs, such as "
            "--labels angry,disgust,fear,happy,sad,surprise,neutral"
        )
    fitting = [name for name, width in possible.items() if width == len(names)]
    if not fitting:
        numbers = " or ".join(map(str, sorted(set(possible.values()))))
        raise UserError(f"received {len(names)} labels, {file} has {numbers} outputs")
    if len(fitting) > 1:
        raise UserError(
            f"{file} has several outputs with {len(names)} scores; expected --output with one of: "
            f"{', '.join(fitting)}"
        )
    return fitting[0]


def _check_names(names: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """Raise if the labels do not fit the dataset; return notes on labels without a counterpart."""
    matched = [match_class(name, class_names) for name in names]
    shared = [name for name in matched if name is not None]
    if len(shared) < 2 or len(set(shared)) < len(shared):
        raise UserError(
            f"received the labels {', '.join(names)}, expected at least two of the dataset's, each "
            f"once: {', '.join(class_names)}"
        )
    notes = []
    if left_out := [name for name, match in zip(names, matched, strict=True) if match is None]:
        notes.append(
            f"outputs left out, as the dataset has no such class: {', '.join(left_out)}; the "
            "others are scaled to sum to 1"
        )
    if missing := [name for name in class_names if name not in shared]:
        notes.append(f"classes without an output, whose probability is 0: {', '.join(missing)}")
    return notes


def _candidate_specs(
    network: ImportedOnnxModel, specs: Sequence[ModelIOSpec], task: Task, output: str
) -> dict[str, ModelIOSpec]:
    """Return the specifications to compare: every input format with every normalization."""
    candidates: dict[str, ModelIOSpec] = {}
    for spec in specs:
        for name, (mean, std) in task.normalizations.items():
            if not _is_representable(network.integer_range, mean, std):
                if len(task.normalizations) > 1:
                    continue
                low, high = network.integer_range or (0, 0)
                raise UserError(
                    f"{task.file.name} takes whole numbers from {low} to {high}, which cannot "
                    f"represent grey levels as {name}; expected --range "
                    f"{'-128-127' if high < 255 else '0-255'}"
                )
            if name in RANGES:
                normalized = with_range(spec, name)
            elif {len(mean), len(std)} <= {1, spec.channels} and 0 not in std:
                normalized = replace(spec, mean=mean, std=std)
            else:
                raise UserError(
                    f"received mean {list(mean)} and std {list(std)}, expected one value each or "
                    f"{spec.channels}, and no std of 0"
                )
            key = name
            if len(specs) > 1:
                key += f", {spec.channels} channels, {spec.layout}"
            candidates[key] = replace(normalized, output="raw", output_name=output)
    return candidates


def _is_representable(
    integer_range: tuple[int, int] | None, mean: Sequence[float], std: Sequence[float]
) -> bool:
    """Return whether an integer input can represent normalized grey levels, all but a few."""
    if integer_range is None:
        return True
    ends = [(level - m) / s for level in (0, 255) for m in mean for s in std]
    low, high = integer_range
    return low <= min(ends) and max(ends) <= high and max(ends) - min(ends) > 200


def _match_outputs(names: Sequence[str], task: Task) -> tuple[list[int], NDArray[np.integer]]:
    """Return the outputs that have a class in the dataset, and their classes."""
    matched = [match_class(name, task.class_names) for name in names]
    columns = [column for column, name in enumerate(matched) if name is not None]
    classes = np.array([task.class_names.index(str(matched[column])) for column in columns])
    return columns, classes


def _select_candidate(
    scores: dict[str, NDArray[np.float32]], names: Sequence[str], task: Task, file: str
) -> tuple[str, dict[str, float]]:
    """Return the candidate with the highest validation accuracy, and the accuracy of each.

    Candidates are ranked by the accuracy in the best order of their outputs, so that labels in a
    wrong order do not affect the ranking.
    """
    columns, classes = _match_outputs(names, task)
    accuracies: dict[str, float] = {}
    ranks: dict[str, tuple[float, float]] = {}
    for name, values in scores.items():
        if not np.isfinite(values).all():
            accuracies[name] = 0.0
            continue
        predicted = classes[values[:, columns].argmax(axis=1)]
        accuracies[name] = float((predicted == task.truth).mean())
        best, _ = best_assignment(
            values.argmax(axis=1), task.truth, len(names), len(task.class_names)
        )
        ranks[name] = best, accuracies[name]
    if not ranks:
        count = min(int((~np.isfinite(v).all(axis=1)).sum()) for v in scores.values())
        raise UserError(
            f"{file} gives NaN or infinite scores for {count:,} of {len(task.images):,} images of "
            f"{task.validation_title}; expected numbers. Export it in float32, or check --range, "
            "--mean and --std"
        )
    return max(ranks, key=lambda name: ranks[name]), accuracies


def _are_different(labels: Sequence[str], others: Sequence[str]) -> bool:
    return len(labels) != len(others) or any(
        match_class(other, labels) not in {None, label}
        for label, other in zip(labels, others, strict=True)
    )


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
    first, second = scores[order], _run(network, content, spec, task.images[order])
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
    columns, classes = _match_outputs(names, task)
    if are_inverted(scores[:, columns], task.truth, classes):
        raise UserError(
            f"{file}: the lowest output is that of the image's class, not the highest; expected "
            "scores that are higher for the more likely class, not distances or losses"
        )


def _run(
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
