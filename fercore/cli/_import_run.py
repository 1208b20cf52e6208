"""Validate the options of `fercore runs import`, and run the import."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from fercore.config.run import RunConfig
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from fercore.evaluation.protocol import require_unchanged_copies
from fercore.importers.import_run import OnnxOptions, import_onnx, import_predictions
from fercore.importers.onnx_inputs import RANGES, Layout
from fercore.importers.onnx_labels import parse_labels
from fercore.io.delimited_text import COMPRESSED, SUFFIXES, is_table
from fercore.runs.listing import find_run

_VALUES = ("probabilities", "percent", "sigmoid", "votes", "logits")
# Names of the options that differ from the names of the fields of `Request`.
_OPTION_NAMES = {"grey_range": "range", "of_run": "run"}
_NETWORK_OPTIONS = (
    *("labels", "layout", "size", "grey_range", "mean", "std", "output", "values", "channels"),
    *("time_limit", "memory_limit"),
)


@dataclass(frozen=True)
class Request:
    """The options of the command, as given."""

    file: Path
    name: str | None
    title: str | None
    dataset: str
    like: str | None
    validation: Path | None
    labels: str | None
    layout: str | None
    size: int | None
    grey_range: str | None
    mean: str | None
    std: str | None
    output: str | None
    values: str | None
    channels: int | None
    of_run: str | None
    time_limit: float | None
    memory_limit: float | None
    data_root: Path
    runs_root: Path
    command: str


def import_file(request: Request) -> Iterator[str]:
    """Import a file as a run, and yield lines on the result.

    Raises:
        UserError: if the request or the file cannot be used.
    """
    config = _run_config(request)
    splits = load_dataset(config.dataset, request.data_root)
    if UNSPLIT in splits.parts and not request.like:
        raise UserError(
            f"{config.dataset} comes without splits; expected --like with a run on it, which "
            "gives the splits"
        )
    arguments = (splits, request.runs_root, request.command)
    notes: list[str] = []
    if is_table(request.file):
        _refuse_options(request, "an ONNX network", *_NETWORK_OPTIONS)
        tables = {"test": request.file}
        if request.validation:
            tables["validation"] = request.validation
        path = import_predictions(
            tables, config, *arguments, of_run=request.of_run, report=notes.append
        )
        yield from notes
    elif request.file.suffix.lower() == ".onnx":
        _refuse_options(request, "a table", "validation", "of_run")
        path, source, accuracies = import_onnx(
            request.file, _onnx_options(request), config, *arguments, report=notes.append
        )
        for name, accuracy in accuracies.items():
            yield f"grey levels as {name}: accuracy {100 * accuracy:.2f} % on validation images"
        size = "x".join(map(str, source.size or ()))
        yield (
            f"read as {source.channels} channels of {size}, {source.layout}, mean "
            f"{_round(source.mean)}, std {_round(source.std)} on grey levels of 0 to 255, "
            f"giving {source.output}"
        )
        yield from notes
    else:
        raise UserError(
            f"received {request.file}, expected an .onnx file or a table ({', '.join(SUFFIXES)}, "
            f"also compressed: {', '.join(COMPRESSED)})"
        )
    run = find_run(request.runs_root, path.name)
    assert run.results is not None
    test = run.results.splits["test"]
    yield (
        f"{path.name}: {test.title} accuracy {100 * test.accuracy:.2f} % "
        f"({100 * test.accuracy_low:.2f} to {100 * test.accuracy_high:.2f}), n = {test.n}"
        f"{', ' + test.grouping if test.grouping else ''}"
    )


def _run_config(request: Request) -> RunConfig:
    """Build the config of the new run, with dataset and protocol of `--like`."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", request.file.stem.lower()).strip("-._") or "imported"
    fields: dict[str, Any] = {
        "name": request.name or stem[:80],
        "title": request.title or request.name or request.file.stem,
        "dataset": request.dataset,
        "model": request.name or stem[:80],
    }
    if request.like:
        other = find_run(request.runs_root, request.like)
        if other.config is None:
            raise UserError(f"{other.id} cannot be read: {other.problem}")
        require_unchanged_copies(other)
        shared = ("dataset", "protocol", "image", "drop_classes")
        fields |= {name: getattr(other.config, name) for name in shared}
    try:
        return RunConfig(**fields)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UserError(
            f"received --{problem['loc'][0]} {problem['input']!r}, expected small letters, digits, "
            "'.', '_' and '-'"
        ) from None


def _onnx_options(request: Request) -> OnnxOptions:
    """Parse the options for a network.

    Raises:
        UserError: if one of them is invalid.
    """
    if request.layout not in {None, *get_args(Layout)}:
        raise UserError(f"received --layout {request.layout}, expected nchw or nhwc")
    if request.grey_range not in {None, *RANGES}:
        raise UserError(f"received --range {request.grey_range}, expected {', '.join(RANGES)}")
    if request.values not in {None, *_VALUES}:
        raise UserError(f"received --values {request.values}, expected {', '.join(_VALUES)}")
    # In earlier versions, `--output` had the meaning of `--values`.
    output_name, scale = request.output, request.values
    if output_name in {"probabilities", "logits"} and scale is None:
        output_name, scale = None, output_name
    for option, limit in (("time", request.time_limit), ("memory", request.memory_limit)):
        if limit is not None and not limit > 0:
            raise UserError(f"received --{option}-limit {limit}, expected a number above 0")
    if (request.mean is None) != (request.std is None) or (request.mean and request.grey_range):
        raise UserError("expected --mean and --std together, or --range")
    return OnnxOptions(
        class_names=parse_labels(request.labels) if request.labels is not None else (),
        layout=request.layout,  # type: ignore[arg-type]
        size=(request.size, request.size) if request.size else None,
        grey_range=request.grey_range,
        mean=_parse_numbers("mean", request.mean),
        std=_parse_numbers("std", request.std),
        channels=request.channels,
        output=scale,  # type: ignore[arg-type]
        output_name=output_name,
        seconds=request.time_limit or 60.0,
        memory_bytes=int(request.memory_limit * 2**30) if request.memory_limit else None,
    )


def _parse_numbers(option: str, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UserError(
            f"received --{option} {text}, expected numbers separated by commas"
        ) from None


def _round(values: tuple[float, ...]) -> list[float]:
    return [round(value, 3) for value in values]


def _refuse_options(request: Request, applies_to: str, *names: str) -> None:
    """Raise if one of the options is given, as it applies to another kind of file."""
    given = [name for name in names if getattr(request, name) is not None]
    if given:
        option = _OPTION_NAMES.get(given[0], given[0].replace("_", "-"))
        raise UserError(f"received --{option}, which applies to {applies_to} only")
