"""Runs as tables: pure functions from records to data frames, no Streamlit."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

import pandas as pd

from dashboard import facts, formats
from dashboard.theme import swatch
from fercore.metrics import PairedDifference, predictive_value
from fercore.provenance import session_summary
from fercore.records import ClassResult, Environment, Layer, SplitResult, grouping
from fercore.runs import Run, started

# Rows of the configuration that name a run and say nothing about how it differs from another.
_NAMES = ("name", "title", "published")


@dataclass(frozen=True)
class Sort:
    """An order of the table of runs.

    Attributes:
        label: for people.
        value: of a run, given the differences from the baseline; `None` sorts last.
        down: whether the highest comes first.
    """

    label: str
    value: Callable[[Run, Mapping[str, PairedDifference | None]], float | None]
    down: bool = True


SORTS: dict[str, Sort] = {
    "newest": Sort("Newest", lambda run, _: started(run)),
    "accuracy": Sort("Accuracy", lambda run, _: _accuracy(_test(run))),
    "unique": Sort(
        "Accuracy without repeats", lambda run, _: _accuracy(facts.result_of(run, "test_unique"))
    ),
    "validation": Sort(
        "Validation accuracy", lambda run, _: _accuracy(facts.result_of(run, "validation"))
    ),
    "delta": Sort(
        "Difference from the baseline",
        lambda run, deltas: delta.difference if (delta := deltas.get(run.id)) else None,
    ),
    "f1": Sort("Macro-F1", lambda run, _: result.macro_f1 if (result := _test(run)) else None),
    "worst": Sort(
        "Recall of the worst class",
        lambda run, _: worst.recall if (worst := facts.worst_class(_test(run))) else None,
    ),
    "parameters": Sort(
        "Fewest parameters",
        lambda run, _: run.results.parameters if run.results else None,
        down=False,
    ),
    "latency": Sort(
        "Fastest", lambda run, _: facts.latency(run).face_ms if run.latency else None, down=False
    ),
    "time": Sort(
        "Shortest training",
        lambda run, _: run.results.train_seconds if run.results else None,
        down=False,
    ),
}


def select_runs(
    runs: Sequence[Run], text: str = "", dataset: str = "", states: Sequence[str] = ()
) -> list[Run]:
    """The runs that hold every word of the text, of that dataset and in one of those states."""
    words = text.lower().split()
    return [
        run
        for run in runs
        if all(word in _searched(run) for word in words)
        and (not dataset or (run.config is not None and run.config.dataset == dataset))
        and (not states or run.state in states)
    ]


def sorted_groups(
    groups: Sequence[Sequence[Run]],
    key: str,
    deltas: Mapping[str, PairedDifference | None],
    *,
    reverse: bool = False,
) -> list[Sequence[Run]]:
    """Rows in the order of one of `SORTS`, the best first; pinned ones before all others."""
    sort = SORTS[key]
    known: list[tuple[list[float], Sequence[Run]]] = []
    unknown: list[tuple[list[float], Sequence[Run]]] = []
    for group in groups:
        values = [value for run in group if (value := sort.value(run, deltas)) is not None]
        (known if values else unknown).append((values, group))
    known.sort(key=lambda entry: sum(entry[0]) / len(entry[0]), reverse=sort.down != reverse)
    ordered = [group for _, group in (*known, *unknown)]
    return sorted(ordered, key=lambda group: not any(run.notes.pinned for run in group))


def runs_table(
    groups: Sequence[Sequence[Run]], deltas: Mapping[str, PairedDifference | None] | None = None
) -> pd.DataFrame:
    """One row a group of runs, in the order given; shares in percent, sizes in bytes.

    Args:
        groups: one run, or the seeds of one experiment, whose figures are averaged.
        deltas: accuracy less the baseline's by run id, where there is a baseline.
    """
    rows = [_delta_cells(_group_row(tuple(runs)), runs, deltas or {}) for runs in groups]
    table = pd.DataFrame(rows, index=[runs[0].id for runs in groups])
    if "Training time" in table:
        table["Training time"] = pd.to_timedelta(table["Training time"], unit="s").dt.round("s")
    return table


def problems_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a folder that is no readable run: its name and what is wrong with it."""
    return pd.DataFrame({"Folder": [run.id for run in runs], "Problem": [_note(r) for r in runs]})


