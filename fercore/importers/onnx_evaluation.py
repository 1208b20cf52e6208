"""Determine the input and output format of an imported ONNX network, and evaluate it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import match_class
from fercore.errors import UserError
from fercore.importers.label_order import best_assignment
from fercore.importers.limited_process import is_memory_error, report_progress
from fercore.importers.onnx_adapter import ImportedOnnxModel
from fercore.importers.onnx_checks import check_scores, match_outputs, run_network
from fercore.importers.onnx_inputs import RANGES, ModelIOSpec, with_range
from fercore.importers.onnx_task import Outcome, Task
from fercore.inference.onnx_session import open_session


def evaluate_network(task: Task) -> Outcome:
    """Load a network, determine its input format and its scores, and predict all images.

    Raises:
        UserError: if the network does not fit the dataset, or cannot be run.
    """
    file = task.file.name
    shape = task.image_shape
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
        name: run_network(network, network.adapt(spec, names, names, shape), spec, task.images)
        for name, spec in candidates.items()
    }
    selected, accuracies = _select_candidate(scores, names, task, file)
    spec, score_notes = check_scores(network, candidates[selected], names, scores[selected], task)
    content = network.adapt(spec, names, task.class_names, shape)
    probabilities = {
        role: run_network(network, content, spec, images) for role, images in task.evaluated.items()
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


def _select_candidate(
    scores: dict[str, NDArray[np.float32]], names: Sequence[str], task: Task, file: str
) -> tuple[str, dict[str, float]]:
    """Return the candidate with the highest validation accuracy, and the accuracy of each.

    Candidates are ranked by the accuracy in the best order of their outputs, so that labels in a
    wrong order do not affect the ranking.
    """
    columns, classes = match_outputs(names, task)
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
