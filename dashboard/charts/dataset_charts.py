"""Charts of the Data page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.charts.base import cached_figure, empty_figure
from dashboard.charts.theme import with_alpha
from fercore.runs.schema import SplitResult


@cached_figure
def class_counts(
    counts: Mapping[str, Sequence[int]], class_names: Sequence[str], colors: Mapping[str, str]
) -> go.Figure:
    """Draw the number of images of each class, one bar for each split of a dataset."""
    figure = empty_figure(height=330, hovermode="x unified", barmode="group", bargap=0.25)
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


@cached_figure
def class_boxes(
    values: Mapping[str, NDArray[np.floating]], colors: Mapping[str, str], title: str
) -> go.Figure:
    """Draw a box for each class: quartiles, median, and whiskers at 5 and 95%.

    Args:
        values: `(n,)` by class; a class without values is left out.
        colors: of the classes.
        title: of the axis.
    """
    figure = empty_figure(height=330, hovermode="closest")
    for name, of_class in values.items():
        if not len(of_class):
            continue
        low, first, middle, third, high = np.percentile(of_class, [5, 25, 50, 75, 95])
        figure.add_box(
            x=[name],
            lowerfence=[float(low)],
            q1=[float(first)],
            median=[float(middle)],
            q3=[float(third)],
            upperfence=[float(high)],
            marker={"color": colors[name]},
            fillcolor=with_alpha(colors[name], 0.3),
            hoverinfo="y",
        )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title_text=title)
    return figure


@cached_figure
def class_distribution(
    result: SplitResult, class_names: Sequence[str], colors: Mapping[str, str]
) -> go.Figure:
    """Draw how often each class occurs (pale) and how often it was predicted (full colour)."""
    names = list(class_names)
    true = [sum(row) for row in result.confusion]
    predicted = [sum(column) for column in zip(*result.confusion, strict=True)]
    figure = empty_figure(height=330, hovermode="x unified", barmode="group", bargap=0.3)
    pale = [with_alpha(colors[name], 0.4) for name in names]
    full = [colors[name] for name in names]
    for label, values, fill in (("true", true, pale), ("predicted", predicted, full)):
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
