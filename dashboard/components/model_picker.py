"""Select networks and a face detector."""

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

NO_NETWORK = (
    "No run here has a network (`model.onnx`). A training writes one when it ends. A run that was "
    "trained on JAX gets one by `fercore export RUN`, where TensorFlow is installed too."
)


def networks(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs that can be asked, by id: finished, with a network, the one to use first."""
    found = [run for run in runs if has_network(run)]
    real = [run for run in found if not run_properties.is_synthetic(run)]
    chosen = recommendation.recommended_run(real)
    first = [chosen] if chosen else []
    return {run.id: run for run in (*first, *(run for run in found if run not in first))}


def explain_missing(key: str) -> None:
    """Say of each run that a link asks for and that has no network here, how to make it.

    Args:
        key: under which the address names runs.
    """
    for run_id in url_widgets.query_values(key):
        run = run_cache.find_run(run_id)
        if run is not None and not has_network(run):
            st.info(formats.markdown(missing_network(run)), icon=":material/hub:")


def pick_networks(runs: Mapping[str, Run], limit: int, placeholder: str) -> list[str]:
    """Let the reader choose networks; the ids of their runs."""
    return url_widgets.multiselect(
        "Networks",
        run_cache.labels(list(runs.values())),
        key="networks",
        limit=limit,
        default=list(runs)[:1],
        placeholder=placeholder,
    )


def pick_detector(without: Sequence[detection.DetectorKind] = ()) -> detection.DetectorKind:
    """Let the reader choose who finds the faces."""
    kinds: dict[str, str] = {
        kind: detection.DETECTOR_TITLES[kind]
        for kind in network_cache.detector_kinds()
        if kind not in without
    }
    return url_widgets.segmented_control("Faces are found by", kinds, key="finder")  # type: ignore[return-value]


def how_to_add_yunet() -> None:
    """Say how the finder that is not in any package is added, unless it is."""
    if "yunet" not in network_cache.detector_kinds():
        st.caption(
            f"YuNet finds turned faces too: put `{detection.YUNET_NAME}` of OpenCV's model zoo "
            f"into `{data_root()}`, or name it in `FERCORE_YUNET`."
        )
