"""Make runs from other projects' work: predictions in a table, or an ONNX classifier."""

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
from fercore.importers.onnx_evaluation import Outcome, Task
from fercore.importers.onnx_inputs import RANGES, Layout
from fercore.importers.prediction_table import read_table
from fercore.importers.scores import Scale
from fercore.importers.table_rows import Part
from fercore.importers.worker import read_outcome, write_task
from fercore.runs.predictions import Predictions
from fercore.runs.provenance import describe_environment, now
from fercore.runs.schema import LayerSummary, OnnxExport, Results
from fercore.runs.writer import write_finished_run

_SAMPLE = 1000
# Memory for loading and running a network: the same for all, and by the size of its file.
_MEMORY_BYTES = 3 << 29
_MEMORY_PER_BYTE = 8


@dataclass(frozen=True)
class OnnxOptions:
    """What the user says of a network where its file does not.

    Attributes:
        class_names: label of each output, in its order.
        layout: of the input.
        channels: likewise.
        size: `(height, width)` in pixels.
        grey_range: a name in `fercore.importers.onnx_inputs.RANGES`; chosen on validation if
            `None`.
        mean: subtracted from the grey levels; with `std` instead of a range.
        std: what is left is divided by it.
        output: how the scores are scaled; told from them if `None`.
        output_name: of the output that holds the scores, where the network has several.
        seconds: limit from one step of the import to the next: loading, and each batch.
        memory_bytes: limit for loading and running; by the size of the file if `None`.
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
    """Make a run from predictions that another program computed.

    Args:
        tables: by role, `"test"` and perhaps `"validation"`; `prediction_table` reads them.
        config: names, dataset and protocol; the rest is filled in here.
        splits: that dataset.
        root: of the runs.
        command: that makes the run again.
        of_run: whose rows to read, where the tables hold several runs.
        report: gets lines that say how the tables were read.

    Returns:
        The new run directory.

    Raises:
        UserError: if a table does not fit the split; nothing is written then.
    """
    source = ImportSource(
        kind="predictions",
        file=tables["test"].name,
        sha256=_sha256(tables["test"]),
        class_names=splits.class_names,
    )
    protocol = build_protocol(_configured(config, source), splits)
    # In the order in which the test's columns were read, which the validation's must share.
    readings = {
        role: read_table(path, _part(role, config, splits, protocol), of_run)
        for role, path in tables.items()
    }
    for role, reading in readings.items():
        for note in reading.notes:
            report(f"{tables[role].name}: {note}")
    kinds = {reading.scale == "labels" for reading in readings.values()}
    if len(kinds) > 1:
        raise UserError(
            f"one of {', '.join(path.name for path in tables.values())} holds predicted classes "
            "alone, the other scores; expected the same of both splits"
        )
    found = {role: keep_highest(reading.probabilities) for role, reading in readings.items()}
    source = source.model_copy(update={"output": readings["test"].scale})
    predictions = predictions_of(protocol, found)
    return _write(_configured(config, source), protocol, splits, predictions, root, command)


def _part(role: str, config: RunConfig, splits: Splits, protocol: Protocol) -> Part:
    divided = split_dataset(config, splits)
    names = {part: {part, divided.title(part)} for part in divided}
    others = {name for part, own in names.items() if part != role for name in own}
    own_ids = set(protocol.judged[role].ids.tolist())
    elsewhere = {
        divided.title(part): [str(i) for i in divided[part].ids.tolist() if i not in own_ids]
        for part in divided
        if part != role
    }
    before = ROLES[: ROLES.index(role)]
    return Part(
        split=protocol.judged[role],
        class_names=protocol.class_names,
        dropped=config.drop_classes,
        titles=(role, divided.title(role)),
        others=tuple(others),
        elsewhere=elsewhere,
        first=sum(len(divided[part]) for part in before if part in divided),
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
    """Make a run from an ONNX classifier of another project.

    The file is read and run in a process of its own, under limits of time and memory. What that
    process checked is what the run stores.

    Args:
        path: the network.
        options: what its file does not tell.
        config: names, dataset and protocol; the rest is filled in here.
        splits: that dataset.
        root: of the runs.
        command: that makes the run again.
        report: gets lines that say how the network was read.

    Returns:
        The new run directory, what was found out about the network, and, where the range of its
        input was to be found, the accuracy on validation images under each.

    Raises:
        UserError: if the network does not fit; nothing is written then.
    """
    source = ImportSource(kind="onnx", file=path.name, sha256=_sha256(path), class_names=())
    protocol = build_protocol(_configured(config, source), splits)
    normalizations, note = _normalizations(options)
    if note:
        report(note)
    rng = np.random.default_rng(0)
    sample = np.sort(rng.permutation(len(protocol.validation))[:_SAMPLE])
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
        judged={role: split.images for role, split in protocol.judged.items()},
        validation_title=protocol.views["validation"].title,
    )
    outcome = _evaluated_elsewhere(task, options)
    for line in outcome.notes:
        report(line)
    interface = outcome.interface
    source = source.model_copy(
        update={
            "class_names": outcome.names,
            "layout": interface.layout,
            "channels": interface.channels,
            "size": interface.size,
            "mean": interface.mean,
            "std": interface.std,
            "output": interface.output,
            "output_name": interface.output_name,
        }
    )
    kept = {role: keep_highest(values) for role, values in outcome.probabilities.items()}
    found = predictions_of(protocol, kept)
    config = _configured(config, source)
    return _write(config, protocol, splits, found, root, command, outcome), source, outcome.tried


def _evaluated_elsewhere(task: Task, options: OnnxOptions) -> Outcome:
    """Evaluate a network in another process, under limits."""
    with tempfile.TemporaryDirectory(prefix="fercore-import-") as name:
        folder = Path(name)
        write_task(task, folder)
        memory = options.memory_bytes or _MEMORY_BYTES + _MEMORY_PER_BYTE * _size(task.file)
        run_isolated("fercore.importers.worker", folder, task.file.name, options.seconds, memory)
        return read_outcome(folder)


def _size(path: Path) -> int:
    """Bytes of a network's file and of the files beside it that may hold its weights."""
    endings = (".data", "_data", ".bin", ".weights")
    names = {path.name, *(stem + end for stem in (path.name, path.stem) for end in endings)}
    files = [path.with_name(name) for name in names]
    return sum(file.stat().st_size for file in files if file.is_file())


