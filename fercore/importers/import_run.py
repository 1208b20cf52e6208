"""Create runs from predictions in a table, or from an ONNX classifier of another project."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fercore import machine
from fercore.config.run import ImportedConfig, ImportSource, RunConfig
from fercore.data.splits import ROLES, Splits
from fercore.data.splitting import split_dataset
from fercore.errors import UserError
from fercore.evaluation.protocol import Protocol, build_protocol
from fercore.evaluation.results import (
    evaluate_predictions,
    fit_validation_temperature,
    keep_highest,
    predictions_of,
    without_calibration,
)
from fercore.importers.limited_process import run_isolated
from fercore.importers.onnx_inputs import RANGES, Layout
from fercore.importers.onnx_task import Outcome, Task
from fercore.importers.prediction_table import read_table
from fercore.importers.scores import Scale
from fercore.importers.table_rows import TableSplit
from fercore.importers.worker import read_outcome, write_task
from fercore.io.files import sha256_of_file
from fercore.runs.predictions import Predictions
from fercore.runs.provenance import describe_environment, now
from fercore.runs.schema import LayerSummary, OnnxExport, Results
from fercore.runs.writer import write_finished_run

# Validation images on which candidates for the input format are compared.
_SAMPLE_SIZE = 1000
# Memory for loading and running a network: a fixed part, and a part by the size of its file.
_MEMORY_BYTES = 3 << 29
_MEMORY_PER_BYTE = 8


@dataclass(frozen=True)
class OnnxOptions:
    """Options for a network, for properties that its file does not state.

    Attributes:
        class_names: label of each output, in the order of the outputs.
        layout: of the input.
        channels: of the input.
        size: `(height, width)` in pixels.
        grey_range: a name in `fercore.importers.onnx_inputs.RANGES`; `None` to select one on
            validation.
        mean: subtracted from the grey levels; given with `std`, instead of a range.
        std: divides the difference.
        output: how the scores are scaled; `None` to detect it.
        output_name: of the output with the scores, if the network has several outputs.
        seconds: time limit for each step of the import: loading, and each batch.
        memory_bytes: limit for loading and running; `None` to derive it from the file's size.
    """

    class_names: tuple[str, ...] = ()
    layout: Layout | None = None
    channels: int | None = None
    size: tuple[int, int] | None = None
    grey_range: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output: Scale | None = None
    output_name: str | None = None
    seconds: float = 60.0
    memory_bytes: int | None = None


def import_predictions(
    tables: Mapping[str, Path],
    config: RunConfig,
    splits: Splits,
    root: Path,
    command: str,
    *,
    of_run: str | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> Path:
    """Create a run from the predictions of another program.

    Args:
        tables: by role, `"test"` and optionally `"validation"`; read by `prediction_table`.
        config: names, dataset and protocol; the other fields are filled in here.
        splits: the dataset of the config.
        root: of the runs.
        command: that creates the run again.
        of_run: name of the run to read, if the tables have several runs.
        report: called with lines on how the tables were read.

    Returns:
        The new run directory.

    Raises:
        UserError: if a table does not fit the split; nothing is written then.
    """
    source = ImportSource(
        kind="predictions",
        file=tables["test"].name,
        sha256=_hash_file(tables["test"]),
        class_names=splits.class_names,
    )
    protocol = build_protocol(_imported_config(config, source), splits)
    readings = {
        role: read_table(path, _table_split(role, config, splits, protocol), of_run)
        for role, path in tables.items()
    }
    for role, reading in readings.items():
        for note in reading.notes:
            report(f"{tables[role].name}: {note}")
    kinds = {reading.scale == "labels" for reading in readings.values()}
    if len(kinds) > 1:
        raise UserError(
            f"one of {', '.join(path.name for path in tables.values())} has only predicted "
            "classes, the other scores; expected the same for both splits"
        )
    stored = {role: keep_highest(reading.probabilities) for role, reading in readings.items()}
    source = source.model_copy(update={"output": readings["test"].scale})
    predictions = predictions_of(protocol, stored)
    config = _imported_config(config, source)
    return _write_run(config, protocol, splits, predictions, root, command)


def _table_split(role: str, config: RunConfig, splits: Splits, protocol: Protocol) -> TableSplit:
    """Return the split of a role with the names and ids by which a table may refer to it."""
    divided = split_dataset(config, splits)
    names = {other: {other, divided.title(other)} for other in divided}
    split = protocol.eval_splits[role]
    ids = set(split.ids.tolist())
    other_ids = {
        divided.title(other): [str(i) for i in divided[other].ids.tolist() if i not in ids]
        for other in divided
        if other != role
    }
    previous_roles = ROLES[: ROLES.index(role)]
    return TableSplit(
        split=split,
        class_names=protocol.class_names,
        dropped=config.drop_classes,
        titles=(role, divided.title(role)),
        other_titles=tuple({name for other in names if other != role for name in names[other]}),
        other_ids=other_ids,
        first=sum(len(divided[other]) for other in previous_roles if other in divided),
    )


def import_onnx(
    path: Path,
    options: OnnxOptions,
    config: RunConfig,
    splits: Splits,
    root: Path,
    command: str,
    *,
    report: Callable[[str], object] = lambda line: None,
) -> tuple[Path, ImportSource, dict[str, float]]:
    """Create a run from an ONNX classifier of another project.

    The file is loaded and run in a separate process with limits on time and memory. The run stores
    the converted network and the predictions of that process.

    Args:
        path: the network.
        options: properties that its file does not state.
        config: names, dataset and protocol; the other fields are filled in here.
        splits: the dataset of the config.
        root: of the runs.
        command: that creates the run again.
        report: called with lines on how the network was read.

    Returns:
        The new run directory, the detected properties of the network, and the accuracy on
        validation images of each candidate for the input format, if there were several.

    Raises:
        UserError: if the network does not fit; nothing is written then.
    """
    source = ImportSource(kind="onnx", file=path.name, sha256=_hash_file(path), class_names=())
    protocol = build_protocol(_imported_config(config, source), splits)
    normalizations, note = _candidate_normalizations(options)
    if note:
        report(note)
    rng = np.random.default_rng(0)
    sample = np.sort(rng.permutation(len(protocol.validation))[:_SAMPLE_SIZE])
    task = Task(
        file=path,
        class_names=tuple(protocol.class_names),
        labels=options.class_names,
        layout=options.layout,
        channels=options.channels,
        size=options.size,
        normalizations=normalizations,
        output_name=options.output_name,
        scale=options.output,
        images=protocol.validation.images[sample],
        truth=protocol.validation.labels[sample],
        evaluated={role: split.images for role, split in protocol.eval_splits.items()},
        validation_title=protocol.views["validation"].title,
    )
    outcome = _evaluate_isolated(task, options)
    for line in outcome.notes:
        report(line)
    spec = outcome.spec
    source = source.model_copy(
        update={
            "class_names": outcome.names,
            "layout": spec.layout,
            "channels": spec.channels,
            "size": spec.size,
            "mean": spec.mean,
            "std": spec.std,
            "output": spec.output,
            "output_name": spec.output_name,
        }
    )
    stored = {role: keep_highest(values) for role, values in outcome.probabilities.items()}
    predictions = predictions_of(protocol, stored)
    config = _imported_config(config, source)
    run = _write_run(config, protocol, splits, predictions, root, command, outcome)
    return run, source, outcome.accuracies


def _evaluate_isolated(task: Task, options: OnnxOptions) -> Outcome:
    """Evaluate a network in another process, with limits on time and memory."""
    with tempfile.TemporaryDirectory(prefix="fercore-import-") as name:
        folder = Path(name)
        write_task(task, folder)
        memory = options.memory_bytes or _MEMORY_BYTES + _MEMORY_PER_BYTE * _model_bytes(task.file)
        run_isolated("fercore.importers.worker", folder, task.file.name, options.seconds, memory)
        return read_outcome(folder)


def _model_bytes(path: Path) -> int:
    """Return the size of a network's file and of the files that may have its external weights."""
    endings = (".data", "_data", ".bin", ".weights")
    names = {path.name, *(stem + end for stem in (path.name, path.stem) for end in endings)}
    files = [path.with_name(name) for name in names]
    return sum(file.stat().st_size for file in files if file.is_file())


