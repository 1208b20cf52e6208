"""The parts of a report as one HTML file that opens without a server: no Streamlit.

The file contains Plotly's script, so that its charts are interactive; it loads nothing from
elsewhere.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.tables import table_formats

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.55 system-ui, sans-serif; color: #1b2530; background: #fff; margin: 0 auto;
       max-width: 1180px; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.8rem; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.note { color: #5b6672; }
.caution { border-left: 4px solid #b45309; background: #fdf6ec; padding: .5rem .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { border-bottom: 1px solid #dde3e8; padding: .35rem .7rem; text-align: left;
         white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1rem; }
pre { background: #f4f6f8; padding: .7rem .9rem; border-radius: .4rem; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Section:
    """One section of a report.

    Attributes:
        title: its heading; empty for none.
        parts: HTML, from the functions of this module.
    """

    title: str
    parts: Sequence[str]


def page(title: str, below: str, sections: Iterable[Section]) -> str:
    """Return the complete file.

    Args:
        title: its heading.
        below: one line under it.
        sections: in order; those without parts are left out.
    """
    from plotly.offline import get_plotlyjs

    body = "".join(
        (f"<h2>{html.escape(section.title)}</h2>" if section.title else "") + "".join(section.parts)
        for section in sections
        if section.parts
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        f'<h1>{html.escape(title)}</h1><p class="note">{html.escape(below)}</p>{body}'
        "</body></html>\n"
    )


def note(text: str) -> str:
    """Return a grey paragraph."""
    return f'<p class="note">{html.escape(text)}</p>'


def caution(text: str) -> str:
    """Return a warning."""
    return f'<p class="caution">{html.escape(text)}</p>'


def code(text: str) -> str:
    """Return a command in a code block."""
    return f"<pre>{html.escape(text)}</pre>"


def legend(entries: dict[str, str]) -> str:
    """Return labels with their colours."""
    return formats.legend(entries)


def table(frame: pd.DataFrame) -> str:
    """Return a table; numbers with two digits, right-aligned."""
    frame = table_formats.to_plain(frame)
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame)
    numeric = [pd.api.types.is_numeric_dtype(column) for _, column in frame.items()]
    rows = (
        "".join(
            f"<td{' class=number' if right else ''}>{html.escape(text)}</td>"
            for text, right in zip(row, numeric, strict=True)
        )
        for row in table_formats.cell_texts(frame)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def charts(figures: Iterable[go.Figure]) -> str:
    """Return figures side by side, as many as fit."""
    parts = []
    for shared in figures:
        figure = go.Figure(shared)  # a copy: pages show the same figure
        figure.update_layout(
            template="plotly_white", font={"family": "system-ui, sans-serif", "color": "#1b2530"}
        )
        part: str = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            config={"displaylogo": False, "responsive": True},
        )
        parts.append(f"<div>{part}</div>")
    return f'<div class="charts">{"".join(parts)}</div>' if parts else ""
