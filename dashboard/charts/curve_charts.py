"""Training curves of one or several runs: pure functions, no Streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from dashboard.charts.base import (
    GREY,
    LEGEND,
    cached_figure,
    empty_figure,
    entry_width,
    legend_rows,
)
from dashboard.charts.theme import with_alpha
from fercore.runs.schema import EpochLog

Metric = Literal["accuracy", "loss", "gap", "learning_rate"]
XAxis = Literal["epoch", "time"]

METRICS: dict[str, str] = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "gap": "Generalisation gap",
    "learning_rate": "Learning rate",
}
# Marks the legend's own entries, which are no data.
LEGEND_ENTRY = "legend"
_AXIS_TITLES: dict[Metric, str] = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "gap": "Training minus validation accuracy",
    "learning_rate": "Learning rate",
}


@dataclass(frozen=True)
class Curve:
    """One run's log, and how to draw it.

    Attributes:
        label: of the run.
        color: of the run.
        rows: the log, one entry for each epoch.
        checkpoint: the epoch of the selected checkpoint, if there is one.
    """

    label: str
    color: str
    rows: Sequence[EpochLog]
    checkpoint: int | None = None


@dataclass(frozen=True)
class Band:
    """The logs of one experiment's seeds, drawn as their mean and range.

    Both cover the epochs that all seeds have, so that the mean does not jump where one seed ends.
    """

    label: str
    color: str
    seeds: Sequence[Sequence[EpochLog]]


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average, corrected for the bias towards zero at its start.

    Args:
        values: one for each epoch.
        weight: of the past values, in [0, 1); 0 changes nothing.

    Source: Kingma & Ba, "Adam", 2015, section 3 (the bias correction).
    """
    averaged, last = [], 0.0
    for count, value in enumerate(values, start=1):
        last = weight * last + (1 - weight) * value
        averaged.append(last / (1 - weight**count))
    return averaged


@cached_figure
def training_curves(
    curves: Sequence[Curve],
    metric: Metric,
    x: XAxis = "epoch",
    smoothing: float = 0.0,
    bands: Sequence[Band] = (),
    *,
    log_loss: bool = False,
    loss_title: str = "Loss",
) -> go.Figure:
    """Draw one metric of several runs over epochs or time, with a legend of runs and styles.

    Validation is solid, training dotted, the selected checkpoint a diamond. With smoothing, the raw
    line is drawn as well, faintly. With bands, the x axis is always epochs: seeds have different
    times.

    Args:
        curves: single runs.
        metric: to draw.
        x: epochs or time.
        smoothing: weight of the moving average, in [0, 1).
        bands: groups of seeds.
        log_loss: whether the axis of the loss is logarithmic.
        loss_title: of the axis of the loss, with its unit.
    """
    if bands:
        x = "epoch"
    figure = empty_figure(height=340, hovermode="x unified", uirevision=f"{metric}-{x}")
    unit, per_unit = _time_unit(curves) if x == "time" else ("", 1.0)
    logs = [*(curve.rows for curve in curves), *(log for band in bands for log in band.seeds)]
    for curve in curves:
        if not curve.rows:
            continue
        across = [row.elapsed / per_unit if x == "time" else row.epoch for row in curve.rows]
        for name, dash, values in _lines(curve.rows, metric):
            # A learning rate has no noise.
            weight = 0.0 if metric == "learning_rate" else smoothing
            shown = smooth(values, weight)
            label = ", ".join(filter(None, (curve.label, name)))
            if weight:
                _add_line(figure, across, values, with_alpha(curve.color, 0.25), dash, None, 1.2)
            _add_line(figure, across, shown, curve.color, dash, label, 2.0, metric)
            if name != "training":
                _add_checkpoint(figure, curve, across, shown)
    for band in bands:
        _add_band(figure, band, metric, 0.0 if metric == "learning_rate" else smoothing)
    _add_legend(figure, curves, bands, metric)
    if x == "time":
        figure.update_xaxes(title_text=f"Wall time ({unit})")
    else:
        last = max((row.epoch for log in logs for row in log), default=0)
        figure.update_xaxes(title_text="Epoch", dtick=1 if last <= 10 else None)
    title = loss_title if metric == "loss" else _AXIS_TITLES[metric]
    figure.update_yaxes(title_text=title, **_axis_format(metric))
    if metric == "loss" and log_loss:
        figure.update_yaxes(type="log", tickformat="~g")
    if metric == "learning_rate":
        rates = [row.learning_rate for log in logs for row in log if row.learning_rate > 0]
        narrow = bool(rates) and max(rates) < 100 * min(rates)
        figure.update_yaxes(type="log", tickformat="~g", dtick="D2" if narrow else 1)
    if metric == "gap":
        figure.add_hline(0, line_width=1, line_dash="dash", line_color=GREY)
    return figure


