"""The menu that downloads a table or a report."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import url_widgets
from dashboard.tables.table_formats import as_csv, as_latex, as_markdown


def menu(
    name: str,
    table: Callable[[], pd.DataFrame],
    report: Callable[[], Callable[[], str]] | None = None,
) -> None:
    """A button that opens the downloads of a page. Nothing is computed while it is closed.

    Args:
        name: of the files, without their ends.
        table: what the page shows, made when it is asked for.
        report: called when the menu is open; returns what writes the page as one HTML file.
    """
    opened = st.popover("Export", icon=":material/download:", key="export", on_change="rerun")
    if not opened.open:
        return
    with opened:
        for label, end, mime, write in (
            ("Table as CSV", "csv", "text/csv", as_csv),
            ("Table as Markdown", "md", "text/markdown", as_markdown),
            ("Table as LaTeX", "tex", "application/x-tex", as_latex),
        ):
            st.download_button(
                label,
                _made(write, table),
                f"{name}.{end}",
                mime,
                on_click="ignore",
                width="stretch",
                key=f"export-{end}",
            )
        if report:
            st.download_button(
                "Report as HTML",
                report(),
                f"{name}.html",
                "text/html",
                on_click="ignore",
                width="stretch",
                help="One file with every chart in it; it opens without a server.",
                key="export-html",
            )
        url_widgets.segmented_control(
            "The camera above a chart saves it as", {"svg": "SVG", "png": "PNG"}, key="image"
        )


def _made(write: Callable[[pd.DataFrame], str], table: Callable[[], pd.DataFrame]) -> Any:
    return lambda: write(table())
