"""Read predictions of other programs from a table: scores or predicted classes of one split."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import FER2013, match_class
from fercore.errors import UserError
from fercore.importers.label_order import are_inverted, order_warning
from fercore.importers.scores import (
    READINGS,
    Scale,
    among,
    detect_scale,
    to_probabilities,
    unfit_rows,
)
from fercore.importers.table_columns import Roles, find_roles
from fercore.importers.table_ids import match_ids, positions
from fercore.importers.table_rows import (
    Part,
    is_of_another_split,
    join_names,
    rows_of_ids,
    rows_of_run,
    rows_of_split,
)
from fercore.io.delimited_text import Table, read_delimited
from fercore.io.file_names import quoted

# Share of rows in which a predicted class may differ from the highest score, before the column of
# one of them is taken to hold something else.
_MAX_CONTRADICTIONS = 0.01
# Standard deviations above chance that show the order of rows to be right.
_ABOVE_CHANCE = 5


@dataclass(frozen=True)
class Reading:
    """The predictions in a table.

    Attributes:
        probabilities: `(n, k)` float32 in the order of the split and of its classes, rows summing
            to 1; one-hot where the table holds predicted classes alone.
        scale: how the scores were read.
        notes: lines that say how the table was read.
    """

    probabilities: NDArray[np.float32]
    scale: Scale
    notes: tuple[str, ...]


def read_table(path: Path, part: Part, run: str | None = None) -> Reading:
    """Read the predictions on every sample of a split.

    Args:
        path: a delimited text file with a header. It has a column of scores for each class, or one
            with the predicted class; and ids of the samples, or their true labels in the order of
            the split, or both.
        part: the split.
        run: whose rows to read, where the table holds several runs, as that of `fercore predict`.

    Raises:
        UserError: if samples or classes are missing, labels differ, or the columns or values have
            no clear meaning.
    """
    table = read_delimited(path)
    roles = find_roles(table.header, part.class_names, path.name)
    table = rows_of_run(rows_of_split(table, roles, part), roles, run)
    table, others = rows_of_ids(table, roles, part)
    notes = [*table.notes, *others]
    if not (roles.ids or roles.counters or roles.true or roles.either or roles.one_hot):
        raise UserError(
            f"{path.name} has the columns {join_names(table.header)}; expected id, or label to "
            "check the order of its rows by"
        )
    rows = _Rows(table, roles, part)
    order, note = rows.order()
    notes += [note] if note else []
    truth_known = rows.check_labels(order, identified=rows.identified)
    if not truth_known and not rows.identified:
        raise UserError(
            f"{path.name} has no column that tells the order of its rows; expected id, or label"
        )
    if roles.scores:
        probabilities, scale, found = rows.scores(order)
        notes += found
        if scale == "labels" and (probabilities.argmax(axis=1) == part.split.labels).all():
            raise UserError(
                f"{path.name}: the columns of the classes are the dataset's own labels, one-hot; "
                "expected predictions"
            )
        highest = probabilities.max(axis=1, keepdims=True)
        if len(probabilities) > 1 and (probabilities == highest).all():
            raise UserError(
                f"{path.name} gives every class the same score in every row; expected predictions"
            )
        if are_inverted(probabilities, part.split.labels, np.arange(len(part.class_names))):
            raise UserError(
                f"{path.name}: the lowest score of a row tells its class, not the highest; "
                "expected scores that are higher for the more likely class, no distances, losses "
                "or ranks"
            )
        notes += rows.check_predicted(order, probabilities)
        notes += _tie_notes(probabilities)
    else:
        probabilities, found = rows.predicted_classes(order)
        notes += found
        scale = "labels"
    if not truth_known and not rows.named:
        _require_above_chance(path.name, probabilities.argmax(axis=1), part)
    if roles.numbered:
        notes.append(f"classes by number, in the order {','.join(part.class_names)}")
    notes += _order_notes(probabilities, part)
    return Reading(probabilities.astype(np.float32), scale, tuple(notes))


class _Rows:
    """The rows of a table, compared with a split."""

    def __init__(self, table: Table, roles: Roles, part: Part):
        self.table, self.roles, self.part = table, roles, part
        self.file, self.names = table.name, list(part.class_names)
        self.identified = self.named = False
        self._numbering: NDArray[np.intp] | None = None

    def order(self) -> tuple[NDArray[np.intp], str]:
        """Row of each sample of the split, and a note on how the ids were read."""
        problem = None
        for column in self.roles.ids:
            ids = self._column(column)
            places, error = match_ids(ids, self.part.split, self.file)
            if places is not None:
                self.identified = self.named = True
                return np.argsort(places), ""
            problem = problem or error
        for column in (*self.roles.ids, *self.roles.counters):
            count = len(self.part.split)
            found = positions(self._column(column), self.part.first, count)
            if found is not None:
                places, start = found
                self.identified = True
                return np.argsort(places), (
                    f"ids {start:,} to {start + count - 1:,} read as positions in the split"
                )
        if problem is not None:
            raise problem
        if not (self.roles.true or self.roles.either or self.roles.one_hot):
            raise UserError(
                f"{self.file}: the column {quoted(self.table.header[self.roles.counters[0]])} does "
                "not number the samples; expected id, or label to check the order of its rows by"
            )
        count, expected = len(self.table.rows), len(self.part.split)
        if count != expected:
            raise UserError(f"{self.file} has {count:,} rows, the split {expected:,} samples")
        return np.arange(count), ""

    def check_labels(self, order: NDArray[np.intp], identified: bool) -> bool:
        """Compare true labels with the dataset's; return whether there are any.

        A column that may hold the true or the predicted class is told by its content, and moved to
        `roles.true` or `roles.predicted`.
        """
        roles, truth = self.roles, self.part.split.labels
        for column in list(roles.either):
            labels = self._labels(column, order, partial=bool(roles.scores))
            if labels is None:
                roles.either.remove(column)
            elif (labels == truth).all():
                roles.true.append(column)
                roles.either.remove(column)
        # Beside true labels, or with ids and no scores, it is the predicted class.
        has_other = bool(roles.true or roles.one_hot)
        if roles.either and (has_other or (identified and not roles.scores)):
            roles.predicted += roles.either
            roles.either = []
        elif roles.either and roles.scores and identified:
            probabilities, *_ = self.scores(order)
            for column in list(roles.either):
                labels = self._labels(column, order, partial=True)
                if labels is None:
                    continue
                count = _contradictions(probabilities, labels)
                if count < min((labels != truth).sum(), _MAX_CONTRADICTIONS * len(labels)):
                    roles.predicted.append(column)
                    roles.either.remove(column)
        known = False
        for column in (*roles.true, *roles.either):
            labels = self._labels(column, order)
            if labels is not None:
                self._require_same(labels, order, identified)
                known = True
        if roles.one_hot and not known:
            columns = [roles.one_hot.get(name) for name in self.names]
            values = self._numbers([c for c in columns if c is not None])[order]
            if len(values.T) == len(self.names) and detect_scale(values) == "labels":
                self._require_same(values.argmax(axis=1), order, identified)
                return True
        return known

    def scores(self, order: NDArray[np.intp]) -> tuple[NDArray[np.float64], Scale, list[str]]:
        """Probabilities of every sample from the columns of the classes."""
        roles, file = self.roles, self.file
        absent = [
            name
            for name in self.names
            if name not in roles.scores and name not in self.part.dropped
        ]
        if absent:
            raise UserError(
                f"{file} has no column for {', '.join(absent)}; expected one for each of "
                f"{', '.join(self.names)}"
            )
        present = [name for name in self.names if name in roles.scores]
        columns = [*(roles.scores[name] for name in present), *roles.extra.values()]
        values = self._numbers(columns)
        decimals = _decimals(self.table, columns)
        finite = np.isfinite(values).all(axis=1)
        scale = detect_scale(values[finite], decimals) if finite.any() else None
        unfit = ~finite | (unfit_rows(values, scale, decimals) if scale else True)
        if unfit.any():
            row = int(np.flatnonzero(unfit)[0])
            shown = ", ".join(
                f"{value:g}" if np.isfinite(value) else quoted(self.table.rows[row][column], 40)
                for value, column in zip(values[row], columns, strict=True)
            )
            raise UserError(
                f"{file}, line {self.table.lines[row]}: received {shown}, expected "
                f"{_expected(scale)}"
            )
        assert scale is not None
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
        found = np.zeros((len(scaled), len(self.names)))
        if scale == "labels" and scaled[:, len(present) :].any():
            row = int(np.flatnonzero(scaled[:, len(present) :].any(axis=1))[0])
            raise self._foreign_class(list(roles.extra), int(order[row]))
        kept = among(scaled, list(range(len(present)))) if roles.extra else scaled
        found[:, [self.names.index(name) for name in present]] = kept
        return found, scale, notes

    def predicted_classes(self, order: NDArray[np.intp]) -> tuple[NDArray[np.float64], list[str]]:
        """One-hot rows of every sample from a column with the predicted class."""
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
                f"{self.file}: the column {quoted(self.table.header[column])} holds none of the "
                f"classes {', '.join(self.names)} in most rows, such as "
                f"{quoted(self._column(column)[0])}"
            )
        right = float((labels == self.part.split.labels).mean())
        if right == 1:
            raise UserError(
                f"{self.file}: the column {quoted(self.table.header[column])} equals the dataset's "
                "labels in every row; expected predictions"
            )
        note = (
            f"column {quoted(self.table.header[column])} read as the predicted class; without "
            "probabilities there are no calibration figures"
        )
        return np.eye(len(self.names))[labels], [note]

    def check_predicted(
        self, order: NDArray[np.intp], probabilities: NDArray[np.float64]
    ) -> list[str]:
        """Compare a column with the predicted class with the scores."""
        notes = []
        for column in self.roles.predicted:
            labels = self._labels(column, order, partial=True)
            if labels is None:
                continue
            name = quoted(self.table.header[column])
            count = _contradictions(probabilities, labels)
            if count > _MAX_CONTRADICTIONS * len(labels):
                raise UserError(
                    f"{self.file}: the column {name} names another class than the highest score "
                    f"in {count:,} of {len(labels):,} rows; expected scores and predicted classes "
                    "of one network: remove one of them"
                )
            if count:
                notes.append(
                    f"column {name} differs from the highest score in {count:,} rows; the "
                    "scores count"
                )
        return notes

    def _column(self, place: int) -> list[str]:
        return [row[place] for row in self.table.rows]

    def _require_same(
        self, labels: NDArray[np.intp], order: NDArray[np.intp], identified: bool
    ) -> None:
        truth = self.part.split.labels
        wrong = np.flatnonzero(labels != truth)
        if len(wrong):
            first = int(wrong[0])
            raise UserError(
                f"{self.file}: {len(wrong):,} labels differ from the dataset's, the first that of "
                f"{self.part.split.ids[first]}: received {self.names[labels[first]]}, expected "
                f"{self.names[truth[first]]}"
                + ("" if identified else "; rows in another order need a column id")
            )

    def _labels(
        self, column: int, order: NDArray[np.intp], *, partial: bool = False
    ) -> NDArray[np.intp] | None:
        """Classes in a column, in the order of the split; `None` if most cells hold none.

        Where `partial` allows it, an empty cell or a class of other datasets is -1.
        """
        cells = self._column(column)
        places = {cell: self._class_of(cell) for cell in set(cells)}
        found = [places[cell] for cell in cells]
        unknown = [
            row
            for row, place in enumerate(found)
            if place is None and not (partial and is_of_another_split(cells[row]))
        ]
        if 2 * len(unknown) > len(cells) or all(place is None for place in found):
            return None
        if unknown:
            row = unknown[0]
            raise UserError(
                f"{self.file}, line {self.table.lines[row]}: received the label "
                f"{quoted(cells[row])} in the column {quoted(self.table.header[column])}, expected "
                f"one of {', '.join(self.names)}, or its number from 0"
            )
        labels = np.array([-1 if place is None else place for place in found], np.intp)[order]
        numbers = all(_NUMBER.fullmatch(cell) for cell in set(cells))
        return self._renumbered(labels) if numbers else labels

    def _renumbered(self, labels: NDArray[np.intp]) -> NDArray[np.intp]:
        """Numbers may follow another order than the dataset's, such as the alphabet.

        True labels tell; numbers of predicted classes in the same table follow the same order.
        """
        truth = self.part.split.labels
        for usual in (sorted(self.names), [name for name in FER2013 if name in self.names]):
            if (labels == truth).all() or self._numbering is not None:
                break
            if len(usual) == len(self.names):
                numbering = np.array([self.names.index(name) for name in usual], np.intp)
                if (numbering[labels] == truth).all():
                    self._numbering = numbering
        if self._numbering is None or (labels == truth).all():
            return labels
        return np.asarray(self._numbering[labels], np.intp)

    def _class_of(self, cell: str) -> int | None:
        name = match_class(cell, self.names)
        if name is not None:
            return self.names.index(name)
        if _NUMBER.fullmatch(cell) and int(float(cell)) < len(self.names):
            return int(float(cell))
        return None

    def _foreign_class(self, extra: list[str], row: int) -> UserError:
        return UserError(
            f"{self.file}, line {self.table.lines[row]}: the predicted class is one of "
            f"{', '.join(extra)}, which the dataset does not have; expected scores of every class"
        )

    def _numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        values = np.empty((len(self.table.rows), len(columns)))
        for row, cells in enumerate(self.table.rows):
            for place, column in enumerate(columns):
                values[row, place] = _number(cells[column], self.table.decimal_comma)
        return values


_NUMBER = re.compile(r"\d{1,4}(?:\.0*)?")


def _number(cell: str, decimal_comma: bool) -> float:
    text = cell.rstrip("% ")
    if decimal_comma and "," in text and "." not in text:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _decimals(table: Table, columns: Sequence[int]) -> int:
    """The most decimals in the first thousand rows."""
    most = 0
    for row in table.rows[:1000]:
        for column in columns:
            text = row[column].rstrip("% ").lower().replace(",", ".")
            if "e" in text:
                return 9
            most = max(most, len(text.partition(".")[2]))
    return most


def _contradictions(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> int:
    """Rows whose label, where it is known, has clearly less than the highest probability."""
    known = labels >= 0
    probabilities, labels = probabilities[known], labels[known]
    of_label = probabilities[np.arange(len(labels)), labels]
    return int((of_label < probabilities.max(axis=1) - 0.011).sum())


def _require_above_chance(file: str, predicted: NDArray[np.intp], part: Part) -> None:
    """Refuse rows whose order only a number tells, if they agree with the labels by chance."""
    truth, k, n = part.split.labels, len(part.class_names), len(part.split)
    shares = np.bincount(predicted, minlength=k) / n, np.bincount(truth, minlength=k) / n
    chance = float((shares[0] * shares[1]).sum())
    accuracy = float((predicted == truth).mean())
    if accuracy < chance + _ABOVE_CHANCE * math.sqrt(chance * (1 - chance) / n):
        raise UserError(
            f"{file}: ids are numbers, and in their order {100 * accuracy:.1f} % of the "
            f"predictions are right, no more than by chance ({100 * chance:.1f} %); expected the "
            f"ids of the dataset, such as {quoted(str(part.split.ids[0]))}, or a column 'label'"
        )


def _tie_notes(probabilities: NDArray[np.float64]) -> list[str]:
    """A note on rows without a single highest score."""
    highest = probabilities.max(axis=1, keepdims=True)
    ties = int(((probabilities >= highest - 1e-12).sum(axis=1) > 1).sum())
    if not ties:
        return []
    return [
        f"{ties:,} rows share the highest score between classes; the first class in the dataset's "
        "order counts as predicted"
    ]


def _order_notes(probabilities: NDArray[np.float64], part: Part) -> list[str]:
    predicted, names = probabilities.argmax(axis=1), list(part.class_names)
    where = f"the images of {part.titles[-1]}"
    warning = order_warning(predicted, part.split.labels, names, names, where)
    return [warning] if warning else []


def _expected(scale: Scale | None) -> str:
    if scale is None or scale == "probabilities":
        return "probabilities from 0 to 1 that sum to 1"
    return {
        "percent": "percent from 0 to 100 that sum to 100, as in most rows",
        "votes": "at least one vote",
        "sigmoid": "scores of 0 and above, one of them above 0",
        "logits": "finite logits",
        "labels": "one class",
    }[scale]
