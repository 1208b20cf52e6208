"""Select the rows of a prediction table that belong to one split or run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fercore.data.labels import FER2013, NOT_EMOTIONS, match_class
from fercore.data.splits import Split
from fercore.errors import UserError
from fercore.importers.table_columns import Roles
from fercore.importers.table_ids import rows_by_split
from fercore.io.delimited_text import Table
from fercore.io.file_names import quoted


@dataclass(frozen=True)
class TableSplit:
    """A split, and the names and ids by which a table may refer to it and to other splits.

    Attributes:
        split: its samples.
        class_names: of the dataset.
        dropped: classes that may have no column.
        titles: names of this split in a column of splits, such as `("test", "PrivateTest")`.
        other_titles: names of the other splits in such a column.
        other_ids: ids of the samples of the dataset's other splits, by name of the split.
        first: number of samples of the dataset before this split.
    """

    split: Split
    class_names: Sequence[str]
    dropped: Sequence[str] = ()
    titles: Sequence[str] = ("test",)
    other_titles: Sequence[str] = ()
    other_ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first: int = 0


def is_unknown_class(cell: str) -> bool:
    """Return whether a cell is empty or names a class that other datasets have."""
    return not cell or match_class(cell, (*FER2013, "contempt", *NOT_EMOTIONS)) is not None


def select_split_rows(table: Table, roles: Roles, split: TableSplit) -> Table:
    """Return the rows of one split, if a column names the split of each row."""
    if roles.usage is None:
        return table
    titles = {title.casefold() for title in split.titles}
    all_titles = titles | {title.casefold() for title in split.other_titles}
    cells = [row[roles.usage].casefold() for row in table.rows]
    if not titles & set(cells) or not set(cells) <= all_titles:
        return table
    return keep_rows(table, [cell in titles for cell in cells])


def select_rows_by_id(table: Table, roles: Roles, split: TableSplit) -> tuple[Table, list[str]]:
    """Return the rows of one split, if the ids tell the split of each row, and a note.

    Raises:
        UserError: if all rows are of other splits.
    """
    for column in roles.ids:
        titles = rows_by_split([row[column] for row in table.rows], split.split, split.other_ids)
        if titles is None:
            continue
        names = ", ".join(dict.fromkeys(title for title in titles if title))
        count = sum(map(bool, titles))
        if count == len(titles):
            raise UserError(
                f"{table.name} has samples of {names}, such as {quoted(table.rows[0][column])}; "
                f"expected those of {split.titles[-1]}, such as {quoted(str(split.split.ids[0]))}"
            )
        selected = keep_rows(table, [not title for title in titles])
        return selected, [f"{count:,} rows of {names} left out"]
    return table, []


def select_run_rows(table: Table, roles: Roles, run: str | None) -> Table:
    """Return the rows of one run.

    Raises:
        UserError: if the table has several runs and none is named, or lacks the named run.
    """
    if roles.run is None:
        if run is not None:
            raise UserError(f"received --run {run}, but {table.name} has no column 'run'")
        return table
    runs = list(dict.fromkeys(row[roles.run] for row in table.rows))
    if run is None and len(runs) > 1:
        raise UserError(
            f"{table.name} has predictions of {len(runs)} runs; expected --run with one of: "
            f"{join_names(runs)}"
        )
    if run is not None and run not in runs:
        raise UserError(f"received --run {run}, expected one of: {join_names(runs)}")
    return table if run is None else keep_rows(table, [row[roles.run] == run for row in table.rows])


def keep_rows(table: Table, keep: Sequence[bool]) -> Table:
    """Return a table with the rows for which `keep` is true."""
    rows = [row for row, is_kept in zip(table.rows, keep, strict=True) if is_kept]
    lines = [line for line, is_kept in zip(table.lines, keep, strict=True) if is_kept]
    return Table(table.name, table.header, rows, lines, table.decimal_comma, table.notes)


def join_names(names: Sequence[str]) -> str:
    """Join up to 20 names in one line, each shortened to 40 characters."""
    shown = [name if len(name) <= 40 else name[:39] + "…" for name in names[:20]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
