"""Charts of the Augmentation page."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.charts.base import figure_of, kept
from dashboard.charts.theme import faded
from fercore.metrics import accuracy_interval, clustered_interval


@kept
def strength_curve(
    values: Sequence[float],
    right: Sequence[NDArray[np.bool_]],
    groups: NDArray[np.str_] | None,
    title: str,
    color: str,
) -> go.Figure:
    """Accuracy with its 95% interval as one strength grows.

    Args:
        values: of the strength.
        right: which images are right at each.
        groups: of dependent images, if any.
        title: of the strength, with its unit.
        color: of the line.
    """
    ends = [
        accuracy_interval(int(hits.sum()), len(hits))
        if groups is None
        else clustered_interval(hits, groups)
        for hits in right
    ]
    shares = [float(hits.mean()) for hits in right]
    figure = figure_of(height=320, hovermode="closest")
    figure.add_scatter(
        x=list(values),
        y=shares,
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 8},
        error_y={
            "type": "data",
            "array": [high - share for share, (_, high) in zip(shares, ends, strict=True)],
            "arrayminus": [share - low for share, (low, _) in zip(shares, ends, strict=True)],
            "color": color,
            "thickness": 1.5,
            "width": 4,
        },
        hovertemplate="%{x:~g}: %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title_text=title)
    figure.update_yaxes(tickformat=".0~%", title_text="Accuracy", rangemode="tozero")
    return figure


@kept
def before_and_after(
    before: Sequence[int],
    after: Sequence[int],
    class_names: Sequence[str],
    colors: Mapping[str, str],
) -> go.Figure:
    """Images of each class, before (pale) and after (full)."""
    figure = figure_of(height=320, hovermode="x unified", barmode="group", bargap=0.3)
    for label, values, alpha in (("before", before, 0.4), ("after", after, 1.0)):
        fill = [faded(colors[name], alpha) for name in class_names]
        figure.add_bar(
            x=list(class_names),
            y=list(values),
            name=label,
            marker={"color": fill, "line": {"width": 0}},
            hovertemplate="%{y:,d}",
        )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title_text="Images", tickformat=",d")
    return figure
