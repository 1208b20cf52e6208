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
class Part:
    """A split as a table may refer to it.

    Attributes:
        split: its samples.
        class_names: of the dataset.
        dropped: classes whose column may be absent.
        titles: what a column of splits calls this one, such as `("test", "PrivateTest")`.
        others: what it calls the other splits.
        elsewhere: ids of the samples of the dataset's other splits, by name of the split.
        first: samples of the dataset that come before this split.
    """

    split: Split
    class_names: Sequence[str]
    dropped: Sequence[str] = ()
    titles: Sequence[str] = ("test",)
    others: Sequence[str] = ()
    elsewhere: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first: int = 0


def is_of_another_split(cell: str) -> bool:
    """Return whether a cell is empty or names a class that the dataset lacks."""
    return not cell or match_class(cell, (*FER2013, "contempt", *NOT_EMOTIONS)) is not None


def rows_of_split(table: Table, roles: Roles, part: Part) -> Table:
    """The rows of one split, where a column names the split of each."""
    if roles.usage is None:
        return table
    own = {title.casefold() for title in part.titles}
    known = own | {title.casefold() for title in part.others}
    cells = [row[roles.usage].casefold() for row in table.rows]
    if not own & set(cells) or not set(cells) <= known:
        return table
    return keep_rows(table, [cell in own for cell in cells])


def rows_of_ids(table: Table, roles: Roles, part: Part) -> tuple[Table, list[str]]:
    """The rows of one split, where the ids tell the split of each; and a note."""
    for column in roles.ids:
        titles = rows_by_split([row[column] for row in table.rows], part.split, part.elsewhere)
        if titles is None:
            continue
        names = ", ".join(dict.fromkeys(title for title in titles if title))
        count = sum(map(bool, titles))
        if count == len(titles):
            raise UserError(
                f"{table.name} holds samples of {names}, such as {quoted(table.rows[0][column])}; "
                f"expected those of {part.titles[-1]}, such as {quoted(str(part.split.ids[0]))}"
            )
        kept = keep_rows(table, [not title for title in titles])
        return kept, [f"{count:,} rows of {names} left out"]
    return table, []


def rows_of_run(table: Table, roles: Roles, run: str | None) -> Table:
    """The rows of one run, where the table holds several."""
    if roles.run is None:
        if run is not None:
            raise UserError(f"received --run {run}, but {table.name} has no column 'run'")
        return table
    runs = list(dict.fromkeys(row[roles.run] for row in table.rows))
    if run is None and len(runs) > 1:
        raise UserError(
            f"{table.name} holds predictions of {len(runs)} runs; expected --run with one of: "
            f"{join_names(runs)}"
        )
    if run is not None and run not in runs:
        raise UserError(f"received --run {run}, expected one of: {join_names(runs)}")
    return table if run is None else keep_rows(table, [row[roles.run] == run for row in table.rows])


def keep_rows(table: Table, keep: Sequence[bool]) -> Table:
    """Return a table with the rows for which `keep` is true."""
    rows = [row for row, kept in zip(table.rows, keep, strict=True) if kept]
    lines = [line for line, kept in zip(table.lines, keep, strict=True) if kept]
    return Table(table.name, table.header, rows, lines, table.decimal_comma, table.notes)


def join_names(names: Sequence[str]) -> str:
    """Return up to 20 names in one line, shortened to 40 characters each."""
    shown = [name if len(name) <= 40 else name[:39] + "…" for name in names[:20]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
