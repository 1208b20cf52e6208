"""Confusion matrices and their differences as Plotly figures: no Streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from dashboard.charts import theme
from dashboard.charts.base import CLEAR, LOW, cached_figure, empty_figure
from fercore.runs.schema import SplitResult

# The values that scikit-learn's `normalize` calls "true", "pred", "all" and None.
Scale = Literal["share", "predicted", "all", "counts"]
# True class and predicted class.
Cell = tuple[str, str]

SCALES: dict[Scale, str] = {
    "share": "True (row %)",
    "predicted": "Predicted (column %)",
    "all": "All (%)",
    "counts": "None (counts)",
}
UNITS: dict[Scale, str] = {
    "share": "Percent of the true class",
    "predicted": "Percent of the predicted class",
    "all": "Percent of all images",
    "counts": "Images",
}
_CATEGORICAL: dict[str, Any] = {
    "type": "category",
    "showgrid": False,
    "ticks": "",
    "zeroline": False,
    "fixedrange": True,
}


@cached_figure
def confusion(
    result: SplitResult,
    class_names: Sequence[str],
    mode: theme.Mode,
    scale: Scale = "share",
    top: float = 1.0,
    selected: Cell | None = None,
) -> go.Figure:
    """Draw a confusion matrix: rows are true classes, columns are predicted ones.

    Args:
        result: one evaluation.
        class_names: of its rows and columns.
        mode: light or dark.
        scale: unit of the cells.
        top: the value with the strongest colour, so that several matrices share one scale.
        selected: the cell with a frame.
    """
    columns = [sum(column) for column in zip(*result.confusion, strict=True)]
    values = cell_values(result, scale)
    cells = []
    for true, row, shown in zip(class_names, result.confusion, values, strict=True):
        total = sum(row)
        for place, (predicted, count, value) in enumerate(
            zip(class_names, row, shown, strict=True)
        ):
            if value is not None:
                hover = f"true {true}, predicted {predicted}<br>{count:,} of {total:,} true {true} "
                hover += f"({count / total:.1%})"
                if columns[place]:
                    share = count / columns[place]
                    hover += f"<br>of {columns[place]:,} predicted {predicted} ({share:.1%})"
                cells.append(_DrawnCell((true, predicted), value, cell_text(value, scale), hover))
    ramp = [theme.heat(step / 20, mode) for step in range(21)]
    return _draw_matrix(cells, class_names, ramp, (0.0, top), mode, selected)


def cell_values(result: SplitResult, scale: Scale) -> list[list[float | None]]:
    """Return the values of a confusion matrix, row by row; fractions unless they are counts.

    Rows of classes without samples are `None`, and so are columns of classes that are never
    predicted where the columns are normalized.
    """
    rows = [list(row) for row in result.confusion]
    columns = [sum(column) for column in zip(*rows, strict=True)]
    everything = sum(columns)

    def value(count: int, row_total: int, column_total: int) -> float | None:
        total = {"share": row_total, "predicted": column_total, "all": everything, "counts": 1}
        return count / total[scale] if row_total and total[scale] else None

    return [
        [value(count, sum(row), total) for count, total in zip(row, columns, strict=True)]
        for row in rows
    ]


def cell_text(value: float, scale: Scale) -> str:
    """Return the text on a cell: percent without a sign, or a count."""
    if scale == "counts":
        return f"{value:,.0f}"
    # Most of the cells are below one percent of all images.
    return f"{100 * value:.1f}" if scale == "all" else f"{100 * value:.0f}"


@cached_figure
def difference(
    result: SplitResult,
    less: SplitResult,
    class_names: Sequence[str],
    mode: theme.Mode,
    scale: Scale = "share",
    selected: Cell | None = None,
) -> go.Figure:
    """Draw the difference of two confusion matrices: `result` minus `less`.

    The unit is percentage points, or counts. The colour scale is symmetric about zero.
    """
    after, before = cell_values(result, scale), cell_values(less, scale)
    cells = []
    for i, true in enumerate(class_names):
        for j, predicted in enumerate(class_names):
            own, other = after[i][j], before[i][j]
            if own is None or other is None:
                continue
            counts = [each.confusion[i][j] for each in (result, less)]
            value = own - other if scale == "counts" else 100 * (own - other)
            digits = 1 if scale == "all" else 0
            text = f"{value:+.{digits}f}".replace("-", "\u2212")
            if not float(f"{value:.{digits}f}"):
                text = "0"
            hover = f"true {true}, predicted {predicted}<br>{counts[0]:,} and {counts[1]:,} images"
            if scale != "counts":
                hover += f" ({100 * own:.1f}% and {100 * other:.1f}%, {value:+.1f} points)"
            cells.append(_DrawnCell((true, predicted), value, text, hover))
    end = max((abs(cell.value) for cell in cells), default=1.0) or 1.0
    ramp = [theme.diverging(step / 10 - 1, mode) for step in range(21)]
    return _draw_matrix(cells, class_names, ramp, (-end, end), mode, selected)


def max_cell_value(results: Sequence[SplitResult], scale: Scale) -> float:
    """Return the value with the strongest colour if these matrices share one scale."""
    if scale in {"share", "predicted"}:
        return 1.0
    values = [
        value
        for result in results
        for row in cell_values(result, scale)
        for value in row
        if value is not None
    ]
    return max(values, default=1.0) or 1.0


@cached_figure
def color_scale(scale: Scale, top: float, mode: theme.Mode) -> go.Figure:
    """Draw the colour bar of `confusion`."""
    steps = [top * step / 60 for step in range(61)]
    ramp = [theme.heat(step / 20, mode) for step in range(21)]
    figure = empty_figure(height=70, hovermode=False, margin=LOW)
    figure.add_heatmap(
        z=[steps], x=steps, zmin=0, zmax=top, colorscale=_scale(ramp), showscale=False
    )
    figure.update_yaxes(visible=False)
    figure.update_xaxes(
        showgrid=False,
        zeroline=False,
        nticks=6,
        tickformat=",d" if scale == "counts" else ".1~%",
    )
    return figure


@dataclass(frozen=True)
class _DrawnCell:
    """A cell: its value, the text on it, and the text under the pointer."""

    cell: Cell
    value: float
    text: str
    hover: str


def _draw_matrix(
    cells: Sequence[_DrawnCell],
    class_names: Sequence[str],
    ramp: Sequence[str],
    ends: tuple[float, float],
    mode: theme.Mode,
    selected: Cell | None,
) -> go.Figure:
    names = list(class_names)
    figure = empty_figure(height=380, hovermode="closest", hoverdistance=30)
    across = {"x": [cell.cell[1] for cell in cells], "y": [cell.cell[0] for cell in cells]}
    figure.add_heatmap(
        **across,
        z=[cell.value for cell in cells],
        hoverinfo="skip",
        zmin=ends[0],
        zmax=ends[1],
        colorscale=_scale(ramp),
        showscale=False,
        xgap=1.5,
        ygap=1.5,
    )

    def color(value: float) -> str:
        place = (value - ends[0]) / (ends[1] - ends[0])
        return ramp[round(min(max(place, 0.0), 1.0) * (len(ramp) - 1))]

    # The text of a heat map has one colour, and clicks on it report no cell: draw points over it.
    figure.add_scatter(
        **across,
        mode="markers+text",
        marker={"symbol": "square", "size": 30, "color": CLEAR, "line": {"width": 0}},
        text=[cell.text for cell in cells],
        textfont={"size": 12, "color": [theme.ink_on(color(cell.value)) for cell in cells]},
        customdata=[list(cell.cell) for cell in cells],
        hovertext=[cell.hover for cell in cells],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    if selected and selected[0] in names and selected[1] in names:
        x, y = names.index(selected[1]), names.index(selected[0])
        line = {"color": "#0d151c" if mode == "light" else "#ffffff", "width": 2.5}
        figure.add_shape(
            type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line, layer="above"
        )
    order = {"categoryorder": "array", "categoryarray": names, "range": [-0.5, len(names) - 0.5]}
    figure.update_xaxes(title_text="Predicted", tickangle=-45, **order, **_CATEGORICAL)
    order["range"] = [len(names) - 0.5, -0.5]
    figure.update_yaxes(title_text="True", **order, **_CATEGORICAL)
    return figure


def _scale(ramp: Sequence[str]) -> list[tuple[float, str]]:
    return [(i / (len(ramp) - 1), color) for i, color in enumerate(ramp)]
