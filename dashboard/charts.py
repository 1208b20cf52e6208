"""Data to Plotly figures: pure functions, no Streamlit.

Figures are transparent and leave fonts, grid and heat-map colours to the theme of the page, which
sets them in the browser; colours that carry meaning are given by the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import theme
from dashboard.theme import faded
from fercore.metrics import Reliability, accuracy_interval
from fercore.records import LogRow, SplitResult

Metric = Literal["accuracy", "loss", "gap", "learning_rate"]
XAxis = Literal["epoch", "time"]
Scale = Literal["share", "counts"]

METRICS: dict[str, str] = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "gap": "Generalisation gap",
    "learning_rate": "Learning rate",
}

_CLEAR = "rgba(0, 0, 0, 0)"
# Grey that shows on light and dark alike, for lines that belong to no run.
_GREY = "#7d8794"
# Automatic margins give too little room below a figure that is hardly higher than its axis.
_LOW = {"l": 8, "r": 12, "t": 8, "b": 34}


@dataclass(frozen=True)
class Curve:
    """One run's log, and how to draw it.

    Attributes:
        checkpoint: the epoch whose weights were kept, if one was.
    """

    label: str
    color: str
    rows: Sequence[LogRow]
    checkpoint: int | None = None


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """An exponential moving average without the pull towards zero at its start.

    Args:
        values: one for each epoch.
        weight: of what came before, in [0, 1); 0 changes nothing.

    Source: Kingma & Ba, "Adam", 2015, section 3 (the bias correction).
    """
    averaged, last = [], 0.0
    for count, value in enumerate(values, start=1):
        last = weight * last + (1 - weight) * value
        averaged.append(last / (1 - weight**count))
    return averaged


def training_curves(
    curves: Sequence[Curve], metric: Metric, x: XAxis = "epoch", smoothing: float = 0.0
) -> go.Figure:
    """One metric of several runs over epochs or time.

    Validation is solid and training dotted; a diamond stands where the checkpoint was taken. With
    smoothing, the raw line stays behind, faint.
    """
    figure = _figure(height=340, hovermode="x unified", uirevision=f"{metric}-{x}")
    unit, per_unit = _time_unit(curves) if x == "time" else ("", 1.0)
    for curve in curves:
        if not curve.rows:
            continue
        across = [row.elapsed / per_unit if x == "time" else row.epoch for row in curve.rows]
        for name, dash, values in _lines(curve.rows, metric):
            shown = smoothed(values, smoothing)
            label = f"{curve.label}, {name}" if name else curve.label
            if smoothing:
                _add_line(figure, across, values, faded(curve.color, 0.25), dash, None, 1.2)
            _add_line(figure, across, shown, curve.color, dash, label, 2.0, metric)
            if name != "training":
                _add_checkpoint(figure, curve, across, shown)
    if x == "time":
        figure.update_xaxes(title_text=f"Training time ({unit})")
    else:
        last = max((row.epoch for curve in curves for row in curve.rows), default=0)
        figure.update_xaxes(title_text="Epoch", dtick=1 if last <= 10 else None)
    figure.update_yaxes(title_text=_axis_title(metric), **_axis_format(metric))
    if metric == "gap":
        figure.add_hline(0, line_width=1, line_dash="dash", line_color=_GREY)
    return figure


def accuracy_forest(
    results: Sequence[tuple[str, str, SplitResult]], published: float | None = None
) -> go.Figure:
    """Accuracy with its 95% interval: one line for each label, colour and result.

    Args:
        results: from top to bottom.
        published: a figure to draw as a dashed line, as a fraction.
    """
    figure = _figure(height=56 + 34 * len(results), hovermode="closest", margin=_LOW)
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
                f"n = {result.n:,}<extra></extra>"
            ),
        )
    if published is not None:
        figure.add_vline(published, line_dash="dash", line_width=2, line_color=_GREY)
    figure.update_xaxes(tickformat=".1~%")
    figure.update_yaxes(showgrid=False, ticks="")
    return figure


def confusion(
    result: SplitResult,
    class_names: Sequence[str],
    mode: theme.Mode,
    scale: Scale = "share",
    top: float = 1.0,
) -> go.Figure:
    """A confusion matrix, rows true and columns predicted.

    Args:
        result: one evaluation.
        class_names: of its rows and columns.
        mode: light or dark.
        scale: shares of each true class, or counts.
        top: the value of the strongest cell, so that several matrices share one scale.
    """
    names = list(class_names)
    cells = [
        _Cell(true, said, count, sum(row))
        for true, row in zip(names, result.confusion, strict=True)
        for said, count in zip(names, row, strict=True)
        if sum(row)
    ]
    values = [cell.share if scale == "share" else cell.count for cell in cells]
    figure = _figure(height=380, hovermode="closest")
    figure.add_heatmap(
        x=[cell.said for cell in cells],
        y=[cell.true for cell in cells],
        z=values,
        hovertext=[cell.sentence for cell in cells],
        hovertemplate="%{hovertext}<extra></extra>",
        zmin=0,
        zmax=top,
        colorscale=_ramp(mode),
        showscale=False,
        xgap=1.5,
        ygap=1.5,
    )
    # A heat map's own text has one colour; these stand out from the cell that each is on.
    figure.add_scatter(
        x=[cell.said for cell in cells],
        y=[cell.true for cell in cells],
        mode="text",
        text=[
            f"{cell.share * 100:.0f}" if scale == "share" else f"{cell.count:,}" for cell in cells
        ],
        textfont={
            "size": 12,
            "color": [theme.ink_on(theme.heat(value / top, mode)) for value in values],
        },
        hoverinfo="skip",
    )
    order = {"categoryorder": "array", "categoryarray": names, "range": [-0.5, len(names) - 0.5]}
    figure.update_xaxes(title_text="Predicted", tickangle=-45, **order, **_CATEGORICAL)
    order["range"] = [len(names) - 0.5, -0.5]
    figure.update_yaxes(title_text="True", **order, **_CATEGORICAL)
    return figure


def confusion_top(results: Sequence[SplitResult], scale: Scale) -> float:
    """The value of the strongest cell when these matrices are shown on one scale."""
    if scale == "share":
        return 1.0
    return float(max((cell for r in results for row in r.confusion for cell in row), default=1))


def color_scale(scale: Scale, top: float, mode: theme.Mode) -> go.Figure:
    """The bar that says what the colours of `confusion` mean."""
    steps = [top * step / 60 for step in range(61)]
    figure = _figure(height=70, hovermode=False, margin=_LOW)
    figure.add_heatmap(
        z=[steps], x=steps, zmin=0, zmax=top, colorscale=_ramp(mode), showscale=False
    )
    figure.update_yaxes(visible=False)
    figure.update_xaxes(
        showgrid=False,
        zeroline=False,
        nticks=6,
        tickformat=".1~%" if scale == "share" else ",d",
    )
    return figure


def recall_bars(results: Sequence[tuple[str, str, SplitResult]]) -> go.Figure:
    """Recall of each class with its 95% interval; one bar in each group for each run."""
    figure = _figure(height=380, hovermode="closest", barmode="group", bargap=0.22)
    for label, color, result in results:
        seen = [entry for entry in result.classes if entry.recall is not None]
        _add_recall(figure, seen, label, color)
    names = dict.fromkeys(entry.name for *_, result in results for entry in result.classes)
    figure.update_xaxes(categoryorder="array", categoryarray=list(names), showgrid=False)
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Recall")
    return figure


def class_recall(result: SplitResult, colors: Mapping[str, str]) -> go.Figure:
    """Recall of each class of one run, in the colours of the classes."""
    figure = _figure(height=330, hovermode="closest", bargap=0.35)
    seen = [entry for entry in result.classes if entry.recall is not None]
    _add_recall(figure, seen, "", [colors[entry.name] for entry in seen])
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(range=[0, 1], tickformat=".1~%", title_text="Recall")
    return figure


def class_distribution(
    result: SplitResult, class_names: Sequence[str], colors: Mapping[str, str]
) -> go.Figure:
    """How often each class occurs (pale) and how often it was predicted (full)."""
    names = list(class_names)
    true = [sum(row) for row in result.confusion]
    said = [sum(column) for column in zip(*result.confusion, strict=True)]
    figure = _figure(height=330, hovermode="x unified", barmode="group", bargap=0.3)
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


def reliability_diagram(points: Reliability, color: str, muted: str) -> go.Figure:
    """Accuracy against confidence by bin, and how many samples each bin holds."""
    figure = make_subplots(
        rows=2, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.05
    )
    figure.update_layout(**_layout(height=380, hovermode="closest"))
    centres = [(a + b) / 2 for a, b in zip(points.edges[:-1], points.edges[1:], strict=True)]
    bins = [
        (float(points.confidence[i]), float(points.accuracy[i]), int(count))
        for i, count in enumerate(points.counts)
        if count
    ]
    ends = [accuracy_interval(round(right * count), count) for _, right, count in bins]
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


_CATEGORICAL: dict[str, Any] = {
    "type": "category",
    "showgrid": False,
    "ticks": "",
    "zeroline": False,
}


def _layout(height: int, **more: Any) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "showlegend": False,
        "xaxis": {"automargin": True},
        "yaxis": {"automargin": True},
        "title": None,
    } | more


def _figure(height: int, **more: Any) -> go.Figure:
    return go.Figure(layout=_layout(height, **more))


def _lines(rows: Sequence[LogRow], metric: Metric) -> list[tuple[str, str, list[float]]]:
    match metric:
        case "accuracy":
            return [
                ("training", "dot", [row.accuracy for row in rows]),
                ("validation", "solid", [row.val_accuracy for row in rows]),
            ]
        case "loss":
            return [
                ("training", "dot", [row.loss for row in rows]),
                ("validation", "solid", [row.val_loss for row in rows]),
            ]
        case "gap":
            return [("", "solid", [row.accuracy - row.val_accuracy for row in rows])]
        case "learning_rate":
            return [("", "solid", [row.learning_rate for row in rows])]


def _add_line(
    figure: go.Figure,
    x: Sequence[float],
    y: Sequence[float],
    color: str,
    dash: str,
    label: str | None,
    width: float,
    metric: Metric = "loss",
) -> None:
    share = metric in {"accuracy", "gap"}
    figure.add_scatter(
        x=x,
        y=y,
        name=label,
        mode="lines" if len(x) > 1 else "markers",
        line={"color": color, "dash": dash, "width": width},
        marker={"color": color, "size": 6},
        # A faint raw line behind a smoothed one has no label, and nothing to say.
        hoverinfo="skip" if label is None else None,
        hovertemplate=None if label is None else ("%{y:.2%}" if share else "%{y:.4g}"),
    )


def _add_checkpoint(
    figure: go.Figure, curve: Curve, x: Sequence[float], y: Sequence[float]
) -> None:
    for row, at, value in zip(curve.rows, x, y, strict=True):
        if row.epoch == curve.checkpoint:
            figure.add_scatter(
                x=[at],
                y=[value],
                mode="markers",
                marker={
                    "symbol": "diamond",
                    "size": 11,
                    "color": curve.color,
                    "line": {"width": 1.5, "color": "white"},
                },
                name=f"{curve.label}, checkpoint",
                hoverinfo="skip",
            )


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
            "color": _GREY,
        },
        customdata=[
            (entry.recall_low or 0.0, entry.recall_high or 0.0, entry.support) for entry in classes
        ],
        hovertemplate=(
            f"{label + '<br>' if label else ''}%{{x}}: %{{y:.1%}} "
            "(%{customdata[0]:.1%} to %{customdata[1]:.1%}), n = %{customdata[2]:,d}<extra></extra>"
        ),
    )


@dataclass(frozen=True)
class _Cell:
    true: str
    said: str
    count: int
    total: int

    @property
    def share(self) -> float:
        return self.count / self.total

    @property
    def sentence(self) -> str:
        counted = f"{self.count:,} of {self.total:,} ({self.share:.1%})"
        return f"true {self.true}, predicted {self.said}<br>{counted}"


def _ramp(mode: theme.Mode) -> list[tuple[float, str]]:
    colors = theme.HEAT[mode]
    return [(i / (len(colors) - 1), color) for i, color in enumerate(colors)]


def _time_unit(curves: Sequence[Curve]) -> tuple[str, float]:
    longest = max((row.elapsed for curve in curves for row in curve.rows), default=0.0)
    if longest < 120:
        return "seconds", 1.0
    return ("minutes", 60.0) if longest < 3 * 3600 else ("hours", 3600.0)


def _axis_title(metric: Metric) -> str:
    titles: dict[Metric, str] = {
        "accuracy": "Accuracy",
        "loss": "Loss (nats)",
        "gap": "Training less validation accuracy",
        "learning_rate": "Learning rate",
    }
    return titles[metric]


def _axis_format(metric: Metric) -> dict[str, Any]:
    if metric == "learning_rate":
        return {"type": "log", "tickformat": "~g", "dtick": 1}
    return {"tickformat": ".1~%"} if metric in {"accuracy", "gap"} else {}
