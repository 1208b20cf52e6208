"""Confusion matrices and their differences as Plotly figures: no Streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from dashboard.charts import theme
from dashboard.charts.base import CLEAR, LOW, figure_of, kept
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


@kept
def confusion(
    result: SplitResult,
    class_names: Sequence[str],
    mode: theme.Mode,
    scale: Scale = "share",
    top: float = 1.0,
    chosen: Cell | None = None,
) -> go.Figure:
    """A confusion matrix, rows true and columns predicted.

    Args:
        result: one evaluation.
        class_names: of its rows and columns.
        mode: light or dark.
        scale: shares of each true class, or counts.
        top: the value of the strongest cell, so that several matrices share one scale.
        chosen: the cell that is framed.
    """
    cells = []
    for true, row in zip(class_names, result.confusion, strict=True):
        total = sum(row)
        for said, count in zip(class_names, row, strict=True):
            if total:
                share = count / total
                cells.append(
                    _Drawn(
                        (true, said),
                        share if scale == "share" else count,
                        f"{share * 100:.0f}" if scale == "share" else f"{count:,}",
                        f"true {true}, predicted {said}<br>{count:,} of {total:,} ({share:.1%})",
                    )
                )
    ramp = [theme.heat(step / 20, mode) for step in range(21)]
    return _drawn(cells, class_names, ramp, (0.0, top), mode, chosen)


@kept
def difference(
    result: SplitResult,
    less: SplitResult,
    class_names: Sequence[str],
    mode: theme.Mode,
    scale: Scale = "share",
    chosen: Cell | None = None,
) -> go.Figure:
    """One confusion matrix less another: points of the true class, or counts.

    The scale is symmetric about zero, so that no difference has no colour.
    """
    cells = []
    for place, true in enumerate(class_names):
        rows = [list(found.confusion[place]) for found in (result, less)]
        totals = [sum(row) for row in rows]
        if not all(totals):
            continue
        for said, one, other in zip(class_names, *rows, strict=True):
            points = 100 * (one / totals[0] - other / totals[1])
            value = points if scale == "share" else float(one - other)
            shown = "0" if round(value) == 0 else f"{value:+.0f}".replace("-", "\u2212")
            sentence = (
                f"true {true}, predicted {said}<br>{one:,} of {totals[0]:,}, "
                f"{other:,} of {totals[1]:,} ({points:+.1f} points)"
            )
            cells.append(_Drawn((true, said), value, shown, sentence))
    end = max((abs(cell.value) for cell in cells), default=1.0) or 1.0
    ramp = [theme.diverging(step / 10 - 1, mode) for step in range(21)]
    return _drawn(cells, class_names, ramp, (-end, end), mode, chosen)


def max_cell_value(results: Sequence[SplitResult], scale: Scale) -> float:
    """The value of the strongest cell when these matrices are shown on one scale."""
    if scale == "share":
        return 1.0
    return float(max((cell for r in results for row in r.confusion for cell in row), default=1))


@kept
def color_scale(scale: Scale, top: float, mode: theme.Mode) -> go.Figure:
    """The bar that says what the colours of `confusion` mean."""
    steps = [top * step / 60 for step in range(61)]
    ramp = [theme.heat(step / 20, mode) for step in range(21)]
    figure = figure_of(height=70, hovermode=False, margin=LOW)
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
class _Drawn:
    """A cell: its value, the text on it, and what it says under the pointer."""

    cell: Cell
    value: float
    text: str
    sentence: str


def _drawn(
    cells: Sequence[_Drawn],
    class_names: Sequence[str],
    ramp: Sequence[str],
    ends: tuple[float, float],
    mode: theme.Mode,
    chosen: Cell | None,
) -> go.Figure:
    names = list(class_names)
    figure = figure_of(height=380, hovermode="closest", hoverdistance=30)
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

    # A heat map's own text has one colour, and a click on it says nothing: the points do both.
    figure.add_scatter(
        **across,
        mode="markers+text",
        marker={"symbol": "square", "size": 30, "color": CLEAR, "line": {"width": 0}},
        text=[cell.text for cell in cells],
        textfont={"size": 12, "color": [theme.ink_on(color(cell.value)) for cell in cells]},
        customdata=[list(cell.cell) for cell in cells],
        hovertext=[cell.sentence for cell in cells],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    if chosen and chosen[0] in names and chosen[1] in names:
        x, y = names.index(chosen[1]), names.index(chosen[0])
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
