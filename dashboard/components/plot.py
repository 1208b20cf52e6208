"""Draw Plotly figures and legends in the visitor's theme."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard import formats
from dashboard.charts import theme
from dashboard.components import url_widgets


def theme_mode() -> theme.Mode:
    """Return whether the page is light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def plot(
    figure: go.Figure, key: str, alt: str, on_click: Callable[[list[Any]], None] | None = None
) -> None:
    """Draw a figure at the width of its column.

    Args:
        figure: from `dashboard.charts`.
        key: of the element, and the name of the file that it is saved as.
        alt: a description for screen readers.
        on_click: called with the custom data of the clicked point.
    """

    def clicked() -> None:
        event = st.session_state.get(key)
        points = event["selection"]["points"] if event else []
        if on_click and points:
            on_click(points[0]["customdata"])

    st.plotly_chart(
        figure,
        width="stretch",
        theme="streamlit",
        key=key,
        alt=alt,
        on_select=clicked if on_click else "ignore",
        selection_mode="points",
        config={
            "displaylogo": False,
            "modeBarButtons": [["toImage"]],
            "toImageButtonOptions": {"format": image_format(), "filename": key, "scale": 2},
            "scrollZoom": False,
            "doubleClick": "reset",
        },
    )


def image_format() -> str:
    """Return the format in which the button above a chart saves it: `"svg"` or `"png"`."""
    return "png" if url_widgets.query_value("image") == "png" else "svg"


def legend(labels: Mapping[str, str], colors: Mapping[str, str]) -> None:
    """Draw each run's label with its colour."""
    st.html(formats.legend({label: colors[run_id] for run_id, label in labels.items()}))
