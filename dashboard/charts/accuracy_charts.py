"""Charts of accuracy: with intervals, and against number of parameters or latency."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.base import (
    GREY,
    LOW,
    add_legend_below,
    cached_figure,
    empty_figure,
    pareto_front,
    set_cost_axes,
)
from fercore.runs.schema import SplitResult


@dataclass(frozen=True)
class CostPoint:
    """A run's accuracy and one cost of its network.

    Attributes:
        label: of the run.
        color: of the run.
        value: number of parameters, or milliseconds.
        result: with the accuracy.
    """

    label: str
    color: str
    value: float
    result: SplitResult


@cached_figure
def accuracy_forest(
    results: Sequence[tuple[str, str, SplitResult]], published: float | None = None
) -> go.Figure:
    """Draw accuracies with their 95% intervals, one row for each label, colour and result.

    Args:
        results: from top to bottom.
        published: an accuracy to draw as a dashed line, as a fraction.
    """
    figure = empty_figure(height=56 + 34 * len(results), hovermode="closest", margin=LOW)
    for label, color, result in reversed(results):
        figure.add_scatter(
            x=[result.accuracy],
            y=[label],
            error_x={
                "type": "data",
                "array": [result.accuracy_high - result.accuracy],
                "arrayminus": [result.accuracy - result.accuracy_low],
                "color": color,
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            marker={"color": color, "size": 11},
            hovertemplate=(
                f"{label}<br>%{{x:.2%}} ({result.accuracy_low:.2%} to {result.accuracy_high:.2%}), "
                f"n = {result.n:,}{', ' + result.grouping if result.grouping else ''}"
                "<extra></extra>"
            ),
        )
    if published is not None:
        figure.add_vline(published, line_dash="dash", line_width=2, line_color=GREY)
    figure.update_xaxes(tickformat=".1~%")
    figure.update_yaxes(showgrid=False, ticks="")
    return figure


@cached_figure
def cost_scatter(costs: Sequence[CostPoint], title: str) -> go.Figure:
    """Draw accuracy against a cost, with the Pareto front as a line.

    Args:
        costs: one for each run.
        title: of the cost, with its unit.
    """
    figure = empty_figure(height=330, hovermode="closest")
    front = [costs[i] for i in pareto_front([(c.value, c.result.accuracy) for c in costs])]
    if len(front) > 1:
        figure.add_scatter(
            x=[cost.value for cost in front],
            y=[cost.result.accuracy for cost in front],
            mode="lines",
            line={"color": GREY, "dash": "dash", "width": 1.5},
            name="Pareto front",
            hoverinfo="skip",
        )
    for cost in costs:
        result = cost.result
        figure.add_scatter(
            x=[cost.value],
            y=[result.accuracy],
            error_y={
                "type": "data",
                "array": [result.accuracy_high - result.accuracy],
                "arrayminus": [result.accuracy - result.accuracy_low],
                "color": cost.color,
                "thickness": 1.5,
                "width": 4,
            },
            mode="markers",
            marker={"color": cost.color, "size": 11},
            name=cost.label,
            hovertemplate=f"{cost.label}<br>%{{x:,.4~g}}<br>%{{y:.2%}}<extra></extra>",
        )
    set_cost_axes(figure, [cost.value for cost in costs], title)
    names = [cost.label for cost in costs]
    add_legend_below(figure, [*(["Pareto front"] if len(front) > 1 else []), *names])
    return figure