def headline_table(
    runs: Sequence[Run],
    labels: Mapping[str, str],
    colors: Mapping[str, str],
    results: Mapping[str, SplitResult],
) -> pd.DataFrame:
    """One row a run: its figures, by run id, beside its costs."""
    table = pd.DataFrame(
        [
            {"Color": swatch(colors[run.id]), "Run": labels[run.id]}
            | _headline_row(run, results.get(run.id))
            for run in runs
        ]
    )
    return _without_empty_groups(table)


def splits_table(run: Run) -> pd.DataFrame:
    """One row a split of one run."""
    rows = []
    for split, title in facts.split_titles([run]).items():
        result = facts.result_of(run, split)
        if result:
            rows.append({"Split": title} | _figures(run, result))
    return _without_empty_groups(pd.DataFrame(rows))


def class_table(result: SplitResult) -> pd.DataFrame:
    """One row a class of one evaluation."""
    table = pd.DataFrame(
        [
            {
                "Class": entry.name,
                "Samples": entry.support,
                "Groups": _class_groups(entry, result),
                "Recall": _percent(entry.recall),
                "95% interval": formats.interval(entry.recall_low, entry.recall_high, 1),
                "Precision": _percent(entry.precision),
                "F1": _percent(entry.f1),
            }
            for entry in result.classes
        ]
    )
    return _without_empty_groups(table)


def trust_table(result: SplitResult, prevalence: float) -> pd.DataFrame:
    """One row a class: how often a detection of it is right, here and where it is rarer."""
    rows = []
    for name, sensitivity, specificity in facts.rates(result):
        entry = next(entry for entry in result.classes if entry.name == name)
        rows.append(
            {
                "Class": name,
                "Found": 100 * sensitivity,
                "False alarms": 100 * (1 - specificity),
                "Share here": 100 * entry.support / result.n,
                "Right here": _percent(entry.precision),
                "Right there": 100 * predictive_value(sensitivity, specificity, prevalence),
            }
        )
    return pd.DataFrame(rows)


def layer_table(layers: Sequence[Layer]) -> pd.DataFrame:
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


def layer_differences(baseline: Sequence[Layer], other: Sequence[Layer]) -> pd.DataFrame:
    """The layers that only one of two networks has, in order: `-` the baseline, `+` the other.

    Names do not count, nor do layers that are equal in kind, detail, output and parameters.
    """

    def signature(layer: Layer) -> tuple[object, ...]:
        return layer.kind, layer.detail, tuple(layer.output_shape), layer.parameters

    matcher = SequenceMatcher(None, list(map(signature, baseline)), list(map(signature, other)))
    kept: list[tuple[str, Layer]] = []
    for what, start, end, other_start, other_end in matcher.get_opcodes():
        if what != "equal":
            kept += [("\u2212", layer) for layer in baseline[start:end]]
            kept += [("+", layer) for layer in other[other_start:other_end]]
    table = layer_table([layer for _, layer in kept])
    if not table.empty:
        table.insert(0, "", [sign for sign, _ in kept])
    return table


def network_table(
    runs: Sequence[Run],
    labels: Mapping[str, str],
    colors: Mapping[str, str],
    layers: Mapping[str, Sequence[Layer]],
) -> pd.DataFrame:
    """One row a run: the size of its network, and where most of the parameters sit."""
    rows = []
    for run in runs:
        table = layers[run.id]
        heaviest = max(table, key=lambda layer: layer.parameters, default=None)
        total = sum(layer.parameters for layer in table)
        results = run.results
        share = formats.percent(heaviest.parameters / total, 0) if heaviest and total else ""
        rows.append(
            {
                "Color": swatch(colors[run.id]),
                "Run": labels[run.id],
                "Model": run.config.model if run.config else formats.DASH,
                "Layers": len(table) or None,
                "Parameters": results.parameters if results else (total or None),
                "Trainable": results.trainable_parameters if results else None,
                "model.onnx": results.onnx.bytes if results and results.onnx else None,
                "Heaviest layer": f"{heaviest.name}, {share}" if heaviest and share else None,
            }
        )
    return pd.DataFrame(rows)


