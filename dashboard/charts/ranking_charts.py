"""Precision-recall and ROC curves by class."""

from collections.abc import Mapping

import plotly.graph_objects as go

from dashboard.charts.base import GREY, cached_figure, empty_figure
from fercore.metrics.ranking import ClassCurves

_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


@cached_figure
def precision_recall(curves: Mapping[str, ClassCurves], colors: Mapping[str, str]) -> go.Figure:
    """Draw the precision-recall curve of each class; the legend gives average precisions.

    Args:
        curves: by class.
        colors: by class.
    """
    figure = _empty()
    for name, curve in curves.items():
        figure.add_scatter(
            x=curve.recall,
            y=curve.precision,
            mode="lines",
            line={"color": colors[name], "width": 2, "shape": "hv"},
            name=f"{name} (AP {curve.average_precision:.2f})",
            hovertemplate=f"{name}<br>recall %{{x:.1%}}<br>precision %{{y:.1%}}<extra></extra>",
        )
    figure.update_xaxes(title_text="Recall", range=[0, 1.005], tickformat=".0%")
    figure.update_yaxes(title_text="Precision", range=[0, 1.02], tickformat=".0%")
    return figure


@cached_figure
def roc(curves: Mapping[str, ClassCurves], colors: Mapping[str, str]) -> go.Figure:
    """Draw the ROC curve of each class against all others; the legend gives the areas.

    Args:
        curves: by class.
        colors: by class.
    """
    figure = _empty()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.2},
        name="chance",
        hoverinfo="skip",
    )
    for name, curve in curves.items():
        figure.add_scatter(
            x=curve.false_positive_rate,
            y=curve.true_positive_rate,
            mode="lines",
            line={"color": colors[name], "width": 2},
            name=f"{name} (AUC {curve.auc:.2f})",
            hovertemplate=(
                f"{name}<br>false positive rate %{{x:.1%}}<br>recall %{{y:.1%}}<extra></extra>"
            ),
        )
    figure.update_xaxes(title_text="False positive rate", range=[-0.005, 1], tickformat=".0%")
    figure.update_yaxes(title_text="True positive rate", range=[0, 1.02], tickformat=".0%")
    return figure


def _empty() -> go.Figure:
    return empty_figure(
        height=400,
        hovermode="closest",
        showlegend=True,
        legend=_LEGEND,
        margin={"l": 8, "r": 12, "t": 60, "b": 8},
    )
