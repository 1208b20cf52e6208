"""A grid of dataset images with captions."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.charts import theme
from dashboard.charts.data_urls import cached_png_address
from dashboard.components import column_formats, plot, url_widgets
from dashboard.state import dataset_cache
from fercore.data.splits import COPY_MARK
from fercore.runs.reader import Run

PAGE = 24
_STYLE = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:.9rem .7rem;"
    "margin:.2rem 0"
)


@dataclass(frozen=True)
class SampleCard:
    """One sample, and what runs say of it.

    Attributes:
        id: of the sample.
        true: its class.
        said: by run label: the predicted class and its probability; NaN where it is not known.
    """

    id: str
    true: str
    said: dict[str, tuple[str, float]]


def show(run: Run, count: int, face: Callable[[int], SampleCard], key: str) -> None:
    """Show a page of faces, or their ids and how to add the dataset if it is not installed.

    Args:
        run: whose dataset they are of.
        count: how many faces there are.
        face: makes the face at a position, from 0; called for those on the page alone.
        key: of the page's number in the address.
    """
    if not count:
        st.caption("None.")
        return
    shown = _page(count, face, key)
    dataset = run.config.dataset if run.config else ""
    found = dataset_cache.images(dataset) if dataset else None
    if found is None:
        _without_images(dataset, shown)
        return
    if run.environment and found.fingerprint != run.environment.dataset_fingerprint:
        st.warning(
            f"The {formats.markdown(dataset)} that is installed is not the one that this run "
            "judged: a face may be another one's.",
            icon=":material/warning:",
        )
    _grid(shown, found)


def show_of(dataset: str, count: int, face: Callable[[int], SampleCard], key: str) -> None:
    """Show a page of faces of an installed dataset; the arguments are those of `show`."""
    shown = _page(count, face, key)
    found = dataset_cache.images(dataset)
    if found is not None:
        _grid(shown, found)


def pictures(entries: Sequence[tuple[NDArray[np.uint8], str]], note: str = "") -> None:
    """Images side by side, each with a line below it."""
    figures = "".join(
        f'<figure style="margin:0;width:92px"><img src="{cached_png_address(image)}" '
        f'alt="{html.escape(text)}" style="width:100%;border-radius:.4rem">'
        f'<figcaption style="font-size:.78rem;line-height:1.3">{html.escape(text)}</figcaption>'
        "</figure>"
        for image, text in entries
    )
    after = f'<span style="font-size:.8rem;opacity:.7">{html.escape(note)}</span>' if note else ""
    st.html(
        '<div class="pictures" style="display:flex;flex-wrap:wrap;gap:.7rem;align-items:center">'
        f"{figures}{after}</div>"
    )


def _page(count: int, face: Callable[[int], SampleCard], key: str) -> list[SampleCard]:
    pages = -(-count // PAGE)
    number = url_widgets.page(pages, key) if pages > 1 else 1
    return [face(place) for place in range((number - 1) * PAGE, min(number * PAGE, count))]


def _grid(faces: Sequence[SampleCard], found: dataset_cache.Images) -> None:
    figures = "".join(face_figure_html(face, found) for face in faces)
    st.html(f'<div class="faces" style="{_STYLE}">{figures}</div>')


def face_figure_html(face: SampleCard, found: dataset_cache.Images) -> str:
    """A face of a dataset, its class and what is said of it, as HTML."""
    names = [*found.splits.class_names, face.true, *(name for name, _ in face.said.values())]
    colors = theme.class_colors(list(dict.fromkeys(names)), plot.theme_mode())
    said = "; ".join(f"{label}: {name}" for label, (name, _) in face.said.items())
    alt = html.escape(f"{face.id}: true {face.true}; {said}")
    # A copy is shown as its original; a file's own name may hold the mark too.
    name = face.id if face.id in found else face.id.rpartition(COPY_MARK)[0]
    picture = (
        f'<img src="{cached_png_address(found[name])}" alt="{alt}" title="{alt}" loading="lazy" '
        'style="width:100%;aspect-ratio:1;border-radius:.4rem;display:block">'
        if name in found
        else f'<div title="{alt}" style="aspect-ratio:1;border:1px dashed currentColor;'
        'border-radius:.4rem;opacity:.5"></div>'
    )
    lines = [_line(face.true, colors[face.true], "true")] + [
        _line(name, colors[name], "" if np.isnan(share) else f"{share:.0%}")
        for name, share in face.said.values()
    ]
    return f'<figure style="margin:0">{picture}{"".join(lines)}</figure>'


def _line(name: str, color: str, note: str) -> str:
    return (
        '<figcaption style="font-size:.78rem;line-height:1.35;display:flex;gap:.35em;'
        'align-items:center;white-space:nowrap;overflow:hidden">'
        f'<span style="flex:none;width:.65em;height:.65em;border-radius:50%;background:{color}">'
        f'</span><span style="overflow:hidden;text-overflow:ellipsis">{html.escape(name)}</span>'
        f'<span style="opacity:.65;margin-left:auto">{html.escape(note)}</span></figcaption>'
    )


def _without_images(dataset: str, faces: Sequence[SampleCard]) -> None:
    st.info(
        f"The faces are not shown because {formats.markdown(dataset)} is not installed here. Add "
        f"it with `fercore data add {dataset} PATH`; until then, these are their ids.",
        icon=":material/no_photography:",
    )
    rows: list[dict[str, Any]] = []
    for face in faces:
        row: dict[str, Any] = {"Sample": face.id, "True": face.true}
        for label, (name, share) in face.said.items():
            known = None if np.isnan(share) else 100 * share
            row |= {label: name, f"{label}, confidence": known}
        rows.append(row)
    config = {
        name: column_formats.percent(name) for name in rows[0] if str(name).endswith(", confidence")
    }
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=config)