def _normalizations(
    options: OnnxOptions,
) -> tuple[dict[str, tuple[tuple[float, ...], tuple[float, ...]]], str]:
    """Candidates for mean and standard deviation on grey levels, and how given ones were read.

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
        # Nothing tells the units: both are compared.
        return {"mean and std on 0-255": (mean, std), "mean and std on 0-1": scaled}, ""
    if (largest > 1 and max(std) < 1) or (0 < largest < 1 and min(std) > 1):
        raise UserError(
            f"received mean {list(mean)} and std {list(std)}, which are not in the same units; "
            "expected both for grey levels of 0 to 1, or both for 0 to 255"
        )
    if largest <= 1 and max(std) <= 1:
        return {"mean and std on 0-1": scaled}, f"{note} 1"
    return {"mean and std on 0-255": (mean, std)}, f"{note} 255"


def _configured(config: RunConfig, source: ImportSource) -> ImportedConfig:
    shared = {name: getattr(config, name) for name in RunConfig.model_fields}
    return ImportedConfig(**shared, imported=source)


def _write(
    config: ImportedConfig,
    protocol: Protocol,
    splits: Splits,
    predictions: Mapping[str, Predictions],
    root: Path,
    command: str,
    network: Outcome | None = None,
) -> Path:
    layers = [LayerSummary.model_validate(row) for row in network.layers] if network else []
    hard = config.imported.output == "labels"
    views = {name: view for name, view in protocol.views.items() if view.role in predictions}
    results = Results(
        class_names=list(protocol.class_names),
        splits={
            name: without_calibration(result) if hard else result
            for name, result in evaluate_predictions(
                replace(protocol, views=views), predictions
            ).items()
        },
        finished=now(),
        temperature=None if hard else fit_validation_temperature(protocol, predictions),
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


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()