def config_table(run: Run) -> pd.DataFrame:
    """One row a field of the configuration."""
    fields = _flat(run.config.model_dump(mode="json")) if run.config else {}
    return pd.DataFrame({"Field": list(fields), "Value": list(fields.values())})


def differences_table(
    runs: Sequence[Run], labels: Mapping[str, str], *, equal: bool = False
) -> pd.DataFrame:
    """One row a field, one column a run; fields that are equal everywhere only if asked for."""
    columns = {labels[run.id]: _described(run) for run in runs}
    fields = dict.fromkeys(field for column in columns.values() for field in column)
    table = pd.DataFrame(
        [
            [field, *(column.get(field, formats.DASH) for column in columns.values())]
            for field in fields
        ],
        columns=["Field", *columns],
    )
    differs = table[list(columns)].nunique(axis=1) > 1
    return table[differs | equal].reset_index(drop=True)


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


def _delta_cells(
    row: dict[str, Any], runs: Sequence[Run], deltas: Mapping[str, PairedDifference | None]
) -> dict[str, Any]:
    found = [delta for run in runs if (delta := deltas.get(run.id))]
    # The mean of some of the runs, such as all but the baseline, is not that of their row.
    if len(found) < len(runs):
        return row
    return row | {
        "Delta": 100 * statistics.fmean(delta.difference for delta in found),
        "Delta interval": formats.delta_interval(found[0]) if len(found) == 1 else None,
    }


# With a thousand runs the rows are half of the time that their page takes.
@lru_cache(maxsize=4096)
def _group_row(runs: tuple[Run, ...]) -> dict[str, Any]:
    first = runs[0]
    several = len(runs) > 1
    tests = [result for run in runs if (result := facts.result_of(run, "test"))]
    # Of several runs the worst class is that of the first; everything else is a mean.
    test = tests[0] if tests else None
    worst = facts.worst_class(test)
    environment, config = first.environment, first.config
    begun = max(map(started, runs))
    folds = config is not None and config.protocol.by_folds

    def mean(value: Callable[[Run], float | None]) -> float | None:
        values = [number for run in runs if (number := value(run)) is not None]
        return statistics.fmean(values) if values else None

    accuracies = [100 * result.accuracy for result in tests]
    parameters = mean(lambda run: run.results.parameters if run.results else None)
    bytes_ = mean(lambda run: run.results.onnx.bytes if run.results and run.results.onnx else None)
    return {
        "Experiment": facts.title(first),
        "State": list(dict.fromkeys(run.state for run in runs)),
        "Dataset": config.dataset if config else None,
        "Protocol": facts.protocol_words(first, fold=not several),
        "Seed": None if several or config is None else config.seed,
        "Runs": len(runs) if several else None,
        "Accuracy": statistics.fmean(accuracies) if accuracies else None,
        "Spread": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "95% interval": formats.interval(test.accuracy_low, test.accuracy_high, 1)
        if test and not several
        else None,
        "Delta": None,
        "Delta interval": None,
        "Scored": [_scored(first)] if test else None,
        # Seeds test the same samples, folds others.
        "n": test.n if test and not (several and folds) else None,
        "Groups": (first.grouping(test) or None) if test and not (several and folds) else None,
        "All classes": mean(lambda run: _percent(_accuracy(facts.all_classes_result(run)))),
        "No repeats": mean(lambda run: _percent(_accuracy(facts.result_of(run, "test_unique")))),
        "Validation": mean(lambda run: _percent(_accuracy(facts.result_of(run, "validation")))),
        "Macro-F1": mean(lambda run: _percent(r.macro_f1 if (r := _test(run)) else None)),
        "Worst class": worst.name if worst else None,
        "Worst recall": _percent(worst.recall if worst else None),
        "Model": config.model if config else None,
        "Epochs": formats.DASH if several else _epochs(first),
        "Parameters": None if parameters is None else round(parameters),
        "model.onnx": None if bytes_ is None else round(bytes_),
        "Face ms": mean(lambda run: facts.latency(run).face_ms if run.latency else None),
        "Training time": mean(lambda run: run.results.train_seconds if run.results else None),
        "Device": ", ".join(environment.devices) if environment else None,
        "Started": datetime.fromtimestamp(begun, UTC) if begun else None,
        "Tags": _tags(runs) or None,
        "Note": _note(first),
    }


