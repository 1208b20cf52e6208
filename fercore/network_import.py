"""Find out how an ONNX network of another project is to be read, and evaluate it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.adapt import ForeignNetwork
from fercore.errors import UserError
from fercore.isolated import is_memory_error, report_progress
from fercore.label_order import are_inverted, best_assignment, order_warning
from fercore.labels import match_class
from fercore.network_inputs import RANGES, Interface, ranged
from fercore.onnx_session import OnnxNetwork, open_session
from fercore.scores import READINGS, Scale, detect_scale

# Pixels and channels of a batch: bounds the memory of one call.
_BATCH_VALUES = 1 << 20


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
    readings = _working(network, shape, file)
    widths = readings[0][1]
    names = task.labels or network.class_names
    output = _choose_output(widths, task.output_name, names, file)
    notes = _check_names(names, task.class_names)
    if len(network.outputs) > 1:
        notes.append(f"output {output} taken, of {', '.join(network.outputs)}")
    candidates = _candidates(network, [reading for reading, _ in readings], task, output)
    scores = {
        name: _run(network, network.adapted(found, names, names, shape), found, task.images)
        for name, found in candidates.items()
    }
    chosen, tried = _compare(scores, names, task, file)
    interface = candidates[chosen]
    _refuse_inverted(scores[chosen], names, task, file)
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
            if (
                network.takes_integers
                and name in set(RANGES) - {"0-255"}
                and len(task.normalizations) > 1
            ):
                continue  # a network that takes whole grey levels
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
