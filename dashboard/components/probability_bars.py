"""Bars of class probabilities, as HTML."""

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashboard import formats
from dashboard.charts import theme
from dashboard.components import plot


def bars(label: str, names: Sequence[str], shares: NDArray[np.float32], said: str | None) -> str:
    """What a network says of a face, as HTML: its name, its answer, the four likeliest classes."""
    colors = theme.class_colors(list(names), plot.theme_mode())
    order = np.argsort(-shares, kind="stable")[:4]
    rows = "".join(
        '<div style="display:grid;grid-template-columns:5.2em 1fr 3.2em;gap:.4em;'
        'align-items:center;font-size:.8rem;line-height:1.45">'
        f"<span>{html.escape(names[place])}</span>"
        '<span style="height:.55em;border-radius:.3em;background:color-mix(in srgb,currentColor '
        '10%,transparent)"><span style="display:block;height:100%;border-radius:.3em;'
        f'width:{100 * shares[place]:.1f}%;background:{colors[names[place]]}"></span></span>'
        f'<span style="text-align:right">{formats.percent(float(shares[place]), 0)}</span></div>'
        for place in order
    )
    verdict = html.escape(said) if said else chip("unsure")
    return (
        '<div style="margin-bottom:.35rem"><div style="font-size:.8rem;opacity:.75">'
        f'{html.escape(label)}: <b style="opacity:1">{verdict}</b></div>{rows}</div>'
    )


def chip(text: str) -> str:
    """A short remark beside a heading, as HTML."""
    return (
        '<span style="font-size:.72rem;font-weight:500;border:1px solid currentColor;opacity:.75;'
        f'border-radius:.8em;padding:0 .5em">{text}</span>'
    )
