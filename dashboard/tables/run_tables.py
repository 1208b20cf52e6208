"""The tables of the Run page."""

from collections.abc import Sequence

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.tables.cells import figures, flatten, percent, without_empty_groups
from fercore.metrics import positive_predictive_value
from fercore.runs.provenance import session_summary
from fercore.runs.reader import Run
from fercore.runs.schema import ClassResult, Environment, LayerSummary, SplitResult, grouping


def splits_table(run: Run) -> pd.DataFrame:
    """One row a split of one run."""
    rows = []
    for split, title in run_properties.split_titles([run]).items():
        result = run_properties.result_of(run, split)
        if result:
            rows.append({"Split": title} | figures(run, result))
    return without_empty_groups(pd.DataFrame(rows))


def class_table(result: SplitResult) -> pd.DataFrame:
    """One row a class of one evaluation."""
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


def trust_table(result: SplitResult, prevalence: float) -> pd.DataFrame:
    """One row a class: how often a detection of it is right, here and where it is rarer."""
    rows = []
    for name, sensitivity, specificity in run_properties.sensitivity_specificity(result):
        entry = next(entry for entry in result.classes if entry.name == name)
        rows.append(
            {
                "Class": name,
                "Found": 100 * sensitivity,
                "False alarms": 100 * (1 - specificity),
                "Share here": 100 * entry.support / result.n,
                "Right here": percent(entry.precision),
                "Right there": 100
                * positive_predictive_value(sensitivity, specificity, prevalence),
            }
        )
    return pd.DataFrame(rows)


def layer_table(layers: Sequence[LayerSummary]) -> pd.DataFrame:
    """One row a layer, the shape without the batch axis."""
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
    """One row a field of the configuration."""
    fields = flatten(run.config.model_dump(mode="json")) if run.config else {}
    return pd.DataFrame({"Field": list(fields), "Value": list(fields.values())})


def provenance_table(run: Run) -> pd.DataFrame:
    """One row a fact about where the run's numbers come from."""
    environment, results = run.environment, run.results
    rows: dict[str, str] = {"Folder": run.id}
    if environment:
        rows |= {
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
    if results:
        chosen = results.selection
        rows["Finished"] = results.finished
        if results.stopped_by:
            rows["Stopped by"] = f"{results.stopped_by}, after epoch {results.epochs_run}"
        if chosen:
            why = "the last" if chosen.metric == "epoch" else f"highest {chosen.metric}"
            rows["Checkpoint"] = (
                f"epoch {chosen.epoch}, {why}; {formats.percent(chosen.value)} on {chosen.split}"
            )
        if results.train_seconds is not None:
            rows["Training time"] = formats.duration(results.train_seconds)
        if results.images_per_second is not None:
            rows["Speed"] = f"{results.images_per_second:,.0f} images a second"
        if results.peak_memory_bytes:
            rows["Peak memory"] = formats.size(results.peak_memory_bytes)
        if results.onnx:
            rows["model.onnx"] = f"{formats.size(results.onnx.bytes)}, opset {results.onnx.opset}"
            if results.onnx.max_difference is not None:
                rows["model.onnx"] += (
                    f", {results.onnx.weights} weights; probabilities within "
                    f"{results.onnx.max_difference:.1e} of Keras over {results.onnx.n:,} samples"
                )
            if run.onnx_path is None:
                rows["model.onnx"] += "; the file is not here"
    if environment:
        rows |= {f"Package {name}": version for name, version in environment.packages.items()}
    return pd.DataFrame({"What": list(rows), "Value": list(rows.values())})


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
    """Samples by split and class, as trained and evaluated."""
    counts = run.environment.dataset_counts if run.environment else {}
    table = pd.DataFrame.from_dict(counts, orient="index").fillna(0).astype("int64")
    table.insert(0, "all", table.sum(axis=1))
    return table.rename_axis("Split").reset_index()


def _class_groups(entry: ClassResult, result: SplitResult) -> str | None:
    if entry.groups is None:
        return None
    return grouping(entry.groups, result.group_kind or "group")
