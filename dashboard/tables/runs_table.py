"""The table of the Runs page: its rows, groups of seeds, search and sorting."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties, training_progress
from dashboard.tables.cells import accuracy, percent, test_result
from fercore.metrics import PairedDifference
from fercore.runs.reader import Run, started


@dataclass(frozen=True)
class Sort:
    """An order of the table of runs.

    Attributes:
        label: for people.
        value: of a run, given the differences from the baseline; `None` is sorted last.
        descending: whether the highest value comes first.
    """

    label: str
    value: Callable[[Run, Mapping[str, PairedDifference | None]], float | None]
    descending: bool = True


SORTS: dict[str, Sort] = {
    "newest": Sort("Newest", lambda run, _: started(run)),
    "accuracy": Sort("Accuracy", lambda run, _: accuracy(test_result(run))),
    "unique": Sort(
        "Accuracy (deduplicated)",
        lambda run, _: accuracy(run_properties.result_of(run, "test_unique")),
    ),
    "validation": Sort(
        "Validation accuracy", lambda run, _: accuracy(run_properties.result_of(run, "validation"))
    ),
    "delta": Sort(
        "Difference from baseline",
        lambda run, deltas: delta.difference if (delta := deltas.get(run.id)) else None,
    ),
    "f1": Sort(
        "Macro-F1", lambda run, _: result.macro_f1 if (result := test_result(run)) else None
    ),
    "worst": Sort(
        "Worst-class recall",
        lambda run, _: (
            worst.recall if (worst := run_properties.worst_class(test_result(run))) else None
        ),
    ),
    "parameters": Sort(
        "Fewest parameters",
        lambda run, _: run.results.parameters if run.results else None,
        descending=False,
    ),
    "latency": Sort(
        "Fastest",
        lambda run, _: run_properties.latency(run).face_ms if run.latency else None,
        descending=False,
    ),
    "time": Sort(
        "Shortest training",
        lambda run, _: run.results.train_seconds if run.results else None,
        descending=False,
    ),
}


def select_runs(
    runs: Sequence[Run], text: str = "", dataset: str = "", states: Sequence[str] = ()
) -> list[Run]:
    """Return the runs of a dataset and of some states that contain every word of a text.

    An empty filter selects every run.
    """
    words = text.lower().split()
    return [
        run
        for run in runs
        if all(word in _search_text(run) for word in words)
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
    """Sort rows by one of `SORTS`, pinned ones first, then the best first unless `reverse`."""
    sort = SORTS[key]
    valued: list[tuple[list[float], Sequence[Run]]] = []
    without: list[tuple[list[float], Sequence[Run]]] = []
    for group in groups:
        values = [value for run in group if (value := sort.value(run, deltas)) is not None]
        (valued if values else without).append((values, group))
    valued.sort(key=lambda entry: sum(entry[0]) / len(entry[0]), reverse=sort.descending != reverse)
    ordered = [group for _, group in (*valued, *without)]
    return sorted(ordered, key=lambda group: not any(run.notes.pinned for run in group))


def runs_table(
    groups: Sequence[Sequence[Run]], deltas: Mapping[str, PairedDifference | None] | None = None
) -> pd.DataFrame:
    """Return one row for each group of runs, in order; fractions in percent, sizes in bytes.

    Args:
        groups: each is one run, or the seeds of one experiment, whose results are averaged.
        deltas: accuracy minus the baseline's by run id, where there is a baseline.

    Returns:
        A table that all visitors share: copy it before you change it.
    """
    return _runs_table(tuple(map(tuple, groups)), tuple((deltas or {}).items()))


@lru_cache(maxsize=8)
def _runs_table(
    groups: tuple[tuple[Run, ...], ...], deltas: tuple[tuple[str, PairedDifference | None], ...]
) -> pd.DataFrame:
    delta_of = dict(deltas)
    rows = [_delta_cells(_group_row(runs), runs, delta_of) for runs in groups]
    table = pd.DataFrame(rows, index=[runs[0].id for runs in groups])
    if "Training time" in table:
        table["Training time"] = pd.to_timedelta(table["Training time"], unit="s").dt.round("s")
    return table


def problems_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row for each folder that is no readable run: its name and the problem."""
    return pd.DataFrame({"Folder": [run.id for run in runs], "Problem": [_note(r) for r in runs]})


def _delta_cells(
    row: dict[str, Any], runs: Sequence[Run], deltas: Mapping[str, PairedDifference | None]
) -> dict[str, Any]:
    differences = [delta for run in runs if (delta := deltas.get(run.id))]
    # A mean over only some runs of the row, such as all but the baseline, would mislead.
    if len(differences) < len(runs):
        return row
    return row | {
        "Delta": 100 * statistics.fmean(delta.difference for delta in differences),
        "Delta interval": formats.delta_interval(differences[0]) if len(differences) == 1 else None,
    }


