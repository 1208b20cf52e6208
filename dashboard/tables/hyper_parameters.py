"""The settings in which runs differ, as the axes of parallel coordinates."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard.analysis import run_properties
from dashboard.charts.parallel_charts import Axis, Value
from fercore.runs.reader import Run

MAX_AXES = 7
METRIC = "Validation accuracy (%)"
_LEFT_OUT = ("name", "title", "published", "dataset", "seed")
# The settings that are tuned most often come first.
_FIRST = (
    *("model", "epochs", "batch_size", "optimizer.name", "optimizer.learning_rate"),
    *("optimizer.weight_decay", "label_smoothing"),
)


def axes_of(runs: Sequence[Run], keys: Sequence[str] = ()) -> list[Axis]:
    """Return the settings in which runs differ, and their validation accuracy as the last axis.

    Args:
        runs: that were trained here.
        keys: dotted names of the settings to show; if empty, the first `MAX_AXES` of
            `differing_settings`.
    """
    fields = [_settings(run) for run in runs]
    shown = keys or differing_settings(runs)[:MAX_AXES]
    axes = [
        Axis(setting_title(key), tuple(_value(own.get(key)) for own in fields)) for key in shown
    ]
    accuracies = (run_properties.result_of(run, "validation") for run in runs)
    metric = tuple(100 * result.accuracy if result else None for result in accuracies)
    return [*axes, Axis(METRIC, metric)]


def settings_table(
    runs: Sequence[Run], labels: Mapping[str, str], axes: Sequence[Axis]
) -> pd.DataFrame:
    """Return one row for each run: its label and its value on each axis.

    Args:
        runs: those of the axes, in order.
        labels: by run id.
        axes: from `axes_of`.
    """
    return pd.DataFrame(
        {"Run": [labels[run.id] for run in runs]} | {axis.title: list(axis.values) for axis in axes}
    )


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """Return the dotted names of the settings in which runs differ, those tuned most often first.

    A setting in which every run differs from every other one, such as a list of teachers, comes
    last.
    """
    fields = [_settings(run) for run in runs]
    keys = dict.fromkeys(key for own in fields for key in own)
    counts = {key: len({repr(own.get(key)) for own in fields}) for key in keys}
    differing = [key for key, count in counts.items() if count > 1]

    def rank(key: str) -> tuple[bool, int]:
        unique = counts[key] == len(fields) > 3
        return unique, _FIRST.index(key) if key in _FIRST else len(_FIRST)

    return sorted(differing, key=rank)


def _settings(run: Run) -> dict[str, Any]:
    if run.experiment is None:
        return {}
    return _flat(run.experiment.model_dump(mode="json", exclude=set(_LEFT_OUT)))


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _value(value: Any) -> Value:
    if value is None or value == []:
        return None
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return float(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def setting_title(key: str) -> str:
    """Return what an axis calls a setting: `learning rate` for `optimizer.learning_rate`."""
    if key == "optimizer.name":
        return "optimizer"
    group, _, name = key.rpartition(".")
    known = ("optimizer", "augmentation", "protocol", "model_options")
    return (name if group in known else key).replace("_", " ").replace(".", " ")
