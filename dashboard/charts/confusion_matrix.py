"""Confusion matrices and their differences as Plotly figures: no Streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from dashboard.charts import theme
from dashboard.charts.base import CLEAR, LOW, cached_figure, empty_figure
from fercore.runs.schema import SplitResult

Scale = Literal["share", "counts"]
# True class and predicted class.
Cell = tuple[str, str]

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
        scale: fractions of each true class, or counts.
        top: the value with the strongest colour, so that several matrices share one scale.
        selected: the cell with a frame.
    """
    cells = []
    for true, row in zip(class_names, result.confusion, strict=True):
        total = sum(row)
        for predicted, count in zip(class_names, row, strict=True):
            if total:
                share = count / total
                cells.append(
                    _DrawnCell(
                        (true, predicted),
                        share if scale == "share" else count,
                        f"{share * 100:.0f}" if scale == "share" else f"{count:,}",
                        f"true {true}, predicted {predicted}<br>{count:,} of {total:,} "
                        f"({share:.1%})",
                    )
                )
    ramp = [theme.heat(step / 20, mode) for step in range(21)]
    return _draw_matrix(cells, class_names, ramp, (0.0, top), mode, selected)


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

    The unit is percentage points of the true class, or counts. The colour scale is symmetric about
    zero.
    """
    cells = []
    for place, true in enumerate(class_names):
        rows = [list(each.confusion[place]) for each in (result, less)]
        totals = [sum(row) for row in rows]
        if not all(totals):
            continue
        for predicted, one, other in zip(class_names, *rows, strict=True):
            points = 100 * (one / totals[0] - other / totals[1])
            value = points if scale == "share" else float(one - other)
            text = "0" if round(value) == 0 else f"{value:+.0f}".replace("-", "\u2212")
            hover = (
                f"true {true}, predicted {predicted}<br>{one:,} of {totals[0]:,}, "
                f"{other:,} of {totals[1]:,} ({points:+.1f} points)"
            )
            cells.append(_DrawnCell((true, predicted), value, text, hover))
    end = max((abs(cell.value) for cell in cells), default=1.0) or 1.0
    ramp = [theme.diverging(step / 10 - 1, mode) for step in range(21)]
    return _draw_matrix(cells, class_names, ramp, (-end, end), mode, selected)


def max_cell_value(results: Sequence[SplitResult], scale: Scale) -> float:
    """Return the value with the strongest colour if these matrices share one scale."""
    if scale == "share":
        return 1.0
    return float(max((cell for r in results for row in r.confusion for cell in row), default=1))


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
        tickformat=".1~%" if scale == "share" else ",d",
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
