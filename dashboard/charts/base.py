"""What every Plotly figure of the dashboard begins with: no Streamlit.

Figures leave fonts, grid and background to the theme of the page, which sets them in the browser;
colours that carry meaning are given by the caller.
"""

import functools
import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec

import plotly.graph_objects as go

_DrawnFrom = ParamSpec("_DrawnFrom")
_MOST_KEPT = 64  # figures of one function; each takes some 50 kB

CLEAR = "rgba(0, 0, 0, 0)"
# Grey that shows on light and dark alike, for lines that belong to no run.
GREY = "#7d8794"
# Automatic margins give too little room below a figure that is hardly higher than its axis.
LOW = {"l": 8, "r": 12, "t": 8, "b": 34}


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Height in pixels, thin margins, no legend, and what is given besides."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "showlegend": False,
        "xaxis": {"automargin": True},
        "yaxis": {"automargin": True},
        "title": None,
    } | more


def figure_of(height: int, **more: Any) -> go.Figure:
    """An empty figure with that layout."""
    return go.Figure(layout=layout(height, **more))


class _Unchanging(go.Figure):  # type: ignore[misc]
    """A figure that nobody changes: the dictionary that Streamlit asks for is made once."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as a dictionary, which is shared: it is only ever read."""
        content: dict[str, Any] | None = getattr(self, "_content", None)
        if content is None:
            content = self._content = super().to_dict()
        return content


def kept(draw: Callable[_DrawnFrom, go.Figure]) -> Callable[_DrawnFrom, go.Figure]:
    """Keep the figures that a pure function has drawn last, by the content of its arguments.

    Plotly takes 20 to 60 ms for a figure. The figures are shared by all visitors: whoever changes
    one, copies it before.
    """
    figures: OrderedDict[bytes, go.Figure] = OrderedDict()
    lock = threading.Lock()

    @functools.wraps(draw)
    def drawn(*args: _DrawnFrom.args, **kwargs: _DrawnFrom.kwargs) -> go.Figure:
        content = pickle.dumps((args, sorted(kwargs.items())), pickle.HIGHEST_PROTOCOL)
        key = hashlib.blake2b(content).digest()
        with lock:
            if key in figures:
                figures.move_to_end(key)
                return figures[key]
        figure = _Unchanging(draw(*args, **kwargs))
        with lock:
            figures[key] = figure
            while len(figures) > _MOST_KEPT:
                figures.popitem(last=False)
        return figure

    return drawn
