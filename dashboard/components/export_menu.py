"""The menu of downloads: a table in three formats, and a report."""

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
    """Draw the button that opens the downloads of a page. Nothing is computed while it is closed.

    Args:
        name: of the files, without suffix.
        table: returns the table; called when a file is requested.
        report: called while the menu is open; returns the function that writes the HTML report.
    """
    opened = st.popover("Export", icon=":material/download:", key="export", on_change="rerun")
    if not opened.open:
        return
    with opened:
        for label, suffix, mime, write in (
            ("Table as CSV", "csv", "text/csv", as_csv),
            ("Table as Markdown", "md", "text/markdown", as_markdown),
            ("Table as LaTeX", "tex", "application/x-tex", as_latex),
        ):
            st.download_button(
                label,
                _writer(write, table),
                f"{name}.{suffix}",
                mime,
                on_click="ignore",
                width="stretch",
                key=f"export-{suffix}",
            )
        if report:
            st.download_button(
                "Report as HTML",
                report(),
                f"{name}.html",
                "text/html",
                on_click="ignore",
                width="stretch",
                help="One file with all charts; it opens without a server.",
                key="export-html",
            )
        url_widgets.segmented_control("Figure format", {"svg": "SVG", "png": "PNG"}, key="image")


def _writer(write: Callable[[pd.DataFrame], str], table: Callable[[], pd.DataFrame]) -> Any:
    return lambda: write(table())
