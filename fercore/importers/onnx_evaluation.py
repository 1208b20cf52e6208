"""Find out how an ONNX network of another project is to be read, and evaluate it."""

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
from fercore.importers.onnx_adapter import ForeignNetwork
from fercore.importers.onnx_inputs import RANGES, Interface, ranged
from fercore.importers.scores import READINGS, Scale, detect_scale
from fercore.inference.onnx_session import OnnxNetwork, open_session

# Pixels and channels of a batch: bounds the memory of one call.
_BATCH_VALUES = 1 << 20
# Images run twice; the share of predictions and the part of the range of scores that may change
# between the two, as by the rounding of a quantized network.
_COMPARED = 256
_MAX_CHANGED = 0.02
_MAX_REACH = 0.02


@dataclass(frozen=True)
class Task:
    """What to evaluate.

    Attributes:
        file: the network.
        class_names: of the dataset.
        labels: of the outputs, as given.
        layout: of the input, as given.
        channels: likewise.
        size: likewise.
        normalizations: candidates by name: mean and standard deviation on grey levels of 0 to 255.
        output_name: as given.
        scale: of the scores, as given.
        images: validation images to compare candidates on.
        truth: their classes.
        judged: all images by role.
        validation_title: for messages.
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
    judged: dict[str, NDArray[np.uint8]]
    validation_title: str


@dataclass(frozen=True)
class Outcome:
    """An evaluated network.

    Attributes:
        interface: how it was read.
        names: of its outputs.
        content: of a file in our form.
        probabilities: by role.
        tried: accuracy on validation images by candidate, where there were several.
        notes: lines on how it was read.
        opset: ONNX operator set.
        layers: rows of the layer table.
    """

    interface: Interface
    names: tuple[str, ...]
    content: bytes
    probabilities: dict[str, NDArray[np.float32]]
    tried: dict[str, float]
    notes: list[str]
    opset: int
    layers: list[dict[str, Any]]


def evaluate_network(task: Task) -> Outcome:
    """Read, adapt and run a network.

    Raises:
        UserError: if it does not fit.
    """
    file = task.file.name
    shape = (int(task.images.shape[1]), int(task.images.shape[2]))
    network = ForeignNetwork(task.file, task.layout, task.size, task.channels)
    report_progress()
    try:
        readings = _working(network, shape, file)
    except UserError:
        if network.batch is not None:
            raise
        # A file may leave the number of images open where an inner reshape fixes it.
        network.batch = 1
        readings = _working(network, shape, file)
    widths = readings[0][1]
    names = task.labels or network.class_names
    if widths and names and not task.labels and len(names) not in widths.values():
        raise UserError(
            f"{file} has {' or '.join(map(str, sorted(set(widths.values()))))} outputs, its "
            f"metadata name {len(names)} classes ({', '.join(names)[:100]}); expected --labels "
            "with the name of each output"
        )
    output = _choose_output(widths, task.output_name, names, file)
    notes = _check_names(names, task.class_names)
    if task.labels and network.class_names and _differ(task.labels, network.class_names):
        notes.append(
            f"warning: --labels differ from the names in the file, {','.join(network.class_names)}"
        )
    if len(network.outputs) > 1:
        notes.append(f"output {output} taken, of {', '.join(network.outputs)}")
    candidates = _candidates(network, [reading for reading, _ in readings], task, output)
    scores = {
        name: _run(network, network.adapted(found, names, names, shape), found, task.images)
        for name, found in candidates.items()
    }
    chosen, tried = _compare(scores, names, task, file)
    interface = candidates[chosen]
    _refuse_constant(scores[chosen], len(task.truth), file)
    _refuse_inverted(scores[chosen], names, task, file)
    content = network.adapted(interface, names, names, shape)
    notes += _check_independence(network, content, interface, task, scores[chosen])
    detected = task.scale or detect_scale(scores[chosen]) or "logits"
    # Rows of 0 and 1 alone come from probabilities that are that sure.
    scale: Scale = "probabilities" if detected == "labels" else detected
    interface = replace(interface, output=scale)
    if scale not in {"probabilities", "logits"}:
        notes.append(f"scores read as {READINGS[scale]}")
    warning = order_warning(
        scores[chosen].argmax(axis=1),
        task.truth,
        names,
        task.class_names,
        f"the images of {task.validation_title}",
    )
    notes += [warning] if warning else []
    content = network.adapted(interface, names, task.class_names, shape)
    probabilities = {
        role: _run(network, content, interface, images) for role, images in task.judged.items()
    }
    for role, values in probabilities.items():
        missing = int((~np.isfinite(values).all(axis=1)).sum())
        if missing:
            raise UserError(
                f"{file} gives NaN for {missing:,} of {len(values):,} images of the {role} split; "
                "expected numbers. Export it in float32, or check --range, --mean and --std"
            )
    layers = [layer.model_dump(mode="json") for layer in network.layers()]
    return Outcome(
        interface,
        tuple(names),
        content,
        probabilities,
        tried if len(candidates) > 1 else {},
        notes,
        network.opset,
        layers,
    )


def _working(
    network: ForeignNetwork, shape: tuple[int, int], file: str
) -> list[tuple[Interface, dict[str, int]]]:
    """The readings of the input with which the network runs, and the widths of its outputs."""
    working: list[tuple[Interface, dict[str, int]]] = []
    reason = ""
    for interface in network.interfaces:
        try:
            working.append((interface, _widths(network, interface, shape)))
        except Exception as error:  # onnxruntime raises classes of its own
            if is_memory_error(error):
                raise
            reason = reason or " ".join(str(error).split())[:200]
        report_progress()
        if network.size_is_open and len({found.size for found, _ in working}) > 1:
            raise UserError(f"{file} takes images of any size; expected --size, such as --size 48")
    if not working:
        raise UserError(f"{file} cannot be run on an image ({reason})")
    return working


def _widths(
    network: ForeignNetwork, interface: Interface, shape: tuple[int, int]
) -> dict[str, int]:
    """Numbers per image in each output of a network."""
    session = open_session(network.probe(interface, shape), threads=0)
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


def _choose_output(
    widths: dict[str, int], given: str | None, names: Sequence[str], file: str
) -> str:
    shown = ", ".join(f"{name} ({width} numbers)" for name, width in widths.items())
    if given is not None and given not in widths:
        raise UserError(
            f"received --output {given}, expected one of the outputs of {file}: {shown or 'none'}"
        )
    possible = {given: widths[given]} if given is not None else widths
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
    """Refuse labels that do not fit the dataset; say what has no counterpart."""
    matched = [match_class(name, class_names) for name in names]
    shared = [name for name in matched if name is not None]
    if len(shared) < 2 or len(set(shared)) < len(shared):
        raise UserError(
            f"received the labels {', '.join(names)}, expected at least two of the dataset's, each "
            f"once: {', '.join(class_names)}"
        )
    notes = []
    if left_out := [name for name, own in zip(names, matched, strict=True) if own is None]:
        notes.append(
            f"outputs left out, as the dataset has no such class: {', '.join(left_out)}; the "
            "others are scaled to sum to 1"
        )
    if missing := [name for name in class_names if name not in shared]:
        notes.append(f"classes without an output, whose probability is 0: {', '.join(missing)}")
    return notes


def _candidates(
    network: ForeignNetwork, interfaces: Sequence[Interface], task: Task, output: str
) -> dict[str, Interface]:
    """Interfaces to compare, by name: every reading of the input with every normalization."""
    found: dict[str, Interface] = {}
    for interface in interfaces:
        for name, (mean, std) in task.normalizations.items():
            if not _is_representable(network.integers, mean, std):
                if len(task.normalizations) > 1:
                    continue
                low, high = network.integers or (0, 0)
                raise UserError(
                    f"{task.file.name} takes whole numbers from {low} to {high}, in which grey "
                    f"levels as {name} have no place; expected --range "
                    f"{'-128-127' if high < 255 else '0-255'}"
                )
            if name in RANGES:
                completed = ranged(interface, name)
            elif {len(mean), len(std)} <= {1, interface.channels} and 0 not in std:
                completed = replace(interface, mean=mean, std=std)
            else:
                raise UserError(
                    f"received mean {list(mean)} and std {list(std)}, expected one value each or "
                    f"{interface.channels}, and no std of 0"
                )
            key = name
            if len(interfaces) > 1:
                key += f", {interface.channels} channels, {interface.layout}"
            found[key] = replace(completed, output="raw", output_name=output)
    return found


def _is_representable(
    integers: tuple[int, int] | None, mean: Sequence[float], std: Sequence[float]
) -> bool:
    """Whether an input of whole numbers can hold normalized grey levels, all but a few of them."""
    if integers is None:
        return True
    ends = [(level - m) / s for level in (0, 255) for m in mean for s in std]
    return integers[0] <= min(ends) and max(ends) <= integers[1] and max(ends) - min(ends) > 200


def _compare(
    scores: dict[str, NDArray[np.float32]], names: Sequence[str], task: Task, file: str
) -> tuple[str, dict[str, float]]:
    """The candidate with the highest accuracy on the validation images, and that of each.

    Labels in a wrong order must not decide: each is compared in the best order of its outputs.
    """
    places = [match_class(name, task.class_names) for name in names]
    known = [place for place, name in enumerate(places) if name is not None]
    classes = np.array([task.class_names.index(str(places[place])) for place in known])
    tried: dict[str, float] = {}
    ranks: dict[str, tuple[float, float]] = {}
    for name, values in scores.items():
        if not np.isfinite(values).all():
            tried[name] = 0.0
            continue
        tried[name] = float((classes[values[:, known].argmax(axis=1)] == task.truth).mean())
        best, _ = best_assignment(
            values.argmax(axis=1), task.truth, len(names), len(task.class_names)
        )
        ranks[name] = best, tried[name]
    if not ranks:
        count = min(int((~np.isfinite(v).all(axis=1)).sum()) for v in scores.values())
        raise UserError(
            f"{file} gives NaN or infinite scores for {count:,} of {len(task.images):,} images of "
            f"{task.validation_title}; expected numbers. Export it in float32, or check --range, "
            "--mean and --std"
        )
    return max(ranks, key=lambda name: ranks[name]), tried


def _differ(labels: Sequence[str], others: Sequence[str]) -> bool:
    return len(labels) != len(others) or any(
        match_class(other, labels) not in {None, label}
        for label, other in zip(labels, others, strict=True)
    )


def _refuse_constant(scores: NDArray[np.float32], count: int, file: str) -> None:
    if count > 1 and (np.ptp(scores, axis=0) == 0).all():
        raise UserError(
            f"{file} gives the same scores for all of {count:,} validation images; expected a "
            "network that tells images apart: check --range, --mean and --std, and that a softmax "
            "is over the classes"
        )


def _check_independence(
    network: ForeignNetwork,
    content: bytes,
    interface: Interface,
    task: Task,
    scores: NDArray[np.float32],
) -> list[str]:
    """Compare the scores of images with those in other company.

    They differ where batch normalization or dropout is left in its training mode, or a softmax is
    over the images.

    Raises:
        UserError: if other classes are predicted.
    """
    order = np.random.default_rng(0).permutation(min(len(scores), _COMPARED))
    before, again = scores[order], _run(network, content, interface, task.images[order])
    changed = float((before.argmax(axis=1) != again.argmax(axis=1)).mean())
    reach = float(np.abs(before - again).max())
    what = (
        "export the network in evaluation mode (batch normalization, dropout), with a softmax over "
        "the classes"
    )
    if changed > _MAX_CHANGED:
        raise UserError(
            f"{task.file.name}: {100 * changed:.1f} % of the predictions change when the same "
            f"images come in another order; expected the same: {what}"
        )
    if reach > _MAX_REACH * max(float(np.ptp(scores)), 1e-9):
        return [
            f"warning: the scores of an image change by up to {reach:.2g} with the other images "
            f"of its batch; {what}"
        ]
    return []


def _refuse_inverted(
    scores: NDArray[np.float32], names: Sequence[str], task: Task, file: str
) -> None:
    matched = [match_class(name, task.class_names) for name in names]
    known = [place for place, name in enumerate(matched) if name is not None]
    classes = np.array([task.class_names.index(str(matched[place])) for place in known])
    if are_inverted(scores[:, known], task.truth, classes):
        raise UserError(
            f"{file}: the lowest output tells the class of an image, not the highest; expected "
            "scores that are higher for the more likely class, no distances or losses"
        )


def _run(
    network: ForeignNetwork, content: bytes, interface: Interface, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Scores of every image, in batches, each reported as progress."""
    session = OnnxNetwork(content, threads=0)
    size = max(1, min(64, _BATCH_VALUES // (interface.channels * prod(interface.size))))
    if network.batch:
        size = network.batch
    parts = [np.empty((0, session.num_classes), np.float32)]
    for start in range(0, len(images), size):
        parts.append(session(images[start : start + size], size))
        report_progress()
    return np.concatenate(parts)
