"""Layout and cache of the Plotly figures of the dashboard: no Streamlit.

The theme of the page sets fonts, grid and background in the browser. Colours with a meaning are
arguments of the chart functions.
"""

import functools
import hashlib
import math
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import plotly.graph_objects as go

_P = ParamSpec("_P")
_MAX_CACHED = 64  # figures of one function, about 50 kB each

CLEAR = "rgba(0, 0, 0, 0)"
# A grey that is visible on light and dark, for lines that belong to no run.
GREY = "#7d8794"
# Automatic margins are too small below a figure that is hardly higher than its axis.
LOW = {"l": 8, "r": 12, "t": 8, "b": 34}


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Return a layout with a height in pixels, thin margins and no legend, and further options."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "showlegend": False,
        "xaxis": {"automargin": True},
        "yaxis": {"automargin": True},
        "title": None,
    } | more


def empty_figure(height: int, **more: Any) -> go.Figure:
    """Return a figure without traces, with that layout."""
    return go.Figure(layout=layout(height, **more))


# Pixels of a legend's symbol, and of a letter. Wide enough for the fonts of other programs: in SVG,
# text that is wider than on the page would be cut.
_SYMBOL, _LETTER = 42, 6.8
LEGEND = {"orientation": "h", "x": 0, "xref": "container", "yref": "container", "font_size": 11}


def entry_width(names: Sequence[str]) -> int:
    """Return the width of the text of these entries of a legend, in pixels."""
    return round(_LETTER * max(map(len, names), default=0))


def legend_rows(names: Sequence[str], width: int) -> int:
    """Return in how many rows these entries of a legend fit into a chart of that width in pixels.

    Plotly gives all entries the width of the longest one.
    """
    across = max(1, width // (_SYMBOL + entry_width(names)))
    return -(-len(names) // across)


def add_legend_below(figure: go.Figure, names: Sequence[str], axis: int = 60) -> None:
    """Give a figure a legend under its plot, which a saved figure has too; the plot stays as high.

    Args:
        figure: changed in place; its traces have these names.
        names: of the entries.
        axis: pixels of the x axis with its title.
    """
    space = 20 * legend_rows(names, 440)
    figure.update_layout(
        showlegend=True,
        height=figure.layout.height + space,
        margin_b=axis + space,
        legend=LEGEND | {"y": 0, "yanchor": "bottom", "entrywidth": entry_width(names)},
    )


class _FrozenFigure(go.Figure):  # type: ignore[misc]
    """A figure that nobody changes: its dictionary, which Streamlit needs, is built once."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as a dictionary, which all callers share: do not change it."""
        content: dict[str, Any] | None = getattr(self, "_content", None)
        if content is None:
            content = self._content = super().to_dict()
        return content


def cached_figure(draw: Callable[_P, go.Figure]) -> Callable[_P, go.Figure]:
    """Cache the last figures of a pure function, by the content of its arguments.

    Plotly takes 20 to 60 ms to build a figure. All visitors share the figures: copy one before you
    change it.
    """
    figures: OrderedDict[bytes, go.Figure] = OrderedDict()
    lock = threading.Lock()

    @functools.wraps(draw)
    def cached(*args: _P.args, **kwargs: _P.kwargs) -> go.Figure:
        content = pickle.dumps((args, sorted(kwargs.items())), pickle.HIGHEST_PROTOCOL)
        key = hashlib.blake2b(content).digest()
        with lock:
            if key in figures:
                figures.move_to_end(key)
                return figures[key]
        figure = _FrozenFigure(draw(*args, **kwargs))
        with lock:
            figures[key] = figure
            while len(figures) > _MAX_CACHED:
                figures.popitem(last=False)
        return figure

    return cached


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the positions of the Pareto-optimal points, cheapest first.

    Args:
        points: cost and accuracy of each.
    """
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def set_cost_axes(figure: go.Figure, costs: Sequence[float], title: str) -> None:
    """Set a logarithmic axis of costs, and an axis of accuracies.

    Args:
        figure: changed in place.
        costs: of its points, above 0.
        title: of the cost, with its unit.
    """
    # A margin on either side, so that no point is at the edge.
    ends = [math.log10(min(costs) / 1.7), math.log10(max(costs) * 1.7)]
    ticks = "~s" if max(costs) >= 1000 else "~g"
    figure.update_xaxes(type="log", title_text=title, range=ends, tickformat=ticks, dtick="D2")
    figure.update_yaxes(tickformat=".1~%", title_text="Accuracy")