# With a thousand runs, building the rows takes half of the time of their page.
@lru_cache(maxsize=4096)
def _group_row(runs: tuple[Run, ...]) -> dict[str, Any]:
    first = runs[0]
    several = len(runs) > 1
    tests = [result for run in runs if (result := run_properties.result_of(run, "test"))]
    # For several runs, the worst class is that of the first; everything else is a mean.
    test = tests[0] if tests else None
    worst = run_properties.worst_class(test)
    environment, config = first.environment, first.config
    newest_start = max(map(started, runs))
    folds = config is not None and config.protocol.by_folds

    def mean(value: Callable[[Run], float | None]) -> float | None:
        values = [number for run in runs if (number := value(run)) is not None]
        return statistics.fmean(values) if values else None

    accuracies = [100 * result.accuracy for result in tests]
    parameters = mean(lambda run: run.results.parameters if run.results else None)
    bytes_ = mean(lambda run: run.results.onnx.bytes if run.results and run.results.onnx else None)
    return {
        "Experiment": run_properties.title(first),
        "State": list(dict.fromkeys(run.state for run in runs)),
        "Accuracy": statistics.fmean(accuracies) if accuracies else None,
        "Spread": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "95% interval": formats.interval(test.accuracy_low, test.accuracy_high, 1)
        if test and not several
        else None,
        "Delta": None,
        "Delta interval": None,
        "Clean accuracy": mean(
            lambda run: percent(accuracy(run_properties.result_of(run, "test_unique")))
        ),
        "Validation": mean(
            lambda run: percent(accuracy(run_properties.result_of(run, "validation")))
        ),
        "Macro-F1": mean(lambda run: percent(r.macro_f1 if (r := test_result(run)) else None)),
        "Parameters": None if parameters is None else round(parameters),
        "Latency (ms)": mean(
            lambda run: run_properties.latency(run).face_ms if run.latency else None
        ),
        "Dataset": config.dataset if config else None,
        "Protocol": run_properties.protocol_words(first, fold=not several),
        "Seed": None if several or config is None else config.seed,
        "Runs": len(runs) if several else None,
        "Classes": [_scored(first)] if test else None,
        # Seeds are tested on the same samples, folds on different ones.
        "n": test.n if test and not (several and folds) else None,
        "Groups": (first.grouping(test) or None) if test and not (several and folds) else None,
        "All classes": mean(lambda run: percent(accuracy(run_properties.all_classes_result(run)))),
        "Worst class": worst.name if worst else None,
        "Worst-class recall": percent(worst.recall if worst else None),
        "Model": config.model if config else None,
        "Epochs": formats.DASH if several else _epochs(first),
        "model.onnx": None if bytes_ is None else round(bytes_),
        "Training time": mean(lambda run: run.results.train_seconds if run.results else None),
        "Device": ", ".join(environment.devices) if environment else None,
        "Started": datetime.fromtimestamp(newest_start, UTC) if newest_start else None,
        "Tags": _tags(runs) or None,
        "Note": _note(first),
        "Run ID": None if several else first.id,
    }


def _scored(run: Run) -> str:
    names = run.results.class_names if run.results else []
    scored = len(names) - len(run_properties.dropped_classes(run))
    return (
        f"{scored} of {len(names)}" if run_properties.dropped_classes(run) else f"all {len(names)}"
    )


def _epochs(run: Run) -> str:
    done = run.results.epochs_run if run.results else (run.status.epoch if run.status else None)
    planned = run.experiment.epochs if run.experiment else None
    return f"{done} of {planned}" if done is not None and planned is not None else formats.DASH


def _note(run: Run) -> str | None:
    message = run.status.message if run.status and run.state in training_progress.HALTED else ""
    texts = (run.problem or message, *run.warnings, run.notes.text)
    parts = [" ".join(text.split()) for text in texts]
    return " · ".join(filter(None, parts)) or None


def _tags(runs: Sequence[Run]) -> list[str]:
    user_tags = dict.fromkeys(tag for run in runs for tag in run.notes.tags)
    marks = [name for name in ("pinned", "archived") if any(getattr(r.notes, name) for r in runs)]
    origins = dict.fromkeys(run.origin for run in runs if run.origin != "trained")
    return [*marks, *origins, *user_tags]


def _search_text(run: Run) -> str:
    config, environment = run.config, run.environment
    parts = [run.id, run.state, run_properties.title(run), run.notes.text, *_tags([run])]
    parts += [config.dataset, config.model] if config else []
    parts += environment.devices if environment else []
    return " ".join(parts).lower()