def _candidate_normalizations(
    options: OnnxOptions,
) -> tuple[dict[str, tuple[tuple[float, ...], tuple[float, ...]]], str]:
    """Return candidates for mean and standard deviation on grey levels, and a note on their units.

    Raises:
        UserError: if mean and standard deviation are not in the same units.
    """
    if not options.mean and not options.std:
        return {
            name: RANGES[name] for name in ([options.grey_range] if options.grey_range else RANGES)
        }, ""
    mean, std = options.mean, options.std
    scaled = tuple(255 * value for value in mean), tuple(255 * value for value in std)
    largest, note = max(map(abs, mean)), "mean and std read in units of grey levels of 0 to"
    if min(std) <= 0 or not np.isfinite([*mean, *std]).all():
        raise UserError(
            f"received mean {list(mean)} and std {list(std)}, expected numbers, and no std of 0 or "
            "below"
        )
    if largest == 0 and max(std) <= 1:
        # The units are ambiguous: both are compared.
        return {"mean and std on 0-255": (mean, std), "mean and std on 0-1": scaled}, ""
    if (largest > 1 and max(std) < 1) or (0 < largest < 1 and min(std) > 1):
        raise UserError(
            f"received mean {list(mean)} and std {list(std)}, which are not in the same units; "
            "expected both for grey levels of 0 to 1, or both for 0 to 255"
        )
    if largest <= 1 and max(std) <= 1:
        return {"mean and std on 0-1": scaled}, f"{note} 1"
    return {"mean and std on 0-255": (mean, std)}, f"{note} 255"


def _imported_config(config: RunConfig, source: ImportSource) -> ImportedConfig:
    shared = {name: getattr(config, name) for name in RunConfig.model_fields}
    return ImportedConfig(**shared, imported=source)


def _write_run(
    config: ImportedConfig,
    protocol: Protocol,
    splits: Splits,
    predictions: Mapping[str, Predictions],
    root: Path,
    command: str,
    network: Outcome | None = None,
) -> Path:
    layers = [LayerSummary.model_validate(row) for row in network.layers] if network else []
    has_labels_only = config.imported.output == "labels"
    views = {name: view for name, view in protocol.views.items() if view.role in predictions}
    results = Results(
        class_names=list(protocol.class_names),
        splits={
            name: without_calibration(result) if has_labels_only else result
            for name, result in evaluate_predictions(
                replace(protocol, views=views), predictions
            ).items()
        },
        finished=now(),
        temperature=None if has_labels_only else fit_validation_temperature(protocol, predictions),
        parameters=sum(layer.parameters for layer in layers) if layers else None,
        trainable_parameters=sum(layer.trainable for layer in layers) if layers else None,
        onnx=None
        if network is None
        else OnnxExport(
            bytes=len(network.content),
            opset=network.opset,
            sha256=hashlib.sha256(network.content).hexdigest(),
        ),
    )
    environment = describe_environment(
        command,
        splits,
        protocol,
        backend="imported",
        device=machine.cpu_name(),
        precision="float32" if network else "",
    )
    content = network.content if network else None
    return write_finished_run(root, config, environment, predictions, results, content, layers)


def _hash_file(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
