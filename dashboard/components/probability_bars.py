"""Bars of class probabilities, as HTML."""

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashboard import formats
from dashboard.charts import theme
from dashboard.components import plot

LOW_CONFIDENCE = "low confidence"


def bars(
    label: str,
    names: Sequence[str],
    probabilities: NDArray[np.float32],
    predicted: str,
    is_confident: bool,
) -> str:
    """Return a network's prediction for a face as HTML.

    Args:
        label: of the network.
        names: of the classes.
        probabilities: `(classes,)` float32; the four highest are shown as bars.
        predicted: the shown class.
        is_confident: whether its probability reaches the confidence threshold.
    """
    colors = theme.class_colors(list(names), plot.theme_mode())
    order = np.argsort(-probabilities, kind="stable")[:4]
    rows = "".join(
        '<div style="display:grid;grid-template-columns:5.2em 1fr 3.2em;gap:.4em;'
        'align-items:center;font-size:.8rem;line-height:1.45">'
        f"<span>{html.escape(names[index])}</span>"
        '<span style="height:.55em;border-radius:.3em;background:color-mix(in srgb,currentColor '
        '10%,transparent)"><span style="display:block;height:100%;border-radius:.3em;'
        f'width:{100 * probabilities[index]:.1f}%;background:{colors[names[index]]}"></span></span>'
        '<span style="text-align:right">'
        f"{formats.percent(float(probabilities[index]), 0)}</span></div>"
        for index in order
    )
    probability = float(probabilities[list(names).index(predicted)])
    prediction = prediction_text(predicted, probability, is_confident)
    return (
        '<div style="margin-bottom:.35rem"><div style="font-size:.8rem;overflow-wrap:anywhere">'
        f'<span style="opacity:.75">{html.escape(label)}:</span> <b>{html.escape(prediction)}</b>'
        f"</div>{rows}</div>"
    )


def prediction_text(predicted: str, probability: float, is_confident: bool) -> str:
    """Return `happy 71 %`, or `sad 35 % · low confidence`."""
    remark = "" if is_confident else f" · {LOW_CONFIDENCE}"
    return f"{predicted} {formats.percent(probability, 0)}{remark}"


def chip(text: str) -> str:
    """Return a short remark beside a heading, as HTML."""
    return (
        '<span style="display:inline-block;line-height:1.35;font-size:.72rem;font-weight:500;'
        'border:1px solid currentColor;opacity:.75;border-radius:.8em;padding:0 .5em">'
        f"{text}</span>"
    )
