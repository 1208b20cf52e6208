"""Charts of recall and precision by class."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.base import GREY, add_legend_below, cached_figure, empty_figure
from fercore.metrics import positive_predictive_value
from fercore.runs.schema import SplitResult

ClassMetric = Literal["recall", "precision", "f1"]


@cached_figure
def class_metric_bars(
    results: Sequence[tuple[str, str, SplitResult]], metric: ClassMetric = "recall"
) -> go.Figure:
    """Draw a metric of each class, one bar for each run; recall with its 95% interval.

    Args:
        results: label, colour and result of each run.
        metric: of the classes.
    """
    figure = empty_figure(height=380, hovermode="closest", barmode="group", bargap=0.22)
    for label, color, result in results:
        scored = [entry for entry in result.classes if getattr(entry, metric) is not None]
        if metric == "recall":
            _add_recall(figure, scored, label, color)
            continue
        figure.add_bar(
            x=[entry.name for entry in scored],
            y=[getattr(entry, metric) for entry in scored],
            name=label,
            marker={"color": color, "line": {"width": 0}},
            customdata=[entry.support for entry in scored],
            hovertemplate=f"{label}<br>%{{x}}: %{{y:.1%}}, n = %{{customdata:,d}}<extra></extra>",
        )
    names = dict.fromkeys(entry.name for *_, result in results for entry in result.classes)
    figure.update_xaxes(categoryorder="array", categoryarray=list(names), showgrid=False)
    title = {"recall": "Recall", "precision": "Precision", "f1": "F1"}[metric]
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text=title)
    if len(results) > 1:
        add_legend_below(figure, [label for label, *_ in results], axis=40)
    return figure


@cached_figure
def class_recall(result: SplitResult, colors: Mapping[str, str]) -> go.Figure:
    """Draw the recall of each class of one run, in the colours of the classes."""
    figure = empty_figure(height=330, hovermode="closest", bargap=0.35)
    scored = [entry for entry in result.classes if entry.recall is not None]
    _add_recall(figure, scored, "", [colors[entry.name] for entry in scored])
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Recall")
    return figure


@cached_figure
def precision_curves(
    rates: Sequence[tuple[str, float, float]], colors: Mapping[str, str], prevalence: float
) -> go.Figure:
    """Draw the precision of each class against the prevalence of the class.

    Args:
        rates: name, sensitivity and specificity of each class.
        colors: of the classes.
        prevalence: to mark, as a fraction.
    """
    figure = empty_figure(height=340, hovermode="x unified")
    prevalences = np.geomspace(0.001, 0.5, 60).tolist()
    for name, sensitivity, specificity in rates:
        figure.add_scatter(
            x=prevalences,
            y=[positive_predictive_value(sensitivity, specificity, share) for share in prevalences],
            name=name,
            mode="lines",
            line={"color": colors[name], "width": 2},
            hovertemplate="%{y:.1%}",
        )
    figure.add_vline(prevalence, line_dash="dash", line_width=1.5, line_color=GREY)
    ticks = [0.001, 0.01, 0.1, 0.5]
    figure.update_xaxes(
        type="log",
        title_text="Prevalence of the class",
        tickvals=ticks,
        ticktext=["0.1%", "1%", "10%", "50%"],
        hoverformat=".1%",
    )
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Precision")
    add_legend_below(figure, [name for name, *_ in rates])
    return figure


def _add_recall(figure: go.Figure, classes: Sequence[Any], label: str, color: Any) -> None:
    figure.add_bar(
        x=[entry.name for entry in classes],
        y=[entry.recall for entry in classes],
        name=label,
        marker={"color": color, "line": {"width": 0}},
        error_y={
            "type": "data",
            "array": [(entry.recall_high or entry.recall) - entry.recall for entry in classes],
            "arrayminus": [entry.recall - (entry.recall_low or 0.0) for entry in classes],
            "thickness": 1.2,
            "width": 3,
            "color": GREY,
        },
        customdata=[
            (
                entry.recall_low or 0.0,
                entry.recall_high or 0.0,
                entry.support,
                "" if entry.groups is None else f", groups: {entry.groups}",
            )
            for entry in classes
        ],
        hovertemplate=(
            f"{label + '<br>' if label else ''}%{{x}}: %{{y:.1%}} "
            "(%{customdata[0]:.1%} to %{customdata[1]:.1%}), n = %{customdata[2]:,d}"
            "%{customdata[3]}<extra></extra>"
        ),
    )
