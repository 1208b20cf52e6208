"""Parallel coordinates: one axis for each setting, one line for each run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.base import GREY, cached_figure, empty_figure
from dashboard.charts.theme import Mode, heat, with_alpha

Value = float | str | None
_MAX_LABELS = 8
# A numeric axis whose ends are further apart than this is logarithmic.
_LOG_RATIO = 30


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: of the setting, or of the metric.
        values: one for each run, in the order of the runs; `None` where a run has none.
    """

    title: str
    values: tuple[Value, ...]


@cached_figure
def parallel_coordinates(
    run_ids: Sequence[str],
    labels: Mapping[str, str],
    axes: Sequence[Axis],
    selected: Sequence[str],
    mode: Mode,
) -> go.Figure:
    """Draw one line for each run; the last axis gives the colour, selected runs stand out.

    Args:
        run_ids: of the runs, which a click on a line's point returns.
        labels: by run id, shown on hover.
        axes: at least two; the last one numeric.
        selected: run ids.
        mode: gives the colours.
    """
    figure = empty_figure(
        height=430, hovermode="closest", margin={"l": 40, "r": 40, "t": 40, "b": 24}
    )
    places = [positions(axis.values) for axis in axes]
    for index, (axis, own) in enumerate(zip(axes, places, strict=True)):
        _add_axis(figure, index, axis, own)
    chosen = set(selected)
    # Selected runs are drawn last, above the others.
    order = sorted(range(len(run_ids)), key=lambda i: (run_ids[i] in chosen, places[-1][i] or 0.0))
    for i in order:
        level = places[-1][i]
        color = heat(0.25 + 0.75 * level, mode) if level is not None else GREY
        is_selected = run_ids[i] in chosen
        faint = bool(chosen) and not is_selected
        figure.add_scatter(
            x=list(range(len(axes))),
            y=[own[i] for own in places],
            mode="lines+markers",
            connectgaps=False,
            line={
                "color": with_alpha(color, 0.35) if faint else color,
                "width": 3 if is_selected else 1.4,
            },
            marker={
                "size": 8 if is_selected else 6,
                "color": color,
                "opacity": 0.4 if faint else 1,
            },
            customdata=[[run_ids[i], _text(axis.values[i])] for axis in axes],
            hovertemplate=f"{labels[run_ids[i]]}<br>%{{customdata[1]}}<extra></extra>",
        )
    figure.update_xaxes(
        range=[-0.3, len(axes) - 0.7],
        tickvals=list(range(len(axes))),
        ticktext=[axis.title for axis in axes],
        side="top",
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    return figure


def positions(values: Sequence[Value]) -> list[float | None]:
    """Return where each value stands on its axis, from 0 to 1.

    Numbers are spaced linearly, or by their logarithm if all are above 0 and the largest is more
    than 30 times the smallest; texts are spaced evenly in alphabetical order.
    """
    present = [value for value in values if value is not None]
    if not present:
        return [None] * len(values)
    if any(isinstance(value, str) for value in present):
        names = sorted({str(value) for value in present})
        step = 1 / max(len(names) - 1, 1)
        place = {name: step * index if len(names) > 1 else 0.5 for index, name in enumerate(names)}
        return [None if value is None else place[str(value)] for value in values]
    numbers = [float(value) for value in present]
    scale = math.log if is_logarithmic(numbers) else float
    low, high = scale(min(numbers)), scale(max(numbers))
    if high == low:
        return [None if value is None else 0.5 for value in values]
    return [
        None if value is None else (scale(float(value)) - low) / (high - low) for value in values
    ]


def is_logarithmic(numbers: Sequence[float]) -> bool:
    """Return whether an axis of these numbers is logarithmic."""
    return min(numbers) > 0 and max(numbers) / min(numbers) > _LOG_RATIO


def _add_axis(figure: go.Figure, index: int, axis: Axis, places: Sequence[float | None]) -> None:
    figure.add_shape(
        type="line", x0=index, x1=index, y0=0, y1=1, line={"color": GREY, "width": 1}, layer="below"
    )
    marks = {
        place: _text(value)
        for value, place in zip(axis.values, places, strict=True)
        if place is not None
    }
    shown = sorted(marks)
    if len(shown) > _MAX_LABELS:
        shown = [shown[round(i * (len(shown) - 1) / (_MAX_LABELS - 1))] for i in range(_MAX_LABELS)]
    for place in dict.fromkeys(shown):
        figure.add_annotation(
            x=index,
            y=place,
            text=marks[place],
            showarrow=False,
            xanchor="right",
            xshift=-7,
            font={"size": 10, "color": GREY},
        )


def _text(value: Value) -> str:
    if value is None:
        return "not set"
    if isinstance(value, str):
        return value if len(value) <= 24 else f"{value[:23]}…"
    return f"{value:.4g}"
