"""Runs from elsewhere: predictions in a table, or an ONNX classifier, judged here like our own."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fercore import machine
from fercore.adapt import (
    RANGES,
    ForeignNetwork,
    Interface,
    Layout,
    looks_like_probabilities,
    ranged,
)
from fercore.config import ImportedConfig, ImportSource, RunConfig
from fercore.data.splits import Split, Splits
from fercore.errors import UserError
from fercore.evaluate import judge, predictions_of, temperature_of
from fercore.labels import canonical
from fercore.onnx_session import OnnxNetwork
from fercore.protocol import Protocol, plan
from fercore.provenance import describe, now
from fercore.recorder import write_whole
from fercore.records import Onnx, Results
from fercore.runs import Predictions

IDS = ("id", "sample_id", "sample id", "name")
LABEL = ("label", "emotion", "true", "truth")
_SAMPLE = 1000


@dataclass(frozen=True)
class OnnxOptions:
    """What the user says of a network where its file does not.

    Attributes:
        class_names: label of each output, in its order.
        layout: of the input.
        size: `(height, width)` in pixels.
        grey_range: one of `fercore.adapt.RANGES`; chosen on the validation split if `None`.
        mean: subtracted from the grey levels; with `std` instead of a range.
        std: what is left is divided by it.
        output: told from the outputs if `None`.
    """

    class_names: tuple[str, ...] = ()
    layout: Layout | None = None
    size: tuple[int, int] | None = None
    grey_range: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output: Literal["probabilities", "logits"] | None = None


def import_predictions(
    tables: Mapping[str, Path], config: RunConfig, splits: Splits, root: Path, command: str
) -> Path:
    """Make a run from class probabilities that another program computed.

    Args:
        tables: CSV files by role, `"test"` and perhaps `"validation"`: a column for each class, and
            the samples' ids, or their labels in the order of the dataset, or both.
        config: names, dataset and protocol; the rest is filled in here.
        splits: that dataset.
        root: of the runs.
        command: that makes the run again.

    Returns:
        The new run directory.

    Raises:
        UserError: if a table does not fit the split; nothing is written then.
    """
    imported = _configured(
        config,
        ImportSource(
            kind="predictions",
            file=tables["test"].name,
            sha256=_sha256(tables["test"]),
            class_names=splits.class_names,
        ),
    )
    protocol = plan(imported, splits)
    found = {
        role: read_table(path, protocol.judged[role], protocol.class_names, config.drop_classes)
        for role, path in tables.items()
    }
    return _write(imported, protocol, splits, predictions_of(protocol, found), root, command)


def read_table(
    path: Path, split: Split, class_names: Sequence[str], dropped: Sequence[str] = ()
) -> NDArray[np.float32]:
    """Class probabilities of every sample of a split, in its order.

    Args:
        path: a CSV file with a header: a column for each class, by name (a leading `p_` or `prob_`
            is no part of it); `id` and `label` as `import_predictions` has them.
        split: the samples.
        class_names: of the dataset.
        dropped: classes whose column may be absent.

    Returns:
        `(n, k)` float32, rows summing to 1.

    Raises:
        UserError: if samples or classes are missing, labels differ, or values are no probabilities.
    """
    try:
        table = pd.read_csv(path, dtype={name: str for name in IDS})
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, UnicodeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path.name} is not a readable CSV file ({reason})") from None
    table.columns = [str(name).strip().lower() for name in table.columns]
    ids = next((table[name] for name in IDS if name in table), None)
    labels = next((table[name] for name in LABEL if name in table), None)
    if ids is None and labels is None:
        raise UserError(
            f"{path.name} has the columns {', '.join(table.columns)}; expected id, or label to "
            "check the order of its rows by"
        )
    order = np.arange(len(table)) if ids is None else _places(ids, split, path.name)
    if len(table) != len(split):
        raise UserError(f"{path.name} has {len(table):,} rows, the split {len(split):,} samples")
    # What row holds each sample of the split.
    rows = np.argsort(order)
    if labels is not None:
        said = _label_indices(labels.to_numpy()[rows], class_names, path.name)
        wrong = np.flatnonzero(said != split.labels)
        if len(wrong):
            first = int(wrong[0])
            raise UserError(
                f"{path.name}: {len(wrong):,} labels differ from the dataset's, the first that of "
                f"{split.ids[first]}: received {class_names[said[first]]}, expected "
                f"{class_names[split.labels[first]]}"
                + ("; rows in another order need a column id" if ids is None else "")
            )
    return _probabilities(table, class_names, dropped, path.name)[rows]


def import_onnx(
    path: Path, options: OnnxOptions, config: RunConfig, splits: Splits, root: Path, command: str
) -> tuple[Path, ImportSource, dict[str, float]]:
    """Make a run from an ONNX classifier of another project.

    Args:
        path: the network.
        options: what its file does not tell.
        config: names, dataset and protocol; the rest is filled in here.
        splits: that dataset.
        root: of the runs.
        command: that makes the run again.

    Returns:
        The new run directory, what was found out about the network, and, where the range of its
        input was to be found, the accuracy on validation images under each.

    Raises:
        UserError: if the network does not fit; nothing is written then.
    """
    network = ForeignNetwork(path, options.layout, options.size)
    names = _output_names(network, options.class_names, splits.class_names, path.name)
    source = ImportSource(
        kind="onnx", file=path.name, sha256=_sha256(path), class_names=tuple(names)
    )
    protocol = plan(_configured(config, source), splits)
    judged = protocol.judged
    shape = (judged["test"].images.shape[1], judged["test"].images.shape[2])

    def loaded(interface: Interface) -> OnnxNetwork:
        return OnnxNetwork(
            network.adapted(interface, names, protocol.class_names, shape), threads=0
        )

    interface, tried = _completed(network, names, options, protocol.validation, shape, loaded)
    source = source.model_copy(
        update={
            "layout": interface.layout,
            "channels": interface.channels,
            "size": interface.size,
            "mean": interface.mean,
            "std": interface.std,
            "output": interface.output,
        }
    )
    content = network.adapted(interface, names, protocol.class_names, shape)
    session = OnnxNetwork(content, threads=0)
    found = predictions_of(protocol, {role: session(judged[role].images) for role in judged})
    written = _write(
        _configured(config, source), protocol, splits, found, root, command, network, content
    )
    return written, source, tried


def _completed(
    network: ForeignNetwork,
    names: Sequence[str],
    options: OnnxOptions,
    validation: Split,
    shape: tuple[int, int],
    loaded: Any,
) -> tuple[Interface, dict[str, float]]:
    interface = network.interface
    if options.mean or options.std:
        sizes = {len(values) for values in (options.mean, options.std)}
        if not sizes <= {1, interface.channels} or 0 in options.std:
            raise UserError(
                f"received mean {list(options.mean)} and std {list(options.std)}, expected one "
                f"value each or {interface.channels}, and no std of 0"
            )
        interface = replace(interface, mean=options.mean, std=options.std)
        candidates = {"": interface}
    else:
        ranges = [options.grey_range] if options.grey_range else list(RANGES)
        candidates = {name: ranged(interface, name) for name in ranges}
    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(len(validation))[:_SAMPLE])
    images, labels = validation.images[some], validation.labels[some]
    output = options.output
    if output is None:
        # What the network itself gives, in no particular order.
        raw = replace(next(iter(candidates.values())), output="probabilities")
        plain = OnnxNetwork(network.adapted(raw, names, [*map(canonical, names)], shape))
        outputs = plain(images[:32])
        output = "probabilities" if looks_like_probabilities(outputs) else "logits"
    candidates = {name: replace(found, output=output) for name, found in candidates.items()}
    if len(candidates) == 1:
        return next(iter(candidates.values())), {}
    tried = {
        name: float((loaded(found)(images).argmax(axis=1) == labels).mean())
        for name, found in candidates.items()
    }
    return candidates[max(tried, key=lambda name: tried[name])], tried


def _output_names(
    network: ForeignNetwork, given: Sequence[str], class_names: Sequence[str], file: str
) -> tuple[str, ...]:
    names = tuple(given) or network.class_names
    if not names:
        width = network.num_outputs or "its"
        raise UserError(
            f"{file} does not name its classes; expected --labels with {width} names in the order "
            "of its outputs, such as --labels angry,disgust,fear,happy,sad,surprise,neutral"
        )
    if network.num_outputs not in {None, len(names)}:
        raise UserError(f"received {len(names)} labels, {file} has {network.num_outputs} outputs")
    shared = [name for name in map(canonical, names) if name in class_names]
    if len(shared) < 2 or len(set(shared)) < len(shared):
        raise UserError(
            f"received the labels {', '.join(names)}, expected at least two of the dataset's, each "
            f"once: {', '.join(class_names)}"
        )
    return names


def _places(ids: "pd.Series[str]", split: Split, file: str) -> NDArray[np.intp]:
    known = {name: place for place, name in enumerate(split.ids.tolist())}
    named = ids.astype(str).str.strip().tolist()
    unknown = [name for name in named if name not in known]
    if unknown:
        raise UserError(
            f"{file}: {len(unknown):,} ids are not of this split, such as {unknown[0]!r}; its ids "
            f"look like {split.ids[0]!r}"
        )
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise UserError(f"{file}: {twice!r} stands more than once")
    missing = set(known) - set(named)
    if missing:
        raise UserError(
            f"{file} lacks {len(missing):,} of the {len(known):,} samples of this split, such as "
            f"{min(missing)!r}"
        )
    return np.array([known[name] for name in named], dtype=np.intp)


def _label_indices(
    labels: NDArray[Any], class_names: Sequence[str], file: str
) -> NDArray[np.integer]:
    indices = []
    for label in labels:
        text = canonical(str(label))
        if text in class_names:
            indices.append(list(class_names).index(text))
        elif text.replace(".0", "").isdigit() and float(text) < len(class_names):
            indices.append(int(float(text)))
        else:
            raise UserError(
                f"{file}: received the label {str(label)!r}, expected one of "
                f"{', '.join(class_names)}, or its number from 0"
            )
    return np.array(indices, dtype=np.intp)


def _probabilities(
    table: pd.DataFrame, class_names: Sequence[str], dropped: Sequence[str], file: str
) -> NDArray[np.float32]:
    columns = {canonical(name.removeprefix("prob_").removeprefix("p_")): name for name in table}
    absent = [name for name in class_names if name not in columns and name not in dropped]
    if absent:
        raise UserError(
            f"{file} has no column for {', '.join(absent)}; expected one for each of "
            f"{', '.join(class_names)}"
        )
    values = np.zeros((len(table), len(class_names)))
    for place, name in enumerate(class_names):
        if name in columns:
            column = pd.to_numeric(table[columns[name]], errors="coerce")
            values[:, place] = column.to_numpy(dtype=float)
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1)
    wrong |= np.abs(values.sum(axis=1) - 1) > 0.02
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        shown = ", ".join(f"{value:g}" for value in values[row])
        raise UserError(
            f"{file}, line {row + 2}: received {shown}, expected probabilities from 0 to 1 that "
            "sum to 1"
        )
    normal: NDArray[np.float32] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


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
    network: ForeignNetwork | None = None,
    content: bytes | None = None,
) -> Path:
    layers = network.layers() if network else []
    views = {name: view for name, view in protocol.views.items() if view.role in predictions}
    results = Results(
        class_names=list(protocol.class_names),
        splits=judge(replace(protocol, views=views), predictions),
        finished=now(),
        temperature=temperature_of(protocol, predictions),
        parameters=sum(layer.parameters for layer in layers) if layers else None,
        trainable_parameters=sum(layer.trainable for layer in layers) if layers else None,
        onnx=None
        if content is None
        else Onnx(
            bytes=len(content),
            opset=network.opset if network else 0,
            sha256=hashlib.sha256(content).hexdigest(),
        ),
    )
    environment = describe(
        command,
        splits,
        protocol,
        backend="imported",
        device=machine.cpu_name(),
        precision="float32" if content else "",
    )
    return write_whole(root, config, environment, predictions, results, content, layers)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()
