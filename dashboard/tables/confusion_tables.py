"""Confusion matrices and metrics by class as tables, and as files."""

import io
import zipfile
from collections.abc import Mapping, Sequence

import pandas as pd

from dashboard import formats
from dashboard.charts.class_charts import ClassMetric
from dashboard.charts.confusion_matrix import Scale, cell_values
from dashboard.tables.cells import percent
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult

CLASS_METRICS: dict[ClassMetric, str] = {"recall": "Recall", "precision": "Precision", "f1": "F1"}
Evaluated = Sequence[tuple[Run, SplitResult]]


def matrix_table(result: SplitResult, class_names: Sequence[str], scale: Scale) -> pd.DataFrame:
    """Return a confusion matrix: one row for each true class, one column for each predicted one.

    Fractions are from 0 to 1. Cells without a value are empty, see `cell_values`.
    """
    table = pd.DataFrame(cell_values(result, scale), columns=list(class_names))
    if scale == "counts":
        table = table.astype("Int64")
    table.insert(0, "true", list(class_names))
    return table


def cells_table(evaluated: Evaluated, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return one row for each cell of each run's matrix: its count and its three fractions.

    Args:
        evaluated: runs and their results.
        labels: by run id.
    """
    rows = []
    for run, result in evaluated:
        names = run.results.class_names if run.results else []
        by_row, by_column, by_total = (
            cell_values(result, scale) for scale in ("share", "predicted", "all")
        )
        rows += [
            {
                "run": labels[run.id],
                "true": true,
                "predicted": predicted,
                "count": result.confusion[i][j],
                "of_true": by_row[i][j],
                "of_predicted": by_column[i][j],
                "of_all": by_total[i][j],
            }
            for i, true in enumerate(names)
            for j, predicted in enumerate(names)
        ]
    return pd.DataFrame(rows)


def matrices_zip(evaluated: Evaluated, labels: Mapping[str, str], scale: Scale) -> bytes:
    """Return a ZIP archive with each run's confusion matrix as a CSV file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for run, result in evaluated:
            names = run.results.class_names if run.results else []
            text = matrix_table(result, names, scale).to_csv(index=False)
            archive.writestr(f"{formats.file_name('confusion', labels[run.id], scale)}.csv", text)
    return file.getvalue()


def class_metrics_table(evaluated: Evaluated, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return one row for each run and class: images, recall with its interval, precision, F1.

    Fractions are in percent.
    """
    return pd.DataFrame(
        [
            {
                "Run": labels[run.id],
                "Class": entry.name,
                "n": entry.support,
                "Recall": percent(entry.recall),
                "95% interval": formats.interval(entry.recall_low, entry.recall_high),
                "Precision": percent(entry.precision),
                "F1": percent(entry.f1),
            }
            for run, result in evaluated
            for entry in result.classes
        ]
    )


def class_metric_table(
    evaluated: Evaluated,
    labels: Mapping[str, str],
    swatches: Mapping[str, str],
    metric: ClassMetric,
) -> pd.DataFrame:
    """Return one row for each run: the metric of each class and its mean, in percent.

    Args:
        evaluated: runs and their results.
        labels: by run id.
        swatches: images of the runs' colours, by run id.
        metric: of the classes; those without a value are empty and not in the mean.
    """
    rows = []
    for run, result in evaluated:
        values = {entry.name: percent(getattr(entry, metric)) for entry in result.classes}
        present = [value for value in values.values() if value is not None]
        mean = sum(present) / len(present) if present else None
        rows.append({"Color": swatches[run.id], "Run": labels[run.id], **values, "Mean": mean})
    return pd.DataFrame(rows)
