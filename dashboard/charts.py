"""Data to Plotly figures: pure functions, no Streamlit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from dashboard.figure import GREY, LOW, figure_of, kept, layout
from dashboard.theme import faded
from fercore.metrics import Reliability, accuracy_interval, clustered_interval, predictive_value
from fercore.records import SplitResult


@dataclass(frozen=True)
class Cost:
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
def cost_scatter(costs: Sequence[Cost], title: str) -> go.Figure:
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


@kept
def recall_bars(results: Sequence[tuple[str, str, SplitResult]]) -> go.Figure:
    """Recall of each class with its 95% interval; one bar in each group for each run."""
    figure = figure_of(height=380, hovermode="closest", barmode="group", bargap=0.22)
    for label, color, result in results:
        seen = [entry for entry in result.classes if entry.recall is not None]
        _add_recall(figure, seen, label, color)
    names = dict.fromkeys(entry.name for *_, result in results for entry in result.classes)
    figure.update_xaxes(categoryorder="array", categoryarray=list(names), showgrid=False)
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Recall")
    return figure


@kept
def class_recall(result: SplitResult, colors: Mapping[str, str]) -> go.Figure:
    """Recall of each class of one run, in the colours of the classes."""
    figure = figure_of(height=330, hovermode="closest", bargap=0.35)
    seen = [entry for entry in result.classes if entry.recall is not None]
    _add_recall(figure, seen, "", [colors[entry.name] for entry in seen])
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Recall")
    return figure


@kept
def trust_curves(
    rates: Sequence[tuple[str, float, float]], colors: Mapping[str, str], chosen: float
) -> go.Figure:
    """How often a detection of a class is right, by how common the class is.

    Args:
        rates: name, sensitivity and specificity of each class.
        colors: of the classes.
        chosen: a prevalence to mark, as a fraction.
    """
    figure = figure_of(height=340, hovermode="x unified")
    prevalences = np.geomspace(0.001, 0.5, 60).tolist()
    for name, sensitivity, specificity in rates:
        figure.add_scatter(
            x=prevalences,
            y=[predictive_value(sensitivity, specificity, share) for share in prevalences],
            name=name,
            mode="lines",
            line={"color": colors[name], "width": 2},
            hovertemplate="%{y:.1%}",
        )
    figure.add_vline(chosen, line_dash="dash", line_width=1.5, line_color=GREY)
    ticks = [0.001, 0.01, 0.1, 0.5]
    figure.update_xaxes(
        type="log",
        title_text="Share of faces that show the class",
        tickvals=ticks,
        ticktext=["0.1%", "1%", "10%", "50%"],
        hoverformat=".1%",
    )
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Detections that are right")
    return figure


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


@kept
def reliability_diagram(points: Reliability, color: str, muted: str) -> go.Figure:
    """Accuracy against confidence by bin, and how many samples each bin holds."""
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
        marker={"color": color, "size": 8},
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
        marker={"color": faded(color, 0.45), "line": {"width": 0}},
        hovertemplate="%{y:,d} images<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_xaxes(range=[0, 1], tickformat=".1~%")
    figure.update_xaxes(title_text="Confidence of the prediction", row=2)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".1~%", title_text="Accuracy", row=1)
    figure.update_yaxes(title_text="Images", nticks=3, row=2)
    return figure


def _frontier(costs: Sequence[Cost]) -> list[Cost]:
    """The runs that none beats: cheapest first, each better than all that cost less."""
    best: list[Cost] = []
    for cost in sorted(costs, key=lambda cost: (cost.value, -cost.result.accuracy)):
        if not best or cost.result.accuracy > best[-1].result.accuracy:
            best.append(cost)
    return best


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
