"""Charts of the Data page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.charts.base import figure_of, kept
from dashboard.charts.theme import faded
from fercore.runs.schema import SplitResult


@kept
def class_counts(
    counts: Mapping[str, Sequence[int]], class_names: Sequence[str], colors: Mapping[str, str]
) -> go.Figure:
    """Images of each class, one bar for each part of a dataset."""
    figure = figure_of(height=330, hovermode="x unified", barmode="group", bargap=0.25)
    for title, values in counts.items():
        figure.add_bar(
            x=list(class_names),
            y=list(values),
            name=title,
            marker={"color": colors[title], "line": {"width": 0}},
            hovertemplate="%{y:,d}",
        )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title_text="Images", tickformat=",d")
    return figure


@kept
def spread(
    values: Mapping[str, NDArray[np.floating]], colors: Mapping[str, str], title: str
) -> go.Figure:
    """A box for each class: quarters, median, and whiskers at 5 and 95%.

    Args:
        values: `(n,)` by class; a class without any is left out.
        colors: of the classes.
        title: of the axis.
    """
    figure = figure_of(height=330, hovermode="closest")
    for name, found in values.items():
        if not len(found):
            continue
        low, first, middle, third, high = np.percentile(found, [5, 25, 50, 75, 95])
        figure.add_box(
            x=[name],
            lowerfence=[float(low)],
            q1=[float(first)],
            median=[float(middle)],
            q3=[float(third)],
            upperfence=[float(high)],
            marker={"color": colors[name]},
            fillcolor=faded(colors[name], 0.3),
            hoverinfo="y",
        )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title_text=title)
    return figure


@kept
def class_distribution(
    result: SplitResult, class_names: Sequence[str], colors: Mapping[str, str]
) -> go.Figure:
    """How often each class occurs (pale) and how often it was predicted (full)."""
    names = list(class_names)
    true = [sum(row) for row in result.confusion]
    said = [sum(column) for column in zip(*result.confusion, strict=True)]
    figure = figure_of(height=330, hovermode="x unified", barmode="group", bargap=0.3)
    pale = [faded(colors[name], 0.4) for name in names]
    full = [colors[name] for name in names]
    for label, values, fill in (("occurs", true, pale), ("predicted", said, full)):
        figure.add_bar(
            x=names,
            y=values,
            name=label,
            marker={"color": fill, "line": {"width": 0}},
            hovertemplate="%{y:,d}",
        )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title_text="Images", tickformat=",d")
    return figure


def embedding_spec(colors: Mapping[str, str]) -> dict[str, Any]:
    """Return the Vega-Lite specification of a scatter plot of embedded faces.

    The data have the columns `x`, `y`, `colour` (a key of `colors`), `image` (the data URL of the
    face), `true`, `predicted` and `confidence`. The plot can be zoomed and moved.

    Args:
        colors: by the values of `colour`.
    """
    # Written out: Altair takes 60 ms to build and validate the same.
    axis = {"labels": False, "ticks": False, "grid": False, "title": None, "domain": False}
    tooltip = ("image", "true", "predicted", "confidence")
    return {
        "mark": {"type": "circle", "size": 34, "opacity": 0.75},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "axis": axis},
            "y": {"field": "y", "type": "quantitative", "axis": axis},
            "color": {
                "field": "colour",
                "type": "nominal",
                "scale": {"domain": list(colors), "range": list(colors.values())},
                "legend": {"title": None, "orient": "top"},
            },
            "tooltip": [{"field": name, "type": "nominal"} for name in tooltip],
        },
        "height": 560,
        "params": [
            {
                "name": "zoom",
                "select": {"type": "interval", "encodings": ["x", "y"]},
                "bind": "scales",
            }
        ],
    }
