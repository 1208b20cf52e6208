"""The chart of accuracy against a cost, with its Pareto front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.base import GREY, cached_figure, empty_figure, pareto_front, set_cost_axes
from dashboard.charts.theme import RUN_COLORS, Mode


@dataclass(frozen=True)
class TradeOffPoint:
    """One experiment.

    Attributes:
        run_id: opened by a click.
        label: shown on hover, and beside the point if it is labelled.
        kind: gives the colour, and an entry of the legend.
        cost: above 0.
        accuracy: from 0 to 1.
        low: lower end of its 95% interval.
        high: upper end.
        is_labelled: whether the label is drawn although the point is not on the Pareto front.
    """

    run_id: str
    label: str
    kind: str
    cost: float
    accuracy: float
    low: float
    high: float
    is_labelled: bool = False


@cached_figure
def trade_off(points: Sequence[TradeOffPoint], title: str, mode: Mode) -> go.Figure:
    """Draw accuracy against a cost; a dashed line joins the points of the Pareto front.

    Args:
        points: at least one.
        title: of the cost, with its unit.
        mode: gives the colours.
    """
    figure = empty_figure(
        height=420,
        hovermode="closest",
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 8, "r": 12, "t": 40, "b": 8},
    )
    front = [points[i] for i in pareto_front([(p.cost, p.accuracy) for p in points])]
    if len(front) > 1:
        figure.add_scatter(
            x=[point.cost for point in front],
            y=[point.accuracy for point in front],
            mode="lines",
            line={"color": GREY, "dash": "dash", "width": 1.5},
            name="Pareto front",
            hoverinfo="skip",
        )
    kinds = list(dict.fromkeys(point.kind for point in points))
    colors = dict(zip(kinds, RUN_COLORS[mode], strict=False))
    for kind in kinds:
        own = [point for point in points if point.kind == kind]
        figure.add_scatter(
            x=[point.cost for point in own],
            y=[point.accuracy for point in own],
            error_y={
                "type": "data",
                "array": [point.high - point.accuracy for point in own],
                "arrayminus": [point.accuracy - point.low for point in own],
                "color": colors[kind],
                "thickness": 1.2,
                "width": 3,
            },
            mode="markers",
            marker={"color": colors[kind], "size": 11},
            name=kind,
            customdata=[[point.run_id, point.label, point.low, point.high] for point in own],
            hovertemplate=(
                "%{customdata[1]}<br>%{x:.4~s}<br>%{y:.1%} (%{customdata[2]:.1%} to "
                "%{customdata[3]:.1%})<extra></extra>"
            ),
        )
    _add_labels(figure, [p for p in points if p.is_labelled or p in front], points)
    set_cost_axes(figure, [point.cost for point in points], title)
    return figure


def _add_labels(
    figure: go.Figure, labelled: Sequence[TradeOffPoint], points: Sequence[TradeOffPoint]
) -> None:
    """Write names above the error bars, on the side of a point that is inside the chart."""
    costs = [math.log(point.cost) for point in points]
    start, width = min(costs), max(costs) - min(costs) or 1.0
    sides = ("top right", "top center", "top left")
    figure.add_scatter(
        x=[point.cost for point in labelled],
        y=[point.high for point in labelled],
        mode="text",
        text=[point.label for point in labelled],
        textposition=[
            sides[min(int(3 * (math.log(point.cost) - start) / width), 2)] for point in labelled
        ],
        textfont={"size": 11},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
