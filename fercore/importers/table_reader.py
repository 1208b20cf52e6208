"""Read ids, labels and scores from the rows of a prediction table, for the samples of a split."""

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import FER2013, match_class
from fercore.errors import UserError
from fercore.importers.scores import (
    READINGS,
    Scale,
    detect_scale,
    invalid_rows,
    restrict_to_classes,
    to_probabilities,
)
from fercore.importers.table_columns import Roles
from fercore.importers.table_ids import match_ids, parse_positions
from fercore.importers.table_rows import TableSplit, is_unknown_class, join_names
from fercore.io.delimited_text import Table
from fercore.io.file_names import quoted

# If a column of predicted classes differs from the highest score in a larger fraction of the rows,
# one of the two has other values than its name says.
_MAX_CONTRADICTIONS = 0.01
_NUMBER = re.compile(r"\d{1,4}(?:\.0*)?")


class TableReader:
    """Reads the rows of a table in the order of a split.

    Args:
        table: the rows of the split.
        roles: of its columns; `check_labels` moves columns of `true_or_predicted`.
        split: the samples.

    Attributes:
        has_ids: whether ids or positions give the sample of each row; set by `match_rows`.
        has_sample_ids: whether they are the ids of the dataset; set by `match_rows`.
    """

    def __init__(self, table: Table, roles: Roles, split: TableSplit):
        self.table, self.roles, self.split = table, roles, split
        self.file, self.names = table.name, list(split.class_names)
        self.has_ids = self.has_sample_ids = False
        self._numbering: NDArray[np.intp] | None = None

    def match_rows(self) -> tuple[NDArray[np.intp], str]:
        """Return the row of each sample of the split, and a note on how the ids were read.

        Raises:
            UserError: if the ids do not match the samples, or the number of rows differs.
        """
        first_error = None
        for column in self.roles.ids:
            indices, error = match_ids(self._column(column), self.split.split, self.file)
            if indices is not None:
                self.has_ids = self.has_sample_ids = True
                return np.argsort(indices), ""
            first_error = first_error or error
        for column in (*self.roles.ids, *self.roles.counters):
            count = len(self.split.split)
            positions = parse_positions(self._column(column), self.split.first, count)
            if positions is not None:
                indices, start = positions
                self.has_ids = True
                return np.argsort(indices), (
                    f"ids {start:,} to {start + count - 1:,} read as positions in the split"
                )
        if first_error is not None:
            raise first_error
        if not (self.roles.true or self.roles.true_or_predicted or self.roles.one_hot):
            raise UserError(
                f"{self.file}: the column {quoted(self.table.header[self.roles.counters[0]])} does "
                "not number the samples; expected id, or label to check the order of its rows by"
            )
        count, expected = len(self.table.rows), len(self.split.split)
        if count != expected:
            raise UserError(f"{self.file} has {count:,} rows, the split {expected:,} samples")
        return np.arange(count), ""

    def check_labels(self, order: NDArray[np.intp]) -> bool:
        """Compare true labels with the dataset's; return whether the table has true labels.

        The content of a column that may have the true or the predicted class decides, and the
        column is moved to `roles.true` or `roles.predicted`.

        Args:
            order: row of each sample.

        Raises:
            UserError: if a label differs.
        """
        self._classify_label_columns(order)
        roles = self.roles
        has_labels = False
        for column in (*roles.true, *roles.true_or_predicted):
            labels = self._labels(column, order)
            if labels is not None:
                self._require_true_labels(labels)
                has_labels = True
        if roles.one_hot and not has_labels:
            columns = [roles.one_hot.get(name) for name in self.names]
            values = self._numbers([c for c in columns if c is not None])[order]
            if len(values.T) == len(self.names) and detect_scale(values) == "labels":
                self._require_true_labels(values.argmax(axis=1))
                return True
        return has_labels

    def _classify_label_columns(self, order: NDArray[np.intp]) -> None:
        """Move columns of `true_or_predicted` to `true` or `predicted` by their content."""
        roles, truth = self.roles, self.split.split.labels
        for column in list(roles.true_or_predicted):
            labels = self._labels(column, order, partial=bool(roles.scores))
            if labels is None:
                roles.true_or_predicted.remove(column)
            elif (labels == truth).all():
                roles.true.append(column)
                roles.true_or_predicted.remove(column)
        # Beside true labels, or with ids and no scores, it is the predicted class.
        has_true = bool(roles.true or roles.one_hot)
        if roles.true_or_predicted and (has_true or (self.has_ids and not roles.scores)):
            roles.predicted += roles.true_or_predicted
            roles.true_or_predicted = []
        elif roles.true_or_predicted and roles.scores and self.has_ids:
            probabilities, *_ = self.read_scores(order)
            for column in list(roles.true_or_predicted):
                labels = self._labels(column, order, partial=True)
                if labels is None:
                    continue
                count = _count_contradictions(probabilities, labels)
                if count < min((labels != truth).sum(), _MAX_CONTRADICTIONS * len(labels)):
                    roles.predicted.append(column)
                    roles.true_or_predicted.remove(column)

    def read_scores(self, order: NDArray[np.intp]) -> tuple[NDArray[np.float64], Scale, list[str]]:
        """Read the columns of scores.

        Args:
            order: row of each sample.

        Returns:
            The probabilities, `(n, k)`, the scale of the scores, and notes on how they were read.

        Raises:
            UserError: if a class has no column, or a row does not fit the scale of most rows.
        """
        roles = self.roles
        absent = [
            name
            for name in self.names
            if name not in roles.scores and name not in self.split.dropped
        ]
        if absent:
            raise UserError(
                f"{self.file} has no column for {', '.join(absent)}; expected one for each of "
                f"{', '.join(self.names)}"
            )
        present = [name for name in self.names if name in roles.scores]
        columns = [*(roles.scores[name] for name in present), *roles.extra.values()]
        values = self._numbers(columns)
        scale = self._detect_scale(values, columns)
        sums = values.sum(axis=1)
        notes = [f"scores read as {READINGS[scale]}"] if scale != "probabilities" else []
        if scale == "probabilities" and np.abs(sums - 1).max() > 0.005:
            notes.append(
                f"probabilities sum to {sums.min():.2f} to {sums.max():.2f}, as rounded ones do; "
                "divided by their sum"
            )
        if roles.extra:
            notes.append(
                f"left out, as the dataset has no such class: {', '.join(roles.extra)}; the other "
                "classes are scaled to sum to 1"
            )
        scaled = to_probabilities(values, scale)[order]
        if scale == "labels" and scaled[:, len(present) :].any():
            row = int(np.flatnonzero(scaled[:, len(present) :].any(axis=1))[0])
            raise UserError(
                f"{self.file}, line {self.table.lines[int(order[row])]}: the predicted class is "
                f"one of {', '.join(roles.extra)}, which the dataset does not have; expected "
                "scores of every class"
            )
        if roles.extra:
            scaled = restrict_to_classes(scaled, list(range(len(present))))
        probabilities = np.zeros((len(scaled), len(self.names)))
        probabilities[:, [self.names.index(name) for name in present]] = scaled
        return probabilities, scale, notes

    def read_predicted_classes(
        self, order: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], list[str]]:
        """Read the column of predicted classes.

        Args:
            order: row of each sample.

        Returns:
            One-hot probabilities, `(n, k)`, and a note.

        Raises:
            UserError: if there is no such column, there are two that differ, or it has the true
                labels.
        """
        if not self.roles.predicted:
            raise UserError(
                f"{self.file} has the columns {join_names(self.table.header)}; expected one of "
                f"scores for each of {', '.join(self.names)}, or a column 'predicted' with the "
                "predicted class"
            )
        if len(self.roles.predicted) > 1:
            first, second = (quoted(self.table.header[c]) for c in self.roles.predicted[:2])
            one, other = (self._labels(column, order) for column in self.roles.predicted[:2])
            if one is None or other is None or not np.array_equal(one, other):
                raise UserError(
                    f"{self.file} has two columns with a predicted class, {first} and "
                    f"{second}; expected one"
                )
        column = self.roles.predicted[0]
        labels = self._labels(column, order)
        if labels is None:
            raise UserError(
                f"{self.file}: the column {quoted(self.table.header[column])} has none of the "
                f"classes {', '.join(self.names)} in most rows, such as "
                f"{quoted(self._column(column)[0])}"
            )
        if (labels == self.split.split.labels).all():
            raise UserError(
                f"{self.file}: the column {quoted(self.table.header[column])} equals the dataset's "
                "labels in every row; expected predictions"
            )
        note = (
            f"column {quoted(self.table.header[column])} read as the predicted class; without "
            "probabilities there are no calibration figures"
        )
        return np.eye(len(self.names))[labels], [note]

    def check_predicted_classes(
        self, order: NDArray[np.intp], probabilities: NDArray[np.float64]
    ) -> list[str]:
        """Compare columns of predicted classes with the scores; return notes on differences.

        Raises:
            UserError: if they differ in more than 1 % of the rows.
        """
        notes = []
        for column in self.roles.predicted:
            labels = self._labels(column, order, partial=True)
            if labels is None:
                continue
            name = quoted(self.table.header[column])
            count = _count_contradictions(probabilities, labels)
            if count > _MAX_CONTRADICTIONS * len(labels):
                raise UserError(
                    f"{self.file}: the column {name} names another class than the highest score "
                    f"in {count:,} of {len(labels):,} rows; expected scores and predicted classes "
                    "of one network: remove one of them"
                )
            if count:
                notes.append(
                    f"column {name} differs from the highest score in {count:,} rows; the "
                    "scores are used"
                )
        return notes

    def _column(self, index: int) -> list[str]:
        return [row[index] for row in self.table.rows]

    def _detect_scale(self, values: NDArray[np.float64], columns: Sequence[int]) -> Scale:
        """Detect the scale of the scores; raise if a row does not fit it."""
        decimals = _count_decimals(self.table, columns)
        is_finite = np.isfinite(values).all(axis=1)
        scale = detect_scale(values[is_finite], decimals) if is_finite.any() else None
        is_invalid = ~is_finite | (invalid_rows(values, scale, decimals) if scale else True)
        if scale is None or is_invalid.any():
            row = int(np.flatnonzero(is_invalid)[0])
            received = ", ".join(
                f"{value:g}" if np.isfinite(value) else quoted(self.table.rows[row][column], 40)
                for value, column in zip(values[row], columns, strict=True)
            )
            raise UserError(
                f"{self.file}, line {self.table.lines[row]}: received {received}, expected "
                f"{_expected_scores(scale)}"
            )
        return scale

    def _require_true_labels(self, labels: NDArray[np.intp]) -> None:
        truth = self.split.split.labels
        wrong = np.flatnonzero(labels != truth)
        if len(wrong):
            first = int(wrong[0])
            raise UserError(
                f"{self.file}: {len(wrong):,} labels differ from the dataset's, the first that of "
                f"{self.split.split.ids[first]}: received {self.names[labels[first]]}, expected "
                f"{self.names[truth[first]]}"
                + ("" if self.has_ids else "; rows in another order need a column id")
            )

    def _labels(
        self, column: int, order: NDArray[np.intp], *, partial: bool = False
    ) -> NDArray[np.intp] | None:
        """Return the classes in a column, `(n,)`; `None` if most cells are not classes.

        Args:
            column: of the table.
            order: row of each sample.
            partial: whether a cell may be empty or have a class of another dataset, which gives -1.

        Raises:
            UserError: if some cells are not classes.
        """
        cells = self._column(column)
        label_of = {cell: self._parse_class(cell) for cell in set(cells)}
        cell_labels = [label_of[cell] for cell in cells]
        unknown = [
            row
            for row, label in enumerate(cell_labels)
            if label is None and not (partial and is_unknown_class(cells[row]))
        ]
        if 2 * len(unknown) > len(cells) or all(label is None for label in cell_labels):
            return None
        if unknown:
            row = unknown[0]
            raise UserError(
                f"{self.file}, line {self.table.lines[row]}: received the label "
                f"{quoted(cells[row])} in the column {quoted(self.table.header[column])}, expected "
                f"one of {', '.join(self.names)}, or its number from 0"
            )
        labels = np.array([-1 if label is None else label for label in cell_labels], np.intp)[order]
        are_numbers = all(_NUMBER.fullmatch(cell) for cell in set(cells))
        return self._renumber(labels) if are_numbers else labels

    def _renumber(self, labels: NDArray[np.intp]) -> NDArray[np.intp]:
        """Convert class numbers that follow another order than the dataset's, such as the alphabet.

        The order is detected from true labels; predicted classes in the same table follow it.
        """
        truth = self.split.split.labels
        for order in (sorted(self.names), [name for name in FER2013 if name in self.names]):
            if (labels == truth).all() or self._numbering is not None:
                break
            if len(order) == len(self.names):
                numbering = np.array([self.names.index(name) for name in order], np.intp)
                if (numbering[labels] == truth).all():
                    self._numbering = numbering
        if self._numbering is None or (labels == truth).all():
            return labels
        return np.asarray(self._numbering[labels], np.intp)

    def _parse_class(self, cell: str) -> int | None:
        """Return the class that a cell names or numbers; `None` if it does neither."""
        name = match_class(cell, self.names)
        if name is not None:
            return self.names.index(name)
        if _NUMBER.fullmatch(cell) and int(float(cell)) < len(self.names):
            return int(float(cell))
        return None

    def _numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """Return the numbers in some columns, `(rows, columns)`; NaN for other cells."""
        values = np.empty((len(self.table.rows), len(columns)))
        for row, cells in enumerate(self.table.rows):
            for index, column in enumerate(columns):
                values[row, index] = _parse_number(cells[column], self.table.decimal_comma)
        return values


