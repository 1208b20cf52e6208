"""What every Plotly figure of the dashboard begins with: no Streamlit.

Figures leave fonts, grid and background to the theme of the page, which sets them in the browser;
colours that carry meaning are given by the caller.
"""

from typing import Any

import plotly.graph_objects as go

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
