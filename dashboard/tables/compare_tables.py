"""The tables of the Compare page: test metrics, architectures, differences."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import pandas as pd

from dashboard import formats
from dashboard.charts.theme import swatch
from dashboard.tables.cells import (
    METRICS,
    config_texts,
    metric_cells,
    model_words,
    percent,
    without_empty_groups,
)
from dashboard.tables.run_details_tables import layer_table
from fercore.runs.reader import Run
from fercore.runs.schema import LayerSummary, SplitResult


def headline_table(
    runs: Sequence[Run],
    labels: Mapping[str, str],
    colors: Mapping[str, str],
    results: Mapping[str, SplitResult],
) -> pd.DataFrame:
    """Return one row for each run: its result and its number of parameters.

    Args:
        runs: in order.
        labels: by run id.
        colors: by run id.
        results: by run id; a run without one has empty cells.
    """
    table = pd.DataFrame(
        [
            {"Color": swatch(colors[run.id]), "Run": labels[run.id]}
            | _headline_row(run, results.get(run.id))
            for run in runs
        ]
    )
    return without_empty_groups(table)


def with_interval_ends(
    table: pd.DataFrame, runs: Sequence[Run], results: Mapping[str, SplitResult]
) -> pd.DataFrame:
    """Return the table of `headline_table` with its intervals as two columns of numbers.

    Args:
        table: of these runs.
        runs: in order.
        results: by run id.
    """
    found = [results.get(run.id) for run in runs]
    ends = {
        "CI low": [percent(result.accuracy_low) if result else None for result in found],
        "CI high": [percent(result.accuracy_high) if result else None for result in found],
    }
    place = table.columns.get_loc("95% interval")
    table = table.drop(columns="95% interval")
    for offset, (name, values) in enumerate(ends.items()):
        table.insert(place + offset, name, values)
    return table


def layer_differences(
    baseline: Sequence[LayerSummary], other: Sequence[LayerSummary]
) -> pd.DataFrame:
    """Return the layers that only one of two networks has: `-` for the baseline, `+` for the other.

    Layers of equal kind, detail, output and parameters are equal, whatever their names.
    """

    def signature(layer: LayerSummary) -> tuple[object, ...]:
        return layer.kind, layer.detail, tuple(layer.output_shape), layer.parameters

    matcher = SequenceMatcher(None, list(map(signature, baseline)), list(map(signature, other)))
    changes: list[tuple[str, LayerSummary]] = []
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind != "equal":
            changes += [("\u2212", layer) for layer in baseline[start:end]]
            changes += [("+", layer) for layer in other[other_start:other_end]]
    table = layer_table([layer for _, layer in changes])
    if not table.empty:
        table.insert(0, "", [sign for sign, _ in changes])
    return table


def network_table(
    runs: Sequence[Run],
    labels: Mapping[str, str],
    colors: Mapping[str, str],
    layers: Mapping[str, Sequence[LayerSummary]],
    macs: Mapping[str, int | None] | None = None,
) -> pd.DataFrame:
    """Return one row for each run: the size of its network, and its largest layer.

    Args:
        runs: in order.
        labels: by run id.
        colors: by run id.
        layers: by run id; empty where there is no layer table.
        macs: multiply-accumulate operations of one prediction, by run id.
    """
    rows = []
    for run in runs:
        table = layers[run.id]
        largest = max(table, key=lambda layer: layer.parameters, default=None)
        total = sum(layer.parameters for layer in table)
        results = run.results
        share = formats.percent(largest.parameters / total, 0) if largest and total else ""
        rows.append(
            {
                "Color": swatch(colors[run.id]),
                "Run": labels[run.id],
                "Model": model_words(run),
                "Layers": len(table) or None,
                "Parameters": results.parameters if results else (total or None),
                "Trainable": results.trainable_parameters if results else None,
                "MACs": (macs or {}).get(run.id),
                "model.onnx": results.onnx.bytes if results and results.onnx else None,
                "Largest layer": f"{largest.name}, {share}" if largest and share else None,
            }
        )
    return pd.DataFrame(rows)


def differences_table(
    runs: Sequence[Run], labels: Mapping[str, str], *, equal: bool = False
) -> pd.DataFrame:
    """Return one row for each field, one column for each run; identical fields only if `equal`."""
    columns = {labels[run.id]: config_texts(run) for run in runs}
    fields = dict.fromkeys(field for column in columns.values() for field in column)
    rows = [
        [field, *(column.get(field, formats.DASH) for column in columns.values())]
        for field in fields
    ]
    shown = [row for row in rows if equal or len(set(row[1:])) > 1]
    return pd.DataFrame(shown, columns=["Field", *columns])


def _headline_row(run: Run, result: SplitResult | None) -> dict[str, Any]:
    results = run.results
    return (metric_cells(run, result) if result else dict.fromkeys(METRICS)) | {
        "Best epoch": results.selection.epoch if results and results.selection else None,
        "Parameters": results.parameters if results else None,
        "Device": ", ".join(run.environment.devices) if run.environment else None,
    }
