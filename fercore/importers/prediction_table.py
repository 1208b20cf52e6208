"""Read the predictions of another program from a table: scores or predicted classes of a split."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.importers.label_order import are_inverted, order_warning
from fercore.importers.scores import Scale
from fercore.importers.table_columns import find_roles
from fercore.importers.table_reader import TableReader
from fercore.importers.table_rows import (
    TableSplit,
    join_names,
    select_rows_by_id,
    select_run_rows,
    select_split_rows,
)
from fercore.io.delimited_text import read_delimited
from fercore.io.file_names import quoted

# Standard deviations above chance that show that the order of the rows is right.
_MIN_DEVIATIONS = 5


@dataclass(frozen=True)
class TablePredictions:
    """The predictions in a table.

    Attributes:
        probabilities: `(n, k)` float32 in the order of the split and of its classes, rows summing
            to 1; one-hot if the table has only predicted classes.
        scale: of the scores in the table.
        notes: lines on how the table was read.
    """

    probabilities: NDArray[np.float32]
    scale: Scale
    notes: tuple[str, ...]


def read_table(path: Path, split: TableSplit, run: str | None = None) -> TablePredictions:
    """Read the predictions for every sample of a split.

    Args:
        path: a delimited text file with a header. It has a column of scores for each class, or one
            column with the predicted class; and ids of the samples, or their true labels in the
            order of the split, or both.
        split: the split.
        run: name of the run to read, if the table has several runs, as that of `fercore predict`.

    Raises:
        UserError: if samples or classes are missing, labels differ, or the columns or values are
            ambiguous.
    """
    table = read_delimited(path)
    roles = find_roles(table.header, split.class_names, path.name)
    table = select_run_rows(select_split_rows(table, roles, split), roles, run)
    table, row_notes = select_rows_by_id(table, roles, split)
    notes = [*table.notes, *row_notes]
    if not (roles.ids or roles.counters or roles.true or roles.true_or_predicted or roles.one_hot):
        raise UserError(
            f"{path.name} has the columns {join_names(table.header)}; expected id, or label to "
            "check the order of its rows by"
        )
    reader = TableReader(table, roles, split)
    order, note = reader.match_rows()
    notes += [note] if note else []
    has_true_labels = reader.check_labels(order)
    if not has_true_labels and not reader.has_ids:
        raise UserError(
            f"{path.name} has no column that tells the order of its rows; expected id, or label"
        )
    scale: Scale
    if roles.scores:
        probabilities, scale, score_notes = reader.read_scores(order)
        notes += score_notes
        _check_scores(path.name, probabilities, scale, split)
        notes += reader.check_predicted_classes(order, probabilities)
        notes += _tie_notes(probabilities)
    else:
        probabilities, class_notes = reader.read_predicted_classes(order)
        notes += class_notes
        scale = "labels"
    if not has_true_labels and not reader.has_sample_ids:
        _require_above_chance(path.name, probabilities.argmax(axis=1), split)
    if roles.has_numbered_classes:
        notes.append(f"classes by number, in the order {','.join(split.class_names)}")
    notes += _order_notes(probabilities, split)
    return TablePredictions(probabilities.astype(np.float32), scale, tuple(notes))


def _check_scores(
    file: str, probabilities: NDArray[np.float64], scale: Scale, split: TableSplit
) -> None:
    """Raise if the scores are true labels, constant or inverted."""
    if scale == "labels" and (probabilities.argmax(axis=1) == split.split.labels).all():
        raise UserError(
            f"{file}: the columns of the classes are the dataset's own labels, one-hot; "
            "expected predictions"
        )
    highest = probabilities.max(axis=1, keepdims=True)
    if len(probabilities) > 1 and (probabilities == highest).all():
        raise UserError(
            f"{file} gives every class the same score in every row; expected predictions"
        )
    if are_inverted(probabilities, split.split.labels, np.arange(len(split.class_names))):
        raise UserError(
            f"{file}: the lowest score of a row is that of its class, not the highest; expected "
            "scores that are higher for the more likely class, not distances, losses or ranks"
        )


def _require_above_chance(file: str, predicted: NDArray[np.intp], split: TableSplit) -> None:
    """Raise if the accuracy is that of chance, for rows with an order given by numbers only."""
    truth, k, n = split.split.labels, len(split.class_names), len(split.split)
    predicted_fractions = np.bincount(predicted, minlength=k) / n
    true_fractions = np.bincount(truth, minlength=k) / n
    chance = float((predicted_fractions * true_fractions).sum())
    accuracy = float((predicted == truth).mean())
    if accuracy < chance + _MIN_DEVIATIONS * math.sqrt(chance * (1 - chance) / n):
        raise UserError(
            f"{file}: ids are numbers, and in their order {100 * accuracy:.1f} % of the "
            f"predictions are right, no more than by chance ({100 * chance:.1f} %); expected the "
            f"ids of the dataset, such as {quoted(str(split.split.ids[0]))}, or a column 'label'"
        )


def _tie_notes(probabilities: NDArray[np.float64]) -> list[str]:
    """Return a note on rows without a single highest score."""
    highest = probabilities.max(axis=1, keepdims=True)
    ties = int(((probabilities >= highest - 1e-12).sum(axis=1) > 1).sum())
    if not ties:
        return []
    return [
        f"{ties:,} rows share the highest score between classes; the first class in the dataset's "
        "order counts as predicted"
    ]


def _order_notes(probabilities: NDArray[np.float64], split: TableSplit) -> list[str]:
    """Return a warning if the classes seem to be in another order."""
    predicted, names = probabilities.argmax(axis=1), list(split.class_names)
    where = f"the images of {split.titles[-1]}"
    warning = order_warning(predicted, split.split.labels, names, names, where)
    return [warning] if warning else []
