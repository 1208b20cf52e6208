"""Draw Plotly figures and legends in the visitor's theme."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard import formats
from dashboard.charts import theme
from dashboard.components import url_widgets

IMAGE_FORMATS = {"svg": "SVG", "png": "PNG"}
# Widths of one and of two columns of a journal.
WIDTHS = {"screen": "As on the page", "84": "84 mm", "174": "174 mm"}
_PIXELS_PER_MM = 96 / 25.4
_PRINT_ZOOM = 300 / 96  # PNG with 300 dots per inch


def theme_mode() -> theme.Mode:
    """Return whether the page is light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def plot(
    figure: go.Figure,
    key: str,
    alt: str,
    on_click: Callable[[list[Any]], None] | None = None,
    *,
    on_box: Callable[[list[Any]], None] | None = None,
    file_name: str = "",
) -> None:
    """Draw a figure at the width of its column.

    Args:
        figure: from `dashboard.charts`.
        key: of the element.
        alt: a description for screen readers.
        on_click: called with the custom data of the clicked point.
        on_box: called with the custom data of every point in the box that the visitor drew; the
            figure's `dragmode` has to be "select".
        file_name: of the saved figure, without suffix: what it shows, of which runs; by default
            the key.
    """

    def clicked() -> None:
        event = st.session_state.get(key)
        points = event["selection"]["points"] if event else []
        if on_box:
            on_box([point["customdata"] for point in points])
        elif on_click and points:
            on_click(points[0]["customdata"])

    st.plotly_chart(
        figure,
        width="stretch",
        theme="streamlit",
        key=key,
        alt=alt,
        on_select=clicked if on_click or on_box else "ignore",
        selection_mode="box" if on_box else "points",
        config=config(figure, file_name or key),
    )


def config(figure: go.Figure, file_name: str) -> dict[str, Any]:
    """Return Plotly's settings of a figure: one button, which saves it at the selected size."""
    options: dict[str, Any] = {
        "format": image_format(),
        "filename": formats.file_name(file_name),
        "scale": 2,
    }
    if width := image_width():
        pixels = round(width * _PIXELS_PER_MM)
        height = figure.layout.height or pixels
        # Higher than wide, for the legends of many runs, but not much.
        height = min(height, round(1.2 * pixels))
        options |= {"width": pixels, "height": height, "scale": _PRINT_ZOOM}
        if options["format"] == "svg":
            options["scale"] = 1
    return {
        "displaylogo": False,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": options,
        "scrollZoom": False,
        "doubleClick": "reset",
    }


def figure_format() -> None:
    """Draw the button, labelled with the format of saved figures, that opens its selection."""
    size = f"{image_width()} mm" if image_width() else "as shown"
    label = f"Figures: {IMAGE_FORMATS[image_format()]}, {size}"
    with st.popover(label, icon=":material/photo_camera:", key="figure-format"):
        url_widgets.segmented_control("Figure format", IMAGE_FORMATS, key="image")
        url_widgets.segmented_control(
            "Figure width",
            WIDTHS,
            key="width",
            help="84 mm is one column of a journal, 174 mm two. PNG then has 300 dpi.",
        )
        st.caption("The camera above a figure saves it. Use the light theme for print.")


def image_format() -> str:
    """Return the format in which the button above a chart saves it: `"svg"` or `"png"`."""
    return "png" if url_widgets.query_value("image") == "png" else "svg"


def image_width() -> int | None:
    """Return the width of saved figures in millimetres; `None` for that on the screen."""
    value = url_widgets.query_value("width")
    return int(value) if value in WIDTHS and value.isdecimal() else None


def legend(labels: Mapping[str, str], colors: Mapping[str, str]) -> None:
    """Draw each run's label with its colour."""
    st.html(formats.legend({label: colors[run_id] for run_id, label in labels.items()}))