def _parse_number(cell: str, decimal_comma: bool) -> float:
    text = cell.rstrip("% ")
    if decimal_comma and "," in text and "." not in text:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _count_decimals(table: Table, columns: Sequence[int]) -> int:
    """Return the highest number of decimals in the first thousand rows."""
    highest = 0
    for row in table.rows[:1000]:
        for column in columns:
            text = row[column].rstrip("% ").lower().replace(",", ".")
            if "e" in text:
                return 9
            highest = max(highest, len(text.partition(".")[2]))
    return highest


def _count_contradictions(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> int:
    """Count the rows in which the label's probability is clearly below the highest one.

    Labels of -1 are not counted.
    """
    is_known = labels >= 0
    probabilities, labels = probabilities[is_known], labels[is_known]
    label_probabilities = probabilities[np.arange(len(labels)), labels]
    return int((label_probabilities < probabilities.max(axis=1) - 0.011).sum())


def _expected_scores(scale: Scale | None) -> str:
    if scale is None or scale == "probabilities":
        return "probabilities from 0 to 1 that sum to 1"
    return {
        "percent": "percent from 0 to 100 that sum to 100, as in most rows",
        "votes": "at least one vote",
        "sigmoid": "scores of 0 and above, one of them above 0",
        "logits": "finite logits",
        "labels": "one class",
    }[scale]
