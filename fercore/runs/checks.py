"""Check a run directory for damage and contradictions."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from fercore.io import bounded_json
from fercore.runs import damage
from fercore.runs.predictions import Predictions
from fercore.runs.reader import read_lines, read_run
from fercore.runs.schema import (
    EpochLog,
    SplitResult,
)


def check_run(path: Path) -> list[str]:
    """Return every problem of a finished run directory, one line each; empty if there is none."""
    problems: list[str] = []
    run = read_run(path)
    if run.problem:
        return [run.problem]
    problems += run.warnings
    for number, line in enumerate(read_lines(path / "log.jsonl"), start=1):
        try:
            bounded_json.require_bounded(line)
            EpochLog.model_validate_json(line)
        except ValidationError as error:
            problems.append(f"log.jsonl, line {number}: {damage.describe(error)}")
        except ValueError as error:
            problems.append(f"log.jsonl, line {number}: {error}")
        if len(problems) >= damage.MAX_LISTED:
            break
    results = run.results
    if results is None:
        return [*problems, f"not finished: {run.state}"]
    if run.experiment is None:
        pass  # an imported run may come without a network, a combined one is several
    else:
        if "layers.json" not in run.damaged and results.parameters != sum(
            layer.parameters for layer in run.layers()
        ):
            problems.append("layers.json: its parameters do not add up to those of results.json")
        if "log.jsonl" not in run.damaged and (epochs := len(run.log())) != results.epochs_run:
            problems.append(f"log.jsonl: {epochs} epochs, results.json has {results.epochs_run}")
    for split, result in results.splits.items():
        problems += _contradictions(split, result)
    for split in ("validation", "test"):
        if split not in results.splits and split != "test":
            continue
        stored = run.predictions(split)
        if stored is None and "predictions.npz" in run.damaged:
            continue  # named above
        if stored is None:
            problems.append(f"predictions.npz: {split} is missing, unreadable or of another shape")
        elif split in results.splits and not _matches_confusion(stored, results.splits[split]):
            problems.append(f"predictions.npz: {split} gives another matrix than results.json")
        elif split in results.splits and not _has_same_groups(stored, results.splits[split]):
            problems.append(f"predictions.npz: {split} has other groups than results.json")
    if results.onnx and run.onnx_path and "model.onnx" not in run.damaged:
        problems += filter(None, [damage.check_network(run.onnx_path, results.onnx)])
    stored, unique = run.predictions("test"), results.splits.get("test_unique")
    if stored is not None and stored.unique is not None:
        selected = stored.take(stored.unique)
        if unique is not None and not _matches_confusion(selected, unique):
            problems.append("predictions.npz: test_unique gives another matrix than results.json")
    return problems


def check_notes(path: Path) -> list[str]:
    """Return what `check_run` could not compare, one line each; empty if it compared everything."""
    run = read_run(path)
    onnx = run.results.onnx if run.results else None
    if onnx is None or onnx.sha256 is not None or run.onnx_path is None:
        return []
    return [
        "results.json holds no SHA-256 of model.onnx, which an earlier version exported: its size "
        "and its structure were compared, not its weights"
    ]


def _contradictions(split: str, result: SplitResult) -> Iterator[str]:
    """Yield the contradictions between the figures of an evaluation and its confusion matrix."""
    matrix = np.asarray(result.confusion)
    if matrix.sum() != result.n:
        yield f"results.json: {split} has n = {result.n}, its matrix {matrix.sum()}"
    elif not math.isclose(right := np.trace(matrix) / result.n, result.accuracy, abs_tol=1e-9):
        yield f"results.json: {split} has accuracy {result.accuracy}, its matrix {right}"


def _matches_confusion(predictions: Predictions, result: SplitResult) -> bool:
    """Return whether predictions give an evaluation's matrix, over the classes that it counts."""
    matrix = np.asarray(result.confusion)
    if (
        predictions.probabilities.shape[1] != len(matrix)
        or not np.isin(predictions.labels, range(len(matrix))).all()
    ):
        return False
    counts = np.zeros_like(matrix)
    np.add.at(counts, (predictions.labels, predictions.probabilities.argmax(axis=1)), 1)
    rows = matrix.any(axis=1)
    return bool((counts[rows] == matrix[rows]).all())


def _has_same_groups(predictions: Predictions, result: SplitResult) -> bool:
    """Return whether predictions have as many groups as an evaluation, of the same kind."""
    if predictions.groups is None or result.groups is None:
        return predictions.groups is None and result.groups is None
    classes = np.flatnonzero(np.asarray(result.confusion).any(axis=1))
    counted = np.isin(predictions.labels, classes)
    return (
        len(np.unique(predictions.groups[counted])) == result.groups
        and predictions.group_kind == result.group_kind
    )
