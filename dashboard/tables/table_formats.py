"""Write tables as CSV, Markdown and LaTeX."""

from typing import Any

import pandas as pd

from dashboard import formats

# Columns without text: colour swatches and buttons.
PICTURE_COLUMNS = ("Color", "Open")


def to_plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with numbers and texts only: no pictures, lists or durations."""
    copy = table.drop(columns=[name for name in PICTURE_COLUMNS if name in table])
    copy = copy.dropna(axis="columns", how="all")
    for name in copy.select_dtypes("timedelta"):
        copy[name] = copy[name].dt.total_seconds()
    return copy.map(_to_plain_value)


def as_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV, with a header and unrounded numbers."""
    text: str = to_plain(table).to_csv(index=False)
    return text


def as_markdown(table: pd.DataFrame) -> str:
    """Return a table in GitHub's Markdown; numbers with two digits, right-aligned."""
    table = to_plain(table)
    numeric = [pd.api.types.is_numeric_dtype(column) for _, column in table.items()]
    lines = [
        list(map(str, table.columns)),
        ["---:" if right else "---" for right in numeric],
        *([text.replace("|", "\\|") for text in row] for row in cell_texts(table)),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(table: pd.DataFrame) -> str:
    """Return a `tabular` with the rules of booktabs; numbers with two digits."""
    table = to_plain(table)
    numeric = [pd.api.types.is_numeric_dtype(column) for _, column in table.items()]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        " & ".join(map(_escape_latex, map(str, table.columns))) + r" \\",
        r"\midrule",
        *(" & ".join(map(_escape_latex, row)) + r" \\" for row in cell_texts(table)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _to_plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, pd.Timestamp):
        return value.isoformat(timespec="seconds")
    return value


def cell_texts(table: pd.DataFrame) -> list[list[str]]:
    """Return the values as texts, row by row; the numbers of a column have equally many digits."""
    columns = []
    for _, column in table.items():
        integers = all(map(_is_integer, column))
        columns.append([_cell_text(value, integers) for value in column])
    return [list(row) for row in zip(*columns, strict=True)]


def _is_integer(value: Any) -> bool:
    return not isinstance(value, float) or pd.isna(value) or value % 1 == 0


def _cell_text(value: Any, is_integer: bool) -> str:
    """Return a number with two digits or none, a small one with three significant; else text."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return formats.DASH
    if isinstance(value, float):
        if 0 < abs(value) < 0.1:
            return f"{value:.3g}"
        return f"{value:,.0f}" if is_integer else f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).splitlines())


def _escape_latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: "\\" + sign for sign in "&%$#_{}"}
    special |= {formats.THIN: r"\,", formats.DASH: "--", "±": r"$\pm$", "\u2212": "$-$"}
    return "".join(special.get(sign, sign) for sign in text)
