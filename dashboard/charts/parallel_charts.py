"""Parallel coordinates: one axis for each setting, one line for each run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.base import GREY, cached_figure, empty_figure
from dashboard.charts.theme import MUTED, Mode, heat, with_alpha

Value = float | str | None
_LABEL_SPACE = 0.06  # of the height of an axis
_MAX_LETTERS = 24
# Behind the labels, over the lines.
_BACKGROUND: dict[Mode, str] = {
    "light": "rgba(255, 255, 255, 0.75)",
    "dark": "rgba(14, 17, 23, 0.75)",
}
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
        run_ids: of the runs, the custom data of their points.
        labels: by run id, shown on hover.
        axes: at least two; the last one numeric.
        selected: run ids.
        mode: gives the colours.
    """
    figure = empty_figure(
        height=430,
        hovermode="closest",
        dragmode="select",
        margin={"l": 70, "r": 60, "t": 40, "b": 24},
    )
    places = [positions(axis.values) for axis in axes]
    for index, (axis, own) in enumerate(zip(axes, places, strict=True)):
        _add_axis(figure, index, axis, own, mode, is_last=index == len(axes) - 1)
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
            customdata=[[run_ids[i], f"{a.title}: {_text(a.values[i])}"] for a in axes],
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


def _add_axis(
    figure: go.Figure,
    index: int,
    axis: Axis,
    places: Sequence[float | None],
    mode: Mode,
    *,
    is_last: bool,
) -> None:
    figure.add_shape(
        type="line", x0=index, x1=index, y0=0, y1=1, line={"color": GREY, "width": 1}, layer="below"
    )
    marks = {
        place: _text(value)
        for value, place in zip(axis.values, places, strict=True)
        if place is not None
    }
    for place in _spaced(sorted(marks)):
        text = marks[place]
        figure.add_annotation(
            x=index,
            y=place,
            text=text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 1]}…",
            showarrow=False,
            # Lines end at the last axis: its labels stand free on its right.
            xanchor="left" if is_last else "right",
            xshift=7 if is_last else -7,
            font={"size": 11, "color": MUTED[mode]},
            bgcolor=_BACKGROUND[mode],
        )


def _spaced(places: Sequence[float]) -> list[float]:
    """Return those of the rising places that leave room for a label, both ends among them."""
    shown: list[float] = []
    for place in places:
        is_free = not shown or place - shown[-1] >= _LABEL_SPACE
        if is_free and (place == places[-1] or places[-1] - place >= _LABEL_SPACE):
            shown.append(place)
    if places and (not shown or shown[-1] != places[-1]):
        shown.append(places[-1])
    return shown


def _text(value: Value) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else f"{value:.4g}"
