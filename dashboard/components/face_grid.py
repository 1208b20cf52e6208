"""Grids and rows of dataset images with captions."""

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
from dashboard.charts.data_urls import cached_png_data_url
from dashboard.components import column_formats, plot, url_widgets
from dashboard.state import dataset_cache
from fercore.data.splits import COPY_MARK
from fercore.runs.reader import Run

PER_PAGE = 24
_STYLE = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:.9rem .7rem;"
    "margin:.2rem 0"
)


@dataclass(frozen=True)
class SampleCard:
    """One sample of a dataset, with its class and predictions.

    Attributes:
        id: of the sample.
        true: its class.
        predictions: the predicted class and its probability, by run label; the probability is NaN
            where it is unknown.
    """

    id: str
    true: str
    predictions: dict[str, tuple[str, float]]


def show(run: Run, count: int, card: Callable[[int], SampleCard], key: str) -> None:
    """Draw a page of faces; without the dataset, their ids and how to add the dataset.

    Args:
        run: evaluated on the faces.
        count: number of faces.
        card: returns the card at a position, from 0; called only for the cards of the page.
        key: of the page's number in the URL.
    """
    if not count:
        st.caption("None.")
        return
    cards = _page(count, card, key)
    dataset = run.config.dataset if run.config else ""
    images = dataset_cache.images(dataset) if dataset else None
    if images is None:
        _table_without_images(dataset, cards)
        return
    if run.environment and images.fingerprint != run.environment.dataset_fingerprint:
        st.warning(
            f"The installed version of {formats.markdown(dataset)} differs from the one that this "
            "run was evaluated on: a face may belong to another sample.",
            icon=":material/warning:",
        )
    _grid(cards, images)


def show_dataset(dataset: str, count: int, card: Callable[[int], SampleCard], key: str) -> None:
    """Draw a page of faces of an installed dataset; the arguments are those of `show`."""
    cards = _page(count, card, key)
    images = dataset_cache.images(dataset)
    if images is not None:
        _grid(cards, images)


CaptionedImage = tuple[NDArray[np.uint8], str]


def image_groups(groups: Sequence[tuple[Sequence[CaptionedImage], str]]) -> None:
    """Draw groups of images, as many side by side as fit; each group in a frame, with a note."""
    frames = "".join(
        '<section class="image-group" style="border:1px solid color-mix(in srgb,currentColor 18%,'
        'transparent);border-radius:.5rem;padding:.6rem">'
        f"{_row_html(entries, note)}</section>"
        for entries, note in groups
    )
    st.html(
        f'<div style="display:flex;flex-wrap:wrap;gap:.7rem;align-items:flex-start">{frames}</div>'
    )


def image_row(entries: Sequence[CaptionedImage], note: str = "") -> None:
    """Draw images side by side, each with a caption, and a note after them."""
    st.html(_row_html(entries, note))


def _row_html(entries: Sequence[CaptionedImage], note: str) -> str:
    figures = "".join(
        f'<figure style="margin:0;width:92px"><img src="{cached_png_data_url(image)}" '
        f'alt="{html.escape(text)}" style="width:100%;border-radius:.4rem">'
        f'<figcaption style="font-size:.78rem;line-height:1.3">{html.escape(text)}</figcaption>'
        "</figure>"
        for image, text in entries
    )
    after = f'<span style="font-size:.8rem;opacity:.75">{html.escape(note)}</span>' if note else ""
    return (
        '<div class="pictures" style="display:flex;flex-wrap:wrap;gap:.7rem;align-items:center">'
        f"{figures}{after}</div>"
    )


def _page(count: int, card: Callable[[int], SampleCard], key: str) -> list[SampleCard]:
    pages = -(-count // PER_PAGE)
    number = url_widgets.page(pages, key) if pages > 1 else 1
    return [card(place) for place in range((number - 1) * PER_PAGE, min(number * PER_PAGE, count))]


def _grid(cards: Sequence[SampleCard], images: dataset_cache.Images) -> None:
    figures = "".join(card_html(card, images) for card in cards)
    st.html(f'<div class="faces" style="{_STYLE}">{figures}</div>')


def find_image(images: dataset_cache.Images, sample: str) -> NDArray[np.uint8] | None:
    """Return the image of a sample; that of a copy is its original's. `None` if there is none."""
    # The name of an original file may contain the mark of copies too.
    name = sample if sample in images else sample.rpartition(COPY_MARK)[0]
    return images.get(name)


def card_html(card: SampleCard, images: dataset_cache.Images) -> str:
    """Return a face of a dataset with its class and predictions, as HTML."""
    predicted = [name for name, _ in card.predictions.values()]
    names = [*images.splits.class_names, card.true, *predicted]
    colors = theme.class_colors(list(dict.fromkeys(names)), plot.theme_mode())
    texts = "; ".join(f"{label}: {name}" for label, (name, _) in card.predictions.items())
    alt = html.escape(f"{card.id}: true {card.true}; {texts}")
    image = find_image(images, card.id)
    picture = (
        f'<img src="{cached_png_data_url(image)}" alt="{alt}" title="{alt}" '
        'loading="lazy" '
        'style="width:100%;aspect-ratio:1;border-radius:.4rem;display:block">'
        if image is not None
        else f'<div title="{alt}" style="aspect-ratio:1;border:1px dashed currentColor;'
        'border-radius:.4rem;opacity:.5"></div>'
    )
    lines = [_caption_html(card.true, colors[card.true], "true" if predicted else "")] + [
        _caption_html(name, colors[name], "" if np.isnan(share) else f"{share:.0%}")
        for name, share in card.predictions.values()
    ]
    return f'<figure style="margin:0">{picture}{"".join(lines)}</figure>'


def _caption_html(name: str, color: str, note: str) -> str:
    return (
        '<figcaption style="font-size:.78rem;line-height:1.35;display:flex;gap:.35em;'
        'align-items:center;white-space:nowrap;overflow:hidden">'
        f'<span style="flex:none;width:.65em;height:.65em;border-radius:50%;background:{color}">'
        f'</span><span style="overflow:hidden;text-overflow:ellipsis">{html.escape(name)}</span>'
        f'<span style="opacity:.65;margin-left:auto">{html.escape(note)}</span></figcaption>'
    )


def _table_without_images(dataset: str, cards: Sequence[SampleCard]) -> None:
    st.info(
        f"{formats.markdown(dataset)} is not installed here: the table lists the ids of the faces. "
        f"To see them, add the dataset with `fercore data add {dataset} PATH`.",
        icon=":material/no_photography:",
    )
    rows: list[dict[str, Any]] = []
    for card in cards:
        row: dict[str, Any] = {"Sample": card.id, "True": card.true}
        for label, (name, share) in card.predictions.items():
            confidence = None if np.isnan(share) else 100 * share
            row |= {label: name, f"{label}, confidence": confidence}
        rows.append(row)
    config = {
        name: column_formats.percent(name) for name in rows[0] if str(name).endswith(", confidence")
    }
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=config, alt="Ids of the faces")
