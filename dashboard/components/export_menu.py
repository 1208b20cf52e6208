"""The menu of downloads of a page, and the format of its figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import plot, url_widgets
from dashboard.tables.table_formats import as_csv, as_latex, as_markdown


@dataclass(frozen=True)
class Download:
    """One more file of the menu.

    Attributes:
        label: of its button.
        file_name: with suffix.
        mime: its media type.
        write: returns the content; called when the file is requested.
        help: a tooltip.
    """

    label: str
    file_name: str
    mime: str
    write: Callable[[], str | bytes]
    help: str | None = None


def menu(
    name: str,
    table: Callable[[], pd.DataFrame],
    report: Callable[[], Callable[[], str]] | None = None,
    *,
    numbers: Callable[[], pd.DataFrame] | None = None,
    selected: Callable[[], pd.DataFrame] | None = None,
    caption: str = "",
    more: Callable[[], Sequence[Download]] | None = None,
    figures: bool = False,
) -> None:
    """Draw the button that opens the downloads of a page. Nothing is computed while it is closed.

    Args:
        name: of the files, without suffix.
        table: returns the table; called when a file is requested.
        report: called while the menu is open; returns the function that writes the HTML report.
        numbers: returns the table of the CSV file, if that is another one, with all digits.
        selected: returns the selected rows of the table, if any are: the visitor then chooses
            between these, which come first, and all.
        caption: of the table in LaTeX; without one, the file is a `tabular` alone.
        more: called while the menu is open; returns further files, which come first.
        figures: draw the format of the figures beside the menu, not in it.
    """
    opened = st.popover("Export", icon=":material/download:", key="export", on_change="rerun")
    if figures:
        plot.figure_format()
    if not opened.open:
        return

    def latex(content: pd.DataFrame) -> str:
        return as_latex(content, caption, f"tab:{name}")

    with opened:
        for file in more() if more else ():
            _button(file, f"export-{file.file_name}")
        if selected:
            options = {"selected": "Selected", "all": "All"}
            if url_widgets.segmented_control("Rows", options, key="exported") == "selected":
                table = numbers = selected
        for label, suffix, mime, write, source in (
            ("Table as CSV", "csv", "text/csv", as_csv, numbers or table),
            ("Table as Markdown", "md", "text/markdown", as_markdown, table),
            ("Table as LaTeX", "tex", "application/x-tex", latex, table),
        ):
            file = Download(label, f"{name}.{suffix}", mime, _writer(write, source))
            _button(file, f"export-{suffix}")
        if report:
            _button(
                Download(
                    "Report as HTML",
                    f"{name}.html",
                    "text/html",
                    report(),
                    "One file with all charts; it opens without a server.",
                ),
                "export-html",
            )
        if not figures:
            url_widgets.segmented_control("Figure format", plot.IMAGE_FORMATS, key="image")


def _button(file: Download, key: str) -> None:
    content: Any = file.write
    st.download_button(
        file.label,
        content,
        file.file_name,
        file.mime,
        on_click="ignore",
        width="stretch",
        help=file.help,
        key=key,
    )


def _writer(write: Callable[[pd.DataFrame], str], table: Callable[[], pd.DataFrame]) -> Any:
    return lambda: write(table())