def _add_legend(
    figure: go.Figure, curves: Sequence[Curve], bands: Sequence[Band], metric: Metric
) -> None:
    """Add a legend in the figure: one entry for each run, one for each style of line."""
    drawn = [curve for curve in curves if curve.rows]
    grouped = [band for band in bands if any(band.seeds)]
    runs = [(curve.label, curve.color) for curve in drawn]
    runs += [(band.label, band.color) for band in grouped]
    # A style that all runs share is grey; that of the only run has its colour.
    color = runs[0][1] if len(runs) == 1 else GREY
    styles = [
        ("lines", name, color, dash, "circle")
        for name, dash in (("validation", "solid"), ("training", "dot"))
        if runs and metric in {"accuracy", "loss"}
    ]
    named = [("lines", label, own, "solid", "circle") for label, own in runs if label]
    if len(runs) == 1 and styles:
        named = []
    if any(curve.checkpoint in {row.epoch for row in curve.rows} for curve in drawn):
        # Below the styles, which fill a row of a narrow figure.
        named.append(("markers", "best epoch", color, "solid", "diamond"))
    for which, entries in (("legend", styles), ("legend2", named)):
        for mode, name, own, dash, symbol in entries:
            figure.add_scatter(
                x=[None],
                y=[None],
                mode=mode,
                name=name,
                line={"color": own, "dash": dash, "width": 2},
                marker={"color": own, "size": 9, "symbol": symbol},
                showlegend=True,
                hoverinfo="skip",
                legend=which,
                meta=LEGEND_ENTRY,
            )
    labels = [label for _, label, *_ in named]
    style_rows, run_rows = (1 if styles else 0), legend_rows(labels, 340)
    if not style_rows + run_rows:
        return
    above = 24 * style_rows + 20 * run_rows + 10
    height = 310 + above
    # Placed from the top of the figure, the styles first: the space above the plot is known.
    place = LEGEND | {"yanchor": "top"}
    figure.update_layout(
        showlegend=True,
        height=height,
        margin_t=above,
        legend=place | {"y": 1.0},
        legend2=place | {"y": 1.0 - 24 * style_rows / height, "entrywidth": entry_width(labels)},
    )


def _lines(rows: Sequence[EpochLog], metric: Metric) -> list[tuple[str, str, list[float]]]:
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
        # The raw line behind a smoothed one has neither label nor hover text.
        showlegend=False,
        hoverinfo="skip" if label is None else None,
        hovertemplate=None if label is None else ("%{y:.2%}" if share else "%{y:.4g}"),
    )


def _add_band(figure: go.Figure, band: Band, metric: Metric, smoothing: float) -> None:
    values: dict[str, dict[int, list[float]]] = {}
    dashes: dict[str, str] = {}
    seeds = [rows for rows in band.seeds if rows]
    for rows in seeds:
        for name, dash, line in _lines(rows, metric):
            dashes[name] = dash
            for row, value in zip(rows, smooth(line, smoothing), strict=True):
                values.setdefault(name, {}).setdefault(row.epoch, []).append(value)
    for name, by_epoch in values.items():
        epochs = [epoch for epoch in sorted(by_epoch) if len(by_epoch[epoch]) == len(seeds)]
        if not epochs:
            continue
        figure.add_scatter(
            x=[*epochs, *reversed(epochs)],
            y=[max(by_epoch[e]) for e in epochs] + [min(by_epoch[e]) for e in reversed(epochs)],
            fill="toself",
            fillcolor=with_alpha(band.color, 0.18),
            mode="none",
            showlegend=False,
            hoverinfo="skip",
        )
        label = f"{band.label}, {name}" if name else band.label
        mean = [sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in epochs]
        _add_line(figure, epochs, mean, band.color, dashes[name], label, 2.0, metric)


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
                showlegend=False,
                hoverinfo="skip",
            )


def _time_unit(curves: Sequence[Curve]) -> tuple[str, float]:
    longest = max((row.elapsed for curve in curves for row in curve.rows), default=0.0)
    if longest < 120:
        return "seconds", 1.0
    return ("minutes", 60.0) if longest < 3 * 3600 else ("hours", 3600.0)


def _axis_format(metric: Metric) -> dict[str, Any]:
    return {"tickformat": ".1~%"} if metric in {"accuracy", "gap"} else {}
