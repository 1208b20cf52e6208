"""What the Photo and the Live page share: whom to ask, who finds the faces, how an answer looks."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import cached, facts, formats, linked, pieces, theme
from fercore import faces
from fercore.recreate import has_network, missing_network
from fercore.roots import data_root
from fercore.runs import Run

NO_NETWORK = (
    "No run here has a network (`model.onnx`). A training writes one when it ends. A run that was "
    "trained on JAX gets one by `fercore export RUN`, where TensorFlow is installed too."
)


def networks(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs that can be asked, by id: finished, with a network, the one to use first."""
    found = [run for run in runs if has_network(run)]
    real = [run for run in found if not facts.is_synthetic(run)]
    chosen = facts.chosen(real)
    first = [chosen] if chosen else []
    return {run.id: run for run in (*first, *(run for run in found if run not in first))}


def explain_missing(key: str) -> None:
    """Say of each run that a link asks for and that has no network here, how to make it.

    Args:
        key: under which the address names runs.
    """
    for run_id in linked.requested(key):
        run = cached.find_run(run_id)
        if run is not None and not has_network(run):
            st.info(formats.markdown(missing_network(run)), icon=":material/hub:")


def pick_networks(runs: Mapping[str, Run], limit: int, placeholder: str) -> list[str]:
    """Let the reader choose networks; the ids of their runs."""
    return linked.picks(
        "Networks",
        cached.labels(list(runs.values())),
        key="networks",
        limit=limit,
        default=list(runs)[:1],
        placeholder=placeholder,
    )


def pick_finder(without: Sequence[faces.Kind] = ()) -> faces.Kind:
    """Let the reader choose who finds the faces."""
    kinds: dict[str, str] = {
        kind: faces.TITLES[kind] for kind in cached.finder_kinds() if kind not in without
    }
    return linked.choice("Faces are found by", kinds, key="finder")  # type: ignore[return-value]


def how_to_add_yunet() -> None:
    """Say how the finder that is not in any package is added, unless it is."""
    if "yunet" not in cached.finder_kinds():
        st.caption(
            f"YuNet finds turned faces too: put `{faces.YUNET_NAME}` of OpenCV's model zoo into "
            f"`{data_root()}`, or name it in `FERCORE_YUNET`."
        )


def bars(label: str, names: Sequence[str], shares: NDArray[np.float32], said: str | None) -> str:
    """What a network says of a face, as HTML: its name, its answer, the four likeliest classes."""
    colors = theme.class_colors(list(names), pieces.mode())
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
