"""The reliability diagram."""

import math

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.base import cached_figure, layout
from dashboard.charts.theme import with_alpha
from fercore.metrics import Reliability


@cached_figure
def reliability_diagram(points: Reliability, color: str, muted: str) -> go.Figure:
    """Draw accuracy against confidence by bin, above the number of samples of each bin.

    The area of a point is proportional to the number of samples.
    """
    figure = make_subplots(
        rows=2, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.05
    )
    figure.update_layout(**layout(height=380, hovermode="closest"))
    centres = [(a + b) / 2 for a, b in zip(points.edges[:-1], points.edges[1:], strict=True)]
    bins = [
        (float(points.confidence[i]), float(points.accuracy[i]), int(count))
        for i, count in enumerate(points.counts)
        if count
    ]
    ends = [
        (float(low), float(high))
        for low, high, count in zip(points.low, points.high, points.counts, strict=True)
        if count
    ]
    largest = max((count for _, _, count in bins), default=1)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": muted, "dash": "dash", "width": 1.2},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[confidence for confidence, _, _ in bins],
        y=[accuracy for _, accuracy, _ in bins],
        mode="markers",
        marker={
            "color": color,
            # The area of a point is proportional to the number of its images.
            "size": [max(4.0, 14.0 * math.sqrt(count / largest)) for _, _, count in bins],
        },
        error_y={
            "type": "data",
            "array": [high - b[1] for b, (_, high) in zip(bins, ends, strict=True)],
            "arrayminus": [b[1] - low for b, (low, _) in zip(bins, ends, strict=True)],
            "color": color,
            "thickness": 1.5,
            "width": 3,
        },
        customdata=[count for _, _, count in bins],
        hovertemplate=(
            "confidence %{x:.1%}<br>accuracy %{y:.1%}<br>%{customdata:,d} images<extra></extra>"
        ),
    )
    figure.add_bar(
        x=centres,
        y=[int(count) for count in points.counts],
        marker={"color": with_alpha(color, 0.45), "line": {"width": 0}},
        hovertemplate="%{y:,d} images<extra></extra>",
        row=2,
        col=1,
    )
    # Wider than the values, so that the last tick is drawn.
    ticks = [0, 0.25, 0.5, 0.75, 1]
    figure.update_xaxes(range=[-0.01, 1.01], tickvals=ticks, tickformat=".0%")
    figure.update_xaxes(title_text="Confidence", row=2)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".1~%", title_text="Accuracy", row=1)
    figure.update_yaxes(title_text="Images", nticks=3, row=2)
    return figure
