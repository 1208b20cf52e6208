"""Precision-recall and ROC curves, of the classes of one run or of several runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.base import GREY, add_legend_below, cached_figure, empty_figure
from fercore.metrics import ClassCurves, Curves


@dataclass(frozen=True)
class RankingLine:
    """The curves of one class, or of one run.

    Attributes:
        label: of it.
        color: of it.
        curves: of it.
        dash: of its line, by Plotly's names.
    """

    label: str
    color: str
    curves: Curves
    dash: str = "solid"


@cached_figure
def precision_recall(lines: Sequence[RankingLine]) -> go.Figure:
    """Draw precision-recall curves; the legend gives average precisions and numbers of images."""
    names = [_name(line, "AP", line.curves.average_precision) for line in lines]
    figure = _empty(names)
    for line, name in zip(lines, names, strict=True):
        is_mean = not isinstance(line.curves, ClassCurves)
        figure.add_scatter(
            x=line.curves.recall,
            y=line.curves.precision,
            name=name,
            **_style(line, "recall %{x:.1%}<br>precision %{y:.1%}"),
            # A mean of steps at a grid is no longer a step function.
            line_shape="linear" if is_mean else "hv",
        )
    figure.update_xaxes(title_text="Recall", range=[0, 1.005], tickformat=".0%")
    figure.update_yaxes(title_text="Precision", range=[0, 1.02], tickformat=".0%")
    return figure


@cached_figure
def roc(lines: Sequence[RankingLine]) -> go.Figure:
    """Draw ROC curves; the legend gives the areas under them and numbers of images."""
    names = [_name(line, "AUC", line.curves.auc) for line in lines]
    figure = _empty(names)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.2},
        name="chance",
        showlegend=False,
        hoverinfo="skip",
    )
    for line, name in zip(lines, names, strict=True):
        figure.add_scatter(
            x=line.curves.false_positive_rate,
            y=line.curves.true_positive_rate,
            name=name,
            **_style(line, "false positive rate %{x:.1%}<br>recall %{y:.1%}"),
        )
    figure.update_xaxes(title_text="False positive rate", range=[-0.005, 1.005], tickformat=".0%")
    figure.update_yaxes(title_text="True positive rate (recall)", range=[0, 1.02], tickformat=".0%")
    return figure


def _name(line: RankingLine, area: str, value: float) -> str:
    n = f", n = {line.curves.positives:,}" if isinstance(line.curves, ClassCurves) else ""
    return f"{line.label} ({area} {value:.3f}{n})"


def _style(line: RankingLine, values: str) -> Mapping[str, Any]:
    return {
        "mode": "lines",
        "line": {"color": line.color, "width": 2, "dash": line.dash},
        "hovertemplate": f"{line.label}<br>{values}<extra></extra>",
    }


def _empty(names: Sequence[str]) -> go.Figure:
    figure = empty_figure(height=380, hovermode="closest")
    add_legend_below(figure, names)
    return figure
