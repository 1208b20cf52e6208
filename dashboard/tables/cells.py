"""Cells that several tables share: metrics of one result, and a configuration as text."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from fercore.config.run import CombinedConfig
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult

# Fields of a configuration that name a run; they do not tell how it differs from another.
NAME_FIELDS = ("name", "title", "published")
METRICS: dict[str, Callable[[SplitResult], Any]] = {
    "Accuracy": lambda result: percent(result.accuracy),
    "95% interval": lambda result: formats.interval(result.accuracy_low, result.accuracy_high),
    "n": lambda result: result.n,
    "Groups": lambda result: result.grouping or None,
    "Classes": lambda result: sum(entry.support > 0 for entry in result.classes),
    "Macro-F1": lambda result: percent(result.macro_f1),
    "UAR": lambda result: percent(result.uar),
    "Top-2": lambda result: percent(result.top2),
    "ECE": lambda result: percent(result.ece),
    "NLL": lambda result: result.nll,
}


def metric_cells(run: Run, result: SplitResult) -> dict[str, Any]:
    """Return the cells of one result, by the columns of `METRICS`; fractions in percent."""
    cells = {name: metric(result) for name, metric in METRICS.items()}
    return cells | {"Groups": run.grouping(result) or None}


def without_empty_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Drop the column of groups where every image is independent."""
    empty = "Groups" in table and table["Groups"].isna().all()
    return table.drop(columns="Groups") if empty else table


def test_result(run: Run) -> SplitResult | None:
    """Return the result on the test split, if there is one."""
    return run_properties.result_of(run, "test")


# Names of fields for people, where the name in the file says too little.
_FIELDS = {
    "combined.tta": "test-time augmentation (TTA)",
    "combined.average": "ensemble average",
    "combined.imported": "has imported members",
    "combined.selected_on": "members selected on",
    "combined.candidates": "candidates for members",
}
_TTA = {"none": "none", "flip": "mirror image", "ten_view": "10-crop"}


@lru_cache(maxsize=64)
def config_texts(run: Run) -> Mapping[str, str]:
    """Return every field of a run's configuration and environment as text, by dotted name."""
    fields = (
        flatten(run.config.model_dump(mode="json", exclude=set(NAME_FIELDS))) if run.config else {}
    )
    if "model" in fields:
        fields["model"] = model_words(run)
    if isinstance(run.config, CombinedConfig):
        # One row for each: a list of names would be cut.
        del fields["combined.members"]
        for number, member in enumerate(run.config.combined.members, start=1):
            fields[f"ensemble member {number}"] = member
    if "combined.tta" in fields:
        fields["combined.tta"] = _TTA.get(fields["combined.tta"], fields["combined.tta"])
    fields = {_FIELDS.get(name, name): text for name, text in fields.items()}
    environment = run.environment
    if environment:
        fields |= {
            "Device": ", ".join(environment.devices),
            "Precision": environment.precision,
            "Backend": environment.backend,
            "Git commit": _short_commit(environment.commit),
            "Dataset fingerprint": environment.dataset_fingerprint[:12],
        }
    return fields


def _short_commit(commit: str) -> str:
    name, plus, changes = commit.partition("+")
    return f"{name[:7]}{plus}{changes}" or formats.DASH


def model_words(run: Run) -> str:
    """Return the model of a run for people: that of an ensemble is no network."""
    if isinstance(run.config, CombinedConfig):
        return "ensemble" if len(run.config.combined.members) > 1 else "TTA of a run"
    return run.config.model if run.config else formats.DASH


def flatten(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested fields as text, by dotted name."""
    flat: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _text(value)
    return flat


def _text(value: Any) -> str:
    match value:
        case None:
            return formats.DASH
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or formats.DASH
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def accuracy(result: SplitResult | None) -> float | None:
    """Return the accuracy of a result from 0 to 1, if there is one."""
    return result.accuracy if result else None


def percent(fraction: float | None) -> float | None:
    """Return a fraction in percent."""
    return None if fraction is None else fraction * 100
