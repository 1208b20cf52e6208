"""The table of runs on the Runs page: rows, groups of seeds, search and sorting."""

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
        value: of a run, given the differences from the baseline; `None` sorts last.
        down: whether the highest comes first.
    """

    label: str
    value: Callable[[Run, Mapping[str, PairedDifference | None]], float | None]
    down: bool = True


SORTS: dict[str, Sort] = {
    "newest": Sort("Newest", lambda run, _: started(run)),
    "accuracy": Sort("Accuracy", lambda run, _: accuracy(test_result(run))),
    "unique": Sort(
        "Accuracy without repeats",
        lambda run, _: accuracy(run_properties.result_of(run, "test_unique")),
    ),
    "validation": Sort(
        "Validation accuracy", lambda run, _: accuracy(run_properties.result_of(run, "validation"))
    ),
    "delta": Sort(
        "Difference from the baseline",
        lambda run, deltas: delta.difference if (delta := deltas.get(run.id)) else None,
    ),
    "f1": Sort(
        "Macro-F1", lambda run, _: result.macro_f1 if (result := test_result(run)) else None
    ),
    "worst": Sort(
        "Recall of the worst class",
        lambda run, _: (
            worst.recall if (worst := run_properties.worst_class(test_result(run))) else None
        ),
    ),
    "parameters": Sort(
        "Fewest parameters",
        lambda run, _: run.results.parameters if run.results else None,
        down=False,
    ),
    "latency": Sort(
        "Fastest",
        lambda run, _: run_properties.latency(run).face_ms if run.latency else None,
        down=False,
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
    """One row a folder that is no readable run: its name and what is wrong with it."""
    return pd.DataFrame({"Folder": [run.id for run in runs], "Problem": [_note(r) for r in runs]})


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
    tests = [result for run in runs if (result := run_properties.result_of(run, "test"))]
    # Of several runs the worst class is that of the first; everything else is a mean.
    test = tests[0] if tests else None
    worst = run_properties.worst_class(test)
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
        "Experiment": run_properties.title(first),
        "State": list(dict.fromkeys(run.state for run in runs)),
        "Dataset": config.dataset if config else None,
        "Protocol": run_properties.protocol_words(first, fold=not several),
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
        "All classes": mean(lambda run: percent(accuracy(run_properties.all_classes_result(run)))),
        "No repeats": mean(
            lambda run: percent(accuracy(run_properties.result_of(run, "test_unique")))
        ),
        "Validation": mean(
            lambda run: percent(accuracy(run_properties.result_of(run, "validation")))
        ),
        "Macro-F1": mean(lambda run: percent(r.macro_f1 if (r := test_result(run)) else None)),
        "Worst class": worst.name if worst else None,
        "Worst recall": percent(worst.recall if worst else None),
        "Model": config.model if config else None,
        "Epochs": formats.DASH if several else _epochs(first),
        "Parameters": None if parameters is None else round(parameters),
        "model.onnx": None if bytes_ is None else round(bytes_),
        "Face ms": mean(lambda run: run_properties.latency(run).face_ms if run.latency else None),
        "Training time": mean(lambda run: run.results.train_seconds if run.results else None),
        "Device": ", ".join(environment.devices) if environment else None,
        "Started": datetime.fromtimestamp(begun, UTC) if begun else None,
        "Tags": _tags(runs) or None,
        "Note": _note(first),
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
    said = run.status.message if run.status and run.state in training_progress.HALTED else ""
    texts = (run.problem or said, *run.warnings, run.notes.text)
    parts = [" ".join(text.split()) for text in texts]
    return " · ".join(filter(None, parts)) or None


def _tags(runs: Sequence[Run]) -> list[str]:
    own = dict.fromkeys(tag for run in runs for tag in run.notes.tags)
    marks = [name for name in ("pinned", "archived") if any(getattr(r.notes, name) for r in runs)]
    origins = dict.fromkeys(run.origin for run in runs if run.origin != "trained")
    return [*marks, *origins, *own]


def _searched(run: Run) -> str:
    config, environment = run.config, run.environment
    parts = [run.id, run.state, run_properties.title(run), run.notes.text, *_tags([run])]
    parts += [config.dataset, config.model] if config else []
    parts += environment.devices if environment else []
    return " ".join(parts).lower()
