"""Write tables as CSV, Markdown and LaTeX."""

from typing import Any

import pandas as pd

from dashboard import formats

# Columns that are no text: colour swatches and buttons.
PICTURE_COLUMNS = ("Color", "Open")


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """A table without pictures, lists and durations: numbers and text alone."""
    kept = table.drop(columns=[name for name in PICTURE_COLUMNS if name in table])
    kept = kept.dropna(axis="columns", how="all")
    for name in kept.select_dtypes("timedelta"):
        kept[name] = kept[name].dt.total_seconds()
    return kept.map(_plain)


def as_csv(table: pd.DataFrame) -> str:
    """Comma-separated, with a header, numbers in full."""
    text: str = plain(table).to_csv(index=False)
    return text


def as_markdown(table: pd.DataFrame) -> str:
    """A table of GitHub's Markdown; numbers to two digits, to the right."""
    found = plain(table)
    numeric = [pd.api.types.is_numeric_dtype(found[name]) for name in found]
    lines = [
        list(map(str, found.columns)),
        ["---:" if right else "---" for right in numeric],
        *([text.replace("|", "\\|") for text in row] for row in cells(found)),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(table: pd.DataFrame) -> str:
    """A `tabular` with the rules of booktabs; numbers to two digits."""
    found = plain(table)
    numeric = [pd.api.types.is_numeric_dtype(column) for _, column in found.items()]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        " & ".join(map(_escaped, map(str, found.columns))) + r" \\",
        r"\midrule",
        *(" & ".join(map(_escaped, row)) + r" \\" for row in cells(found)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, pd.Timestamp):
        return value.isoformat(timespec="seconds")
    return value


def cells(table: pd.DataFrame) -> list[list[str]]:
    """A table's values for people, row by row: the numbers of a column to as many digits."""
    found = []
    for _, column in table.items():
        whole = all(map(_is_whole, column))
        found.append([_cell(value, whole) for value in column])
    return [list(row) for row in zip(*found, strict=True)]


def _is_whole(value: Any) -> bool:
    return not isinstance(value, float) or pd.isna(value) or value % 1 == 0


def _cell(value: Any, whole: bool) -> str:
    """A value: a number to two digits or none, a small one to three that count, or a dash."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return formats.DASH
    if isinstance(value, float):
        if 0 < abs(value) < 0.1:
            return f"{value:.3g}"
        return f"{value:,.0f}" if whole else f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).splitlines())


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: "\\" + sign for sign in "&%$#_{}"}
    special |= {formats.THIN: r"\,", formats.DASH: "--", "±": r"$\pm$", "\u2212": "$-$"}
    return "".join(special.get(sign, sign) for sign in text)
