"""Charts of the Augmentation page."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.charts.base import cached_figure, empty_figure
from dashboard.charts.theme import with_alpha
from fercore.metrics import accuracy_interval, clustered_interval


@cached_figure
def strength_curve(
    values: Sequence[float],
    correct: Sequence[NDArray[np.bool_]],
    groups: NDArray[np.str_] | None,
    title: str,
    color: str,
) -> go.Figure:
    """Draw accuracy with its 95% interval against the strength of one operation.

    Args:
        values: of the strength.
        correct: `(n,)` for each value: which images are predicted correctly.
        groups: `(n,)` of dependent images, if any.
        title: of the strength, with its unit.
        color: of the line.
    """
    ends = [
        accuracy_interval(int(hits.sum()), len(hits))
        if groups is None
        else clustered_interval(hits, groups)
        for hits in correct
    ]
    accuracies = [float(hits.mean()) for hits in correct]
    figure = empty_figure(height=320, hovermode="closest")
    figure.add_scatter(
        x=list(values),
        y=accuracies,
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 8},
        error_y={
            "type": "data",
            "array": [high - a for a, (_, high) in zip(accuracies, ends, strict=True)],
            "arrayminus": [a - low for a, (low, _) in zip(accuracies, ends, strict=True)],
            "color": color,
            "thickness": 1.5,
            "width": 4,
        },
        hovertemplate="%{x:~g}: %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title_text=title)
    figure.update_yaxes(tickformat=".0~%", title_text="Accuracy", rangemode="tozero")
    return figure


@cached_figure
def before_and_after(
    before: Sequence[int],
    after: Sequence[int],
    class_names: Sequence[str],
    colors: Mapping[str, str],
) -> go.Figure:
    """Draw the number of images of each class before (pale) and after (full colour)."""
    figure = empty_figure(height=320, hovermode="x unified", barmode="group", bargap=0.3)
    for label, values, alpha in (("before", before, 0.4), ("after", after, 1.0)):
        fill = [with_alpha(colors[name], alpha) for name in class_names]
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
