"""Charts of accuracy: with intervals, and against latency and parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.base import GREY, LOW, figure_of, kept
from fercore.runs.schema import SplitResult


@dataclass(frozen=True)
class CostPoint:
    """A run's accuracy beside something that it costs.

    Attributes:
        value: parameters, or milliseconds.
    """

    label: str
    color: str
    value: float
    result: SplitResult


@kept
def accuracy_forest(
    results: Sequence[tuple[str, str, SplitResult]], published: float | None = None
) -> go.Figure:
    """Accuracy with its 95% interval: one line for each label, colour and result.

    Args:
        results: from top to bottom.
        published: a figure to draw as a dashed line, as a fraction.
    """
    figure = figure_of(height=56 + 34 * len(results), hovermode="closest", margin=LOW)
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


@kept
def cost_scatter(costs: Sequence[CostPoint], title: str) -> go.Figure:
    """Accuracy against a cost; a line joins the runs that no other beats on both.

    Args:
        costs: one for each run.
        title: of the cost, with its unit.
    """
    figure = figure_of(height=330, hovermode="closest")
    best = _frontier(costs)
    if len(best) > 1:
        figure.add_scatter(
            x=[cost.value for cost in best],
            y=[cost.result.accuracy for cost in best],
            mode="lines",
            line={"color": GREY, "dash": "dot", "width": 1.5},
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
    values = [cost.value for cost in costs]
    # Half a step of the axis on either side, so that a single run does not stand on its edge.
    ends = [float(np.log10(end)) for end in (min(values) / 1.6, max(values) * 1.6)]
    ticks = "~s" if max(values) >= 1000 else "~g"
    figure.update_xaxes(type="log", title_text=title, range=ends, tickformat=ticks, dtick="D2")
    figure.update_yaxes(tickformat=".1~%", title_text="Accuracy")
    return figure


def _frontier(costs: Sequence[CostPoint]) -> list[CostPoint]:
    """The runs that none beats: cheapest first, each better than all that cost less."""
    best: list[CostPoint] = []
    for cost in sorted(costs, key=lambda cost: (cost.value, -cost.result.accuracy)):
        if not best or cost.result.accuracy > best[-1].result.accuracy:
            best.append(cost)
    return best
