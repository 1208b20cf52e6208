"""Widgets to select networks and a face detector."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import formats
from dashboard.analysis import recommendation, run_properties
from dashboard.components import url_widgets
from dashboard.state import network_cache, run_cache
from fercore.faces import detection
from fercore.paths import data_root
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network, missing_network

_SELECTED = "selected networks"
NO_NETWORK = (
    "No run here has a network (`model.onnx`). Training writes one at its end. For a run that was "
    "trained on JAX, run `fercore export RUN` where TensorFlow is installed, too."
)


def networks(runs: Sequence[Run]) -> dict[str, Run]:
    """Return the finished runs with a network by id, the recommended one first."""
    available = [run for run in runs if has_network(run)]
    real = [run for run in available if not run_properties.is_synthetic(run)]
    recommended = recommendation.recommended_run(real)
    first = [recommended] if recommended else []
    return {run.id: run for run in (*first, *(run for run in available if run not in first))}


def explain_missing(key: str) -> None:
    """Draw a message for each run in the URL that has no network, with the command to make it.

    Args:
        key: URL parameter that names the runs.
    """
    for run_id in url_widgets.query_values(key):
        run = run_cache.find_run(run_id)
        if run is not None and not has_network(run):
            st.info(formats.markdown(missing_network(run)), icon=":material/hub:")


def pick_networks(runs: Mapping[str, Run], limit: int, placeholder: str) -> list[str]:
    """Draw the selection of networks, which Photo and Webcam share.

    Args:
        runs: to select from, by id.
        limit: maximum number of networks.
        placeholder: text of the empty widget.

    Returns:
        The ids of the selected runs.
    """
    remembered: list[str] = st.session_state.get(_SELECTED, [])
    default = list(runs)[:1]
    picked = url_widgets.multiselect(
        "Models",
        run_cache.labels(list(runs.values())),
        key="networks",
        limit=limit,
        default=default,
        remembered=remembered[:limit],
        placeholder=placeholder,
    )
    # A page with a lower limit leaves the others selected for the next page.
    if picked != remembered[:limit]:
        st.session_state[_SELECTED] = [] if picked == default else picked
    return picked


def pick_detector(without: Sequence[detection.DetectorKind] = ()) -> detection.DetectorKind:
    """Draw the selection of the face detector.

    Args:
        without: detectors that are not offered.
    """
    kinds: dict[str, str] = {
        kind: detection.DETECTOR_TITLES[kind]
        for kind in network_cache.detector_kinds()
        if kind not in without
    }
    return url_widgets.segmented_control("Face detector", kinds, key="finder")  # type: ignore[return-value]


def how_to_add_yunet() -> None:
    """Draw the instructions to add YuNet, unless it is installed."""
    if "yunet" not in network_cache.detector_kinds():
        st.caption(
            f"YuNet also detects rotated faces. To add it, put `{detection.YUNET_NAME}` of "
            f"OpenCV's model zoo into `{data_root()}`, or set `FERCORE_YUNET` to its path."
        )
