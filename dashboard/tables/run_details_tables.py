"""The tables of the Run page."""

from collections.abc import Sequence

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.tables.cells import flatten, metric_cells, percent, without_empty_groups
from fercore.metrics import positive_predictive_value
from fercore.runs.provenance import session_summary
from fercore.runs.reader import Run
from fercore.runs.schema import ClassResult, Environment, LayerSummary, SplitResult, grouping


def splits_table(run: Run) -> pd.DataFrame:
    """Return one row for each split of one run."""
    rows = []
    for split, title in run_properties.split_titles([run]).items():
        result = run_properties.result_of(run, split)
        if result:
            rows.append({"Split": title} | metric_cells(run, result))
    return without_empty_groups(pd.DataFrame(rows))


def class_table(result: SplitResult) -> pd.DataFrame:
    """Return one row for each class of one evaluation."""
    table = pd.DataFrame(
        [
            {
                "Class": entry.name,
                "Samples": entry.support,
                "Groups": _class_groups(entry, result),
                "Recall": percent(entry.recall),
                "95% interval": formats.interval(entry.recall_low, entry.recall_high, 1),
                "Precision": percent(entry.precision),
                "F1": percent(entry.f1),
            }
            for entry in result.classes
        ]
    )
    return without_empty_groups(table)


def precision_table(result: SplitResult, prevalence: float) -> pd.DataFrame:
    """Return one row for each class: its rates here, and its precision at another prevalence.

    Args:
        result: one evaluation.
        prevalence: fraction of the faces that show the class, in (0, 1).
    """
    rows = []
    for name, sensitivity, specificity in run_properties.sensitivity_specificity(result):
        entry = next(entry for entry in result.classes if entry.name == name)
        rows.append(
            {
                "Class": name,
                "Recall": 100 * sensitivity,
                "FPR": 100 * (1 - specificity),
                "Prevalence": 100 * entry.support / result.n,
                "Precision": percent(entry.precision),
                "Precision at prevalence": 100
                * positive_predictive_value(sensitivity, specificity, prevalence),
            }
        )
    return pd.DataFrame(rows)


def layer_table(layers: Sequence[LayerSummary]) -> pd.DataFrame:
    """Return one row for each layer; output shapes without the batch axis."""
    return pd.DataFrame(
        [
            {
                "Layer": layer.name,
                "Kind": layer.kind,
                "Detail": layer.detail,
                "Output": " × ".join(map(str, layer.output_shape)),
                "Parameters": layer.parameters,
                "Trainable": layer.trainable,
            }
            for layer in layers
        ]
    )


def config_table(run: Run) -> pd.DataFrame:
    """Return one row for each field of the configuration."""
    fields = flatten(run.config.model_dump(mode="json")) if run.config else {}
    return pd.DataFrame({"Field": list(fields), "Value": list(fields.values())})


def provenance_table(run: Run) -> pd.DataFrame:
    """Return one row for each fact about the origin of the run's results."""
    rows: dict[str, str] = {"Folder": run.id}
    rows |= _environment_rows(run) | _result_rows(run)
    if run.environment:
        packages = run.environment.packages.items()
        rows |= {f"Package {name}": version for name, version in packages}
    return pd.DataFrame({"What": list(rows), "Value": list(rows.values())})


def _environment_rows(run: Run) -> dict[str, str]:
    environment = run.environment
    if environment is None:
        return {}
    rows = {
        "Started": environment.started,
        "Commit": environment.commit or "outside git",
        "Dataset fingerprint": environment.dataset_fingerprint,
        **_exclusion(run, environment),
        **_ancestors(environment),
        "Device": ", ".join(environment.devices),
        "Processor cores": str(environment.cores),
        "Precision": environment.precision,
        "Keras backend": environment.backend if run.experiment else f"none: {run.origin}",
        "Python": environment.python,
        "Platform": environment.platform,
    }
    if sessions := session_summary(environment):
        rows["Sessions"] = sessions
    return rows


def _result_rows(run: Run) -> dict[str, str]:
    results = run.results
    if results is None:
        return {}
    rows = {"Finished": results.finished}
    if results.stopped_by:
        rows["Stopped by"] = f"{results.stopped_by}, after epoch {results.epochs_run}"
    if selection := results.selection:
        reason = "the last" if selection.metric == "epoch" else f"highest {selection.metric}"
        accuracy = formats.percent(selection.value)
        rows["Checkpoint"] = f"epoch {selection.epoch}, {reason}; {accuracy} on {selection.split}"
    if results.train_seconds is not None:
        rows["Training time"] = formats.duration(results.train_seconds)
    if results.images_per_second is not None:
        rows["Speed"] = f"{results.images_per_second:,.0f} images per second"
    if results.peak_memory_bytes:
        rows["Peak memory"] = formats.size(results.peak_memory_bytes)
    if onnx := results.onnx:
        rows["model.onnx"] = f"{formats.size(onnx.bytes)}, opset {onnx.opset}"
        if onnx.max_difference is not None:
            rows["model.onnx"] += (
                f", {onnx.weights} weights; probabilities within "
                f"{onnx.max_difference:.1e} of Keras over {onnx.n:,} samples"
            )
        if run.onnx_path is None:
            rows["model.onnx"] += "; the file is not here"
    return rows


def _exclusion(run: Run, environment: Environment) -> dict[str, str]:
    if environment.excluded_images is None or run.config is None:
        return {}
    text = (
        f"{environment.excluded_images:,} images of {run.config.protocol.exclude}, "
        f"SHA-256 {environment.excluded_sha256}"
    )
    return {"Excluded from training": text}


def _ancestors(environment: Environment) -> dict[str, str]:
    parts = []
    for ancestor in environment.ancestors:
        seen = ancestor.tested_images_seen
        count = "not known" if seen is None else f"{seen:,}"
        parts.append(f"{ancestor.run} on {ancestor.dataset or 'unknown data'} ({count})")
    return {"Learned from (tested images seen)": "; ".join(parts)} if parts else {}


def counts_table(run: Run) -> pd.DataFrame:
    """Return the number of samples by split and class, as trained and evaluated."""
    counts = run.environment.dataset_counts if run.environment else {}
    table = pd.DataFrame.from_dict(counts, orient="index").fillna(0).astype("int64")
    table.insert(0, "all", table.sum(axis=1))
    return table.rename_axis("Split").reset_index()


def _class_groups(entry: ClassResult, result: SplitResult) -> str | None:
    if entry.groups is None:
        return None
    return grouping(entry.groups, result.group_kind or "group")