def _class_groups(entry: ClassResult, result: SplitResult) -> str | None:
    if entry.groups is None:
        return None
    return grouping(entry.groups, result.group_kind or "group")


def _headline_row(run: Run, result: SplitResult | None) -> dict[str, Any]:
    results = run.results
    return (_figures(run, result) if result else dict.fromkeys(_FIGURES)) | {
        "Checkpoint": results.selection.epoch if results and results.selection else None,
        "Parameters": results.parameters if results else None,
        "Device": ", ".join(run.environment.devices) if run.environment else None,
    }


_FIGURES: dict[str, Callable[[SplitResult], Any]] = {
    "Accuracy": lambda result: _percent(result.accuracy),
    "95% interval": lambda result: formats.interval(result.accuracy_low, result.accuracy_high),
    "n": lambda result: result.n,
    "Groups": lambda result: result.grouping or None,
    "Classes": lambda result: sum(entry.support > 0 for entry in result.classes),
    "Macro-F1": lambda result: _percent(result.macro_f1),
    "UAR": lambda result: _percent(result.uar),
    "Top-2": lambda result: _percent(result.top2),
    "ECE": lambda result: _percent(result.ece),
    "NLL": lambda result: result.nll,
}


def _figures(run: Run, result: SplitResult) -> dict[str, Any]:
    found = {name: figure(result) for name, figure in _FIGURES.items()}
    return found | {"Groups": run.grouping(result) or None}


def _without_empty_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Leave the column of groups out where no image shares anything with another."""
    empty = "Groups" in table and table["Groups"].isna().all()
    return table.drop(columns="Groups") if empty else table


def _scored(run: Run) -> str:
    names = run.results.class_names if run.results else []
    scored = len(names) - len(facts.dropped_classes(run))
    return f"{scored} of {len(names)}" if facts.dropped_classes(run) else f"all {len(names)}"


def _epochs(run: Run) -> str:
    done = run.results.epochs_run if run.results else (run.status.epoch if run.status else None)
    planned = run.experiment.epochs if run.experiment else None
    return f"{done} of {planned}" if done is not None and planned is not None else formats.DASH


def _note(run: Run) -> str | None:
    said = run.status.message if run.status and run.state in facts.HALTED else ""
    texts = (run.problem or said, *run.warnings, run.notes.text)
    parts = [" ".join(text.split()) for text in texts]
    return " · ".join(filter(None, parts)) or None


def _tags(runs: Sequence[Run]) -> list[str]:
    own = dict.fromkeys(tag for run in runs for tag in run.notes.tags)
    marks = [name for name in ("pinned", "archived") if any(getattr(r.notes, name) for r in runs)]
    origins = dict.fromkeys(run.origin for run in runs if run.origin != "trained")
    return [*marks, *origins, *own]


def _test(run: Run) -> SplitResult | None:
    return facts.result_of(run, "test")


def _searched(run: Run) -> str:
    config, environment = run.config, run.environment
    parts = [run.id, run.state, facts.title(run), run.notes.text, *_tags([run])]
    parts += [config.dataset, config.model] if config else []
    parts += environment.devices if environment else []
    return " ".join(parts).lower()


@lru_cache(maxsize=64)
def _described(run: Run) -> Mapping[str, str]:
    fields = _flat(run.config.model_dump(mode="json", exclude=set(_NAMES))) if run.config else {}
    environment = run.environment
    if environment:
        fields |= {
            "ran on: device": ", ".join(environment.devices),
            "ran on: precision": environment.precision,
            "ran on: backend": environment.backend,
            "ran on: commit": environment.commit,
            "ran on: data": environment.dataset_fingerprint,
        }
    return fields


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
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


def _accuracy(result: SplitResult | None) -> float | None:
    return result.accuracy if result else None


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100
