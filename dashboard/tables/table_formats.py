"""Write tables as CSV, Markdown and LaTeX."""

import re
from typing import Any

import pandas as pd

from dashboard import formats

# Titles of columns in files: those of the pages' tables, with their units.
_TITLES = {
    **{
        name: f"{name} (%)"
        for name in (
            *("Accuracy", "Clean accuracy", "Macro-F1", "UAR", "Top-2", "ECE", "Recall"),
            *("Precision", "F1", "Validation", "All classes", "Worst-class recall"),
        )
    },
    "95% interval": "95% CI",
    "NLL": "NLL (nats)",
    "ECE after": "ECE, scaled (%)",
    "Accuracy delta": "Accuracy difference (points)",
    "UAR delta": "UAR difference (points)",
    "Delta": "Difference (points)",
    "Delta interval": "Difference, 95% CI (points)",
    "Spread": "Standard deviation (points)",
    "Training time": "Training time (s)",
    "model.onnx": "Model size (bytes)",
}
# Of the columns of which the best value is set in bold: whether that is the highest.
_HIGHEST_IS_BEST = {
    **dict.fromkeys(
        (
            *("Accuracy", "Clean accuracy", "Macro-F1", "UAR", "Top-2", "Recall", "Precision"),
            *("F1", "Validation", "All classes", "Worst-class recall", "Mean"),
        ),
        True,
    ),
    **dict.fromkeys(("ECE", "ECE after", "NLL", "Latency (ms)"), False),
}
_INTERVAL = re.compile(r"^(\d+(?:\.\d+)?)\s*[\u2013-]\s*(\d+(?:\.\d+)?)\s*%$")
_DELTA_INTERVAL = re.compile(r"^([+\u2212-]?\d+(?:\.\d+)?) to ([+\u2212-]?\d+(?:\.\d+)?)$")
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
    """Return the table as CSV with unrounded numbers.

    Names of columns are in snake case with their unit, `accuracy_percent`; an interval becomes two
    columns of numbers, `ci_low` and `ci_high`.
    """
    text: str = _with_interval_ends(to_plain(table)).to_csv(index=False)
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


def as_latex(table: pd.DataFrame, caption: str = "", label: str = "") -> str:
    """Return a `tabular` with the rules of booktabs; numbers with two digits, the best in bold.

    Args:
        table: of a page.
        caption: with one, a `table` that floats is returned, with this caption.
        label: of that table, for references.
    """
    table = to_plain(table)
    best = _best_rows(table)
    numeric = [pd.api.types.is_numeric_dtype(column) for _, column in table.items()]
    titles = [_TITLES.get(str(name), str(name)) for name in table.columns]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        " & ".join(map(_escape_latex, titles)) + r" \\",
        r"\midrule",
    ]
    for place, row in enumerate(cell_texts(table)):
        cells = [_escape_latex(formats.plain_label(text)) for text in row]
        for column, name in enumerate(table.columns):
            if place in best.get(str(name), ()):
                cells[column] = rf"\textbf{{{cells[column]}}}"
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if caption:
        head = [r"\begin{table}", r"\centering", rf"\caption{{{_escape_latex(caption)}}}"]
        if label:
            head.append(rf"\label{{{_label(label)}}}")
        lines = [*head, *lines, r"\end{table}"]
    return "\n".join(lines) + "\n"


def _best_rows(table: pd.DataFrame) -> dict[str, list[int]]:
    """Return the rows of the best value of each column that has one, by column."""
    best = {}
    for name, is_highest in _HIGHEST_IS_BEST.items():
        values = table[name] if name in table else pd.Series(dtype=float)
        if not pd.api.types.is_numeric_dtype(values) or values.notna().sum() < 2:
            continue
        # Values that are printed alike are equally good.
        rounded = values.astype(float).round(2)
        extreme = rounded.max() if is_highest else rounded.min()
        best[name] = [place for place, value in enumerate(rounded) if value == extreme]
    return best


def _with_interval_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with names in snake case, and each interval as two columns of numbers."""
    columns: dict[str, Any] = {}
    for name, column in table.items():
        ends = _interval_ends(column)
        if ends is None:
            columns[_snake_case(_TITLES.get(str(name), str(name)))] = column
            continue
        prefix = _snake_case(_own_words(str(name)))
        if f"{prefix}_ci_low".lstrip("_") in columns:
            prefix = _snake_case(str(name))
        prefix = f"{prefix}_" if prefix else ""
        columns[f"{prefix}ci_low"] = [low for low, _ in ends]
        columns[f"{prefix}ci_high"] = [high for _, high in ends]
    return pd.DataFrame(columns)


def _interval_ends(column: pd.Series) -> list[tuple[float | None, float | None]] | None:
    """Return the ends of each interval; `None` if the column has other texts."""
    ends: list[tuple[float | None, float | None]] = []
    for value in column:
        if not isinstance(value, str) or value == formats.DASH:
            if not isinstance(value, str) and not pd.isna(value):
                return None
            ends.append((None, None))
            continue
        text = " ".join(value.replace(formats.THIN, " ").split())
        match = _INTERVAL.match(text) or _DELTA_INTERVAL.match(text)
        if match is None:
            return None
        ends.append(_numbers(match))
    return ends if any(low is not None for low, _ in ends) else None


def _numbers(match: re.Match[str]) -> tuple[float, float]:
    low, high = (float(text.replace("\u2212", "-")) for text in match.groups())
    return low, high


def _own_words(name: str) -> str:
    """Return the name of a column of intervals without its word for an interval."""
    return re.sub(r"(?i),?\s*(95 ?% )?(ci|interval)( \(\w+\))?$", "", name)


def _snake_case(name: str) -> str:
    words = name.replace("%", " percent ").replace("±", " sd ").replace("Δ", " delta ")
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")


def _label(text: str) -> str:
    """Return a label that LaTeX takes: letters, digits, hyphens and a colon."""
    return re.sub(r"[^A-Za-z0-9:.-]+", "-", text)


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
